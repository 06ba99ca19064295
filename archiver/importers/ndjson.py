"""Files in the archiver's own event format (docs/event-format.md): NDJSON, plain, gzip or Zstandard."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import msgspec

from archiver.events import LINE_LIMIT, Captured, Rejected, lines, read_events
from archiver.importers.document import Document
from archiver.importers.protocol import Options, Reading

UNREADABLE_LIMIT = 1_000
"""Lines of one file that are set aside one by one, unless more of it are events."""
LOOKED_THROUGH = 1_000_000
"""Lines of one file that are looked through for the files they name, before any is read."""
_PATH = re.compile(rb'"path"\s*:\s*("(?:[^"\\]|\\.){0,4096}")')
"""Bounded: each repetition takes memory until the end is found."""


class Events:
    name = "events"
    title = "event files (NDJSON)"
    partial_presence = False
    ordered = False
    marks: frozenset[str] = frozenset()

    def named(self, document: Document) -> Iterator[str]:
        with document.open() as stream:
            for _, line, _ in islice(lines(stream), LOOKED_THROUGH):
                for found in _PATH.finditer(line):
                    with suppress(msgspec.DecodeError):
                        yield posixpath.normpath(msgspec.json.decode(found[1], type=str))

    def sniff(self, document: Document, head: bytes) -> bool:
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b'"specversion"' in head

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        with document.open() as stream:
            pieces = read_events(
                stream,
                name=document.place,
                received=reading.received,
                beside=document.content_of,
                file_date=document.date,
            )
            yield from _readable(pieces, document)


def _readable(pieces: Iterator[Captured | Rejected], document: Document) -> Iterator[Captured | Rejected]:
    """Ends with the file itself in quarantine where most of it is no event: a file of something else, or damaged."""
    unreadable = readable = 0
    for piece in pieces:
        yield piece
        if not isinstance(piece, Rejected):
            readable += 1
            continue
        unreadable += 1
        if unreadable >= UNREADABLE_LIMIT and unreadable > readable:
            yield _whole(document, piece.position, unreadable, readable)
            return


def _whole(document: Document, position: str, unreadable: int, readable: int) -> Rejected:
    with document.tree.open(document.within) as file:
        content = file.read(LINE_LIMIT + 1)
    cut = f"; here only its first {LINE_LIMIT:,} bytes" if len(content) > LINE_LIMIT else ""
    reason = f"{unreadable:,} lines are no events and {readable:,} are: not read further than {position}{cut}"
    return Rejected(content[:LINE_LIMIT], document.place, reason)
