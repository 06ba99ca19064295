"""A stanza with where and by whom it was said: what archives and live capture make of theirs, and what it is known by.

Source: XEP-0045 (occupants), XEP-0359 (ids).
"""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import blake2b
from typing import Any
from xml.etree.ElementTree import Element

from msgspec import Struct

from archiver.events import Data, Event, Participant, Place
from archiver.importers.xmpp import stanza as look
from archiver.importers.xmpp.memory import Memory

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


class Said(Struct, frozen=True):
    """`key` names it in its place for good, `id` is what others refer to it by.

    `author` tells who may change it: an address, "" for the room itself.
    """

    stanza: Element
    at: datetime
    source: str
    place: Place
    key: str
    id: str
    actor: Participant | None
    author: str
    to: tuple[Participant, ...] | None = None

    def event(self, type_: str, *, key: str = "", at: datetime | None = None, **data: Any) -> Event:
        made = Data(conversation=self.place, actor=data.pop("actor", self.actor), **data)
        identity = f"{self.place.id}/{self.key}{key}"
        return Event(source=self.source, id=identity, type=type_, time=at or self.at, data=made)


def lasting(memory: Memory, stanza: Element, sender: str, owner: str, kept_as: str | None) -> str | None:
    """What a sender's own id says for good: one made never to repeat. So both sides' archives tell the same.

    `kept_as` is what the owner's archive calls it: a sender who repeats such an id all the same hides nothing behind
    the first.
    """
    given = look.origin(stanza)
    if not given or not is_lasting(given):
        return None
    key = f"{sender}/{given.lower()}"
    first = memory.recall("lasting", owner, key) if kept_as else None
    if first is not None and first != kept_as:
        return None
    if kept_as:
        memory.note(kept_as, "lasting", owner, key)
    return key


def is_lasting(given: str) -> bool:
    """Whether an id is of a kind that is made never to repeat."""
    return _UUID.fullmatch(given) is not None


def between(one: str, other: str) -> Place:
    """The conversation of two."""
    ends = sorted({one, other})
    return Place(id=" ".join(ends), kind="im", participants=tuple(map(Participant, ends)))


def fingerprint(address: str) -> str:
    """Only to be compared: what is remembered in a file names nobody."""
    return blake2b(address.encode("utf-8", "replace"), digest_size=8).hexdigest()
