"""How much there is to read: the bytes of documents as they lie in their tree, and what they come to unpacked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

from archiver.events import DAMAGED, chunks, is_packed
from archiver.exceptions import Unreadable
from archiver.importers import Document, Importer
from archiver.importers.document import Tree
from archiver.importers.metering import Meter
from archiver.importers.sqlitefile import is_copied

SAMPLE = 32 * 1024 * 1024
"""Bytes unpacked to learn how well a file is packed."""
SMALL = 1024 * 1024
"""What is smaller than this is taken as it lies there."""
_TEXT = re.compile(r"|\.(bson|chatlog|csv|db|eml|gz|html?|jsonl?|log|mbox|ndjson|sqlite|tsv|txt|vtt|xml|zst)")
"""Suffixes of what an export may consist of; everything else beside it can become an attachment."""


class Extent(Struct, frozen=True):
    """Bytes of an input: of its documents, unpacked, and of the files beside them. `copied` are those of the largest
    database that has to be copied to be opened."""

    text: int
    media: int
    copied: int = 0


def sizes_of(importer: Importer, documents: Sequence[Document]) -> dict[str, int]:
    """By place; a document that stands for an export has all that lies below its folder."""
    if not importer.marks:
        return {document.place: document.size for document in documents}
    return {document.place: sum(each.size for each in document.below()) for document in documents}


def extent_of(importer: Importer, documents: Sequence[Document], paths: Sequence[Path]) -> Extent:
    """Files beside documents count where a folder or archive of `paths` holds both, or the documents are exports.

    How far a packed file grows is told by its beginning.
    """
    chosen = {document.place: document for document in documents}
    files = {each.place: each for each in _beside(importer, documents, paths) if each.place not in chosen}
    texts = [*chosen.values(), *(each for each in files.values() if importer.marks and _is_text(each))]
    sizes = [(each, _unpacked(each)) for each in texts]
    copied = max((size for each, size in sizes if size >= SMALL and is_copied(each)), default=0)
    media = sum(each.size for each in files.values() if not _is_text(each))
    return Extent(sum(size for _, size in sizes), media, copied)


def _beside(importer: Importer, documents: Iterable[Document], paths: Sequence[Path]) -> Iterator[Document]:
    given, seen = set(map(str, paths)), set[int]()
    for document in documents:
        if importer.marks:
            yield from document.below()
        elif document.tree.place in given and id(document.tree) not in seen:
            seen.add(id(document.tree))
            yield from _all(document.tree)


def _all(tree: Tree) -> Iterator[Document]:
    return (Document(tree, name) for name in tree.names())


def _is_text(document: Document) -> bool:
    return _TEXT.fullmatch(PurePosixPath(document.name.lower()).suffix) is not None


def _unpacked(document: Document) -> int:
    """An estimate, of what is packed by itself; members of archives tell their size."""
    size = document.size
    if size < SMALL:
        return size
    meter, sample = Meter(), 0
    try:
        with document.tree.open(document.within) as raw:
            if not is_packed(raw.read(4)):
                return size
        with meter.metered(document, whole=False).open() as stream:
            for piece in chunks(stream, SMALL):
                if isinstance(piece, str) or sample >= SAMPLE:
                    break
                sample += len(piece)
    except (*DAMAGED, Unreadable, OSError):
        return size  # the reading says so
    return max(size, size * sample // max(1, meter.seen))
