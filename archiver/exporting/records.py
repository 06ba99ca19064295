"""What passes between where items lie and the forms they are written in. No I/O."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct, field


class Wanted(Struct, frozen=True):
    """Items with events in [since, until), of one mailbox if it is named; only those never exported if `fresh`."""

    since: int | None = None
    until: int | None = None
    mailbox: str | None = None
    fresh: bool = False

    def has(self, first: int, last: int) -> bool:
        """Whether something from the one time to the other has events that are wanted."""
        return (self.since is None or last >= self.since) and (self.until is None or first < self.until)


class Piece(Struct, frozen=True):
    """One item: its folders and its file name below the export's (no suffix), and how its origin finds it.

    `sha256` is what its content must be, None where nothing of that is on record. `name` is what it is called where
    it lies; `stem` what its file is called, where that can't be the same.
    """

    parts: tuple[str, ...]
    name: str
    sha256: str | None
    mailbox: str = ""
    folder: str = ""
    number: int = 0
    stem: str = ""

    @property
    def called(self) -> str:
        """Its name as it can be told: a file's may be bytes that are no text."""
        return os.fsencode(self.name).decode("utf-8", "replace")

    @property
    def path(self) -> str:
        """Relative, with `/` between its parts and without a suffix; the same whenever it is exported."""
        return "/".join((*self.parts, self.stem or self.name))


class LeftOut(Struct, frozen=True):
    """Part of a mailbox from which nothing could be taken, and why."""

    mailbox: str
    folder: str
    why: str

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.folder}: {self.why}"


class Origin(Protocol):
    """Where items lie that can be exported."""

    def pieces(self, wanted: Wanted) -> Iterator[Piece]: ...

    def blocked(self, wanted: Wanted) -> Iterator[LeftOut]:
        """What its owner put something else in the place of."""
        ...

    def contents(self, pieces: Sequence[Piece]) -> Iterator[bytes | None]:
        """For each in order; None for what is there no more."""
        ...

    def note(self, done: Sequence[tuple[Piece, str]], now: int) -> None:
        """These are exported, with the SHA-256 of what was written. The first time stands."""
        ...


class Form(Protocol):
    """How items are written. Left with an error, or killed, it is gone on with by writing the same once more.

    `exact`: the items themselves are in it, so that they count as exported. `whole`: it is one file, which is there
    once `finish` returns; otherwise what was added is durable with each `sync`.
    """

    exact: bool
    whole: bool

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, piece: Piece, content: bytes, digest: str) -> bool:
        """`digest` is the content's SHA-256. False where this form can't hold such an item."""
        ...

    def leave_out(self, what: LeftOut) -> None:
        """To be told in the manifest."""
        ...

    def sync(self) -> None: ...

    def finish(self) -> str:
        """Durable, with its manifest. The SHA-256 of the file it is; of its manifest where it is a folder."""
        ...


class Report(Struct):
    """How many items the export has, how many bytes; and the names of those whose content isn't what was archived.

    `left_out` are messages that the form can't hold, `blocked` folders that their owner blocked. `sha256` is that
    of the one file, or of the folder's manifest.
    """

    items: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    left_out: int = 0
    blocked: list[str] = field(default_factory=list)
    sha256: str = ""
