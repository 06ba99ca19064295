"""Records made of stanzas, and what is the same in all copies of one."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any
from uuid import uuid4
from xml.etree.ElementTree import Element, tostring

from archiver.events import SECOND, moment
from archiver.importers.xmpp.archive import content_of
from archiver.importers.xmpp.memory import Memory
from archiver.importers.xmpp.stanza import origin
from archiver.sources.xmpp.record import Kind, Record

WINDOW = 60 * SECOND
"""Within which the same words by the same to the same, under the same id, are taken for copies."""


def is_copy(memory: Memory, digest: str, received: int, window: float, at: int | None = None) -> bool:
    """Whether the same was there at most `window` microseconds ago; else it is remembered. `at` is when the server got
    it, if that is known and not `received`."""
    first = memory.recall("copied", digest)
    if first and abs((received if at is None else at) - int(first)) <= window:
        return True
    memory.note(str(received), "copied", digest)
    return False


def made(kind: Kind, host: str, at: int, **more: Any) -> Record:
    """Nothing is told again, so any id will do."""
    return Record(uuid4().hex, kind, moment(at), host, **more)


def digest_of(stanza: Element, *more: str) -> str:
    """Of the id and content that its sender gave it: what is the same in what one sends and what all get."""
    parts = (*more, origin(stanza) or "", *content_of(stanza))
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()


def text_of(stanza: Element) -> str:
    return tostring(stanza, encoding="unicode")
