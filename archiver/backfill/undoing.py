"""Taking a backfill back: what nobody touched goes, and reading the same again files it as if for the first time.

    room ─► lease ─► holds? archive waiting? ─► items as we put them ─► take out ─► journal, events ─► due
    ─► identities ─► what is left is filed anew

Room by room; killed anywhere, it is run again and finds the rest. A room stays as it is where a hold stands on anybody
in it, or where an archive still waits for something of it. Archived versions stay. Joins spool, store and journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from archiver.assembly import archive_of, directory_of, open_spool, store_of
from archiver.backfill.running import file_of
from archiver.compliance.preserving import HeldStore, Keeper
from archiver.config import Config
from archiver.decisions.excluding import Whose
from archiver.exceptions import UsageError
from archiver.filing import sifting
from archiver.filing.gathering import Tally
from archiver.spool import Spool
from archiver.spool.records import Entry, Room
from archiver.spool.runs import Run, State
from archiver.spool.undoing import MARK, Brought, events_of
from archiver.store import MaildirStore
from archiver.store.protocol import Where
from archiver.types import Delivery, DeliveryState, Destination

_MISSED = b"\nX-Archiver-Item-Class: IPM.Note.Microsoft.Missed"
_HEAD = 8192
_WAITING = frozenset({DeliveryState.WITHHELD, DeliveryState.PARKED})
_PUT = frozenset({DeliveryState.FILED, DeliveryState.ATTEMPTED})


class Left(Struct, frozen=True):
    """An item that stays, and why."""

    mailbox: str
    folder: str
    name: str
    why: str


class Undone(Struct):
    """What was taken back, or would be. `archived` are versions that stay in archives."""

    run: int
    items: int = 0
    waiting: int = 0
    events: int = 0
    identities: int = 0
    rooms: int = 0
    archived: int = 0
    shared: dict[int, int] = field(default_factory=dict)
    """Events that stay because another backfill told them too, by that one's number."""
    left: list[Left] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Rooms that stay as they are, and why."""
    tally: Tally = field(default_factory=Tally)

    @property
    def clean(self) -> bool:
        return not (self.left or self.kept)


class Undo:
    """Of one run, by somebody, for a reason."""

    def __init__(self, spool: Spool, store: MaildirStore, kept: HeldStore, whose: Whose, run: int) -> None:
        self._spool = spool
        self._store = store
        self._kept = kept
        self._whose = whose
        self._run = spool.backfill(run)[0]
        self._numbers = spool.brought_numbers(run)
        self._report = Undone(run, shared=spool.shared_events(run))
        self._keeping: set[int] = set()

    def plan(self) -> Undone:
        """What would go and what stays. Changes nothing."""
        for room in self._spool.rooms_of(self._run.feed):
            found = self._spool.brought_to(room, self._numbers)
            if not self._stays(found):
                self._going(found)
        return self._report

    def run(self, now: int, by: str, reason: str) -> Undone:
        """The audit log tells that it began before anything goes, and what it came to."""
        spool, run = self._spool, self._run.number
        self._tell("undo begun", by, reason, now)
        spool.note_run(run, State.UNDOING, now)
        spool.close_feed(self._run.feed, now)
        spool.hand_over(run)
        spool.drop_forgotten()
        spool.forget_inputs()
        for room in spool.rooms_of(self._run.feed):
            self._room(room, now)
        self._report.identities = spool.forget_identities(self._numbers, self._keeping)
        spool.sweep_blobs()
        self._tell("undo ended", by, reason, now)
        return self._report

    def end(self, tally: Tally, now: int) -> None:
        """Once what has other events is filed anew: what of the run still lies there."""
        report, self._report = self._report, Undone(self._run.number)
        self.plan()
        report.tally, report.left = tally, self._report.left
        for room in self._spool.rooms_of(self._run.feed):
            self._spool.let_refile(room)
        self._spool.note_run(self._run.number, State.UNDONE, now)

    def _tell(self, action: str, by: str, reason: str, now: int) -> None:
        report = self._report
        details: dict[str, object] = {"format": self._run.format}
        if action.endswith("ended"):
            details |= {"items": report.items, "events": report.events, "left": len(report.left), "kept": report.kept}
        self._spool.audit(Entry(action, f"backfill {self._run.number}", by, reason, details), now)

    def _room(self, room: Room, now: int) -> None:
        if not self._spool.lease_place(room.place, now):
            self._stay(self._spool.brought_to(room, self._numbers), "it was just being filed: run it again")
            return
        try:
            found = self._spool.brought_to(room, self._numbers)
            newest = max((hold.number for hold in self._spool.holds()), default=0)
            if self._stays(found):
                return
            going = self._going(found)
            put = [each for each in going if each.state in _PUT]
            self._spool.mark_for_undo([each.number for each in put])
            self._kept.remove_all([_where(each) for each in put])
            self._spool.take_back(found, [each.number for each in going], self._numbers, newest, now)
        finally:
            self._spool.release_place(room.place)

    # What stays

    def _stays(self, found: Brought) -> bool:
        """The whole room, or there is nothing of the run in it."""
        if not (found.events or found.filings):
            return True
        why = self._why_not(found)
        if why:
            self._stay(found, why)
        return bool(why)

    def _stay(self, found: Brought, why: str) -> None:
        self._report.kept.append(f"{found.room.source} {found.room.conversation}: {why}")
        self._keeping |= found.events | events_of(found.filings, self._numbers)

    def _why_not(self, found: Brought) -> str:
        room, deliveries = found.room, [each for filing in found.filings for each in filing.deliveries]
        people = self._spool.people(room.source, room.conversation)
        concerned = {mailbox for each in people if (mailbox := self._whose(room.source, each)) is not None}
        held = self._spool.standing_holds(concerned | {each.mailbox for each in deliveries})
        if held:
            return f"held: {', '.join(sorted(held))}"
        waiting = [each for each in deliveries if each.destination is not Destination.HISTORY]
        if any(each.state in _WAITING or each.state is DeliveryState.ATTEMPTED for each in waiting):
            return "an archive waits for it: run it again once that is done"
        return ""

    # What goes

    def _going(self, found: Brought) -> list[Delivery]:
        """Deliveries whose items are as we put them, or were never put."""
        report, here = self._report, found.left | found.events
        report.rooms += bool(found.events or found.filings)
        report.events += len(found.events)
        going: list[Delivery] = []
        asked: list[Delivery] = []
        for filing in found.filings:
            is_whole = all(number in self._numbers or number in here for number in filing.events)
            for each in filing.deliveries:
                if each.destination is not Destination.HISTORY:
                    report.archived += each.state is DeliveryState.FILED
                elif each.state in _WAITING:
                    going.append(each)
                elif each.state in _PUT and each.name and not is_whole:
                    self._leave(each, "holds messages too that are no longer in the spool")
                elif each.state in _PUT and each.name:
                    asked.append(each)
        report.waiting += len(going)
        untouched = list(self._untouched(asked))
        report.items += len(untouched)
        return going + untouched

    def _untouched(self, asked: Sequence[Delivery]) -> Iterator[Delivery]:
        """Those that lie where we put them, under the flags that we gave them."""
        heads = self._store.read_all([_where(each) for each in asked], _HEAD)
        for each, lying in zip(asked, heads, strict=True):
            if lying is None:
                if each.state is DeliveryState.ATTEMPTED or each.reason == MARK:
                    yield each
                else:
                    self._leave(each, "its owner moved or deleted it")
            elif _is_as_put(each, lying[0].flags, missed=_MISSED in lying[1].partition(b"\r\n\r\n")[0]):
                yield each
            else:
                self._leave(each, "its owner has touched it")

    def _leave(self, delivery: Delivery, why: str) -> None:
        self._report.left.append(Left(delivery.mailbox, delivery.folder, delivery.name, why))


def _is_as_put(delivery: Delivery, flags: str, *, missed: bool) -> bool:
    """A continuation of what was there before may have come unread."""
    return flags == ("" if missed else "S") or (bool(delivery.replaces) and flags in ("", "S"))


def _where(delivery: Delivery) -> Where:
    return Where(delivery.mailbox, delivery.folder, delivery.name)


def undo(config: Config, data: Path, number: int, by: str, reason: str, now: int) -> Undone:
    """Take a run back and file anew what it shared conversations with. Raises `InUse` while a backfill runs."""
    with open_spool(config, data) as spool, spool.hold("backfill", f"archiver backfill --undo {number}"):
        spool.reap(now)
        step = _undo(config, data, spool, number)
        report = step.run(now, by, reason)
        step.end(file_of(config, data, spool, spool.backfill(number)[0].feed), now)
    return report


def planned(config: Config, data: Path, spool: Spool, number: int) -> Undone:
    return _undo(config, data, spool, number).plan()


def _undo(config: Config, data: Path, spool: Spool, number: int) -> Undo:
    store, archive = store_of(config, data), archive_of(config, data)
    directory = directory_of(config)
    kept = HeldStore(store, Keeper(archive, spool, spool, directory.mailbox_of))
    return Undo(spool, store, kept, sifting.whose(directory), number)


class Refiled(Struct):
    """Conversations filed anew, and those whose events are no longer in the spool; `busy` rooms were being filed."""

    run: int
    conversations: int = 0
    beyond: int = 0
    busy: int = 0
    tally: Tally = field(default_factory=Tally)

    @property
    def clean(self) -> bool:
        return not (self.beyond or self.busy or self.tally.failed)


def refile(config: Config, data: Path, number: int, by: str, reason: str, now: int) -> Refiled:
    """File what a run's rooms hold as the directory is now: whose it has come to be gets it, others have it no more.

    What their owners have done to items that stay with them stays.
    """
    with open_spool(config, data) as spool, spool.hold("backfill", f"archiver backfill --refile {number}"):
        spool.reap(now)
        spool.drop_forgotten()
        feed, report = _standing(spool, number).feed, Refiled(number)
        spool.audit(Entry("refiled", f"backfill {number}", by, reason), now)
        for room in spool.rooms_of(feed):
            if not spool.lease_place(room.place, now):
                report.busy += 1
                continue
            again, beyond = spool.refile(room, now)
            spool.release_place(room.place)
            report.conversations, report.beyond = report.conversations + again, report.beyond + beyond
        report.tally = file_of(config, data, spool, feed)
    return report


def _standing(spool: Spool, number: int) -> Run:
    run = spool.backfill(number)[0]
    if run.state in (State.UNDOING, State.UNDONE):
        raise UsageError(
            f"backfill {number} was taken back: nothing of it is left to be filed anew",
            hint="read the export again: archiver backfill PATH...",
        )
    return run
