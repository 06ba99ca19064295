"""Exclusions at work: what is left out of a batch before it is spooled, and what came before it was excluded.

Joins the spool, which keeps the exclusions, and the directory, which knows whose an address is, with `excluding`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from archiver.addresses import normal
from archiver.assembly import directory_of
from archiver.config import Config
from archiver.decisions.excluding import Sieve, Whose, covers
from archiver.directory import Directory
from archiver.events import Captured, Rejected
from archiver.spool import Spool
from archiver.types import Exclusion

_EVERY = 2**62
"""Above every number of an event."""


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
) -> tuple[Sequence[Captured | Rejected], Counter[int]]:
    """What is to be taken, and how many are left out, by the exclusion's number."""
    sieve = Sieve(exclusions, known)
    if not sieve:
        return pieces, Counter()
    found = [sieve.of(piece, now) for piece in pieces]
    taken = [piece for piece, exclusion in zip(pieces, found, strict=True) if exclusion is None]
    return taken, Counter(exclusion.number for exclusion in found if exclusion is not None)


def spooled(spool: Spool, exclusion: Exclusion, known: Whose) -> list[Spooled]:
    """Room by room."""
    sieve = Sieve([exclusion], known)
    rooms = [room for room in spool.rooms() if exclusion.person or covers(exclusion, room.source)]
    found = ((room, [e.time for e in spool.events(room.place, _EVERY) if sieve.of(e, e.time)]) for room in rooms)
    return [Spooled(room.source, room.conversation, len(times), times[0], times[-1]) for room, times in found if times]
