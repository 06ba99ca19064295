"""Events over HTTP into a running daemon: batches against the bare spool, and how long a steady stream waits.

A conversation's end is minutes away, so the daemon has nothing to file meanwhile: `steady` is the part where it does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from archiver.events import Captured, capture
from archiver.spool import Spool
from bench import corpus
from bench.measure import Bench, Figure, at_most, percentile, ratio
from bench.serving import Poster, daemon, share
from bench.streaming import A_SECOND, stream

RATIO = 0.4
P99 = 100
_CLIENTS = 4
_REQUEST = 1_000
"""Events in a request of a gateway that has a backlog."""


def run(bench: Bench) -> Iterator[Figure]:
    yield _batches(bench)
    seconds = bench.sizes.stream_seconds
    bench.say(f"http: {A_SECOND:,} events a second for {seconds} s")
    with daemon(bench.fresh("http-stream")) as running:
        sent = stream(running, seconds)
    facts = {
        "events_a_second": A_SECOND,
        "requests": len(sent.took),
        "median_ms": round(percentile(sent.took, 50), 1),
        "worst_ms": round(max(sent.took), 1),
    }
    name = "from a request to its reply at 2,000 events/s, 99th percentile"
    yield at_most(P99, "http.p99", name, percentile(sent.took, 99), "ms", facts=facts)
    yield at_most(0, "http.refused", "requests of the stream that were not taken", sent.failed, "requests")


def _batches(bench: Bench) -> Figure:
    events = min(bench.sizes.spooled, 100_000)
    lines = list(corpus.lines(events, "random"))
    bodies = [b"".join(lines[start : start + _REQUEST]) for start in range(0, events, _REQUEST)]
    now = time.time_ns() // 1_000
    captured = [capture(line.rstrip(), received=now) for line in lines]
    ours, theirs = [], []
    for number in range(bench.sizes.rounds):
        bench.say(f"http: {events:,} events in requests of {_REQUEST:,}, round {number + 1} of {bench.sizes.rounds}")
        with daemon(bench.fresh("http")) as running:
            began = time.perf_counter()
            statuses = share(bodies, _CLIENTS, lambda: Poster(running.http), Poster.post)
            ours.append(events / (time.perf_counter() - began))
        if set(statuses) != {200}:
            raise RuntimeError(f"the daemon answered {sorted(set(statuses))}")
        theirs.append(events / _bare(bench, captured))
    facts = {"events": events, "request": _REQUEST, "clients": _CLIENTS, "unit": "events/s"}
    return ratio("http.batches", "batches over HTTP against Spool.append alone", ours, theirs, RATIO, **facts)


def _bare(bench: Bench, captured: list[Captured]) -> float:
    with Spool.open(bench.fresh("bare")) as spool:
        feed = spool.open_feed("bench", "live").number
        began = time.perf_counter()
        for start in range(0, len(captured), _REQUEST):
            spool.append(captured[start : start + _REQUEST], feed, live=True)
        return time.perf_counter() - began
