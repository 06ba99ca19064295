"""How much of a document's bytes has been read, seen where files are opened. Knows no format and reads nothing itself.

A format may read a file twice, the first time to survey it: `again` then counts from the start.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from msgspec import structs

from archiver.importers.document import Document, Tree

BUFFER = 64 * 1024


class Meter:
    """Of one document at a time. `seen` are bytes as they lie in its tree, of other files too where `whole`: where it
    stands for everything below its folder."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called whenever `seen` has grown, often."""
        self.seen = 0
        self._changed = changed
        self._name = ""
        self._whole = False
        self._far: dict[str, int] = {}
        self._tree: Metered | None = None

    def metered(self, document: Document, *, whole: bool) -> Document:
        """The same document; from now on what is read of it counts."""
        if self._tree is None or self._tree.inner is not document.tree:
            self._tree = Metered(document.tree, self._note)
        self._name, self._whole = document.within, whole
        self.again()
        return structs.replace(document, tree=self._tree)

    def again(self) -> None:
        self.seen = 0
        self._far.clear()

    def _note(self, name: str, at: int) -> None:
        further = at - self._far.get(name, 0)
        if further > 0 and (self._whole or name == self._name):
            self._far[name] = at
            self.seen += further
            self._changed()


def read_up_to(document: Document, at: int) -> None:
    """Say how far a document was read that is opened by its path on disk: nobody sees it otherwise."""
    if isinstance(document.tree, Metered):
        document.tree.note(document.within, at)


class Metered:
    """A tree that tells how far each of its files was read; what is opened by its path on disk says so itself."""

    def __init__(self, inner: Tree, note: Callable[[str, int], None]) -> None:
        self.inner = inner
        self.place = inner.place
        self.sealed = inner.sealed
        self.note = note

    def names(self) -> Iterator[str]:
        return self.inner.names()

    def holds(self, name: str, below: str | None = None) -> bool:
        return self.inner.holds(name, below)

    def size(self, name: str) -> int:
        return self.inner.size(name)

    def path(self, name: str) -> Path | None:
        return self.inner.path(name)

    def open(self, name: str) -> BinaryIO:
        stream = _Watched(self.inner.open(name), lambda at: self.note(name, at))
        return cast(BinaryIO, io.BufferedReader(stream, BUFFER))


class _Watched(io.RawIOBase):
    """A stream that says where it stands after each read."""

    def __init__(self, inner: BinaryIO, told: Callable[[int], None]) -> None:
        self._inner = inner
        self._told = told
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = self._inner.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        # read1 hands over what one step gave: read would lose it when the next step finds damage.
        data = cast(io.BufferedReader, self._inner).read1(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        self._told(self._at)
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()
