"""Whether a daemon's memory stays flat: a steady stream comes in over HTTP, and is filed as conversations end.

Its whole process tree is looked at every few seconds. The first minute's median stands against the last minute's; the
slope is a line through all but the first third, in which caches fill.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from statistics import linear_regression, median

from archiver.spool import Spool
from bench import machine
from bench.measure import Bench, Figure, at_most, percentile, plain
from bench.serving import daemon
from bench.streaming import A_SECOND, stream

GROWTH = 16
SLOPE = 1.0
LONG = 300
"""Seconds from which on memory says something; before, caches fill."""
FILING = """
[conversations]
idle = "5s"
lateness = "1s"
[schedule]
every = "2s"
"""
_MIB = 1024 * 1024
_EVERY = 3.0


def run(bench: Bench) -> Iterator[Figure]:
    seconds = bench.sizes.steady_seconds
    folder = bench.fresh("steady")
    bench.say(f"steady: {A_SECOND:,} events a second for {seconds} s, filed meanwhile")
    with daemon(folder, FILING) as running, Samples(running.pid, min(_EVERY, seconds / 20)) as samples:
        sent = stream(running, seconds)
    with Spool.open(folder / "data", readonly=True) as spool:
        totals = spool.totals()
    facts = {
        "seconds": seconds,
        "samples": len(samples.taken),
        "items_filed": totals.filed,
        "places_with_work_at_the_end": totals.waiting,
        "p99_ms": round(percentile(sent.took, 99), 1),
        "not_taken": sent.failed,
        "most_mib": round(max(mib for _, mib in samples.taken)),
    }
    yield from _figures(samples, seconds, facts)


class Samples:
    """A process tree's memory (PSS, MiB), with the seconds since the first look."""

    def __init__(self, pid: int, every: float) -> None:
        self.taken: list[tuple[float, float]] = []
        self._pid = pid
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Samples:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def between(self, start: float, end: float) -> list[tuple[float, float]]:
        return [(at, mib) for at, mib in self.taken if start <= at <= end]

    def _look(self) -> None:
        began = time.monotonic()
        while not self._over.wait(self._every):
            mib = sum(map(machine.proportional, machine.tree(self._pid))) / _MIB
            self.taken.append((time.monotonic() - began, mib))


def _figures(samples: Samples, seconds: float, facts: dict[str, object]) -> Iterator[Figure]:
    minute = min(60.0, seconds / 3)
    first = median(mib for _, mib in samples.between(0, minute))
    last = median(mib for _, mib in samples.between(seconds - minute, seconds))
    late = samples.between(seconds / 3, seconds)
    slope = 60 * linear_regression([at for at, _ in late], [mib for _, mib in late]).slope
    facts |= {"first_minute_mib": round(first, 1), "last_minute_mib": round(last, 1)}
    grown = "what the daemon grew by from the first minute to the last"
    steep = "its slope after the first third"
    if seconds < LONG:
        yield plain("steady.growth", f"{grown}, while its caches filled", last - first, "MiB", facts=facts)
        yield plain("steady.slope", steep, slope, "MiB/min")
    else:
        yield at_most(GROWTH, "steady.growth", grown, last - first, "MiB", facts=facts)
        yield at_most(SLOPE, "steady.slope", steep, slope, "MiB/min")
