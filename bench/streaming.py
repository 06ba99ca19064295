"""A steady stream of events over HTTP, as a busy system's gateway sends it: shared by the parts that watch one.

Its events happen now. A request's time counts from the moment it was due, so that a slow one also counts for those
behind it.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from itertools import islice

from msgspec import Struct

from bench import corpus
from bench.serving import Daemon, Poster, share

A_SECOND = 2_000
_AT_ONCE = 20
"""Events a second, and in each request."""
PLACES = 5_000
"""Rooms and pairs of a company of a thousand: each is talked in again after a minute or so."""
_CLIENTS = 8
_FEWEST = 30


class Sent(Struct):
    """Milliseconds of each request, and how many were not taken."""

    took: list[float]
    failed: int


def stream(running: Daemon, seconds: float) -> Sent:
    """Each request is made shortly before it is due: ten minutes of them take half a gigabyte."""
    requests = max(_FEWEST, int(seconds * A_SECOND / _AT_ONCE))
    lines = corpus.lines(requests * _AT_ONCE, "random", seed=17, places=PLACES)
    start, lock = time.monotonic() + 0.2, threading.Lock()
    numbers = iter(range(requests))

    def post(client: Poster, _: int) -> tuple[float, int]:
        with lock:
            number, body = next(numbers), b"".join(islice(lines, _AT_ONCE))
        due = start + number * _AT_ONCE / A_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        status = client.post(_happening_now(body))
        return (time.monotonic() - due) * 1_000, status

    results = share(range(requests), _CLIENTS, lambda: Poster(running.http), post)
    return Sent([ms for ms, _ in results], sum(status != 200 for _, status in results))


def _happening_now(body: bytes) -> bytes:
    """The made-up talk is of 2011; only the date and time are put anew, which the client does in no time."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()
    parts = body.split(b'"time": "')
    return parts[0] + b"".join(b'"time": "' + now + each[len(now) :] for each in parts[1:])
