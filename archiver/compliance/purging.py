"""Purging: what retention lets go is taken out of Conversation History, of the archives, and of the local archive.

    journal, folders ─► retention.judge ─► take out, many with few syncs ─► journal

Lot by lot, and it may be stopped after any: the next purge goes on. A plan is the same walk without taking anything
out. No item is read. Joins records, stores and journal; how long something stays is `retention`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import structlog
from msgspec import Struct

from archiver.compliance.preserving import HeldStore, Keeper
from archiver.decisions import policy, retention
from archiver.decisions.retention import Aged, Verdict
from archiver.exceptions import ArchiverError, UsageError
from archiver.filing.archives import note
from archiver.spool import Spool
from archiver.spool.records import AgedDelivery, Entry, LocalItem
from archiver.store import PURGES, ArchiveStore, MaildirStore
from archiver.store.protocol import Found, Where
from archiver.types import Destination, Hold

log = structlog.get_logger(__name__)

_AT_ONCE = 500
_LOCAL_AT_ONCE = 50
"""Contents of the local archive lie in the database itself: freeing them takes long."""


T = TypeVar("T")


class Count(Struct):
    items: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.items += 1
        self.bytes += size


Key = tuple[str, str, str]


class Report(Struct):
    """By mailbox (of the local archive: source), folder and verdict. `failed` are items that couldn't be taken out."""

    counts: dict[Key, Count] = {}
    failed: int = 0
    whole: bool = True

    def add(self, of: str, destination: Destination, verdict: Verdict, size: int) -> None:
        if verdict is not Verdict.STAYS:
            self.counts.setdefault((of, destination.value, verdict.value), Count()).add(size)

    @property
    def gone(self) -> Count:
        going = [count for (_, _, verdict), count in self.counts.items() if verdict == Verdict.GOES]
        return Count(sum(count.items for count in going), sum(count.bytes for count in going))


class Lot(Struct, Generic[T]):
    """What goes together, and how."""

    going: Sequence[T]
    take_out: Callable[[Sequence[T], int], object]


class Purge:
    """One purge, or its plan, of all mailboxes or one, by the rules of some hours of the day."""

    def __init__(
        self,
        spool: Spool,
        history: MaildirStore,
        archive: ArchiveStore,
        keeper: Keeper,
        rules: retention.Rules,
        archiving: policy.Rules,
        *,
        hours: frozenset[int] = retention.EVERY_HOUR,
        mailbox: str | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._spool = spool
        self._history = history
        self._kept = HeldStore(history, keeper)
        self._archive = archive
        self._rules = rules
        self._archiving = archiving
        self._hours = hours
        self._mailbox = mailbox
        self._stopping = stopping
        self._keywords: dict[tuple[str, str], dict[str, str]] = {}
        self._asked: set[int] = set()
        """The holds, by number, that what goes was judged by."""
        self._report = Report()
        self._by: tuple[str, str] | None = None

    def plan(self, now: int) -> Report:
        """What would go, and what only a hold or a label keeps. Changes nothing."""
        return self._run(now, None)

    def run(self, now: int, by: str, reason: str) -> Report:
        """Do it. The audit log tells that it began before anything goes, and what it came to."""
        report = self._run(now, (by, reason))
        if self._by is not None:
            self._tell("purge ended", now, {"items": report.gone.items, "bytes": report.gone.bytes, **_open(report)})
        return report

    def _run(self, now: int, by: tuple[str, str] | None) -> Report:
        self._report, self._by = Report(), None
        for step in (self._deliveries, self._copies, self._local_items):
            for lot in step(now):
                if self._stopping():
                    self._report.whole = False
                    return self._report
                if by is not None and lot.going:
                    self._begin(by, now)
                    lot.take_out(lot.going, now)
        return self._report

    def _begin(self, by: tuple[str, str], now: int) -> None:
        if self._by is None:
            self._by = by
            hours = {} if self._hours == retention.EVERY_HOUR else {"hours": sorted(self._hours)}
            self._tell("purge begun", now, hours)

    def _tell(self, action: str, now: int, details: Mapping[str, object]) -> None:
        assert self._by is not None
        self._spool.audit(Entry(action, self._mailbox or "every mailbox", *self._by, dict(details)), now)

    # What the journal knows

    def _deliveries(self, now: int) -> Iterator[Lot[Any]]:
        youngest = self._rules.youngest(now)
        for page in self._spool.aged(youngest, self._mailbox) if youngest is not None else ():
            for some in _lots(page, _AT_ONCE):
                yield Lot(self._judged(some, now), self._take_out)

    def _judged(self, some: Sequence[AgedDelivery], now: int) -> list[AgedDelivery]:
        holds = self._holds({each.mailbox for each in some})
        exported = self._exported(some)
        going = []
        for each, labels in zip(some, self._labels(some), strict=True):
            rule = self._rules.rule(each.mailbox, each.destination, self._hours)
            aged = Aged(each.ended, each.started, labels, (each.mailbox, each.name) in exported[each.destination])
            verdict = retention.judge(aged, rule, self._rules, holds.get(each.mailbox, ()), now)
            self._report.add(each.mailbox, each.destination, verdict, each.size)
            if verdict is Verdict.GOES:
                going.append(each)
        return going

    def _exported(self, some: Sequence[AgedDelivery]) -> dict[Destination, set[tuple[str, str]]]:
        """Those exported, by mailbox and base name; asked only where a rule wants to know."""
        found = {}
        for destination in Destination:
            mine = [each for each in some if each.destination is destination]
            asked = [each for each in mine if _asks_export(self._rules.rule(each.mailbox, destination, self._hours))]
            found[destination] = self._spool.exported(destination, [(each.mailbox, each.name) for each in asked])
        return found

    def _labels(self, some: Sequence[AgedDelivery]) -> Iterable[frozenset[str]]:
        """The keywords that items bear; asked only where a label could matter."""
        nothing: frozenset[str] = frozenset()
        asked = [self._rules.labels and each.destination is Destination.HISTORY for each in some]
        wanted = [Where(e.mailbox, e.folder, e.name) for e, is_asked in zip(some, asked, strict=True) if is_asked]
        found = iter(self._history.locate_all(wanted) if wanted else ())
        for each, is_asked in zip(some, asked, strict=True):
            lying = next(found) if is_asked else None
            yield nothing if lying is None else self._borne(each, lying)

    def _borne(self, each: AgedDelivery, lying: Found) -> frozenset[str]:
        letters = [letter for letter in lying.flags if letter.islower()]
        if not letters:
            return frozenset()
        which = (each.mailbox, each.folder)
        if which not in self._keywords:
            self._keywords[which] = self._history.keywords(*which)
        names = self._keywords[which]
        return frozenset(names[letter].casefold() for letter in letters if letter in names)

    def _take_out(self, going: Sequence[AgedDelivery], now: int) -> None:
        """What a hold came to cover this moment is copied before it goes."""
        visible = [each for each in going if each.destination is Destination.HISTORY]
        archived = [each for each in going if each.destination is Destination.ARCHIVE]
        if not self._remove_all(visible):
            visible = [each for each in visible if self._remove(_where(each))]
        done = [each.number for each in visible]
        gone = self._purge([_where(each) for each in archived], now)
        done += [each.number for each, went in zip(archived, gone, strict=True) if went]
        self._spool.purged(done, now)

    def _remove_all(self, visible: Sequence[AgedDelivery]) -> bool:
        try:
            self._kept.remove_all([_where(each) for each in visible])
        except ArchiverError:  # one of them; then one by one
            return False
        return True

    def _remove(self, where: Where) -> bool:
        try:
            self._kept.remove_all([where])
        except ArchiverError as error:
            self._failed(where, error)
            return False
        return True

    def _purge(self, wanted: Sequence[Where], now: int) -> list[bool]:
        """Which are gone. Nothing keeps a copy of what leaves an archive: holds placed since are asked for."""
        held = self._held_since({where.mailbox for where in wanted})
        free = [where for where in wanted if where.mailbox not in held]
        gone = set()
        if free:
            known = self._spool.heads({where.mailbox for where in free})
            receipt = self._archive.purge(free, now, "retention", known=known)
            note(self._spool, receipt)
            for where, error in zip(free, receipt.outcomes, strict=True):
                if error is None:
                    gone.add(where)
                else:
                    self._failed(where, error)
        for where in wanted:
            if where.mailbox in held:
                self._failed(where, UsageError("a hold was placed on the mailbox meanwhile"))
        return [where in gone for where in wanted]

    def _holds(self, mailboxes: Collection[str]) -> dict[str, tuple[Hold, ...]]:
        standing = self._spool.standing_holds(mailboxes)
        self._asked |= {hold.number for holds in standing.values() for hold in holds}
        return standing

    def _held_since(self, mailboxes: Collection[str]) -> set[str]:
        """Those on which a hold was placed after what goes was judged."""
        standing = self._spool.standing_holds(mailboxes)
        return {mailbox for mailbox, holds in standing.items() if any(hold.number not in self._asked for hold in holds)}

    def _failed(self, where: Where, error: ArchiverError) -> None:
        self._report.failed += 1
        log.error("not purged", mailbox=where.mailbox, item=where.name, why=str(error), hint=error.hint)

    # Copies that holds left in archives: no delivery of the journal has them

    def _copies(self, now: int) -> Iterator[Lot[Any]]:
        if not any(rule.destination is Destination.ARCHIVE for rule in self._rules.rules):
            return
        for mailbox in self._archive.mailboxes() if self._mailbox is None else [self._mailbox]:
            rule = self._rules.rule(mailbox, Destination.ARCHIVE, self._hours)
            if rule is not None:
                for some in _lots(self._old(mailbox, now - rule.days * retention.DAY), _AT_ONCE):
                    yield Lot(self._judged_copies(mailbox, some, rule, now), self._purge)

    def _old(self, mailbox: str, before: int) -> Iterator[Found]:
        for some in _lots(self._archive.unsorted(mailbox, PURGES), _AT_ONCE):
            old = [each for each in some if each.modified < before]
            on_record = self._spool.archived(mailbox, [each.name for each in old])
            yield from (each for each in old if each.name not in on_record)

    def _judged_copies(self, mailbox: str, some: Sequence[Found], rule: retention.Rule, now: int) -> list[Where]:
        holds: Sequence[Hold] = self._holds([mailbox]).get(mailbox, ())
        names = [(mailbox, each.name) for each in some] if rule.exported_only else []
        exported = self._spool.exported(Destination.ARCHIVE, names)
        going = []
        for each in some:
            aged = Aged(each.modified, exported=(mailbox, each.name) in exported)
            verdict = retention.judge(aged, rule, self._rules, holds, now)
            self._report.add(mailbox, Destination.ARCHIVE, verdict, each.size)
            if verdict is Verdict.GOES:
                going.append(Where(mailbox, PURGES, each.name))
        return going

    # The local archive: by the configuration of each item's source

    def _local_items(self, now: int) -> Iterator[Lot[Any]]:
        ruling = [each for each in self._archiving.configurations() if each.purge and each.purge_hour in self._hours]
        if not ruling:
            return
        before = now - min(each.keep_days for each in ruling) * retention.DAY
        for some in _lots(self._spool.local_items(until=before, mailbox=self._mailbox), _LOCAL_AT_ONCE):
            yield Lot(self._judged_local(some, now), self._drop)

    def _judged_local(self, some: Sequence[LocalItem], now: int) -> list[LocalItem]:
        holds = self._holds({mailbox for each in some for mailbox in each.mailboxes})
        going = []
        for each in some:
            covering = [hold for mailbox in each.mailboxes for hold in holds.get(mailbox, ())]
            aged = Aged(each.last, each.first, exported=each.exported is not None)
            verdict = retention.judge(aged, self._local_rule(each.source), self._rules, covering, now)
            self._report.add(each.source, Destination.LOCAL, verdict, each.size)
            if verdict is Verdict.GOES:
                going.append(each)
        return going

    def _local_rule(self, source: str) -> retention.Rule | None:
        how = self._archiving.configuration(source)
        if not (how.purge and how.purge_hour in self._hours):
            return None
        return retention.Rule("*", Destination.LOCAL, how.keep_days, how.purge_hour, how.purge_exported_only)

    def _drop(self, going: Sequence[LocalItem], now: int) -> None:
        """First the journal is told: of what has gone nobody could find its deliveries."""
        held = self._held_since({mailbox for each in going for mailbox in each.mailboxes})
        for each in going:
            if not held.isdisjoint(each.mailboxes):
                self._failed(Where(each.source, "", each.name), UsageError("a hold was placed meanwhile"))
        free = [each.number for each in going if held.isdisjoint(each.mailboxes)]
        self._spool.purged(self._spool.local_deliveries(free), now)
        self._spool.drop_local(free)


def _lots(items: Iterable[T], most: int) -> Iterator[list[T]]:
    left = iter(items)
    while lot := list(islice(left, most)):
        yield lot


def _asks_export(rule: retention.Rule | None) -> bool:
    return rule is not None and rule.exported_only


def _where(each: AgedDelivery) -> Where:
    return Where(each.mailbox, each.folder, each.name)


def _open(report: Report) -> dict[str, object]:
    return {key: value for key, value in (("failed", report.failed), ("stopped", not report.whole)) if value}
