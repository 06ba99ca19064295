"""The body of a MESSAGE (RFC 3428) -> what it says: plain, HTML, multipart, or wrapped in CPIM. Knows no dialogs."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from msgspec import Struct

from archiver.exceptions import EventError
from archiver.sources.parts import Part, body_of, read_parts
from archiver.sources.sip.cpim import Wrapped, read_cpim
from archiver.sources.sip.message import Message, Party, address_of

_SILENT = {"application/im-iscomposing+xml", "message/imdn+xml", "application/imdn+xml"}
"""That somebody types (RFC 3994), or has read (RFC 5438): no part of what was said."""


class Said(Struct, frozen=True):
    text: str
    html: str | None = None
    files: tuple[Part, ...] = ()
    wrapped: Wrapped | None = None


def said_in(message: Message) -> Said | None:
    """None where nobody says anything. Raises `EventError` for what can't be read."""
    if not message.body.strip():
        return None
    if message.first("content-encoding").lower() not in ("", "identity"):
        raise EventError("its body is packed (Content-Encoding), which isn't unpacked")
    if type_of(message) == "message/cpim":
        wrapped = read_cpim(message.body)
        return _read(wrapped.content, wrapped)
    described = message.first("content-type") or "text/plain"
    coding = message.first("content-transfer-encoding")
    head = f"Content-Type: {described}\r\n" + (f"Content-Transfer-Encoding: {coding}\r\n" if coding else "")
    return _read(head.encode("utf-8", "surrogateescape") + b"\r\n" + message.body, None)


def speaker_of(message: Message, focus: Party) -> Party:
    """Who says it in a conference. A proxy vouches for From; CPIM's names count only where the conference passes on
    what somebody said."""
    if message.author.place != focus.place:
        return message.author
    with suppress(EventError):
        said = said_in(message)
        if said is not None and said.wrapped is not None and said.wrapped.author is not None:
            address, conference = address_of(said.wrapped.author.uri)
            return Party(address, said.wrapped.author.name, "", conference)
    return message.author


def words_of(message: Message) -> str:
    """The same for whatever says the same, however it is wrapped."""
    try:
        said = said_in(message)
    except EventError:
        said = None
    if said is None:
        return hashlib.sha256(message.body).hexdigest()
    digest = hashlib.sha256(" ".join(said.text.split()).encode("utf-8", "replace"))
    for each in said.files:
        digest.update(hashlib.sha256(each.content).digest())
    return digest.hexdigest()


def _read(entity: bytes, wrapped: Wrapped | None) -> Said | None:
    parts = read_parts(entity).parts
    loud = tuple(part for part in parts if part.media_type not in _SILENT)
    body = body_of(loud)
    if not body.text and not body.files:
        return None
    return Said(body.text, body.html, body.files, wrapped)


def type_of(message: Message) -> str:
    return message.first("content-type").partition(";")[0].strip().lower()
