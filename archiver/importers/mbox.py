"""An mbox (RFC 4155, appendix A) -> its mails, one at a time, in constant memory.

A mail begins at a line `From SENDER DATE` at the start of the file or after an empty line. Lines that would look like
one carry a `>` more: one is taken away from `>From ` (mboxo) and `>>From ` (mboxrd). `Content-Length` isn't believed:
any program that changed a mail and not the length would make the rest of the file unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from archiver.events import chunks

LARGEST = 128 * 1024 * 1024
"""Bytes of one mail that are held at once."""
_CHUNK = 256 * 1024

# The date may stand in any form (asctime, RFC 5322, with a zone): a clock and a year are in all of them.
_FROM = rb"From [^\r\n]{0,800}?\d:\d\d[^\r\n]{0,100}?\d{4}[^\r\n]{0,50}\r?\n"
_FIRST = re.compile(_FROM)
_NEXT = re.compile(rb"(?:\A|\n)\r?\n(" + _FROM + rb")")
_LONGEST = 1024
"""Bytes that hold every line that can begin a mail, with the empty one before it."""
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


class Piece(NamedTuple):
    """One mail: the line that began it, the mail without it, and what is wrong with it ("" for a whole one)."""

    start: bytes
    content: bytes
    fault: str


def is_mbox(head: bytes) -> bool:
    return _FIRST.match(head) is not None


def mails(stream: BinaryIO) -> Iterator[Piece]:
    """The mails of an mbox; a single one, without a line that begins it, is a file of one mail."""
    buffer = bytearray()
    searched = dropped = 0
    start, looked = b"", False
    fault = ""
    for chunk in chunks(stream, _CHUNK):
        if isinstance(chunk, str):
            fault = chunk
            break
        buffer += chunk
        if not looked and (len(buffer) > _LONGEST or b"\n" in buffer):
            looked, start = True, _first(buffer)
        while start and (found := _NEXT.search(buffer, searched)):
            end, begins, after = found.start(), found[1], found.end()
            del found  # a match keeps the buffer from shrinking
            yield _piece(start, bytes(buffer[: end + 1]), dropped, "")
            del buffer[:after]
            start, searched, dropped = begins, 0, 0
        searched = max(0, len(buffer) - _LONGEST)
        if len(buffer) > LARGEST + _LONGEST:
            excess = len(buffer) - LARGEST - _LONGEST
            del buffer[LARGEST : LARGEST + excess]
            dropped, searched = dropped + excess, LARGEST
    if start or buffer.strip() or fault:
        yield _piece(start, bytes(buffer), dropped, fault)


def _first(buffer: bytearray) -> bytes:
    """Take the line that begins the first mail off the buffer."""
    first = _FIRST.match(buffer)
    line = first[0] if first is not None else b""
    del first, buffer[: len(line)]
    return line


def _piece(start: bytes, content: bytes, dropped: int, fault: str) -> Piece:
    if dropped:
        fault = f"a mail of over {LARGEST:,} bytes: only its first ones were kept"
        return Piece(start, content[:LARGEST], fault)
    return Piece(start, _QUOTED.sub(rb"\1", content) if start else content, fault)
