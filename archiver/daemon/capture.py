"""The live sources at work, each with its feed in the spool. Holds no source and no schedule.

Each stands alone: one that can't be started, breaks or hangs is told of and tried again, and the others go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from archiver.daemon.critical import Critical
from archiver.daemon.job import clock
from archiver.daemon.sources import Wanted
from archiver.daemon.supervision import BEHIND, Standing, Supervised
from archiver.decisions.excluding import Whose
from archiver.spool import Spool

log = structlog.get_logger(__name__)

STARTING = 30.0
"""Seconds for all sources to start; one that takes longer goes on by itself."""
MENDING = 1.0
STOPPING = 90.0
"""Seconds to wait for a source that is started anew, and for all to stop."""


class Capture:
    """Starts what is wanted, tells the spool of its signs of life, stops it. Callable from any thread."""

    def __init__(self, spool: Spool, whose: Whose, critical: Critical) -> None:
        self._spool = spool
        self._critical = critical
        self._whose = whose
        self._wanted: Wanted = {}
        self._sources: dict[str, Supervised] = {}
        self._lock = threading.RLock()

    def use(self, wanted: Wanted) -> None:
        """Capture from these and no others; what is the same as before goes on untouched.

        Raises the fault where every single one can't be started: then nothing comes in at all. `watch` tries again.
        """
        with self._lock:
            self._stop([each for each in self._all() if wanted.get(each.name) != each.make])
            self._wanted = wanted
            self._close_others()
            self._sources |= {name: self._supervised(name) for name in wanted if name not in self._sources}
            faults = self._start([each for each in self._all() if each.source is None])
            if faults and len(faults) == len(wanted):
                raise faults[0]

    def running(self) -> list[Supervised]:
        return [each for each in self._all() if each.source is not None]

    def standings(self) -> list[Standing]:
        now = clock()
        return [each.standing(now) for each in self._all()]

    def faults(self) -> dict[str, str]:
        """Why sources that are wanted don't run, by their names. One that only waits for its peer runs."""
        return {each.name: why for each in self.standings() if (why := each.reading.fault) not in ("", BEHIND)}

    def watch(self, now: float) -> None:
        """Start anew what broke, and what couldn't be started; `now` in seconds of a clock that never jumps.

        One that takes its time holds up nobody: it is left to itself, and looked at again the next time.
        """
        with self._lock:
            broken = [each for each in self._all() if each.needs_mending(now)]
        _at_once([partial(self._mend, each, now) for each in broken], MENDING)

    def contact(self) -> None:
        """Say of each source that is up that it has told everything up to now, and how each stands."""
        for each in self._all():
            each.tell(clock())

    def stop(self) -> None:
        """Take nothing new; what is just coming in is made durable and acknowledged first."""
        with self._lock:
            self._wanted = {}
            self._stop(self._all())

    def _all(self) -> list[Supervised]:
        return list(self._sources.values())

    def _close_others(self) -> None:
        """Feeds of sources that are wanted no longer: nothing waits for what will not come."""
        for feed in self._spool.feeds(only_open=True):
            if feed.kind == "live" and feed.name not in self._wanted:
                self._spool.close_feed(feed.number, clock())

    def _start(self, those: Sequence[Supervised]) -> list[Exception]:
        found: list[Exception] = []

        def start(each: Supervised) -> None:
            try:
                each.start(time.monotonic())
            except Exception as fault:
                found.append(fault)

        _at_once([partial(start, each) for each in those], STARTING)
        return found

    def _supervised(self, name: str) -> Supervised:
        return Supervised(name, self._wanted[name], spool=self._spool, whose=self._whose, critical=self._critical)

    def _mend(self, each: Supervised, now: float) -> None:
        each.mend(now)
        each.tell(clock())

    def _stop(self, those: Sequence[Supervised]) -> None:
        """All at once: each may take its time to drain."""
        late = _at_once([partial(each.stop, clock) for each in those], STOPPING)
        for number, each in enumerate(those):
            if number in late:
                log.error("source not stopped in time", source=each.name)
            del self._sources[each.name]


def _at_once(steps: Sequence[Callable[[], None]], seconds: float) -> set[int]:
    """Each in a thread of its own, which ends with the process at the latest; which ones weren't done in time."""
    threads = [threading.Thread(target=step, daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return {number for number, thread in enumerate(threads) if thread.is_alive()}
