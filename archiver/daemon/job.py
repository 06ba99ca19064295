"""The scheduled job: file what is due, wake what the gate opens, keep house. Holds no schedule and no signal.

new hold ─► preserve      withheld ─► gate ─► wake      claim ─► Filer.run ─► finished, or given back with the reason
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import structlog
from msgspec import Struct

from archiver.assembly import archive_of, retention_of, rules_of, searchers_of, store_of, terms_of
from archiver.compliance.preserving import Keeper, take_all
from archiver.compliance.purging import Purge
from archiver.config import Config
from archiver.conversations.conversation import fold_roster
from archiver.daemon.telling import tell
from archiver.daemon.waking import Waking
from archiver.decisions import policy, retention
from archiver.events import SECOND, Captured
from archiver.exceptions import ArchiverError, EnvironmentFault
from archiver.filing import moving, sifting
from archiver.filing.gathering import ATTEMPTS, SUSPECT, Tally
from archiver.filing.pipeline import Filer, Journal, Terms
from archiver.spool import Cache, Spool
from archiver.store import ArchiveStore, MaildirStore
from archiver.types import Filing, Lease, Roster

log = structlog.get_logger(__name__)

PLACES = 100
"""Places claimed at once."""
HOUSEKEEPING = 3_600
"""Seconds from one housekeeping to the next: it looks at every place of the last days."""
WARNING = 86_400
"""Seconds from one warning of overdue migrations to the next."""
_FORGOTTEN_AT_ONCE = 50


def clock() -> int:
    return time.time_ns() // 1_000


class Stopped(Exception):
    """The daemon is asked to stop: no fault. What is in hand is given back."""


class _UntilStopped:
    """The spool as a filer sees it, until it is time to stop: then nothing more is read and no attempt begun."""

    def __init__(self, spool: Spool, stopping: Callable[[], bool]) -> None:
        self._spool = spool
        self._stopping = stopping

    def __getattr__(self, name: str) -> object:
        return getattr(self._spool, name)

    def _look_up(self) -> None:
        if self._stopping():
            raise Stopped

    def events(self, place: int, upto: int) -> Iterator[Captured]:
        for captured in self._spool.events(place, upto):
            self._look_up()
            yield captured

    def begin(self, filings: Sequence[Filing], now: int) -> list[Filing]:
        self._look_up()
        return self._spool.begin(filings, now)


class _Means(Struct, frozen=True):
    """What one configuration makes; replaced as a whole."""

    config: Config
    store: MaildirStore
    keeper: Keeper
    terms: Terms
    archive: ArchiveStore
    retention: retention.Rules
    filer: Filer
    waking: Waking


class Job:
    """Its steps may be called again and again, from one thread at a time; `use` from any, between steps or during."""

    def __init__(self, spool: Spool, config: Config, data: Path, stopping: Callable[[], bool] = lambda: False) -> None:
        self._spool = spool
        self._data = data
        self._stopping = stopping
        self._owed: list[Lease] = []
        self.use(config)

    @property
    def config(self) -> Config:
        return self._means.config

    @property
    def terms(self) -> Terms:
        return self._means.terms

    def whose(self, source: str, address: str) -> str | None:
        """Whose an address is under the configuration of now: its mailbox, or its normal form."""
        return sifting.whose(self._means.terms.directory)(source, address)

    def use(self, config: Config) -> None:
        """Take up another configuration, from the next lot on; raises `ConfigError`, and the old one stays."""
        store, terms = store_of(config, self._data), terms_of(config)
        archive = archive_of(config, self._data)
        moving.take_up(config, terms.directory, self._spool, clock())
        watched = _UntilStopped(self._spool, self._stopping)
        filer = Filer(cast(Spool, watched), cast(Journal, watched), store, archive, terms)
        keeper = Keeper(archive, self._spool, self._spool, terms.directory.mailbox_of)
        waking = Waking(self._spool, terms)
        self._means = _Means(config, store, keeper, terms, archive, retention_of(config), filer, waking)

    def clean_up(self) -> None:
        """What dead processes left behind."""
        reaped, swept = self._spool.reap(clock()), self._means.store.sweep()
        if reaped.leases or reaped.files or swept:
            log.info("cleaned up", leases=reaped.leases, files=reaped.files + swept)

    # Filing

    def file(self) -> Tally:
        """File all that is due now, or as much as there is time for."""
        tally = Tally()
        self._give_back()
        self.preserve()
        self._means.waking.wake(clock())
        most = PLACES
        while not self._stopping() and (leases := self._spool.claim(clock(), most)):
            try:
                done = self._file(leases)
            except Stopped:
                break
            if done is None:  # one of these is bad: from now on alone, so that it is known which
                most = 1
            else:
                tally.add(done)
        means = self._means
        if not self._stopping():
            tell(self._spool, means.store, means.terms, means.config.notice, clock())
        if tally.conversations or tally.failed:
            log.info(
                "filed",
                conversations=tally.conversations,
                items=tally.copies,
                withheld=tally.withheld,
                archived=tally.archived,
                unarchived=tally.unarchived,
            )
        return tally

    def _file(self, leases: list[Lease]) -> Tally | None:
        """File what is leased; None if that failed for a reason that may lie in one of several places."""
        leases = self._without_suspects(leases)
        if leases[0].attempts > ATTEMPTS:
            self._set_aside(leases[0], f"{leases[0].attempts - 1} attempts to file this came to no end")
            return Tally(failed=1)
        try:
            return self._means.filer.run(leases, clock())
        except (Stopped, EnvironmentFault):
            self._owed += leases
            with suppress(ArchiverError):  # the spool itself may be what fails: then in the next round
                self._give_back()
            raise
        except Exception as error:
            log.exception("filing failed", places=[lease.place for lease in leases])
            if len(leases) == 1:
                self._set_aside(leases[0], f"{type(error).__name__}: {error}")
                return Tally(failed=1)
            self._owed += leases
            self._give_back()
            return None

    def _give_back(self) -> None:
        """What couldn't be filed is due again at once, and not only when its lease has run out."""
        if self._owed:
            self._spool.release(self._owed)
            self._owed = []

    def _without_suspects(self, leases: list[Lease]) -> list[Lease]:
        """What was claimed before and never finished may be what ended the process: it is filed alone.

        The others given back bear no blame for what comes of it.
        """
        suspects = [lease for lease in leases if lease.attempts > SUSPECT]
        if not suspects or len(leases) == 1:
            return leases
        sound = [lease for lease in leases if lease.attempts <= SUSPECT]
        chosen = sound or suspects[:1]
        self._spool.release([lease for lease in suspects if lease not in chosen])
        return chosen

    def _set_aside(self, lease: Lease, reason: str) -> None:
        parked = lease.attempts >= ATTEMPTS
        if parked:
            self._spool.park_place(lease, reason, clock())
        else:
            self._spool.retry_place(lease, reason, clock())
        log.error(
            "parked" if parked else "not filed",
            source=lease.source,
            conversation=lease.conversation,
            attempts=lease.attempts,
            why=reason,
        )

    # Holds

    def preserve(self) -> None:
        """Keep what lies in the mailboxes of new holds, before anything else is done: their owners may delete it."""
        means = self._means
        take_all(self._spool, means.store, means.keeper, clock(), self._stopping)

    # Housekeeping

    def keep_house(self) -> None:
        """Let go of events filed longer ago than a conversation can be continued, and of contents nobody needs."""
        forgotten, after = 0, cast("int | None", 0)
        config = self.config
        while after is not None and not self._stopping():
            done = self._spool.forget(
                clock(),
                config.conversations.continuation,
                _fold(config),
                cache=cache_of(self._means.terms.policy),
                after=after,
                limit=_FORGOTTEN_AT_ONCE,
            )
            forgotten, after = forgotten + done.events, done.after
        swept = self._spool.sweep_blobs()
        self._spool.audit_heads(clock())
        self._spool.checkpoint()
        self._warn()
        self._stamp("housekeeping").touch()
        if forgotten or swept:
            log.info("forgot", events=forgotten, blobs=swept)

    def _warn(self) -> None:
        """Once a day, of migrations that should be over."""
        late = moving.overdue(self._means.terms.directory, clock())
        if late and self._is_long_ago("overdue", WARNING):
            for mailbox in late:
                log.warning("migration overdue", why=moving.told(mailbox), hint=moving.ADVICE)
            self._stamp("overdue").touch()

    # Search

    def index(self, seconds: float = 5.0) -> None:
        """Take what was filed, or taken out, into the search indexes, for so long at most: filing waits for it."""
        for searcher in searchers_of(self.config, self._data, self._spool):
            left = searcher.keep_up(seconds, self._stopping)
            if left:
                log.debug("search index behind", index=str(searcher.path), items=left)

    # Retention

    def purge(self) -> None:
        """What the rules of the hours since the last purge let go."""
        now, stamp = clock(), self._stamp("purging")
        hours = retention.hours_due(_touched(stamp), now)
        if not hours:
            return
        means = self._means
        purging = Purge(
            self._spool,
            means.store,
            means.archive,
            means.keeper,
            means.retention,
            means.terms.policy,
            hours=hours,
            stopping=self._stopping,
        )
        report = purging.run(now, "archiver", "retention as configured")
        if report.whole:
            stamp.touch()
        if report.gone.items or report.failed:
            log.info("purged", items=report.gone.items, bytes=report.gone.bytes, failed=report.failed)

    @property
    def house_is_due(self) -> bool:
        """Whether the last housekeeping of this data directory, by whichever process, was long ago."""
        return self._is_long_ago("housekeeping", HOUSEKEEPING)

    def _is_long_ago(self, what: str, seconds: int) -> bool:
        last = _touched(self._stamp(what))
        # Nor is it waited for a time that will be: the clock was set back.
        return last is None or not 0 <= clock() - last < seconds * SECOND

    def _stamp(self, what: str) -> Path:
        """The file that bears the time at which something was last done, by whichever process."""
        return self._data / "run" / what


def _touched(stamp: Path) -> int | None:
    """When a stamp was last set, None if never."""
    try:
        return stamp.stat().st_mtime_ns // 1_000
    except FileNotFoundError:
        return None


def cache_of(rules: policy.Rules) -> Cache | None:
    """How long what nobody has archived is kept where anything is archived; None where nothing is."""
    on = {how.scope: how.cache_interval for how in rules.configurations() if how.archive != "none"}
    return Cache(lambda source: on.get(rules.configuration(source).scope), min(on.values())) if on else None


def _fold(config: Config) -> Callable[[Iterable[Captured], Roster, bool], Roster]:
    rules = rules_of(config)
    return lambda events, roster, partial: fold_roster(events, roster, rules, partial=partial)
