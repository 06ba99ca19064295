"""The schedule and the signals around capture and the job. Holds no rule of what is filed.

SIGTERM, SIGINT: take nothing new, finish what is in hand, exit 0; a second one ends at once, and loses nothing either.
SIGHUP: the configuration anew; a bad one is told whole, and the old one stays.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from archiver import logs
from archiver.assembly import open_spool
from archiver.config import Config
from archiver.daemon.capture import Capture
from archiver.daemon.critical import Critical
from archiver.daemon.job import HOUSEKEEPING, Job, clock
from archiver.daemon.metrics import Metrics
from archiver.daemon.monitor import Monitor
from archiver.daemon.sources import place, sources_of
from archiver.events import SECOND
from archiver.exceptions import ArchiverError, ConfigError
from archiver.filing.gathering import Tally
from archiver.spool import Spool, heap

log = structlog.get_logger(__name__)

CONTACT = 30
"""Seconds between signs of life of the live feeds; the spool takes a feed for down after 90."""
WATCHING = 2
"""Seconds between looks whether a live source broke."""
PURGING = 600
"""Seconds between looks whether another hour's retention is due."""
TRIMMING = 10
"""Seconds between two times that freed memory is given back: what filing leaves behind would add up for hours."""
INDEXING = 10
"""Seconds between looks whether the search index has something to take in."""
_THREADS = {"contact": "contact", "watch": "watch", "trim": "watch"}
"""Which of the scheduler's threads a round runs in, if not in that for work."""
_AT_ONCE = 60.0
"""Seconds of indexing after a single run: what is left then is for the next."""
_STOP = (signal.SIGTERM, signal.SIGINT)
_HEARD = (*_STOP, signal.SIGHUP)


def run_once(config: Config, data: Path) -> Tally:
    """One scheduled run, cut short by SIGTERM. Raises `InUse` where a daemon runs already."""
    with open_spool(config, data) as spool, spool.hold("daemon", _description("run --once")), _told() as stopping:
        job = Job(spool, config, data, stopping)
        job.clean_up()
        tally = job.file()
        if job.house_is_due and not stopping():
            job.keep_house()
        job.purge()
        job.index(_AT_ONCE)
    return tally


@contextmanager
def _told() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM came. The handler takes no lock: it may interrupt whoever holds it."""
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    try:
        yield lambda: bool(told)
    finally:
        signal.signal(signal.SIGTERM, before)


def run(load: Callable[[], Config], data: Path) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP calls `load` again."""
    # Blocked before all else, so that one while it starts waits, and all threads inherit it: signals are taken where
    # they are waited for, and never run a handler in the middle of something.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    try:
        heap.share()
        config = load()
        with open_spool(config, data) as spool, spool.hold("daemon", _description("run")):
            spool.shrink()  # each thread would keep ever more pages of an ever larger spool
            daemon = Daemon(spool, config, data, load)
            try:
                daemon.start()
                daemon.wait()
            finally:
                _second_one_ends()
                daemon.stop()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _second_one_ends() -> None:
    """And a configuration isn't taken up any more: a SIGHUP left for later would end it, as one that failed."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in _STOP:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


def _description(command: str) -> str:
    return f"archiver {command} (process {os.getpid()})"


class Daemon:
    """Capture and job on a schedule. `start`, then `wait` until told to stop, then `stop`; all from one thread."""

    def __init__(self, spool: Spool, config: Config, data: Path, load: Callable[[], Config]) -> None:
        self._spool = spool
        self._data = data
        self._load = load
        self._stopping = threading.Event()
        self._job = Job(spool, config, data, self._stopping.is_set)
        self._critical = Critical(spool, lambda: self._job.terms)
        self._capture = Capture(spool, self._job.whose, self._critical)
        self._metrics = Metrics(spool, self._capture, self._critical)
        self._monitor: Monitor | None = None
        # One thread for work, so that filing and housekeeping take turns; the others never wait for it. Nor does giving
        # memory back: most is freed while there is so much to file that a round doesn't end.
        pools = {name: ThreadPoolExecutor(1) for name in ("work", "contact", "watch")}
        self._scheduler = BackgroundScheduler(executors=pools, timezone=UTC)
        # It warns of every round that is left out because the last one is still at work: no news.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)

    def start(self) -> None:
        self._job.clean_up()
        self._capture.use(sources_of(self._job.config, self._data))
        self._watch(self._job.config)
        self._scheduler.start()
        self._schedule()
        _notify("READY=1")
        log.info("running", data=str(self._spool.data), configuration=self._job.config.digest)

    def wait(self) -> None:
        while signal.sigwait(_HEARD) == signal.SIGHUP:
            self._take_up()

    def stop(self) -> None:
        """Take nothing new, finish what is in hand."""
        _notify("STOPPING=1")
        self._stopping.set()
        self._capture.stop()
        if self._monitor is not None:
            self._monitor.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        log.info("stopped")

    def _watch(self, config: Config) -> None:
        """Answer monitoring where the configuration says. Raises `EnvironmentFault` where that can't be."""
        if self._monitor is not None:
            self._monitor.stop()
            self._monitor = None
        if config.monitor.listen is not None:
            monitor = Monitor(place(config.monitor.listen), self._metrics.text, self._capture.faults)
            monitor.start()
            self._monitor = monitor

    # The schedule

    def _schedule(self) -> None:
        every = self._job.config.schedule.every / SECOND
        now = datetime.now(UTC)
        house = now if self._job.house_is_due else now + timedelta(seconds=HOUSEKEEPING)
        rounds = (
            ("file", every, now),
            ("contact", CONTACT, now),
            ("watch", WATCHING, now),
            ("house", HOUSEKEEPING, house),
            ("purge", PURGING, now),
            ("index", INDEXING, now + timedelta(seconds=INDEXING)),
            ("trim", TRIMMING, now + timedelta(seconds=TRIMMING)),
        )
        for name, seconds, first in rounds:
            self._scheduler.add_job(
                self._round,
                "interval",
                (name,),
                id=name,
                executor=_THREADS.get(name, "work"),
                seconds=seconds,
                replace_existing=True,
                misfire_grace_time=None,  # a round that comes late is still wanted
                coalesce=True,
                max_instances=1,
                next_run_time=first,
            )

    def _round(self, name: str) -> None:
        """One round; whatever happens in it, the next one comes."""
        job = self._job
        steps = {
            "file": job.file,
            "house": job.keep_house,
            "purge": job.purge,
            "index": job.index,
            "trim": heap.give_back,
            "contact": self._contact,
            "watch": self._look_after,
        }
        try:
            steps[name]()
        except ArchiverError as error:
            log.error("round failed", round=name, why=str(error), hint=error.hint)
        except Exception:
            log.exception("round failed", round=name)

    def _contact(self) -> None:
        self._critical.look(clock())
        self._capture.contact()

    def _look_after(self) -> None:
        """Whatever listens and broke is started anew: the sources, and who tells of them."""
        self._capture.watch(time.monotonic())
        monitor = self._monitor
        if monitor is not None and (why := monitor.fault) and not self._stopping.is_set():
            log.error("monitoring broke; starting it anew", why=why)
            self._watch(self._job.config)

    # SIGHUP

    def _take_up(self) -> None:
        old = self._job.config
        try:
            config = self._load()
            self._job.use(config)
        except ConfigError as error:
            log.error("configuration not taken up", problems=error.problems)
            return
        except ArchiverError as error:
            log.error("configuration not taken up", why=str(error), hint=error.hint)
            return
        logs.set_up(config.log.format, config.log.level)
        try:
            self._capture.use(sources_of(config, self._data))
        except ArchiverError as error:
            log.error("not capturing; trying again", why=str(error), hint=error.hint)
        if config.monitor != old.monitor:
            try:
                self._watch(config)
            except ArchiverError as error:
                log.error("not monitored", why=str(error), hint=error.hint)
        self._schedule()
        log.info("configuration taken up", configuration=config.digest)


def _notify(state: str) -> None:
    """Tell systemd (sd_notify(3)), if it asks to be told."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.connect("\0" + path[1:] if path.startswith("@") else path)
        told.sendall(state.encode())
