"""What importers read: documents, wherever they lie. A tree is a folder on disk or an archive read in place.

    paths ─► trees ─► documents ─► importer

Paths inside a tree are relative, with `/` between their parts; none leads out of it. Holds no format of an export.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from msgspec import Struct

from archiver.events import DAMAGED, chunks, date_of, unpacked
from archiver.exceptions import UsageError

CONTENT_LIMIT = 64 * 1024 * 1024
"""Bytes of a file inside an archive that is taken as an attachment: it is held in memory once."""


class Tree(Protocol):
    """Files with relative paths. `place` is what people call it; `sealed` says that it is an archive."""

    place: str
    sealed: bool

    def names(self) -> Iterator[str]:
        """All its files' paths: sorted in a folder, in the order they lie in an archive. Hidden ones are left out."""
        ...

    def holds(self, name: str) -> bool: ...

    def size(self, name: str) -> int: ...

    def open(self, name: str) -> BinaryIO:
        """Its bytes as they lie there. Raises `UsageError` or `EnvironmentFault`."""
        ...

    def path(self, name: str) -> Path | None:
        """Where the file lies on disk; None inside an archive."""
        ...


class Document(Struct, frozen=True):
    """One file of a tree. `name` is its last part, `place` says to people where it is."""

    tree: Tree
    within: str

    @property
    def name(self) -> str:
        return self.within.rpartition("/")[2]

    @property
    def place(self) -> str:
        path = self.tree.path(self.within)
        return str(path) if path is not None else f"{self.tree.place}/{self.within}"

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of the folders it lies in, outermost first, and of the archive it is in."""
        path = self.tree.path(self.within)
        return path.absolute().parts[:-1] if path else PurePosixPath(self.place).parts[:-1]

    @property
    def folder(self) -> str:
        """The name of the folder it lies in, "" at the top of an archive."""
        parts = PurePosixPath(self.within).parts[:-1] if self.tree.sealed else self.folders
        return parts[-1] if parts else ""

    @property
    def size(self) -> int:
        return self.tree.size(self.within)

    @property
    def date(self) -> int | None:
        """The day its name states, as microseconds; else when the file was last changed."""
        return date_of(self.tree.path(self.within) or Path(self.within))

    def open(self) -> BinaryIO:
        """Its bytes, unpacked where the first of them say gzip or Zstandard."""
        return unpacked(self.tree.open(self.within))

    def head(self, size: int) -> bytes:
        """Its first bytes; fewer where it is damaged."""
        head = b""
        with self.open() as stream:
            for piece in chunks(stream, size):
                if isinstance(piece, str) or len(head) >= size:
                    break
                head += piece
        return head[:size]

    def beside(self, relative: str) -> Document | None:
        """Another file, by its path from this one's folder; None where there is none or it leads out of the tree."""
        within = _resolved(self._above, relative)
        return Document(self.tree, within) if within and self.tree.holds(within) else None

    def below(self) -> Iterator[Document]:
        """Every file of this one's folder and the folders in it, this one too."""
        return (Document(self.tree, name) for name in self.tree.names() if name.startswith(self._above))

    @property
    def _above(self) -> str:
        """The path of its folder with a / behind it, "" at the top."""
        folder, slash, _ = self.within.rpartition("/")
        return folder + slash

    def content(self, relative: str) -> bytes | Path | None:
        """An attachment that lies beside this document: on disk its path, from an archive its bytes.

        None where it can't be had: not there, or over `CONTENT_LIMIT` or damaged inside an archive.
        """
        other = self.beside(relative)
        if other is None:
            return None
        path = other.tree.path(other.within)
        if path is not None:
            return path
        try:
            with other.tree.open(str(other.within)) as stream:
                data = stream.read(CONTENT_LIMIT + 1)
        except (*DAMAGED, UsageError):
            return None
        return data if len(data) <= CONTENT_LIMIT else None


def _resolved(folder: str, relative: str) -> str:
    """ "" where it leads out."""
    parts = folder.split("/")[:-1]
    if relative.startswith("/") or "\0" in relative:
        return ""
    for part in relative.replace("\\", "/").split("/"):
        if part == ".." and not parts:
            return ""
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
