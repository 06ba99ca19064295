"""What live capture waits for: small appends, twenty a second, while a backfill runs at full speed beside it.

An append's time counts from the moment it was due, so that a slow one also counts for those that waited behind it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from archiver.assembly import open_spool
from archiver.config import load
from archiver.events import Captured, capture
from archiver.exceptions import TryLater
from archiver.spool import Spool
from bench import child, corpus
from bench.measure import Bench, Figure, at_most, percentile, plain

AIM = 250
_A_SECOND = 20
_BATCH = 5
_MOST = 500_000
"""Events of the backfill beside: more would only repeat what is seen."""


class Appends(Struct):
    """Live appends: when each was due (wall clock) and how many milliseconds it took; how many were refused."""

    taken: list[tuple[float, float]] = []
    refused: int = 0

    def between(self, start: float, end: float) -> list[float]:
        return [took for due, took in self.taken if start <= due < end]


def run(bench: Bench) -> Iterator[Figure]:
    data, events = bench.fresh("live"), min(bench.sizes.events, _MOST)
    bench.say(f"live: writing {events:,} events for the backfill")
    path = corpus.write(bench.fresh("live-export") / "export.ndjson", events, "random")
    alone, beside = Appends(), Appends()
    with open_spool(load(), data) as spool, spool.hold("daemon", "bench: live capture"):
        feed = spool.open_feed("live:bench", "live").number
        source = _Source()
        bench.say("live: alone")
        _append(spool, feed, source, alone, until=time.monotonic() + bench.sizes.quiet_seconds)
        yield plain("live.alone", "live appends, 99th percentile", percentile([ms for _, ms in alone.taken], 99), "ms")
        bench.say("live: beside a backfill")
        process = child.start(data, "events", path)
        _append(spool, feed, source, beside, beside_of=process)
        done = child.ended(process)
    yield from _figures(beside, done, events)


class _Source:
    """Live messages, each stamped with the time it is asked for."""

    def __init__(self) -> None:
        self._lines = corpus.lines(10_000_000, "random", source="xmpp:live.example.org", seed=13)

    def batch(self) -> list[Captured]:
        now = time.time_ns() // 1_000
        return [capture(line.rstrip(), received=now) for line in islice(self._lines, _BATCH)]


def _append(
    spool: Spool,
    feed: int,
    source: _Source,
    appends: Appends,
    *,
    until: float = float("inf"),
    beside_of: subprocess.Popen[bytes] | None = None,
) -> None:
    due = time.monotonic()
    clock = time.time() - due
    while due < until and (beside_of is None or beside_of.poll() is None):
        batch = source.batch()
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            spool.append(batch, feed, live=True)
            appends.taken.append((clock + due, (time.monotonic() - due) * 1_000))
        except TryLater:
            appends.refused += 1
        due += 1 / _A_SECOND


def _figures(beside: Appends, done: child.Done, events: int) -> list[Figure]:
    took = beside.between(done.began, float("inf"))
    reading, filing = beside.between(done.began, done.filing_from), beside.between(done.filing_from, float("inf"))
    facts = {
        "appends": len(took),
        "events_an_append": _BATCH,
        "median_ms": round(percentile(took, 50), 1),
        "worst_ms": round(max(took), 1),
        "p99_while_reading_ms": round(percentile(reading, 99), 1) if reading else None,
        "p99_while_filing_ms": round(percentile(filing, 99), 1) if filing else None,
        "backfill_messages_a_second": round(events / done.seconds),
    }
    return [
        at_most(
            AIM, "live.p99", "live appends beside a backfill, 99th percentile", percentile(took, 99), "ms", facts=facts
        ),
        at_most(0, "live.refused", "live appends answered with try later", beside.refused, "appends"),
    ]
