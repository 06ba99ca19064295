"""Work out: places claimed and finished, deliveries journalled, what the search index is to take in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archiver.events import Captured
from archiver.spool import dropping, feeds, indexing, journal, kept, places, reading, runs
from archiver.spool.records import Backlog, Room, Unindexed, Watermark
from archiver.spool.steps.opened import LEASE, Opened
from archiver.spool.watermark import watermark
from archiver.types import Destination, Filing, Lease


class Work(Opened):
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
        self, filings: Sequence[Filing], now: int, *, gone: Iterable[int] = (), backfill: runs.Finished | None = None
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
