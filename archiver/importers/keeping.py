"""Where exports keep the files that were sent in them: what lies there is no input, and nothing that is left alone."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from re import Pattern
from typing import Protocol, runtime_checkable

from archiver.events import DAMAGED
from archiver.exceptions import ArchiverError
from archiver.importers.document import Document

_SLASH = re.compile("/")


@runtime_checkable
class Keeper(Protocol):
    """An importer whose documents have the files that were sent in them in folders for nothing else."""

    def kept(self, document: Document) -> Pattern[str] | None:
        """Paths of such files, whole, from the document's own folder; None where it has none."""
        ...


@runtime_checkable
class Namer(Protocol):
    """An importer whose documents can soon be asked for the files that they name, which may lie among others."""

    def named(self, document: Document) -> Iterator[str]:
        """Paths from the document's own folder."""
        ...


def named_along(documents: Iterable[tuple[Document, object]], files: Collection[Document]) -> set[tuple[str, str]]:
    """Which of these files, by tree and path, any of the documents names; asked where others lie below its folder."""
    there = set(map(at, files))
    in_order = sorted(there)
    found: set[tuple[str, str]] = set()
    for document, importer in documents:
        place, folder, own = document.tree.place, _folder(document), at(document)
        if isinstance(importer, Namer) and _is_another_below(in_order, place, folder, own):
            paths = ((place, f"{folder}/{name}".removeprefix("/")) for name in importer.named(document))
            with suppress(*DAMAGED, ArchiverError, OSError):  # what was named before it broke off counts
                found.update(each for each in paths if each in there and each != own)
    return found


def sent_among(documents: Iterable[tuple[Document, object]], files: Collection[Document]) -> set[tuple[str, str]]:
    """Those of the files that were sent in one of the documents, which keeps such among whatever lies beside it."""
    return named_along(((document, each) for document, each in documents if isinstance(each, Keeper)), files)


def _is_another_below(in_order: Sequence[tuple[str, str]], place: str, folder: str, own: tuple[str, str]) -> bool:
    below = folder and f"{folder}/"
    first = bisect_left(in_order, (place, below))
    return any(each[0] == place and each[1].startswith(below) and each != own for each in in_order[first : first + 2])


def _folder(document: Document) -> str:
    return document.within.rpartition("/")[0]


def at(document: Document) -> tuple[str, str]:
    """By tree and path."""
    return document.tree.place, document.within


def path_of(document: Document) -> str:
    return f"{document.tree.place}/{document.within}"


def sent_along(documents: Iterable[tuple[Document, object]]) -> Callable[[str], bool]:
    """Tells of any path whether it is where one of these documents keeps what was sent; each with its importer."""
    kept: dict[str, set[Pattern[str]]] = {}
    for document, importer in documents:
        pattern = importer.kept(document) if isinstance(importer, Keeper) else None
        if pattern is not None:
            kept.setdefault(path_of(document).rpartition("/")[0], set()).add(pattern)

    def is_sent(path: str) -> bool:
        folders = ((path[: slash.start()], slash.end()) for slash in _SLASH.finditer(path)) if kept else ()
        return any(
            pattern.fullmatch(path, below) is not None for folder, below in folders for pattern in kept.get(folder, ())
        )

    return is_sent
