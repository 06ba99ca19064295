"""What one source gave, counted as it comes, for metrics and for `status`. Judges nothing."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence

from msgspec import Struct

from archiver.events import SECOND, Captured, Outcome, Rejected
from archiver.spool.records import Reading

WINDOW = 60
"""Seconds that a rate looks back."""
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds of an append, as a histogram's upper bounds."""


class Counts(Struct, frozen=True):
    """Since a source's start: `took` are appends by how long they took, each under the first of `BOUNDS` that it fits
    below, or last; `seconds` is what they took together."""

    outcomes: Mapping[Outcome, int]
    took: tuple[int, ...]
    seconds: float


class Meter:
    """Of one source since its start. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: deque[tuple[int, int]] = deque()
        self._heard: int | None = None
        self._lag: int | None = None
        self._outcomes: Counter[Outcome] = Counter()
        self._took = [0] * (len(BOUNDS) + 1)
        self._seconds_together = 0.0

    def note(self, batch: Sequence[Captured | Rejected], outcomes: Sequence[Outcome], now: int, took: float) -> None:
        with self._lock:
            self._outcomes.update(outcomes)
            self._count(now // SECOND, len(batch))
            self._heard = now
            last = next((piece for piece in reversed(batch) if isinstance(piece, Captured)), None)
            if last is not None:
                self._lag = max(0, now - last.time)
            self._took[bisect_left(BOUNDS, took)] += 1
            self._seconds_together += took

    def counts(self) -> Counts:
        with self._lock:
            return Counts(dict(self._outcomes), tuple(self._took), self._seconds_together)

    def reading(self, now: int, refused: int, gaps: int | None) -> Reading:
        """How it stands; `refused` and `gaps` are what the source says of itself."""
        with self._lock:
            self._forget(now // SECOND)
            rate = sum(count for _, count in self._seconds) / WINDOW
            return Reading(self._heard, self._lag, rate, gaps, refused, now)

    def _count(self, second: int, count: int) -> None:
        if self._seconds and self._seconds[-1][0] >= second:  # a clock that jumped back counts on where it was
            second, before = self._seconds.pop()
            count += before
        self._seconds.append((second, count))
        self._forget(second)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - WINDOW:
            self._seconds.popleft()
