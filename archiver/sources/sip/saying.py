"""The body of a MESSAGE (RFC 3428) -> what it says: plain, HTML, multipart, or wrapped in CPIM. Knows no dialogs."""

from __future__ import annotations

from msgspec import Struct

from archiver.exceptions import EventError
from archiver.sources.parts import Part, body_of, read_parts
from archiver.sources.sip.cpim import Wrapped, read_cpim
from archiver.sources.sip.message import Message

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
    if _type_of(message.first("content-type")) == "message/cpim":
        wrapped = read_cpim(message.body)
        return _read(wrapped.content, wrapped)
    described = message.first("content-type") or "text/plain"
    coding = message.first("content-transfer-encoding")
    head = f"Content-Type: {described}\r\n" + (f"Content-Transfer-Encoding: {coding}\r\n" if coding else "")
    return _read(head.encode("utf-8", "surrogateescape") + b"\r\n" + message.body, None)


def _read(entity: bytes, wrapped: Wrapped | None) -> Said | None:
    parts = read_parts(entity).parts
    loud = tuple(part for part in parts if part.media_type not in _SILENT)
    body = body_of(loud)
    if not body.text and not body.files:
        return None
    return Said(body.text, body.html, body.files, wrapped)


def _type_of(header: str) -> str:
    return header.partition(";")[0].strip().lower()
