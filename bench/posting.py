"""Events over HTTP into a running daemon: batches against the bare spool, and how long a steady stream waits.

The stream's events happen now, so that the daemon has nothing to file meanwhile that would be due in production
either. A request's time counts from the moment it was due, so that a slow one also counts for those behind it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from msgspec import Struct

from archiver.events import Captured, capture
from archiver.spool import Spool
from bench import corpus
from bench.measure import Bench, Figure, at_most, percentile, plain, ratio
from bench.serving import Daemon, Poster, daemon, share

RATIO = 0.4
P99 = 100
GROWTH = 16
WARM = 120
"""Seconds of the stream after whose third the daemon's caches are full."""
_CLIENTS = 4
_REQUEST = 1_000
"""Events in a request of a gateway that has a backlog."""
_STREAM = 2_000
_AT_ONCE = 20
"""Events a second of the stream, and in each of its requests."""
_STREAM_CLIENTS = 8


class Sent(Struct):
    """Milliseconds of each request of the stream; how many were not taken; MiB of the daemon before and after."""

    took: list[float]
    failed: int
    before: float
    after: float


def run(bench: Bench) -> Iterator[Figure]:
    yield _batches(bench)
    seconds = bench.sizes.stream_seconds
    bench.say(f"http: {_STREAM:,} events a second for {seconds} s")
    with daemon(bench.fresh("http-stream")) as running:
        sent = _stream(running, seconds)
    facts = {
        "events_a_second": _STREAM,
        "requests": len(sent.took),
        "median_ms": round(percentile(sent.took, 50), 1),
        "worst_ms": round(max(sent.took), 1),
    }
    name = "from a request to its reply at 2,000 events/s, 99th percentile"
    yield at_most(P99, "http.p99", name, percentile(sent.took, 99), "ms", facts=facts)
    yield at_most(0, "http.refused", "requests of the stream that were not taken", sent.failed, "requests")
    grown = {"before_mib": round(sent.before), "after_mib": round(sent.after), "seconds": seconds}
    growth = max(0.0, sent.after - sent.before)
    if seconds < WARM:
        yield plain("http.memory", "what the daemon grew by while its caches filled", growth, "MiB", facts=grown)
    else:
        yield at_most(GROWTH, "http.memory", "what the daemon grew by", growth, "MiB", facts=grown)


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


def _stream(running: Daemon, seconds: float) -> Sent:
    """What comes in the first third warms up caches that are to stay."""
    requests = max(30, int(seconds * _STREAM / _AT_ONCE))
    made = corpus.lines(requests * _AT_ONCE, "random", seed=17)
    bodies = [b"".join(islice(made, _AT_ONCE)) for _ in range(requests)]
    start = time.monotonic() + 0.2
    memory: list[float] = []

    def post(client: Poster, number: int) -> tuple[float, int]:
        due = start + number * _AT_ONCE / _STREAM
        time.sleep(max(0.0, due - time.monotonic()))
        if number == requests // 3:
            memory.append(running.memory)
        status = client.post(_happening_now(bodies[number]))
        return (time.monotonic() - due) * 1_000, status

    results = share(range(requests), _STREAM_CLIENTS, lambda: Poster(running.http), post)
    return Sent([ms for ms, _ in results], sum(s != 200 for _, s in results), memory[0], running.memory)


def _happening_now(body: bytes) -> bytes:
    """The made-up talk is of 2011; only the date and time are put anew, which the client does in no time."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()
    parts = body.split(b'"time": "')
    return parts[0] + b"".join(b'"time": "' + now + each[len(now) :] for each in parts[1:])
