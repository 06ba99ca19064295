"""The daemon: sources that capture, the scheduled job that files, housekeeping, signals.

    sources ─► spool.append (acknowledged only then)
    every minute: contact, wake what the gate opens, claim ─► Filer.run, forget now and then

One a data directory. A fault of the machine is logged and tried again at the next round; it ends nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from archiver import gate
from archiver.assembly import open_spool, rules_of, store_of, terms_of
from archiver.config import Config
from archiver.conversation import fold_roster
from archiver.events import SECOND, Captured, Rejected
from archiver.exceptions import ArchiverError, ConfigError
from archiver.pipeline import Filer, Tally
from archiver.settings import Endpoint
from archiver.sources.protocol import Source
from archiver.sources.smtp import Address, Limits, MailSource
from archiver.spool import Spool
from archiver.store import MaildirStore
from archiver.types import Lease, Roster

log = structlog.get_logger(__name__)

_PLACES = 100
_CONTACT = 30
"""Seconds between signs of life of the live feeds; the spool takes a feed for down after 90."""
_HOUSEKEEPING = 600


def now() -> int:
    return time.time_ns() // 1_000


def run_once(config: Config, data: Path) -> Tally:
    """One scheduled run. Raises `InUse` where a daemon runs already."""
    with open_spool(config, data) as spool, spool.hold("daemon", _description()):
        job = Job(spool, config, data)
        job.clean_up()
        tally = job.file()
        job.keep_house()
    return tally


def run(load: Callable[[], Config], data: Path) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP calls `load` again."""
    config = load()
    with open_spool(config, data) as spool, spool.hold("daemon", _description()):
        daemon = Daemon(spool, config, data, load)
        daemon.start()
        try:
            daemon.wait()
        finally:
            daemon.stop()


def _description() -> str:
    return f"archiver run (process {os.getpid()})"


class Job:
    """The scheduled job over one spool. Its parts may be called again and again, one at a time."""

    def __init__(self, spool: Spool, config: Config, data: Path) -> None:
        self._spool = spool
        self._data = data
        self.use(config)

    def use(self, config: Config) -> None:
        """Take up another configuration; raises `ConfigError`, and the old one stays."""
        store, terms = store_of(config, self._data), terms_of(config)
        self.config: Config = config
        self._store: MaildirStore = store
        self._terms = terms
        self._filer = Filer(self._spool, self._spool, store, terms)

    def clean_up(self) -> None:
        """What dead processes left behind."""
        reaped, swept = self._spool.reap(now()), self._store.sweep()
        if reaped.leases or reaped.files or swept:
            log.info("cleaned up", leases=reaped.leases, files=reaped.files + swept)

    def file(self, stopping: Callable[[], bool] = lambda: False) -> Tally:
        """File all that is due now."""
        tally = Tally()
        self._wake()
        while not stopping() and (leases := self._spool.claim(now(), _PLACES)):
            tally.add(self._run(leases))
        if tally.conversations or tally.failed:
            log.info("filed", conversations=tally.conversations, items=tally.copies, withheld=tally.withheld)
        return tally

    def _run(self, leases: list[Lease]) -> Tally:
        try:
            return self._filer.run(leases, now())
        except ArchiverError:
            with suppress(ArchiverError):  # the spool itself may be what fails: then the leases run out
                self._spool.release(leases)
            raise

    def _wake(self) -> None:
        """Look again at what is withheld from mailboxes that the gate would open now."""
        directory, rules = self._terms.directory, self._terms.gate
        features = (gate.Feature.IM, gate.Feature.CONFERENCE)
        opened = [
            address
            for address in self._spool.withheld_mailboxes()
            if any(gate.decide(directory.mailbox(address), feature, rules).allowed for feature in features)
        ]
        if opened:
            self._spool.wake(opened, now())

    def keep_house(self) -> None:
        """Let go of events filed longer ago than a conversation can be continued, and of contents nobody needs."""
        rules, window = rules_of(self.config), self.config.conversations.continuation

        def fold(events: Iterable[Captured], roster: Roster) -> Roster:
            return fold_roster(events, roster, rules)

        after: int | None = 0
        forgotten = 0
        while after is not None:
            done = self._spool.forget(now(), window, fold, after=after)
            forgotten, after = forgotten + done.events, done.after
        swept = self._spool.sweep_blobs()
        self._spool.checkpoint()
        if forgotten or swept:
            log.info("forgot", events=forgotten, blobs=swept)


class Daemon:
    """Sources, schedule and signals around one `Job`."""

    def __init__(self, spool: Spool, config: Config, data: Path, load: Callable[[], Config]) -> None:
        self._spool = spool
        self._load = load
        self._job = Job(spool, config, data)
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._sources: list[tuple[Source, int]] = []
        self._stopping = threading.Event()
        self._reload = threading.Event()
        self._awake = threading.Event()

    def start(self) -> None:
        self._job.clean_up()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        self._start_sources()
        self._schedule()
        self._scheduler.start()
        _notify("READY=1")
        log.info("running", data=str(self._spool.data), configuration=self._job.config.digest)

    def wait(self) -> None:
        while not self._stopping.is_set():
            self._awake.wait()
            self._awake.clear()
            if self._reload.is_set() and not self._stopping.is_set():
                self._reload.clear()
                self._take_up()

    def stop(self) -> None:
        """Take nothing new, finish what is in hand."""
        _notify("STOPPING=1")
        self._stopping.set()
        self._stop_sources()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        log.info("stopped")

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        (self._reload if number == signal.SIGHUP else self._stopping).set()
        self._awake.set()

    # Sources

    def _start_sources(self) -> None:
        smtp = self._job.config.smtp
        if not smtp.enabled:
            return
        addresses = [_address(smtp.listen, local=False)]
        if smtp.lmtp is not None:
            addresses.append(_address(smtp.lmtp, local=True))
        source: Source = MailSource("mail", tuple(addresses), limits=Limits(size=smtp.max_size))
        feed = self._spool.open_feed(source.name, "live").number

        def accept(batch: Sequence[Captured | Rejected]) -> None:
            self._spool.append(batch, feed, live=True)

        source.start(accept)
        self._spool.contact(feed, now())
        self._sources.append((source, feed))
        log.info("capturing", source=source.name, where=source.describe())

    def _stop_sources(self) -> None:
        for source, feed in self._sources:
            source.stop()
            with suppress(ArchiverError):
                self._spool.contact(feed, now())
        self._sources = []

    # The schedule

    def _schedule(self) -> None:
        every = self._job.config.schedule.every / SECOND
        self._scheduler.remove_all_jobs()
        for work, seconds in ((self._file, every), (self._contact, _CONTACT), (self._keep_house, _HOUSEKEEPING)):
            # A round that comes late is still wanted, and never two at once.
            self._scheduler.add_job(
                work, "interval", seconds=seconds, misfire_grace_time=None, coalesce=True, max_instances=1
            )

    def _file(self) -> None:
        self._round("file", lambda: self._job.file(self._stopping.is_set))

    def _keep_house(self) -> None:
        self._round("keep house", self._job.keep_house)

    def _contact(self) -> None:
        for source, feed in self._sources:
            if source.up:
                self._round("contact", lambda feed=feed: self._spool.contact(feed, now()))  # type: ignore[misc]

    def _round(self, name: str, work: Callable[[], object]) -> None:
        """One round; whatever happens in it, the next one comes."""
        try:
            work()
        except ArchiverError as error:
            log.error("round failed", round=name, why=str(error), hint=error.hint)
        except Exception:
            log.exception("round failed", round=name)

    def _take_up(self) -> None:
        """SIGHUP: a bad configuration is told, and the old one stays."""
        old = self._job.config
        try:
            config = self._load()
            self._job.use(config)
        except ConfigError as error:
            log.error("configuration not taken up", problems=error.problems)
            return
        except ArchiverError as error:
            log.error("configuration not taken up", why=str(error))
            return
        if config.smtp != old.smtp:
            self._stop_sources()
            try:
                self._start_sources()
            except ArchiverError as error:
                log.error("not capturing", why=str(error), hint=error.hint)
        self._schedule()
        log.info("configuration taken up", configuration=config.digest)


def _address(endpoint: Endpoint, *, local: bool) -> Address:
    if endpoint.path:
        return Address(path=Path(endpoint.path), local=local)
    return Address(endpoint.host, endpoint.port, local=local)


def _notify(state: str) -> None:
    """Tell systemd (sd_notify(3)), if it asks to be told."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.connect("\0" + path[1:] if path.startswith("@") else path)
        told.sendall(state.encode())
