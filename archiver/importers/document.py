"""What importers read: documents, wherever they lie. A tree is a folder on disk or an archive read in place.

    paths ─► trees ─► documents ─► importer

Paths inside a tree are relative, with `/` between their parts; none leads out of it. Holds no format of an export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from msgspec import Struct

from archiver.events import DAMAGED, Rejected, chunks, date_of, unpacked
from archiver.exceptions import UsageError
from archiver.importers.swelling import bounded

CONTENT_LIMIT = 64 * 1024 * 1024
"""Bytes of a file inside an archive that is taken as an attachment: it is held in memory once."""
_SPECIMEN = 256 * 1024
"""Bytes that are quarantined of a document that can't be read."""


class Tree(Protocol):
    """Files with relative paths. `place` is what people call it; `sealed` says that it is an archive."""

    place: str
    sealed: bool

    def names(self) -> Iterator[str]:
        """All its files' paths: sorted in a folder, in the order they lie in an archive. Hidden ones are left out."""
        ...

    def holds(self, name: str, below: str | None = None) -> bool:
        """Whether there is such a file; `below` that folder: no link leads out of it or to what is hidden."""
        ...

    def size(self, name: str) -> int: ...

    def open(self, name: str) -> BinaryIO:
        """Its bytes as they lie there. Raises `UsageError` or `EnvironmentFault`."""
        ...

    def path(self, name: str) -> Path | None:
        """Where the file lies on disk; None inside an archive."""
        ...


def readable(path: Path | str) -> str:
    """A path as text: bytes in it that aren't UTF-8 as escapes. Equal for equal paths, so that it may go into ids."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Document(Struct, frozen=True):
    """One file of a tree. `name` is its last part, `place` says to people where it is: both are text, as are `folders`,
    where `within` may hold bytes that are none (PEP 383).

    `is_input` tells which files are themselves somebody's export or log, or an archive of such.
    """

    tree: Tree
    within: str
    is_input: Callable[[Document], bool] = lambda document: False

    @property
    def name(self) -> str:
        return readable(self.within.rpartition("/")[2])

    @property
    def place(self) -> str:
        path = self.tree.path(self.within)
        return readable(path if path is not None else f"{self.tree.place}/{self.within}")

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of the folders it lies in, outermost first, and of the archive it is in."""
        path = self.tree.path(self.within)
        return PurePosixPath(readable(path.absolute()) if path else self.place).parts[:-1]

    @property
    def folder(self) -> str:
        """The name of the folder it lies in, "" at the top of an archive."""
        parts = PurePosixPath(readable(self.within)).parts[:-1] if self.tree.sealed else self.folders
        return parts[-1] if parts else ""

    @property
    def size(self) -> int:
        return self.tree.size(self.within)

    @property
    def date(self) -> int | None:
        """The day its name states, as microseconds; else when the file was last changed."""
        return date_of(self.tree.path(self.within) or Path(self.within))

    def open(self) -> BinaryIO:
        """Its bytes, unpacked where the first of them say gzip or Zstandard, and no further than `swelling` allows."""
        stream = self.tree.open(self.within)
        content = unpacked(stream)
        return content if content is stream else bounded(content, self.size)

    def head(self, size: int) -> bytes:
        """Its first bytes; fewer where it is damaged."""
        head = b""
        with self.open() as stream:
            for piece in chunks(stream, size):
                if isinstance(piece, str) or len(head) >= size:
                    break
                head += piece
        return head[:size]

    def unreadable(self, why: object, source: str | None = None) -> Rejected:
        """What is quarantined of it where it can't be read, or not further: its beginning stands for it."""
        return Rejected(self.head(_SPECIMEN), self.place, str(why), source)

    def damage(self) -> str:
        """Why not even its beginning can be read; "" where it can."""
        with self.open() as stream:
            first = next(chunks(stream, 1), b"")
        return first if isinstance(first, str) else ""

    def beside(self, relative: str) -> Document | None:
        """Another file, by its path from this one's folder; None where there is none or it leads out of the tree.

        For paths that a format has: one that the document tells is for `shared`.
        """
        within = _resolved(self._above, relative)
        return self._other(within) if within and self.tree.holds(within) else None

    def shared(self, relative: str, folder: str = "", *, only_files: bool = False) -> Document | None:
        """A file that this document names as sent, by its path from a folder; None where it may not be had.

        Whoever wrote the document may name any file there is: so the path leads neither out of the folder nor to what
        is hidden, and the file is no input, which may be anybody's. `folder` is where the format keeps such files, from
        this one's folder; `only_files` says that nothing else lies there.
        """
        root = _resolved(self._above, folder)
        parts = relative.replace("\\", "/").split("/")
        if root is None or any(part.startswith(".") and part != "." for part in parts):
            return None
        below = f"{root}/" if root else ""
        within = _resolved(below, relative)
        if not within or within == self.within or not self.tree.holds(within, below):
            return None
        other = self._other(within)
        return None if not only_files and self.is_input(other) else other

    def content_of(self, relative: str) -> bytes | Path | None:
        """What a file holds that this document names, as `shared` gives it."""
        found = self.shared(relative)
        return found.content() if found is not None else None

    def below(self) -> Iterator[Document]:
        """Every file of this one's folder and the folders in it, this one too."""
        return (self._other(name) for name in self.tree.names() if name.startswith(self._above))

    def _other(self, within: str) -> Document:
        return Document(self.tree, within, self.is_input)

    @property
    def _above(self) -> str:
        """The path of its folder with a / behind it, "" at the top."""
        folder, slash, _ = self.within.rpartition("/")
        return folder + slash

    def content(self) -> bytes | Path | None:
        """As an attachment: on disk its path, from an archive its bytes.

        None where it can't be had: over `CONTENT_LIMIT` or damaged inside an archive.
        """
        path = self.tree.path(self.within)
        if path is not None:
            return path
        try:
            with self.tree.open(self.within) as stream:
                data = stream.read(CONTENT_LIMIT + 1)
        except (*DAMAGED, UsageError):
            return None
        return data if len(data) <= CONTENT_LIMIT else None


def _resolved(folder: str, relative: str) -> str | None:
    """None where it leads out."""
    parts = folder.split("/")[:-1]
    if relative.startswith("/") or "\0" in relative:
        return None
    for part in relative.replace("\\", "/").split("/"):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
