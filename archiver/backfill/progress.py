"""How far a backfill is, how fast it goes, and how long it will still take. Pure: the clock is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct

from archiver.filing.workers import Lot

SPAN = 60.0
"""Seconds that count for a forecast: one busy room doesn't swing it, and it follows a larger change."""
_APART = 0.5
_ENOUGH = 2.0
"""Seconds after which there is something to go by."""


class Stage(StrEnum):
    LOOKING = "looking through"
    """A document is compared with what was read before, or read for the first of two times: nothing comes of it yet."""
    READING = "reading"
    FILING = "filing"


class Progress(Struct, frozen=True):
    """`done` of `total`, in bytes of documents as they lie there while it looks and reads, in events while it files; a
    total of 0 isn't known. What took no time, as it was read before, is `passed`. `events` are those read, or filed."""

    stage: Stage
    done: int
    total: int = 0
    passed: int = 0
    events: int = 0
    position: str = ""


Show = Callable[[Progress], None]


class Course:
    """How far the reading is, by the lots that come of it. `sizes` are the bytes that are to be read at each place."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._total = sum(sizes.values())
        self._done = self._passed = self._events = 0

    def note(self, lot: Lot) -> Progress:
        passage, size = lot.passage, self._sizes.get(lot.passage.place, 0)
        self._events += len(lot.pieces)
        if lot.beat and not passage.count:
            return Progress(Stage.LOOKING, passage.seen, events=self._events, position=passage.place)
        if lot.ended:
            self._done += size
            self._passed += size if passage.whole else 0
        seen = 0 if lot.ended else min(passage.seen, size)
        done = min(self._done + seen, self._total)
        return Progress(Stage.READING, done, self._total, self._passed, self._events, passage.place)


class Forecast:
    """By what was done of late: told of each step, in seconds of a clock that only goes on."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._steps: deque[tuple[float, int, int]] = deque()
        self._left = 0

    def note(self, now: float, progress: Progress) -> None:
        """What is only looked through takes time of the reading, and says nothing of how far that is."""
        if progress.stage is Stage.LOOKING:
            return
        if progress.stage is not self._stage:
            self._stage = progress.stage
            self._steps.clear()
        step = now, progress.done - progress.passed, progress.events
        if len(self._steps) > 1 and now - self._steps[-2][0] < _APART:
            self._steps[-1] = step
        else:
            self._steps.append(step)
        while len(self._steps) > 2 and now - self._steps[1][0] >= SPAN:
            self._steps.popleft()
        self._left = max(0, progress.total - progress.done)

    @property
    def rate(self) -> float | None:
        """Events a second; None while there is too little to go by."""
        return None if self._taken < _ENOUGH else (self._steps[-1][2] - self._steps[0][2]) / self._taken

    @property
    def left(self) -> float | None:
        """Seconds; None while there is too little to go by, or nothing moves."""
        done = self._steps[-1][1] - self._steps[0][1] if self._steps else 0
        return None if self._taken < _ENOUGH or done <= 0 else self._left * self._taken / done

    @property
    def _taken(self) -> float:
        return self._steps[-1][0] - self._steps[0][0] if self._steps else 0.0
