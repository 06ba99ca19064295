"""Event files that a mail has attached -> the events in them, with the files beside them that they name. Pure.

Whose are believed is the mail's business.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from msgspec.structs import replace

from archiver.events import Captured, Rejected, unpacked
from archiver.exceptions import EventError
from archiver.sources.cloudevents import BATCH, ONE, TYPES, batch, lines, one
from archiver.sources.parts import Mail, Part

_SUFFIXES = (".ndjson", ".ndjson.gz", ".ndjson.zst")

UNPACKED_LIMIT = 1024 * 1024 * 1024
"""Bytes that one event attachment may unpack to: a few kilobytes of mail can stand for terabytes."""

LINES_LIMIT = 10_000_000
"""Lines that it may have: no event is so short that there would be as many, and an empty one takes time as well."""

UNREADABLE_LIMIT = 1_000
"""Pieces of one mail's attachments that are set aside one by one: a few kilobytes can stand for millions of them."""


def carrying(mail: Mail) -> list[Part]:
    return [part for part in mail.parts if _carries(part)]


def events_of(mail: Mail, carried: list[Part], where: str, received: int) -> Iterator[Captured | Rejected]:
    """What is in the parts that carry events; `where` names the mail. Raises `EventError` where nothing or next to
    nothing can be read: the whole mail is to be quarantined then, for what its text says is nowhere else.
    """
    return _readable(_events(mail, carried, where, received))


def _carries(part: Part) -> bool:
    named = part.name is not None and part.name.lower().endswith(_SUFFIXES)
    return named or part.media_type in TYPES


def _readable(records: Iterator[Captured | Rejected]) -> Iterator[Captured | Rejected]:
    unreadable = 0
    waiting: list[Rejected] | None = []
    for record in records:
        unreadable += isinstance(record, Rejected)
        if unreadable > UNREADABLE_LIMIT:
            raise EventError(f"more than {UNREADABLE_LIMIT:,} events that can't be read")
        if waiting is not None and isinstance(record, Rejected):
            waiting.append(record)
            continue
        if waiting is not None:
            yield from waiting
            waiting = None
        yield record
    if waiting is not None:
        raise EventError(f"no event of it can be read: {waiting[0].reason}" if waiting else "it carries no event")


def _events(mail: Mail, carried: list[Part], where: str, received: int) -> Iterator[Captured | Rejected]:
    beside = [part for part in mail.parts if not _carries(part)]
    contents = {hashlib.sha256(part.content).hexdigest(): part.content for part in beside}
    for number, part in enumerate(carried, 1):
        for record in _read_part(part, f"{where}, {part.name or f'attachment {number}'}", received):
            yield _with_contents(record, contents)


def _read_part(part: Part, name: str, received: int) -> Iterator[Captured | Rejected]:
    if part.media_type == ONE:
        yield one(part.content, name=name, received=received)
    elif part.media_type == BATCH:
        try:
            yield from batch(part.content, name=name, received=received)
        except EventError as reason:
            yield Rejected(part.content, name, str(reason))
    else:
        stream = cast(BinaryIO, _Bounded(unpacked(io.BytesIO(part.content))))
        yield from lines(stream, name=name, received=received)


class _Bounded(io.RawIOBase):
    """A stream that ends in an `EventError` where it gives more than anybody could mean."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = UNPACKED_LIMIT
        self._lines = LINES_LIMIT

    def read1(self, size: int = -1) -> bytes:
        chunk: bytes = self._stream.read1(size)  # type: ignore[attr-defined]
        self._left -= len(chunk)
        if self._left < 0:
            raise EventError(f"an attachment unpacks to more than {UNPACKED_LIMIT:,} bytes")
        self._lines -= chunk.count(b"\n")
        if self._lines < 0:
            raise EventError(f"an attachment unpacks to more than {LINES_LIMIT:,} lines")
        return chunk


def _with_contents(record: Captured | Rejected, contents: dict[str, bytes]) -> Captured | Rejected:
    """Files that the mail carries beside its events, and that these name by digest: an item of ours sent on."""
    if isinstance(record, Rejected) or not contents or not record.event.data.attachments:
        return record
    have = {digest for digest, _ in record.attached}
    named = {one.sha256.lower() for one in record.event.data.attachments if one.sha256} - have
    found = tuple((digest, contents[digest]) for digest in sorted(named) if digest in contents)
    return replace(record, attached=record.attached + found) if found else record
