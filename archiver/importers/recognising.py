"""Paths -> documents -> who reads them: by the format that was named, or by looking.

An export of many files is found by the file that marks it; everything else below that file's folder goes with it.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from archiver.events import DAMAGED
from archiver.exceptions import ArchiverError, Unreadable, UsageError
from archiver.importers import IMPORTERS
from archiver.importers.archive import ENCRYPTED, archive_at
from archiver.importers.document import Document, Tree
from archiver.importers.folder import Folder
from archiver.importers.items import SERVERS
from archiver.importers.keeping import Keeper, at, named_along, path_of, sent_along, sent_among
from archiver.importers.leaving import (
    CHAT_S_OWN,
    MEDIA,
    NO_FORMAT,
    SENT,
    SERVERS_OWN,
    Holding,
    Leave,
    Leavings,
    both,
    reason_of,
    unheeded,
)
from archiver.importers.protocol import Importer

HEAD = 4096
LOCKED = f"in archives: {ENCRYPTED}; unpack them with the password, and name the folder"
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.zst", ".tzst")
_NO_TEXT = frozenset({"image", "audio", "video", "font"})

Foreign = Callable[[Path], bool]


class Recognised(Struct, frozen=True):
    """What is read by whom. `unknown` are documents of no known format: left alone, as is told."""

    found: dict[str, tuple[Document, ...]]
    unknown: tuple[Document, ...]


def document_at(path: Path) -> Document:
    """One file on disk, read as it is."""
    return Document(Folder(path.parent), path.name, is_input)


def documents_at(
    paths: Sequence[Path], foreign: Foreign = lambda folder: False, leave: Leave = unheeded
) -> Iterator[Document]:
    """The files named, and those in the folders and archives named; archives in folders are looked into as well.

    `leave` is told of what is left alone, archives that can't be read among it.
    """
    for path in paths:
        if path.is_dir():
            yield from _in_folder(Folder(path, foreign, leave), leave)
        else:
            yield from _at(path, document_at(path), leave)


def _in_folder(folder: Folder, leave: Leave) -> Iterator[Document]:
    for name in folder.names():
        document = Document(folder, name, is_input)
        if _is_looked_into(name):
            yield from _at(folder.path(name), document, leave)
        else:
            yield document


def _at(path: Path, document: Document, leave: Leave) -> Iterator[Document]:
    """A file, or all in it if it is an archive."""
    try:
        archive = archive_at(path)
    except Unreadable as fault:
        leave(document.place, reason_of(fault), is_fault=True)
        return
    if archive is None:
        yield document
        return
    yield from _all(archive)
    for why, count in archive.left_out.items():
        is_locked = why == ENCRYPTED
        leave(document.place, LOCKED if is_locked else f"in archives: {why}", is_fault=is_locked, count=count)
    if archive.broken:
        leave(document.place, archive.broken, is_fault=True)


def _all(tree: Tree) -> Iterator[Document]:
    return (Document(tree, name, is_input) for name in tree.names())


def chosen(
    importer: Importer,
    paths: Sequence[Path],
    foreign: Foreign = lambda folder: False,
    leave: Leave = unheeded,
) -> tuple[Document, ...]:
    """The documents that a format reads when it was named: every one, but for pictures and the like in folders.

    Raises `UsageError` where there is none, which says what was left alone though it should have been read.
    """
    leavings = Leavings()
    leave = both(leave, leavings)
    holding = Holding(leave, _is_looked_into)
    every = tuple(documents_at(paths, foreign, holding))
    found = _marked_of(importer, every, leave) if importer.marks else _no_files(importer, every, paths, holding)
    holding.tell()
    if not found:
        raise _none_of(importer, paths, leavings)
    return found


def _marked_of(importer: Importer, every: tuple[Document, ...], leave: Leave) -> tuple[Document, ...]:
    marked = tuple(each for each in every if each.name in importer.marks and _is_of(importer, each, leave))
    # A format may also come packed in single files, which no name marks.
    return marked or tuple(each for each in every if _is_of(importer, each, leave))


def _no_files(
    importer: Importer, every: tuple[Document, ...], paths: Sequence[Path], leave: Holding
) -> tuple[Document, ...]:
    """Without pictures and the like, and without what was sent in these documents."""
    own = (each for each in every if isinstance(importer, Keeper) and _is_of(importer, each))
    is_sent = sent_along((each, importer) for each in own)
    leave.tell(is_sent)
    every = tuple(each for each in every if not _is_among(each, is_sent))
    is_media = [_is_media(each) and each.tree.path(each.within) not in paths for each in every]
    for each in compress(every, is_media):
        leave(each.place, MEDIA)
    return tuple(each for each, is_none in zip(every, is_media, strict=True) if not is_none)


def _is_among(document: Document, is_sent: Callable[[str], bool]) -> bool:
    """Whether it was sent, by itself or in an archive."""
    return is_sent(path_of(document)) or (document.tree.sealed and is_sent(document.tree.place))


def _none_of(importer: Importer, paths: Sequence[Path], leavings: Leavings) -> UsageError:
    where = ", ".join(map(str, paths))
    said = f"no {importer.title} here" if importer.marks else f"no file that could be of {importer.title}"
    marks = " or ".join(sorted(importer.marks))
    hint = f"name the folder or archive that holds {marks}" if marks else "name files, or their folder"
    fault = next((each for each in leavings.told if each.is_fault), None)
    if fault is not None:
        hint = f"{fault.such[0]}: {fault.why}"
    return UsageError(f"{where}: {said}", hint=hint)


def _is_of(importer: Importer, document: Document, leave: Leave = unheeded) -> bool:
    try:
        return importer.sniff(document, document.head(HEAD))
    except (Unreadable, OSError) as fault:
        leave(document.place, reason_of(fault), is_fault=True)
        return False


def _is_media(document: Document) -> bool:
    return (mimetypes.guess_type(document.name)[0] or "").partition("/")[0] in _NO_TEXT


def recognise(paths: Sequence[Path], foreign: Foreign = lambda folder: False, leave: Leave = unheeded) -> Recognised:
    """Look at every document and tell who reads it."""
    holding = Holding(leave, _is_looked_into)
    documents = list(documents_at(paths, foreign, holding))
    found: dict[str, list[Document]] = {}
    unknown: list[Document] = []
    marked = [_Look(document, importer, "") for document, importer in _marked(documents)]
    covered = {_lies_in(each.document) for each in marked}
    own = {path_of(each.document) for each in marked}
    looks = marked + [_look(each) for each in documents if not _is_below(each, covered) and path_of(each) not in own]
    is_sent = sent_along((each.document, each.reader) for each in looks)
    holding.tell(is_sent)
    sent, looks = _parted(looks, lambda each: _is_among(each.document, is_sent))
    for each in sent:
        if each.reader is not None:
            leave(each.document.place, SENT)
    known, strange = _parted(looks, lambda each: each.reader is not None)
    read = [(each.document, each.reader) for each in known]
    among = sent_among(read, [each.document for each in known])
    named = named_along(read, [each.document for each in strange])
    for each in looks:
        if at(each.document) in among:
            leave(each.document.place, CHAT_S_OWN)
        elif each.reader is not None:
            found.setdefault(each.reader.name, []).append(each.document)
        elif _lies_in(each.document) in covered or at(each.document) in named:
            continue
        elif each.fault:
            leave(each.document.place, each.fault, is_fault=True)
        else:
            unknown.append(each.document)
            leave(each.document.place, _why_unknown(each.document))
    return Recognised({name: tuple(each) for name, each in found.items()}, tuple(unknown))


def _parted(looks: Iterable[_Look], test: Callable[[_Look], bool]) -> tuple[list[_Look], list[_Look]]:
    """Those for which it holds, and the others."""
    parts: tuple[list[_Look], list[_Look]] = ([], [])
    for each in looks:
        parts[not test(each)].append(each)
    return parts


def _why_unknown(document: Document) -> str:
    if SERVERS.match(document.name):
        return SERVERS_OWN
    return MEDIA if _is_media(document) else NO_FORMAT


class _Look(NamedTuple):
    """Who reads a document; where nobody does, why it can't be read, "" where nothing is wrong with it."""

    document: Document
    reader: Importer | None
    fault: str


def _look(document: Document) -> _Look:
    try:
        reader = guess(document)
        damage = document.damage() if reader is None else ""
    except (Unreadable, OSError) as fault:
        return _Look(document, None, reason_of(fault))
    return _Look(document, reader, damage and f"can't be read: {damage}")


def _marked(documents: Iterable[Document]) -> Iterator[tuple[Document, Importer]]:
    exports = [each for each in IMPORTERS.values() if each.marks]
    for document in documents:
        for importer in exports:
            if document.name in importer.marks and _is_of(importer, document):
                yield document, importer
                break


def _is_below(document: Document, covered: set[tuple[str, str]]) -> bool:
    if not covered:
        return False
    parts = document.within.split("/")[:-1]
    return any((document.tree.place, "/".join(parts[:depth])) in covered for depth in range(len(parts)))


def _lies_in(document: Document) -> tuple[str, str]:
    return document.tree.place, document.within.rpartition("/")[0]


def guess(document: Document) -> Importer | None:
    """The first importer that takes a document for its own. Raises `Unreadable` or `OSError`."""
    head = document.head(HEAD)
    return next((each for each in IMPORTERS.values() if each.sniff(document, head)), None)


def is_input(document: Document) -> bool:
    """Whether a file is itself somebody's export or log, or an archive that holds one; so too if that can't be told."""
    try:
        return guess(document) is not None or any(guess(each) is not None for each in _inside(document))
    except (*DAMAGED, ArchiverError, OSError):
        return True


def _inside(document: Document) -> Iterator[Document]:
    """What lies in a file that would be looked into as an archive; nothing in any other, nor in a broken one."""
    content = document.content() if _is_looked_into(document.name) else None
    if content is None:
        return
    with suppress(UsageError):
        found = archive_at(content) if isinstance(content, Path) else archive_at(Path(document.place), content)
        yield from _all(found) if found is not None else ()


def _is_looked_into(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES)
