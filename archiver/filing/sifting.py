"""Exclusions at work: what is left out of a batch before it is spooled, and what came before it was excluded.

Joins the spool, which keeps the exclusions, and the directory, which knows whose an address is, with `excluding`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from archiver.addresses import normal
from archiver.assembly import directory_of
from archiver.config import Config
from archiver.decisions.excluding import Sieve, Whose, covers
from archiver.directory import Directory
from archiver.events import Captured, Rejected
from archiver.exceptions import EnvironmentFault
from archiver.spool import FOREVER, Spool
from archiver.spool.records import Room
from archiver.types import Exclusion

_LOOK_AGAIN = 1_000
"""Pieces of input; about what a reader passes on at once."""


class Spooled(Struct, frozen=True):
    """Events of one room that are in the spool though an exclusion speaks of them: they came before it."""

    source: str
    conversation: str
    events: int
    first: int
    last: int


def whose_of(config: Config) -> Whose:
    return whose(directory_of(config))


def whose(directory: Directory) -> Whose:
    """Who has no mailbox can be excluded too, by the normal form of their address."""
    return lambda source, address: directory.mailbox_of(source, address) or normal(source, address)


def sift(
    pieces: Sequence[Captured | Rejected], exclusions: Iterable[Exclusion], known: Whose, now: int
) -> dict[int, Exclusion]:
    """Which pieces are to be left out, by their index, and because of what."""
    sieve = Sieve(exclusions, known)
    if not sieve:
        return {}
    found = ((i, sieve.of(piece, now)) for i, piece in enumerate(pieces))
    return {i: exclusion for i, exclusion in found if exclusion is not None}


class LongSieve:
    """For a reading that takes long: exclusions that are added meanwhile are taken up every so many pieces.

    Opens the spool for itself, once there is one: a forked reader may have nothing of its parent's.
    """

    def __init__(self, data: Path, opened: Callable[[], Spool], known: Whose, exclusions: Sequence[Exclusion]) -> None:
        """`exclusions` are those of now; `opened` opens the spool for reading."""
        self._data = data
        self._opened = opened
        self._known = known
        self._made = Spool.exists(data)
        self._spool: Spool | None = None
        self._exclusions = list(exclusions)
        self._sieve = Sieve(exclusions, known)
        self._seen = 0

    def of(self, piece: Captured | Rejected, now: int) -> Exclusion | None:
        self._seen += 1
        if self._seen % _LOOK_AGAIN == 0:
            self._look_again()
        return self._sieve.of(piece, now) if self._sieve else None

    def _look_again(self) -> None:
        if self._spool is None and Spool.exists(self._data):
            try:
                self._spool = self._opened()
            except EnvironmentFault:
                if self._made:
                    raise
                return  # it is just being made: nothing can be excluded yet
        exclusions = self._spool.exclusions() if self._spool is not None else []
        if exclusions != self._exclusions:
            self._exclusions, self._sieve = exclusions, Sieve(exclusions, self._known)


def rooms_of(spool: Spool, exclusion: Exclusion) -> list[Room]:
    """Those that may have something of it."""
    return [
        room
        for room in spool.rooms()
        if exclusion.person or (covers(exclusion, room.source) and exclusion.conversation in ("", room.conversation))
    ]


def spooled(spool: Spool, exclusion: Exclusion, known: Whose) -> list[Spooled]:
    """Room by room."""
    sieve, rooms = Sieve([exclusion], known), rooms_of(spool, exclusion)
    found = ((room, [e.time for e in spool.events(room.place, FOREVER) if sieve.of(e, e.time)]) for room in rooms)
    return [Spooled(room.source, room.conversation, len(times), times[0], times[-1]) for room, times in found if times]
