"""One message taken apart for a page: its HTML, its pictures, its files. Pure; reads no folder.

What a part says it is counts for nothing: a picture is what begins like one.
"""

from __future__ import annotations

import re
from email.message import EmailMessage, MIMEPart
from functools import cached_property

from msgspec import Struct

from archiver.inspection.messages import parsed, text_of
from archiver.rendering.evidence import FILE_NAME
from archiver.rendering.headers import file_name
from archiver.rendering.markup import plain

MOST_PARTS = 1_000
"""Of one message; nobody sends more."""

_BEGINNINGS = (
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ("image/gif", re.compile(rb"GIF8[79]a")),
    ("image/webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
)


def picture_type(content: bytes) -> str:
    """The media type of a picture that does no harm; empty for all else, also for SVG, which can hold script."""
    return next((name for name, beginning in _BEGINNINGS if beginning.match(content)), "")


class File(Struct, frozen=True):
    """A part that can be taken away. `number` is its place among the message's files, `picture` its type if it is one,
    `cid` what the HTML calls it."""

    number: int
    name: str
    cid: str
    content: bytes
    picture: str


class Parts:
    """What one message holds. Times and folders are others' business."""

    def __init__(self, content: bytes) -> None:
        self._message = parsed(content)

    @property
    def message(self) -> EmailMessage:
        return self._message

    @cached_property
    def text(self) -> str:
        """As it stands there, but for what no page may hold; of an item of ours that is nothing."""
        return plain(text_of(self._message))

    @cached_property
    def html(self) -> str:
        """As it stands there, so never to be shown as it is; empty where there is none."""
        try:
            part = self._message.get_body(("html",))
        except Exception:  # the parser fails in many ways on what it was never meant for
            return ""
        return "" if part is None else _decoded(part)

    @cached_property
    def files(self) -> list[File]:
        """All but its texts and its events, in their order."""
        return [File(n, *each) for n, each in enumerate(self._found(), 1)]

    def _found(self) -> list[tuple[str, str, bytes, str]]:
        found = []
        for part in _leaves(self._message):
            name, cid = _named(part), str(part.get("Content-ID", "")).strip().strip("<>")
            if name == FILE_NAME or not (name or cid):
                continue
            content = _octets(part)
            found.append((file_name(name or "file"), cid, content, picture_type(content)))
        return found


def _leaves(message: EmailMessage) -> list[MIMEPart]:
    try:
        walked = [part for part, _ in zip(message.walk(), range(MOST_PARTS), strict=False)]
        return [part for part in walked if isinstance(part, MIMEPart) and not part.is_multipart()]
    except Exception:
        return []


def _named(part: MIMEPart) -> str:
    try:
        return str(part.get_filename() or "")
    except Exception:
        return ""


def _octets(part: MIMEPart) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except Exception:
        return b""
    return payload if isinstance(payload, bytes) else b""


def _decoded(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a charset that nobody knows
        return _octets(part).decode("utf-8", "replace")
