"""The runs of backfills: what they brought, and taking it back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from archiver.spool import beside, nicks, runs, sharing, undoing
from archiver.spool.beside import Beside
from archiver.spool.nicks import Nick
from archiver.spool.records import Room
from archiver.spool.steps.opened import Opened


class Backfills(Opened):
    def begin_run(self, feed: int, format_: str, paths: Iterable[str], options: str, now: int) -> runs.Run:
        """A backfill of this feed; one that was interrupted, and was told the same, goes on under its number."""
        return runs.begin(self._connections, feed, format_, paths, options, now)

    def note_run(self, number: int, state: runs.State, now: int, report: bytes | None = None) -> None:
        runs.note(self._connections, number, state, now, report)

    def parts_of_run(self, number: int) -> Iterator[bytes]:
        """What the batches of a backfill that isn't over added to its report, as they told it."""
        return runs.parts(self._connections, number)

    def backfills(self) -> list[runs.Run]:
        """The newest first."""
        return runs.runs(self._connections)

    def backfill(self, number: int) -> tuple[runs.Run, bytes | None]:
        """A backfill and its report (JSON)."""
        return runs.run(self._connections, number)

    def to_file(self, run: int) -> tuple[int, int]:
        """The first number that an event of a backfill can have, and how many such are in places that are due."""
        return runs.to_file(self._connections, run)

    def brought_numbers(self, run: int) -> undoing.Ranges:
        """Numbers that the events can have which a backfill brought, and no other told again."""
        return undoing.ranges(self._connections, run)

    def shared_events(self, run: int) -> dict[int, int]:
        """How many of the events that a backfill brought others told again, by the first of these."""
        return sharing.shared(self._connections, run)

    def hand_over(self, run: int) -> None:
        """What others told again of a backfill is theirs from now on."""
        sharing.hand_over(self._connections, run)

    def rooms_of(self, feed: int) -> Iterator[Room]:
        """Those that a feed ever gave events."""
        return undoing.rooms(self._connections, feed)

    def brought_to(self, room: Room, numbers: undoing.Ranges) -> undoing.Brought:
        """What of a room is of these numbers."""
        return undoing.brought_to(self._connections, room, numbers)

    def mark_for_undo(self, deliveries: Collection[int]) -> None:
        """Their items are about to be taken out."""
        undoing.mark(self._connections, deliveries)

    def let_refile(self, room: Room) -> None:
        """Versions of a room's conversations that nobody has any more count as never filed."""
        undoing.let_refile(self._connections, room)

    def refile(self, room: Room, now: int) -> tuple[int, int]:
        """Let a leased room's conversations be filed anew; how many, and of how many the events are gone."""
        return undoing.refile(self._connections, room, now)

    def take_back(
        self, found: undoing.Brought, superseded: Collection[int], numbers: undoing.Ranges, hold: int, now: int
    ) -> None:
        """Events of a leased place and these deliveries; `UsageError` where a hold newer than this one stands."""
        undoing.take_back(self._connections, found, superseded, numbers, hold, now)

    def forget_identities(self, numbers: undoing.Ranges, kept: Collection[int]) -> int:
        """The same events are taken once more if they come again; how many."""
        return undoing.forget_identities(self._connections, numbers, kept)

    def forget_inputs(self) -> None:
        """Whatever was read to its end before is read again."""
        undoing.forget_inputs(self._connections)

    def beside(self, source: str, conversation: str, most: int) -> Beside | None:
        """The largest conversation of a room, with the rooms that were filed beside it."""
        return beside.beside(self._connections, source, conversation, most)

    def said(self, place: int, found: Beside, most: int) -> list[tuple[int, int, bytes]]:
        """Numbers, times and bodies of what a room has of that time."""
        return beside.said(self._connections, place, found, most)

    def used_nicks(self) -> frozenset[Nick]:
        """Those that backfills used as the directory has them alone, each with its place."""
        return nicks.nicks(self._connections)

    def note_nicks(self, found: Iterable[Nick]) -> None:
        nicks.note(self._connections, found)

    def inputs(self) -> dict[bytes, runs.Far]:
        """How far backfills have come in what they were given, by key."""
        return runs.inputs(self._connections)

    def came_of_it(self, feed: int, since: int) -> Iterator[runs.CameOfIt]:
        """What attempts from this time on have made of the rooms that a feed gave events."""
        return runs.came_of_it(self._connections, feed, since)
