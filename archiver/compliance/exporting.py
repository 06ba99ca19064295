"""Items -> EML files, from wherever they lie; and that they were exported, which a purge may ask.

    origin ─► lot of pieces ─► read, compare with what is on record ─► files, SYNC ─► noted as exported

A file is durable before its item counts as exported. Running it again writes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from archiver.compliance.eml import EmlFolder
from archiver.exceptions import EnvironmentFault

_AT_ONCE = 100
"""Files between two syncs of their folders and one note in the spool."""


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
    """One item: its folder below the export's, its base name, and how its origin finds it.

    `sha256` is what its content must be, None where nothing of that is on record.
    """

    parts: tuple[str, ...]
    name: str
    sha256: str | None
    mailbox: str = ""
    folder: str = ""
    number: int = 0


class Origin(Protocol):
    """Where items lie that can be exported."""

    def pieces(self, wanted: Wanted) -> Iterator[Piece]: ...

    def contents(self, pieces: Sequence[Piece]) -> Iterator[bytes | None]:
        """For each in order; None for what is there no more."""
        ...

    def note(self, done: Sequence[tuple[Piece, str]], now: int) -> None:
        """These are exported, with the SHA-256 of what was written. The first time stands."""
        ...


class Report(Struct):
    """How many are in the folder now, how many bytes; and the names of those whose content isn't what was archived."""

    items: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)


def export(origin: Origin, folder: Path, wanted: Wanted, now: Callable[[], int], report: Report) -> None:
    """One file an item; what comes of it is added to `report`."""
    files = EmlFolder(folder)
    pieces = origin.pieces(wanted)
    try:
        while lot := list(islice(pieces, _AT_ONCE)):
            done = list(_written(origin, files, lot, report))
            files.sync()
            origin.note(done, now())
    except OSError as error:
        where = error.filename or folder
        raise EnvironmentFault(f"{where}: {error.strerror}", hint="free some space, or name another folder") from error


def _written(origin: Origin, files: EmlFolder, lot: Sequence[Piece], report: Report) -> Iterator[tuple[Piece, str]]:
    for piece, content in zip(lot, origin.contents(lot), strict=True):
        if content is None:  # purged, moved or deleted meanwhile
            continue
        digest = sha256(content).hexdigest()
        if piece.sha256 not in (None, digest):
            report.damaged.append(piece.name)
            continue
        files.write(piece.parts, piece.name, content)
        report.items += 1
        report.bytes += len(content)
        yield piece, digest
