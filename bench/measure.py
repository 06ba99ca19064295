"""Figures, and how they are taken: interleaved, each from a settled disk, into folders nothing was in before.

Holds no knowledge of what is measured.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct, structs

ROOT = Path(__file__).resolve().parent.parent


class Sizes(Struct, frozen=True):
    """How much of everything: all follows from the number of events in the large backfill."""

    events: int
    ten: bool = False
    minutes: float = 0.0
    """How long memory is watched; 0: as the number of events has it."""

    @property
    def spooled(self) -> int:
        return min(self.events, 200_000)

    @property
    def batch(self) -> int:
        """Events in one transaction: about what a backfill's pace settles at."""
        return min(5_000, max(1, self.events // 4))

    @property
    def conversations(self) -> int:
        """Filed in one sample."""
        return min(1_000, max(2, self.events // 125))

    @property
    def messages_of_peers(self) -> int:
        """The slow ones get fewer: their rate doesn't change with the number."""
        return min(600, max(3, self.events // 50))

    @property
    def listed(self) -> int:
        """Items of the mailbox whose first screen is waited for."""
        return min(100_000, max(100, self.events * 2))

    @property
    def verified(self) -> int:
        """Events whose items are checked."""
        return min(50_000, self.events)

    @property
    def mailboxes(self) -> int:
        """Whose deliveries are decided."""
        return min(100_000, max(100, self.events * 2))

    @property
    def purged(self) -> int:
        """Items taken out."""
        return min(100_000, max(400, self.events))

    @property
    def policies(self) -> int:
        """People with a policy of their own."""
        return self.mailboxes // 100

    @property
    def room(self) -> tuple[int, int]:
        """Messages and people of the synthetic busy day."""
        return (5_000, 300) if self.events >= 50_000 else (max(20, self.events // 20), 12)

    @property
    def rounds(self) -> int:
        if self.events < 10_000:
            return 1
        return 5 if self.events >= 1_000_000 else 3

    @property
    def quiet_seconds(self) -> float:
        """How long live capture is watched alone."""
        return 5.0 if self.events >= 10_000 else 0.2

    @property
    def stream_seconds(self) -> float:
        """How long a steady stream is watched."""
        if self.events < 10_000:
            return 1.0
        return 120.0 if self.events >= 1_000_000 else 30.0

    @property
    def steady_seconds(self) -> float:
        """How long memory is watched under a steady stream."""
        return self.minutes * 60 if self.minutes else max(1.0, min(600.0, self.events / 1_000))


class Figure(Struct, frozen=True, omit_defaults=True):
    """One result beside its aim. `samples` are what the median was taken of, `facts` what helps to read it."""

    name: str
    what: str
    value: float
    unit: str
    aim: str | None = None
    met: bool | None = None
    samples: list[float] = []
    facts: dict[str, Any] = {}


class Bench(Struct):
    """One run: where it works, how much, what it may leave out; `notes` and `missing` end up in the report."""

    work: Path
    sizes: Sizes
    without: frozenset[str] = frozenset()
    notes: list[str] = []
    missing: list[str] = []
    _fresh: int = 0
    _started: float = time.monotonic()

    def fresh(self, name: str) -> Path:
        """A folder that never was: where many files were just deleted, ext4 makes new ones ten times slower."""
        self._fresh += 1
        path = self.work / f"{self._fresh:03}-{name}"
        path.mkdir(parents=True)
        return path

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:7.1f} s  {text}", file=sys.stderr, flush=True)


def at_least(least: float, name: str, what: str, value: float, unit: str, **more: Any) -> Figure:
    return structs.replace(plain(name, what, value, unit, **more), aim=f">= {least:,}", met=value >= least)


def at_most(most: float, name: str, what: str, value: float, unit: str, **more: Any) -> Figure:
    return structs.replace(plain(name, what, value, unit, **more), aim=f"<= {most:,}", met=value <= most)


def plain(name: str, what: str, value: float, unit: str, **more: Any) -> Figure:
    """A figure that has no aim."""
    more["samples"] = [rounded(each) for each in more.get("samples", ())]
    return Figure(name, what, rounded(value), unit, **more)


def ratio(
    name: str, what: str, ours: Sequence[float], theirs: Sequence[float], least: float | None, **facts: Any
) -> Figure:
    """The median of the rounds' ratios: each compares two neighbours in time."""
    samples = [rounded(a / b) for a, b in zip(ours, theirs, strict=True)]
    facts = {"ours": rounded(median(ours)), "theirs": rounded(median(theirs)), **facts}
    if least is None:
        return plain(name, what, median(samples), "times", samples=samples, facts=facts)
    return at_least(least, name, what, median(samples), "times", samples=samples, facts=facts)


def rounded(value: float) -> float:
    """Three or four figures: more would claim what no such measurement knows."""
    return round(value) if value >= 1_000 else float(f"{value:.3g}")


def rate(count: int, do: Callable[[], object]) -> float:
    """How many a second, from a disk with nothing left to write; `do` has to end with its own sync."""
    os.sync()
    started = time.perf_counter()
    do()
    return count / (time.perf_counter() - started)


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: a value that was seen, never one in between."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]
