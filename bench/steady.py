"""Whether a daemon's memory stays flat: a steady stream comes in over HTTP, and is filed as conversations end.

Its whole process tree is looked at every few seconds. In the first third caches fill: the median of the minute after
it stands against the last minute's, and the slope is a line through all from there on.
"""

from __future__ import annotations

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
    with daemon(folder, FILING) as running, machine.Watch(running.pid, min(_EVERY, seconds / 20)) as watch:
        sent = stream(running, seconds)
    with Spool.open(folder / "data", readonly=True) as spool:
        totals = spool.totals()
    facts = {
        "seconds": seconds,
        "samples": watch.samples,
        "items_filed": totals.filed,
        "places_with_work_at_the_end": totals.waiting,
        "p99_ms": round(percentile(sent.took, 99), 1),
        "not_taken": sent.failed,
        "most_mib": round(watch.peak / _MIB),
    }
    yield from _figures([(at, size / _MIB) for at, size in watch.taken], seconds, facts)


def _figures(taken: list[tuple[float, float]], seconds: float, facts: dict[str, object]) -> Iterator[Figure]:
    def between(start: float, end: float) -> list[tuple[float, float]]:
        return [(at, mib) for at, mib in taken if start <= at <= end]

    minute, warm = min(60.0, seconds / 3), seconds / 3
    starts = {"first": 0.0, "warm": warm, "last": seconds - minute}
    medians = {name: median(mib for _, mib in between(at, at + minute)) for name, at in starts.items()}
    late = between(warm, seconds)
    slope = 60 * linear_regression([at for at, _ in late], [mib for _, mib in late]).slope
    facts |= {f"{name}_minute_mib": round(mib, 1) for name, mib in medians.items()}
    growth, grown = medians["last"] - medians["warm"], "what the daemon grew by once its caches were full"
    steep = "its slope after the first third"
    if seconds < LONG:
        yield plain("steady.growth", "what the daemon grew by", growth, "MiB", facts=facts)
        yield plain("steady.slope", steep, slope, "MiB/min")
    else:
        yield at_most(GROWTH, "steady.growth", grown, growth, "MiB", facts=facts)
        yield at_most(SLOPE, "steady.slope", steep, slope, "MiB/min")
