"""`Spool`: the one door to DATA's durable queue. Every public method is one step that may be the last one.

Holds no logic of its own: each method names the module that does it. Methods raise `TryLater` when the file is
locked or the disk full; then nothing was changed, and the same call may be made again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import structs

from archiver.events import SECOND, Captured, Outcome, Rejected
from archiver.exceptions import UsageError
from archiver.spool import (
    aging,
    audit,
    chains,
    dropping,
    erasing,
    exclusions,
    exports,
    failures,
    feeds,
    figures,
    filed,
    files,
    forgetting,
    holds,
    indexing,
    intake,
    journal,
    kept,
    local,
    locks,
    mark,
    migrating,
    notices,
    pieces,
    places,
    reading,
    registered,
    runs,
    schema,
    status,
    tracing,
    undoing,
    weeding,
)
from archiver.spool.batch import Sealed
from archiver.spool.database import Connections, faults
from archiver.spool.likeness import Others, nobody_else
from archiver.spool.records import (
    AgedDelivery,
    Appended,
    Audited,
    Backlog,
    Checked,
    Conflict,
    Dropped,
    Entry,
    Exported,
    Feed,
    Figures,
    Journalled,
    Kept,
    LocalCopy,
    LocalItem,
    MailboxCount,
    ParkedFiling,
    ParkedPlace,
    Placed,
    PutOff,
    Quarantined,
    Reading,
    Reaped,
    Room,
    Rostered,
    SourceCount,
    Stranger,
    Totals,
    Traced,
    Unindexed,
    Untold,
    Watermark,
)
from archiver.spool.watermark import watermark
from archiver.types import Delivery, DeliveryState, Destination, Exclusion, Failure, Filing, Head, Hold, Lease, Roster

IDLE = 600 * SECOND
LATENESS = 120 * SECOND
LEASE = 300 * SECOND
"""How long a claim lasts; whoever works longer extends it."""


def clock() -> int:
    return time.time_ns() // 1_000


def missing(data: Path) -> UsageError:
    hint = "name another data directory with --data; `archiver run` and `archiver backfill` make a new one"
    return UsageError(f"there is no spool in {data}", hint=hint)


class Spool:
    """Open with `Spool.open`; safe to use from several threads; a forked child must open its own."""

    def __init__(
        self, data: Path, others: Others, *, idle: int, lateness: int, readonly: bool, patience: float
    ) -> None:
        self.data = data
        self.readonly = readonly
        self._run = data / "run"
        self._pid = os.getpid()
        self._connections = Connections(
            data / "spool.db", locks.Gate(self._run, patience), readonly=readonly, patience=patience
        )
        self.owner = ""
        self._lock: locks.Lock | None = None
        if readonly:
            with faults(self._connections.path):
                schema.require_current(self._connections.db)
        else:
            self._enter()
        self._blobs = files.Tree(data / "blobs", self.owner)
        self._quarantine = files.Tree(data / "quarantine", self.owner)
        self._others = others
        self._intake = intake.Intake(
            self._connections, self._blobs, self._quarantine, others, idle=idle, lateness=lateness
        )
        self._appending = threading.Lock()
        self._journal = journal.Journal(self._connections, self._run)

    def _enter(self) -> None:
        with faults(self.data):
            for directory in (self.data, self._run, self.data / "blobs", self.data / "quarantine"):
                files.make_directory(directory)
            with locks.schema_alone(self._run):
                with faults(self._connections.path):
                    schema.bring_up_to_date(self._connections.db)
                mark.compare(self._connections, self._run)
                files.sync_directory(self.data)
            self.owner, self._lock = locks.enter(self._run)

    @staticmethod
    def exists(data: Path) -> bool:
        """Whether there is one in this data directory; raises `EnvironmentFault` where one may not look."""
        with faults(data):
            return (data / "spool.db").exists()

    @classmethod
    def open(
        cls,
        data: Path | str,
        *,
        readonly: bool = False,
        idle: int = IDLE,
        lateness: int = LATENESS,
        patience: float = 10.0,
        others: Others = nobody_else,
    ) -> Spool:
        """`data` is the data directory. `patience`: seconds to wait for a lock before `TryLater`.

        `others` says by which other addresses somebody is known, so that an event told by another of them is a
        duplicate and no conflict.

        `readonly` serves worker processes: it writes nothing, takes no lock, and needs a spool that exists.
        """
        data = Path(data)
        if readonly and not cls.exists(data):
            raise missing(data)
        return cls(data, others, idle=idle, lateness=lateness, readonly=readonly, patience=patience)

    def close(self) -> None:
        """Leases still held by this one are free again."""
        if self._pid != os.getpid():
            return
        self._connections.close()
        if self._lock is not None:
            self._lock.release(remove=True)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def shrink(self) -> None:
        """Give back the memory that many appends have filled with pages and names; nothing else changes."""
        with self._appending:
            self._intake.forget_places()
            self._connections.shrink()

    # Locks of the data directory

    def hold(self, name: Literal["daemon", "backfill"], description: str) -> locks.Lock:
        """Be the one daemon or backfill until the lock is released; else `InUse` says who is."""
        with faults(self._run):
            return locks.take(self._run, name, description)

    def holder(self, name: Literal["daemon", "backfill"]) -> str | None:
        """Who holds it just now, as they described themselves; None if nobody."""
        return locks.holder(self._run, name)

    def reap(self, now: int) -> Reaped:
        """Clean up after the dead: their leases, unfinished files, lock files, feeds closed halfway."""
        with faults(self.data):
            leases = places.lose(self._connections, now, lambda owner: not self._is_alive(owner))
            left = self._blobs.remove_unfinished(self._is_alive) + self._quarantine.remove_unfinished(self._is_alive)
            settled = feeds.settle_closed(self._connections, now)
            left += len(locks.remove_dead(self._run)) + pieces.sweep(self._connections)
        return Reaped(leases, left, settled)

    def _is_alive(self, owner: str) -> bool:
        return locks.is_alive(self._run, owner)

    # Capture

    def append(
        self,
        batch: Sequence[Captured | Sealed | Rejected],
        feed: int,
        *,
        live: bool = False,
        now: int | None = None,
        backfill: runs.Step | None = None,
    ) -> Appended:
        """One transaction, durable when it returns; the same events again change nothing."""
        at = clock() if now is None else now
        with self._appending:
            return self._intake.append(batch, feed, live=live, now=at, backfill=backfill)

    def would_be(self, batch: Sequence[Sealed]) -> list[Outcome]:
        """What an append would say of each event, were it the only one: accepted, a duplicate, a conflict."""
        with self._connections.reading() as connection:
            return intake.would_be(connection, batch, self._others)

    def open_feed(
        self,
        name: str,
        kind: Literal["live", "import"],
        *,
        partial: bool = False,
        path: str | None = None,
        now: int | None = None,
    ) -> Feed:
        """A live source or an import run by its name; the same name again is the same feed, open again."""
        self._intake.forget_touched()
        at = clock() if now is None else now
        return feeds.open_feed(self._connections, name, kind, at, partial=partial, owner=self.owner, path=path)

    def contact(self, feed: int, now: int) -> None:
        """A live source gave a sign of life and has told everything up to now."""
        feeds.contact(self._connections, feed, now)

    def note_reading(self, feed: int, reading: Reading) -> None:
        """How a live source stands; the last one is kept."""
        feeds.note_reading(self._connections, feed, reading)

    def readings(self) -> dict[int, Reading]:
        """The last of each live source, by its feed."""
        return feeds.readings(self._connections)

    def close_feed(self, feed: int, now: int) -> None:
        """An import is at its end, or given up: all places it gave events are due now."""
        self._intake.forget_touched()
        feeds.close_feed(self._connections, feed, now)

    def feeds(self, *, only_open: bool = False) -> list[Feed]:
        return feeds.feeds(self._connections, only_open=only_open)

    # Backfills

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
        """Numbers that the events which a backfill brought can have."""
        return undoing.ranges(self._connections, run)

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

    def inputs(self) -> dict[bytes, runs.Far]:
        """How far backfills have come in what they were given, by key."""
        return runs.inputs(self._connections)

    def came_of_it(self, feed: int, since: int) -> Iterator[runs.CameOfIt]:
        """What attempts from this time on have made of the rooms that a feed gave events."""
        return runs.came_of_it(self._connections, feed, since)

    # Work

    def claim(
        self,
        now: int,
        limit: int,
        *,
        owner: str | None = None,
        feed: int | None = None,
        only_due: bool = True,
        lease: int = LEASE,
    ) -> list[Lease]:
        """Places with work, this process's until the lease ends; only those that `feed` gave events, if named."""
        owner = self.owner if owner is None else owner
        return places.claim(self._connections, owner, now, limit, expires=now + lease, feed=feed, only_due=only_due)

    def hurry(self, feed: int, now: int) -> int:
        """Places of a feed that back off after a death or failure are due at once; how many."""
        return places.hurry(self._connections, feed, now)

    def extend(self, leases: Iterable[Lease], now: int, *, lease: int = LEASE) -> list[Lease]:
        """The leases still held, prolonged."""
        return places.extend(self._connections, leases, now + lease)

    def finish_places(self, dues: Iterable[tuple[Lease, int | None]]) -> int:
        """Done for now; each is due again at the time given, or earlier if new events say so meanwhile."""
        return places.finish(self._connections, dues)

    def finish_place(self, lease: Lease, due: int | None) -> bool:
        return self.finish_places([(lease, due)]) == 1

    def release(self, leases: Iterable[Lease]) -> int:
        """Given back undone, as before the claim."""
        return places.release(self._connections, leases)

    def retry_place(self, lease: Lease, reason: str, now: int) -> int:
        """It failed: due again after a pause that grows with the attempts; when that is."""
        return places.retry(self._connections, lease, reason, now)

    def park_place(self, lease: Lease, reason: str, now: int) -> None:
        """Set aside for a person: not due again until `unpark`, whatever comes."""
        kept.park_place(self._connections, lease, reason, now)

    def events(self, place: int, upto: int, *, since: int | None = None) -> Iterator[Captured]:
        """Events of a place in conversation order, numbers up to `upto`, forgotten ones left out."""
        return reading.events(self._connections, place, upto, since)

    def rooms(self) -> list[Room]:
        """Places that have events in the spool, by source."""
        return reading.rooms(self._connections)

    def watermark(self, place: int, now: int, lateness: int) -> Watermark:
        imports, live = feeds.feeds_of(self._connections, place)
        return watermark(imports, live, now, lateness)

    # Journal

    def begin(self, filings: Sequence[Filing], now: int) -> list[Filing]:
        """Record the attempt before anything is put; the filings with their numbers, in the same order.

        A delivery that an earlier attempt has ended comes back in the state it has: nothing more to do for it.
        """
        return self._journal.begin(filings, now)

    def finish(
        self,
        filings: Sequence[Filing],
        now: int,
        *,
        gone: Iterable[int] = (),
        backfill: runs.Finished | None = None,
    ) -> None:
        """Record what came of it. Deliveries in `replaces` are superseded, those in `gone` were gone."""
        self._journal.finish(filings, gone, now, backfill)

    def fail(self, filings: Iterable[Filing], error: str, now: int) -> int | None:
        """Record why an attempt failed; when the next is to be made."""
        return kept.fail(self._connections, filings, error, now)

    def park(self, filings: Iterable[Filing], reason: str, now: int) -> None:
        kept.park(self._connections, filings, reason, now)

    def unpark(self, *, filings: Iterable[int] = (), places: Iterable[int] = (), now: int) -> int:
        """By numbers of filings and places: due at once, their attempts forgiven."""
        return kept.unpark(self._connections, filings, places, now)

    def priors(self, place: int, started: int, ended: int) -> list[Filing]:
        """Filings of the place that overlap this time and have deliveries not superseded."""
        return journal.priors(self._connections, place, started, ended)

    def versions(self, place: int) -> set[bytes]:
        """Versions with nothing left to do, of conversations still in the spool."""
        return journal.versions(self._connections, place)

    def withheld_mailboxes(self) -> set[str]:
        return kept.withheld_mailboxes(self._connections)

    def wake(self, mailboxes: Iterable[str], now: int) -> int:
        """Places with something withheld for these mailboxes are due; how many."""
        return kept.wake(self._connections, mailboxes, now)

    def drop_withheld(self, mailbox: str, *, person: str, reason: str, now: int, conversation: str = "") -> int:
        """Give up what is withheld for a mailbox, or of one conversation only; how many items. On record, for good."""
        return dropping.drop(self._connections, dropping.Order(mailbox, conversation, person, reason), now)

    def wake_one(self, reason: str, now: int) -> bool:
        """One place with something withheld for this reason is due, if there is any."""
        return kept.wake_one(self._connections, reason, now)

    def note_strangers(self, people: Iterable[tuple[str, str, int]], now: int) -> None:
        """(source, address, how often) of people without a mailbox."""
        kept.note_strangers(self._connections, people, now)

    # The search index

    def unindexed(self, destination: Destination, limit: int) -> list[Unindexed]:
        """Places of filed or removed items that the index has not looked at since, the oldest first."""
        return indexing.unindexed(self._connections, destination, limit)

    def indexed(self, numbers: Iterable[int]) -> None:
        indexing.indexed(self._connections, numbers)

    def index_backlog(self, destination: Destination) -> Backlog:
        return indexing.backlog(self._connections, destination)

    # Contents and forgetting

    def blob(self, sha256: str) -> bytes | None:
        """An attachment's content; None if it isn't here."""
        if not files.is_digest(sha256):
            return None
        with faults(self.data):
            return self._blobs.read(files.blob_path(sha256))

    def hold_blobs(self, holder: str, digests: Iterable[str]) -> None:
        """These contents stay while `holder` ("delivery:12") needs them."""
        kept.hold_blobs(self._connections, holder, digests)

    def drop_blobs(self, holder: str) -> None:
        kept.drop_blobs(self._connections, holder)

    def sweep_blobs(self) -> int:
        """Remove contents that nothing needs any more; how many."""
        return kept.sweep_blobs(self._connections, self._blobs)

    def forget(
        self,
        now: int,
        window: int,
        fold: forgetting.Fold,
        *,
        cache: forgetting.Cache | None = None,
        after: int = 0,
        limit: int = 200,
    ) -> forgetting.Forgotten:
        """Let events filed longer than `window` ago leave, a few places at a time; call on with its `after`.

        With a `cache`, conversations of which nobody has an item, and nobody is archived, go when its interval is over.
        """
        return forgetting.forget(
            self._connections, self.owner, now, window, fold, cache=cache, after=after, limit=limit
        )

    def recalled(self, place: int, targets: Iterable[str]) -> list[tuple[str, Filing]]:
        """The filings that hold texts of these messages though their events are forgotten."""
        return kept.recalled(self._connections, place, targets)

    def whispered(self, place: int, targets: Iterable[str]) -> dict[str, frozenset[str]]:
        """Between whom these messages were, where they were whispers and their events are forgotten."""
        return kept.whispered(self._connections, place, targets)

    # The local archive

    def keep_local(self, copies: Sequence[LocalCopy], now: int) -> None:
        """Complete items for people who are archived here; those that are there already stay as they are."""
        local.keep(self._connections, copies, now)

    def local_items(
        self, *, since: int | None = None, until: int | None = None, mailbox: str | None = None, exported: bool = True
    ) -> Iterator[LocalItem]:
        """Without their contents: all with events in [since, until), or one mailbox's, or those not exported yet."""
        return local.items(self._connections, since, until, mailbox, exported=exported)

    def local_content(self, number: int) -> bytes | None:
        return local.content(self._connections, number)

    def local_deliveries(self, numbers: Iterable[int]) -> list[int]:
        """Numbers of the filed deliveries of these items of the local archive."""
        return local.deliveries(self._connections, numbers)

    def only_local(self, mailbox: str) -> int:
        """How many items of the local archive are for a mailbox whose own archive never got them."""
        return local.only_here(self._connections, mailbox)

    def mark_exported(self, numbers: Iterable[int], now: int) -> None:
        local.mark_exported(self._connections, numbers, now)

    def note_exported(self, items: Collection[Exported]) -> None:
        """Items of mailboxes and their archives that are durable elsewhere."""
        exports.note(self._connections, items)

    def exported(self, destination: Destination, wanted: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these (mailbox, base name) that were exported."""
        return exports.exported(self._connections, destination, wanted)

    def drop_local(self, numbers: Iterable[int]) -> int:
        """Take these out of the local archive for good; how many there were."""
        return local.drop(self._connections, numbers)

    # Erasure

    def journalled(self) -> Iterator[list[Journalled]]:
        """Every delivery there ever was, lot by lot."""
        return erasing.journal(self._connections)

    def rostered(self) -> Iterator[Rostered]:
        """Every place that ever had events."""
        return erasing.places(self._connections)

    def drop_forgotten(self) -> None:
        """Rows of events forgotten already, which a crash has left."""
        forgetting.remove_all(self._connections)

    def rewrite_events(self, events: Sequence[Captured]) -> None:
        """Events by their numbers, without what is erased of them. Their identities stay."""
        erasing.rewrite(self._connections, events)

    def rewrite_place(self, place: int, conversation: str, roster: Roster | None) -> None:
        erasing.rewrite_place(self._connections, place, conversation, roster)

    def rewrite_whispers(self, place: int, without: Callable[[list[str]], Sequence[str]]) -> None:
        """Between whom forgotten whispers of a place were."""
        erasing.rewrite_whispers(self._connections, place, without)

    def rewrite_conflicts(self, without: erasing.Without) -> int:
        return erasing.conflicts(self._connections, without)

    def drop_quarantined(self, is_theirs: erasing.IsTheirs) -> int:
        """Contents that are somebody's; that something was wrong with them stays on record."""
        with faults(self.data):
            return erasing.quarantined(self._connections, self._quarantine, is_theirs)

    def forget_person(
        self, mailbox: str, pseudonym: str, text: erasing.Text, is_them: Callable[[str, str], bool]
    ) -> None:
        """What the journal has of a mailbox stands under a pseudonym from now on."""
        erasing.forget_person(self._connections, mailbox, pseudonym, text, is_them)

    def hold_only(self, holder: str, digests: Iterable[str]) -> None:
        """These contents, and no others, stay while `holder` needs them."""
        erasing.hold_only(self._connections, holder, digests)

    def replace_local(self, old: LocalItem, name: str, sha256: str, content: bytes, left: str) -> None:
        """Another content for an item of the local archive, which is no longer that of the person `left`."""
        erasing.replace_local(self._connections, old, name, sha256, content, left)

    def rename_deliveries(self, items: Iterable[tuple[int, str, int]], now: int) -> None:
        """Number, and the name and size of the item that stands there now; no name: it was taken out."""
        erasing.renamed(self._connections, items, now)

    def scrub(self) -> None:
        """Nothing of what was removed stays in the file's free pages or its write-ahead log. Needs room for a copy."""
        erasing.scrub(self._connections)

    # Retention

    def aged(self, before: int, mailbox: str | None = None) -> Iterator[list[AgedDelivery]]:
        """Filed deliveries, of one mailbox if it is named, whose conversations ended before this time; lot by lot."""
        return aging.aged(self._connections, before, mailbox)

    def archived(self, mailbox: str, names: Iterable[str]) -> set[str]:
        """Those of these base names that are items of deliveries to the mailbox's archive."""
        return aging.archived(self._connections, mailbox, names)

    def purged(self, deliveries: Collection[int], now: int) -> None:
        """The items of these deliveries were taken out because their time was over."""
        aging.purged(self._connections, deliveries, now)

    def checkpoint(self) -> None:
        """Housekeeping: bring the write-ahead log into the file."""
        self._connections.checkpoint()

    # Holds, exclusions, the audit log

    def place_hold(self, mailbox: str, *, by: str, reason: str, query: str = "", now: int) -> Hold:
        """On record together with its entry in the audit log."""
        return holds.place(self._connections, mailbox, by, reason, query, now)

    def release_hold(self, number: int, *, by: str, reason: str, now: int) -> Hold:
        return holds.release(self._connections, number, by, reason, now)

    def holds(self, mailbox: str | None = None) -> list[Hold]:
        """All there ever were, released ones too."""
        return holds.holds(self._connections, mailbox)

    def standing_holds(self, mailboxes: Iterable[str]) -> dict[str, tuple[Hold, ...]]:
        """The holds not released, of those mailboxes that have any."""
        return holds.standing(self._connections, mailboxes)

    def untaken_holds(self) -> list[Hold]:
        """Holds under which what their mailboxes hold already was not kept yet."""
        return holds.untaken(self._connections)

    def take_hold(self, number: int, now: int) -> None:
        """What lies in its mailbox is kept."""
        holds.take(self._connections, number, now)

    def migrations(self) -> dict[str, int]:
        """When the migrations that are known were to end, by mailbox."""
        return migrating.migrations(self._connections)

    def note_migrations(self, ends: Mapping[str, int]) -> None:
        """These are under way, and no others."""
        migrating.note(self._connections, ends)

    def add_exclusion(self, wanted: Exclusion, now: int) -> Exclusion:
        return exclusions.add(self._connections, wanted, now)

    def end_exclusion(self, number: int, until: int, *, by: str, reason: str, now: int) -> Exclusion:
        return exclusions.end(self._connections, number, until, by, reason, now)

    def filed_events(self, place: int) -> set[int]:
        """Numbers of a place's events that somebody's item has, had, or may be getting."""
        return weeding.filed(self._connections, place)

    def lease_place(self, place: int, now: int, *, lease: int = LEASE) -> bool:
        """Keep others from filing one place; False where somebody does just now."""
        return places.claim_place(self._connections, self.owner, place, now + lease)

    def is_filing(self) -> bool:
        """Whether anybody works on any place just now. If not, whoever files later sees all that is committed."""
        return places.is_any_leased(self._connections)

    def release_place(self, place: int) -> None:
        """Due again as before `lease_place`."""
        places.release_place(self._connections, self.owner, place)

    def drop_excluded(
        self, exclusion: Exclusion, place: int, numbers: Sequence[int], hold: int, person: str, reason: str, now: int
    ) -> None:
        """Drop these events of a leased place for good; `UsageError` where a hold newer than this one stands."""
        weeding.drop(self._connections, weeding.Order(exclusion, person, reason, hold), place, numbers, now)

    def exclusions(self) -> list[Exclusion]:
        """All there ever were, ended ones too."""
        return exclusions.exclusions(self._connections)

    def count_excluded(self, left_out: Mapping[int, int]) -> None:
        """How many events were left out, by the exclusion's number."""
        exclusions.count(self._connections, left_out)

    def audit(self, entry: Entry, now: int) -> Audited:
        return audit.add(self._connections, entry, now)

    def audits(self, *, after: int = 0) -> Iterator[Audited]:
        return audit.entries(self._connections, after)

    def check_audit(self) -> Checked:
        """Whether the log is whole, and holds and exclusions stand as it has them."""
        checked = audit.check(self._connections)
        return structs.replace(checked, damage=(*checked.damage, *registered.check(self._connections)))

    def note_heads(self, heads: Mapping[str, Head]) -> None:
        """The manifests of these mailboxes' archives have grown."""
        chains.note(self._connections, heads)

    def heads(self, mailboxes: Iterable[str] | None = None) -> dict[str, Head]:
        """Where the manifests ended when that was last noted; of all archives, or of these mailboxes'."""
        return chains.heads(self._connections, mailboxes)

    def audit_heads(self, now: int) -> int:
        """Once a day, heads that are new go into the audit log too; how many."""
        return chains.tell(self._connections, now)

    def audited_heads(self) -> dict[str, Head]:
        """Where the manifests ended by the audit log."""
        return chains.told(self._connections)

    # Failures to archive

    def note_failures(self, failed: Iterable[tuple[int, str]], now: int) -> None:
        """Deliveries to an archive, by number, that could not be made, each with the reason."""
        failures.note(self._connections, failed, now)

    def failures(self) -> list[Failure]:
        """What waits since it could not be archived, by source."""
        return failures.failures(self._connections)

    def people(self, source: str, conversation: str) -> frozenset[str]:
        """The addresses that are known of a place; reads its events."""
        return reading.people(self._connections, source, conversation)

    def count_put_off(self, pool: str, events: int, now: int) -> None:
        """Events of a pool's sources that critical mode refused."""
        failures.count_put_off(self._connections, pool, events, now)

    def put_off(self) -> list[PutOff]:
        return failures.put_off(self._connections)

    def untold(self) -> list[Untold]:
        """Who is archived and wasn't told so."""
        return notices.untold(self._connections)

    def begin_notices(self, mailboxes: Iterable[str], now: int) -> None:
        notices.begin(self._connections, mailboxes, now)

    def finish_notices(self, mailboxes: Iterable[str], now: int) -> None:
        """They were told, and never are again."""
        notices.finish(self._connections, mailboxes, now)

    # Status

    def sources(self) -> list[SourceCount]:
        return status.sources(self._connections)

    def mailboxes(self) -> list[MailboxCount]:
        return status.mailboxes(self._connections)

    def withheld(self) -> list[Kept]:
        return status.kept(self._connections, "withheld")

    def dropped(self, *, limit: int = 1_000) -> list[Dropped]:
        """The newest first."""
        return dropping.dropped(self._connections, limit=limit)

    def parked(self) -> list[Kept]:
        return status.kept(self._connections, "parked")

    def parked_filings(self) -> list[ParkedFiling]:
        return status.parked_filings(self._connections)

    def parked_places(self) -> list[ParkedPlace]:
        return status.parked_places(self._connections)

    def quarantined(self, *, limit: int = 1_000) -> list[Quarantined]:
        """The newest first."""
        return status.quarantined(self._connections, limit=limit)

    def quarantined_content(self, file: str) -> bytes | None:
        with faults(self.data):
            return self._quarantine.read(file) if files.is_digest(file.rpartition("/")[2]) else None

    def conflicts(self, *, limit: int = 1_000) -> list[Conflict]:
        return status.conflicts(self._connections, limit=limit)

    def strangers(self, *, limit: int = 1_000) -> list[Stranger]:
        return status.strangers(self._connections, limit=limit)

    def placed(self, conversation: str, source: str | None = None) -> list[Placed]:
        return tracing.placed(self._connections, conversation, source)

    def traced(self, place: int, mailbox: str, *, limit: int = 100) -> list[Traced]:
        """What became of a place's conversations for one mailbox; the newest first. Masks are left out."""
        return tracing.traced(self._connections, place, mailbox, limit)

    def deliveries(self, mailbox: str | None = None, *, after: int = 0) -> Iterator[Delivery]:
        """All that Conversation History ever got, or should have: of one mailbox or of all, numbers above `after`."""
        return filed.deliveries(self._connections, mailbox, after)

    def delivery_state(self, number: int) -> DeliveryState | None:
        return filed.state_of(self._connections, number)

    def attempt_again(self, number: int, now: int) -> bool:
        """Let a run file once more what is there no more; False where its events are forgotten."""
        return filed.attempt_again(self._connections, number, now)

    def setback(self) -> mark.Setback | None:
        """That its file is older than what was filed, for as long as this matters."""
        return mark.read(self._connections)

    def totals(self) -> Totals:
        return status.totals(self._connections)

    def figures(self, now: int, *, rooms: int = 10) -> Figures:
        """For pictures of the whole: goes through the journal, so it is asked for seldom."""
        return figures.figures(self._connections, now, rooms)
