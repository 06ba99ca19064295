"""The reading process of a backfill: documents -> pieces, without what is left out and what the spool has already.

A document is known by its content, its name and the manner of reading; an archive by its own content. What the spool
has of one is passed over: wholly, where it was read to its end, else up to where that stood. Writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from archiver.backfill.request import Request, manner
from archiver.events import Captured, Rejected
from archiver.filing.sifting import LongSieve
from archiver.filing.workers import Passage
from archiver.importers import Document, Reading
from archiver.importers.document import Tree
from archiver.importers.recognising import document_at
from archiver.spool.runs import Far

EXCLUDED = "excluded: "
UNKNOWN = "of people the directory doesn't know"
_PIECE = 1024 * 1024

Pieces = Iterator[tuple[Passage, Captured | Rejected | None]]


def read(
    request: Request, documents: Sequence[Document], sieve: LongSieve, now: int, had: Mapping[bytes, Far]
) -> Pieces:
    """`had` is what the spool has, by key: empty to read all once more."""
    keys = Keys(request)
    for document in documents:
        key = keys.of(document)
        far = had.get(key, Far(key, 0, whole=False))
        passage = Passage(document.place, key, skipped=far.pieces, whole=far.whole)
        if not far.whole:
            yield from _document(request, document, sieve, Reading(now), passage)
        yield passage, None


def _document(
    request: Request, document: Document, sieve: LongSieve, reading: Reading, passage: Passage
) -> Iterator[tuple[Passage, Captured | Rejected]]:
    for piece in request.importer.read(document, request.options, reading):
        passage.count += 1
        if passage.count <= passage.skipped:
            continue
        if why := _left_out(request, sieve, piece, reading.received):
            reading.ignored[why] += 1
            passage.complete = False
        else:
            yield passage, piece
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

    def __init__(self, request: Request) -> None:
        self._manner = manner(request).encode()
        self._is_export = bool(request.importer.marks)
        self._archive: tuple[Tree, bytes] | None = None

    def of(self, document: Document) -> bytes:
        made = blake2b(self._manner, digest_size=16)
        place = os.fsencode(Path(document.place).absolute())
        for part in (place, str(document.date).encode(), self._content(document)):
            made.update(len(part).to_bytes(8, "big") + part)
        return made.digest()

    def _content(self, document: Document) -> bytes:
        if document.tree.sealed:
            return self._of_archive(document.tree)
        if not self._is_export:
            return _digest(document)
        made = blake2b(digest_size=32)
        for each in document.below():
            made.update(blake2b(each.within.encode("utf-8", "surrogateescape")).digest() + _digest(each))
        return made.digest()

    def _of_archive(self, tree: Tree) -> bytes:
        """Asked for every member in a row, read once."""
        if self._archive is None or self._archive[0] is not tree:
            self._archive = tree, _digest(document_at(Path(tree.place)))
        return self._archive[1]


def _digest(document: Document) -> bytes:
    """Of its bytes as they lie there."""
    made = blake2b(digest_size=32)
    with document.tree.open(document.within) as stream:
        while piece := stream.read(_PIECE):
            made.update(piece)
    return made.digest()
