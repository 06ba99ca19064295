"""The live sources at work, each with its feed in the spool: started, heard, stopped. Holds no source and no schedule.

Each stands alone: one that can't be started, breaks or hangs is told of and tried again, and the others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog
from msgspec import Struct

from archiver.daemon.critical import Critical
from archiver.daemon.job import clock
from archiver.daemon.metering import Meter
from archiver.daemon.sources import Wanted
from archiver.daemon.taking import Taking
from archiver.decisions.excluding import Whose
from archiver.exceptions import ArchiverError
from archiver.sources.protocol import Signs, Source
from archiver.spool import Spool
from archiver.spool.records import Reading

log = structlog.get_logger(__name__)


class Running(Struct, frozen=True):
    """A source that was started: what made it, its feed, and what it gave."""

    name: str
    source: Source
    feed: int
    meter: Meter
    make: Callable[[], Source]

    def reading(self, now: int) -> Reading:
        signs = self.signs()
        return self.meter.reading(now, sum(signs.refused.values()), signs.gaps)

    def signs(self) -> Signs:
        return self.source.signs()

    def is_up(self) -> bool:
        """Also of one that breaks where it is asked."""
        with suppress(Exception):
            return self.source.up
        return False


class Capture:
    """Starts what is wanted, tells the spool of its signs of life, stops it. Callable from any thread."""

    def __init__(self, spool: Spool, whose: Whose, critical: Critical) -> None:
        self._spool = spool
        self._critical = critical
        self._whose = whose
        self._wanted: Wanted = {}
        self._running: dict[str, Running] = {}
        self._faults: dict[str, str] = {}
        self._lock = threading.RLock()

    def use(self, wanted: Wanted) -> None:
        """Capture from these and no others; what is the same as before goes on untouched.

        Raises the fault where every single one can't be started: then nothing comes in at all. `contact` tries again.
        """
        with self._lock:
            self._stop([each for each in self._running.values() if wanted.get(each.name) != each.make])
            self._wanted = wanted
            self._close_others()
            faults = self._start_missing()
            if faults and len(faults) == len(wanted):
                raise faults[0]

    def running(self) -> list[Running]:
        return list(self._running.values())

    def faults(self) -> dict[str, str]:
        """Why sources that are wanted don't run, by their names."""
        return dict(self._faults)

    def _close_others(self) -> None:
        """Feeds of sources that are wanted no longer: nothing waits for what will not come."""
        for feed in self._spool.feeds(only_open=True):
            if feed.kind == "live" and feed.name not in self._wanted:
                self._spool.close_feed(feed.number, clock())

    def _start_missing(self) -> list[Exception]:
        found = []
        for name, make in self._wanted.items():
            if name not in self._running:
                try:
                    self._running[name] = self._start(name, make)
                    self._faults.pop(name, None)
                except Exception as fault:
                    self._note(name, "source not started; trying again", fault)
                    found.append(fault)
        return found

    def _start(self, name: str, make: Callable[[], Source]) -> Running:
        feed, meter = self._spool.open_feed(name, "live").number, Meter()
        source = make()
        critical = self._critical if source.blocking else None
        source.start(Taking(self._spool, feed, self._whose, critical, meter))
        log.info("capturing", source=name, where=source.describe())
        return Running(name, source, feed, meter, make)

    def _note(self, name: str, what: str, fault: Exception) -> None:
        """Told once, until it changes; what is no fault of a user or the machine is a bug, with its traceback."""
        known = isinstance(fault, ArchiverError)
        if self._faults.get(name) != str(fault):
            hint = fault.hint if isinstance(fault, ArchiverError) else ""
            log.error(what, source=name, why=str(fault), hint=hint, exc_info=None if known else fault)
        self._faults[name] = str(fault)

    def contact(self) -> None:
        """Say of each source that is up that it has told everything up to now; try again what isn't running."""
        with self._lock:
            for each in self.running():
                try:
                    self._tell(each)
                    self._faults.pop(each.name, None)
                except Exception as fault:
                    self._note(each.name, "source not heard", fault)
            self._start_missing()

    def _tell(self, each: Running) -> None:
        now = clock()
        self._spool.note_reading(each.feed, each.reading(now))
        if each.source.up:
            self._spool.contact(each.feed, now)

    def stop(self) -> None:
        """Take nothing new; what is just coming in is made durable and acknowledged first."""
        with self._lock:
            self._wanted = {}
            self._stop(self.running())

    def _stop(self, those: Sequence[Running]) -> None:
        """All at once: each may take its time to drain."""
        if those:
            with ThreadPoolExecutor(len(those)) as threads:
                list(threads.map(self._stop_one, those))
        for each in those:
            del self._running[each.name]

    def _stop_one(self, each: Running) -> None:
        try:
            up = each.source.up
            each.source.stop()
            now = clock()
            self._spool.note_reading(each.feed, each.reading(now))
            if up:
                self._spool.contact(each.feed, now)
        except ArchiverError:
            pass  # the spool takes a feed without a sign of life for down, in time
        except Exception:
            log.exception("source not stopped", source=each.name)
