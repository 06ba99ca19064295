"""What was spooled before it was excluded, and no item has yet, is dropped; unless a hold may cover it.

    room ─► lease ─► events that the exclusion covers ─► not in anybody's item? ─► holds of all who are there ─► drop

Room by room: where a hold covers something of a room, all of it stays. Begun again, it goes on. Joins the spool, the
directory and the rules of holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from archiver.decisions import holding
from archiver.decisions.excluding import Sieve, Whose
from archiver.events import Captured
from archiver.filing import sifting
from archiver.spool import FOREVER, Spool
from archiver.spool.records import Room
from archiver.types import Exclusion, Hold


class Weeded(Struct, frozen=True):
    """One room: how many events were dropped, and how many stay because items have them.

    `holds` are those that keep the rest, by number; `busy` where the room was just being filed, and nothing was done.
    """

    source: str
    conversation: str
    events: int = 0
    filed: int = 0
    holds: tuple[int, ...] = ()
    busy: bool = False


class Weeding:
    """One exclusion's, by somebody, for a reason. With `dry` nothing is changed."""

    def __init__(self, spool: Spool, exclusion: Exclusion, whose: Whose, by: str, reason: str, *, dry: bool) -> None:
        self._spool = spool
        self._exclusion = exclusion
        self._whose = whose
        self._sieve = Sieve([exclusion], whose)
        self._by = by
        self._reason = reason
        self._dry = dry

    def run(self, now: int) -> Iterator[Weeded]:
        """The rooms that have something of it."""
        for room in sifting.rooms_of(self._spool, self._exclusion):
            found = self._weeded(room, now)
            if found.events or found.filed or found.holds or found.busy:
                yield found

    def _weeded(self, room: Room, now: int) -> Weeded:
        if self._dry:
            return self._room(room, now)
        if not any(self._sieve.of(each, each.time) for each in self._spool.events(room.place, FOREVER)):
            return Weeded(room.source, room.conversation)
        if not self._spool.lease_place(room.place, now):
            return Weeded(room.source, room.conversation, busy=True)
        try:
            return self._room(room, now)
        finally:
            self._spool.release_place(room.place)

    def _room(self, room: Room, now: int) -> Weeded:
        newest = max((hold.number for hold in self._spool.holds()), default=0)
        events = list(self._spool.events(room.place, FOREVER))
        covered = [each.number for each in events if self._sieve.of(each, each.time)]
        items = self._spool.filed_events(room.place)
        going = [number for number in covered if number not in items]
        holds = self._holds(room, events) if going else ()
        filed = len(covered) - len(going)
        if holds:
            return Weeded(room.source, room.conversation, filed=filed, holds=tuple(hold.number for hold in holds))
        if going and not self._dry:
            self._spool.drop_excluded(self._exclusion, room.place, going, newest, self._by, self._reason, now)
        return Weeded(room.source, room.conversation, len(going), filed)

    def _holds(self, room: Room, events: Sequence[Captured]) -> tuple[Hold, ...]:
        """Those that cover something of the room, on whoever is known to be there."""
        addresses = self._spool.people(room.source, room.conversation)
        people = {who for address in addresses if (who := self._whose(room.source, address)) is not None}
        standing = self._spool.standing_holds(people)
        facts = holding.facts_of(events, self._whose, addresses) if standing else None
        return tuple(hold for holds in standing.values() for hold in holding.covering(holds, lambda: facts))
