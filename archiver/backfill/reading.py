"""The reading process of a backfill: documents -> pieces, without what is left out and what the spool has already.

A document is known by its content, its name and the manner of reading; an archive by its own content. What the spool
has of one is passed over: wholly, where it was read to its end, else up to where that stood. Writes nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from archiver.backfill.request import Request, manner, picked
from archiver.conversations.rules import Rules
from archiver.events import DAMAGED, Captured, Rejected
from archiver.exceptions import Unreadable
from archiver.filing.sifting import LongSieve
from archiver.filing.workers import Beat, Passage
from archiver.importers import Document, Reading
from archiver.importers.leaving import reason_of
from archiver.importers.metering import Meter
from archiver.importers.recognising import document_at
from archiver.selection import Picking
from archiver.spool.runs import Far

EXCLUDED = "excluded: "
UNKNOWN = "of people the directory doesn't know"
_PIECE = 1024 * 1024

_PARENT = (BrokenPipeError, ConnectionResetError)
"""The pipe to whoever asks for the pieces, no file."""

BEAT = 0.25
"""Seconds between signs of life where nothing comes of what is read."""

Pieces = Iterator[tuple[Passage, Captured | Rejected | None]]
Watched = Callable[[Document, bool], Document]


def read(
    request: Request,
    documents: Sequence[Document],
    rules: Rules,
    sieve: LongSieve,
    now: int,
    had: Mapping[bytes, Far],
    beat: Beat,
) -> Pieces:
    """`had` is what the spool has, by key: empty to read all once more."""
    pulse, picking = _Pulse(beat), picked(request, rules)
    keys = Keys(request, pulse.look_at)
    for document in documents:
        passage = Passage(document.place)
        try:
            key = keys.of(document)
            far = had.get(key, Far(key, 0, whole=False))
            passage = Passage(document.place, key, skipped=far.pieces, whole=far.whole)
            if not far.whole:
                metered = pulse.begin(passage, document, whole=bool(request.importer.marks))
                yield from _document(request, metered, picking, sieve, Reading(now), pulse)
        except (*DAMAGED, Unreadable, OSError) as fault:
            if isinstance(fault, _PARENT):
                raise
            passage.broke_off, passage.complete = reason_of(fault), False
        yield passage, None


class _Pulse:
    """How far the reading of a document is: said with every piece, and by itself where long none comes."""

    def __init__(self, beat: Beat) -> None:
        self._beat = beat
        self._meter = Meter(self._grown)
        self._told = time.monotonic()
        self.passage = Passage("")

    def look_at(self, document: Document, whole: bool) -> Document:
        """It is only compared with what was read before."""
        return self.begin(Passage(document.place), document, whole=whole)

    def begin(self, passage: Passage, document: Document, *, whole: bool) -> Document:
        self.passage = passage
        return self._meter.metered(document, whole=whole)

    def take(self) -> Passage:
        """One more piece came. What was read before the first of them is read once more by formats that survey it."""
        if not self.passage.count:
            self._meter.again()
        self.passage.count += 1
        self.passage.seen = self._meter.seen
        return self.passage

    def _grown(self) -> None:
        now = time.monotonic()
        if now - self._told >= BEAT:
            self._told = now
            self.passage.seen = self._meter.seen
            self._beat(self.passage)


def _document(
    request: Request, document: Document, picking: Picking, sieve: LongSieve, reading: Reading, pulse: _Pulse
) -> Iterator[tuple[Passage, Captured | Rejected]]:
    passage = pulse.passage
    for piece in request.importer.read(document, request.options, reading):
        pulse.take()
        taken, why = picking.of(piece)  # what the spool has already says who was there all the same
        if passage.count <= passage.skipped:
            continue
        if why := why or _left_out(request, sieve, taken, reading.received):
            reading.ignored[why] += 1
            passage.complete = False
        else:
            yield passage, taken
    passage.ignored, passage.guessed = dict(reading.ignored), dict(reading.guessed)


def _left_out(request: Request, sieve: LongSieve, piece: Captured | Rejected, now: int) -> str:
    if request.without and _is_by(piece, request.without):
        return UNKNOWN
    exclusion = sieve.of(piece, now)
    return "" if exclusion is None else f"{EXCLUDED}{exclusion.number}"


def _is_by(piece: Captured | Rejected, people: frozenset[tuple[str, str]]) -> bool:
    actor = None if isinstance(piece, Rejected) else piece.event.data.actor
    return actor is not None and (piece.event.source, actor.address) in people  # type: ignore[union-attr]


class Keys:
    """What documents are, as digests. The day that a name states, or else the file's date, is part of it: so is what
    lies below the folder of one that stands for a whole export."""

    def __init__(self, request: Request, watched: Watched = lambda document, whole: document) -> None:
        """`watched` gives the document to read in place of one; `whole` says that all below its folder is read."""
        self._manner = manner(request).encode()
        self._is_export = bool(request.importer.marks)
        self._watched = watched
        self._archive = "", b""

    def of(self, document: Document) -> bytes:
        made = blake2b(self._manner, digest_size=16)
        place = os.fsencode(Path(document.place).absolute())
        for part in (place, str(document.date).encode(), self._content(document)):
            made.update(len(part).to_bytes(8, "big") + part)
        return made.digest()

    def _content(self, document: Document) -> bytes:
        if document.tree.sealed:
            return self._of_archive(document.tree.place)
        if not self._is_export:
            return _digest(self._watched(document, False))
        made = blake2b(digest_size=32)
        for each in self._watched(document, True).below():
            made.update(blake2b(each.within.encode("utf-8", "surrogateescape")).digest() + _digest(each))
        return made.digest()

    def _of_archive(self, place: str) -> bytes:
        """Asked for every member in a row, read once."""
        if self._archive[0] != place:
            self._archive = place, _digest(self._watched(document_at(Path(place)), False))
        return self._archive[1]


def _digest(document: Document) -> bytes:
    """Of its bytes as they lie there."""
    made = blake2b(digest_size=32)
    with document.tree.open(document.within) as stream:
        while piece := stream.read(_PIECE):
            made.update(piece)
    return made.digest()
