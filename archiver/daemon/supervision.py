"""One live source over all its lives: started, heard, started anew when it breaks, stopped. Holds no schedule.

Its feed and its figures go on from one life to the next. Nothing here raises but `start`; what breaks is told in the
log, once until it changes, and stands in `standing` until it is mended.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import structlog
from msgspec import Struct
from msgspec.structs import replace

from archiver.daemon.critical import Critical
from archiver.daemon.metering import Counts, Meter
from archiver.daemon.taking import Taking
from archiver.decisions.excluding import Whose
from archiver.exceptions import ArchiverError
from archiver.sources.protocol import Signs, Source
from archiver.spool import Spool
from archiver.spool.records import Reading

log = structlog.get_logger(__name__)

PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before each further try; the last one for all that follow."""
STEADY = 300.0
"""Seconds after which a source that breaks is no longer taken for the one that broke before."""
BEHIND = "it is not connected, or has not caught up"


class Trouble(Struct, frozen=True):
    """Why a source doesn't run, and when it is tried again (in seconds of a clock that never jumps)."""

    why: str
    again: float


class Standing(Struct, frozen=True):
    """How a source stands, since it was first wanted."""

    name: str
    counts: Counts
    signs: Signs
    reading: Reading


class Supervised:
    """Callable from any thread; `start`, `mend` and `stop` exclude each other, nothing else waits for them."""

    def __init__(
        self, name: str, make: Callable[[], Source], *, spool: Spool, whose: Whose, critical: Critical
    ) -> None:
        self.name = name
        self.make = make
        self.source: Source | None = None
        self._spool = spool
        self._whose = whose
        self._critical = critical
        self._feed: int | None = None
        self._meter = Meter()
        self._before = Signs()
        self._trouble: Trouble | None = None
        self._unheard = ""
        self._told = ""
        self._since = 0.0
        self._failures = 0
        self._lives = 0
        self._ended = False
        self._changing = threading.Lock()

    # Lives

    def start(self, now: float) -> None:
        """Raises why it can't be, which `mend` then tries again."""
        with self._changing:
            if self.source is None:
                self._start(now)

    def needs_mending(self, now: float) -> bool:
        """Notes what broke since the last look."""
        source = self.source
        if source is not None and self._trouble is None and not self._ended:
            with suppress(Exception):  # one that breaks where it is asked may still capture: `tell` tells of it
                if why := source.fault:
                    self._break(source, why, now)
        return self._trouble is not None and now >= self._trouble.again and not self._changing.locked()

    def mend(self, now: float) -> None:
        """Start it, after its old self is stopped; nothing where that was done, or isn't wanted any more."""
        if not self._changing.acquire(blocking=False):
            return
        try:
            if self._trouble is not None and not self._ended:
                self._end_life()
                with suppress(Exception):
                    self._start(now)
        finally:
            self._changing.release()

    def stop(self, clock: Callable[[], int]) -> None:
        """What is just coming in is made durable and acknowledged first. For good."""
        self._ended = True
        with self._changing:
            up = self.source is not None and not self._why()
            self._end_life()
            self._trouble, self._unheard = None, ""
        with suppress(ArchiverError):  # the spool takes a feed without a sign of life for down, in time
            self._say(clock(), up=up)

    def _start(self, now: float) -> None:
        try:
            if self._feed is None:
                self._feed = self._spool.open_feed(self.name, "live").number
            source = self.make()
            critical = self._critical if source.blocking else None
            source.start(Taking(self.name, self._spool, self._feed, self._whose, critical, self._meter))
        except Exception as fault:
            self._fail(str(fault) or type(fault).__name__, now)
            self._note("source not started; trying again", fault)
            raise
        self.source, self._since, self._trouble, self._told = source, now, None, ""
        self._lives += 1
        log.info("capturing", source=self.name, where=source.describe(), restarts=self.restarts)

    @property
    def restarts(self) -> int:
        return max(0, self._lives - 1)

    def _fail(self, why: str, now: float) -> None:
        self._trouble = Trouble(why, now + PAUSES[min(self._failures, len(PAUSES) - 1)])
        self._failures += 1

    def _break(self, source: Source, why: str, now: float) -> None:
        with self._changing:
            if self._trouble is None and self.source is source:
                self._failures = 0 if now - self._since > STEADY else self._failures
                self._fail(why, now)
                log.error("source broke; starting it anew", source=self.name, why=why)

    def _end_life(self) -> None:
        source = self.source
        if source is None:
            return
        try:
            source.stop()
        except ArchiverError as fault:
            log.error("source not stopped", source=self.name, why=str(fault), hint=fault.hint)
        except Exception:
            log.exception("source not stopped", source=self.name)
        self._before, self.source = self._signs(), None

    # What is told

    def tell(self, now: int) -> None:
        """A sign of life for the spool, where it is up, and how it stands."""
        try:
            if self.source is not None and not self._trouble:
                _ = self.source.up, self.source.signs()
                self._told = ""
            self._unheard = ""
            self._say(now, up=self.source is not None and not self._why())
        except Exception as fault:
            self._unheard = str(fault) or type(fault).__name__
            self._note("source not heard", fault)

    def standing(self, now: int) -> Standing:
        signs = self._signs()
        return Standing(self.name, self._meter.counts(), signs, self._reading(now, signs))

    def _why(self) -> str:
        source = self.source
        if self._trouble is not None:
            return self._trouble.why
        if source is None:
            return "" if self._ended else "it is being started"
        return self._unheard or _asked(lambda: source.fault or ("" if source.up else BEHIND))

    def _signs(self) -> Signs:
        source = self.source
        with suppress(Exception):
            return together(self._before, source.signs()) if source is not None else self._before
        return self._before

    def _reading(self, now: int, signs: Signs) -> Reading:
        reading = self._meter.reading(now, sum(signs.refused.values()), signs.gaps)
        return replace(reading, fault=self._why(), restarts=self.restarts)

    def _say(self, now: int, *, up: bool) -> None:
        if self._feed is not None:
            self._spool.note_reading(self._feed, self._reading(now, self._signs()))
            if up:
                self._spool.contact(self._feed, now)

    def _note(self, what: str, fault: Exception) -> None:
        """What is no fault of a user or the machine is a bug, with its traceback."""
        if self._told != str(fault):
            known = isinstance(fault, ArchiverError)
            hint = fault.hint if isinstance(fault, ArchiverError) else ""
            log.error(what, source=self.name, why=str(fault), hint=hint, exc_info=None if known else fault)
        self._told = str(fault)


def together(one: Signs, other: Signs) -> Signs:
    gaps = [each.gaps for each in (one, other) if each.gaps is not None]
    return Signs(Counter(one.refused) + Counter(other.refused), sum(gaps) if gaps else None)


def _asked(question: Callable[[], str]) -> str:
    """The answer; of a source that breaks where it is asked, how."""
    try:
        return question()
    except Exception as fault:
        return str(fault) or type(fault).__name__
