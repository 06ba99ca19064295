"""The forms that are folders: some files an item, in the folders their item's piece names, and a manifest of them all.

    make(piece, content) ─► files ─► written, SYNC ─► rows in `.written.part` ─► manifest.ndjson, manifest.csv

Gone on with after a kill, and added to later: what is there already stays, and stays in the manifest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from archiver.exceptions import UsageError
from archiver.exporting.durable import DurableFolder, digest_of, locked, open_private
from archiver.exporting.manifest import CSV, NDJSON, Manifest, Row, about
from archiver.exporting.records import LeftOut, Piece

Files = Iterable[tuple[str, bytes]]
"""What stands behind the piece's path in each file's name, and its content."""


class FolderForm:
    """`make` gives an item's files, None for one that the form can't hold; `index` what goes in front of them all: its
    name and its bytes from the rows."""

    whole = False

    def __init__(
        self,
        root: Path,
        make: Callable[[Piece, bytes], Files | None],
        *,
        exact: bool,
        index: tuple[str, Callable[[Iterator[Row]], Iterator[bytes]]] | None = None,
    ) -> None:
        self.exact = exact
        self._make = make
        self._index = index
        self._folder = DurableFolder(root)
        self._manifest = Manifest()
        self._rows: list[Row] = []
        self._kept: BinaryIO | None = None

    def __enter__(self) -> Self:
        root = self._folder.root
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file", hint="this form is a folder: name another, or --as zip or mbox")
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._part = root / ".written.part"
        self._kept = open_private(self._part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, "ab")
        locked(self._kept, self._part)
        for known in (root / NDJSON, self._part):
            self._manifest.add(_still_there(root, known))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manifest.close()
        if self._kept is not None:
            self._kept.close()

    def add(self, piece: Piece, content: bytes, digest: str) -> bool:
        files = self._make(piece, content)
        if files is None:
            return False
        facts = about(piece, content, digest)
        for suffix, made in files:
            path = piece.path + suffix
            self._folder.write(path, made)
            self._rows.append(facts.row(path, made))
        return True

    def leave_out(self, what: LeftOut) -> None:
        self._manifest.leave_out(what)

    def sync(self) -> None:
        assert self._kept is not None
        self._folder.sync()
        self._kept.write(b"".join(b"\n" + msgspec.json.encode(row) for row in self._rows))
        self._kept.flush()
        os.fsync(self._kept.fileno())
        self._manifest.add(self._rows)
        self._rows.clear()

    def finish(self) -> str:
        self.sync()
        if self._index is not None:
            name, made = self._index
            self._folder.replace(name, made(self._manifest.rows()))
        self._folder.replace(CSV, self._manifest.csv())
        self._folder.replace(NDJSON, self._manifest.ndjson())
        self._folder.sync()
        self._part.unlink()
        return digest_of(self._folder.root / NDJSON)


def _still_there(root: Path, known: Path) -> Iterator[Row]:
    """The rows of an earlier run; a line that is none, as the last of a killed one, tells nothing."""
    if not known.is_file():
        return
    decode = msgspec.json.Decoder(Row).decode
    with known.open("rb") as lines:
        for line in lines:
            try:
                row = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if _is_there(root, row.path):
                yield row


def _is_there(root: Path, path: str) -> bool:
    """In the folder itself: a manifest that somebody wrote can name what it likes."""
    if path.startswith("/") or ".." in path.split("/"):
        return False
    try:
        return (root / path).is_file()
    except (OSError, ValueError):  # no name that a file can have
        return False


def eml(root: Path) -> FolderForm:
    """One EML file an item: what `archiver backfill items` reads back, and any mail program opens."""
    return FolderForm(root, lambda piece, content: [(".eml", content)], exact=True)
