"""The whole in numbers, for pictures: conversations a day, busiest rooms, how long filing took, what waits.

Read a stretch of places at a time, so that no reading lasts; a conversation counts once, whatever versions it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from archiver.events import SECOND
from archiver.spool.database import Connections
from archiver.spool.records import Figures, RoomFigure, WaitingFigure

_DAY = 86_400 * SECOND
_PLACES = 2_000
"""Read at a time."""

BOUNDS = tuple(seconds * SECOND for seconds in (60, 180, 300, 900, 3_600, 6 * 3_600, 86_400))
"""Of the classes of latency and of age, in microseconds: up to each of them, and one class beyond the last."""

_FILED = """
SELECT place, started, ended, min(filed_at) FROM filing
    WHERE place > ?1 AND place <= ?2 AND filed_at IS NOT NULL AND empty = 0 GROUP BY place, started, part
"""
_WAITING = """
SELECT source.name, due_at FROM place JOIN source ON source.n = place.source WHERE due_at IS NOT NULL AND due_at <= ?
"""


def figures(connections: Connections, now: int, rooms: int) -> Figures:
    """`rooms` are so many at most."""
    days: Counter[int] = Counter()
    places: Counter[int] = Counter()
    latencies = [0] * (len(BOUNDS) + 1)
    for place, started, ended, filed in _filed(connections):
        days[started // _DAY] += 1
        places[place] += 1
        latencies[bisect_left(BOUNDS, filed - ended)] += 1
    return Figures(
        days=tuple(sorted(days.items())),
        rooms=_rooms(connections, places, rooms),
        latencies=tuple(latencies),
        waiting=_waiting(connections, now),
    )


def _filed(connections: Connections) -> Iterator[tuple[int, int, int, int]]:
    with connections.reading() as connection:
        (last,) = connection.execute("SELECT ifnull(max(n), 0) FROM place").fetchone()
    for after in range(0, last, _PLACES):
        with connections.reading() as connection:
            rows = connection.execute(_FILED, (after, after + _PLACES)).fetchall()
        yield from rows


def _rooms(connections: Connections, places: Counter[int], most: int) -> tuple[RoomFigure, ...]:
    """One-to-ones are no rooms."""
    found: list[RoomFigure] = []
    with connections.reading() as connection:
        for place, count in places.most_common():
            if len(found) == most:
                break
            source, conversation, kind = connection.execute(
                """SELECT source.name, conversation, kind FROM place JOIN source ON source.n = place.source
                WHERE place.n = ?""",
                (place,),
            ).fetchone()
            if kind != "im":
                found.append(RoomFigure(source, conversation, kind, count))
    return tuple(found)


def _waiting(connections: Connections, now: int) -> tuple[WaitingFigure, ...]:
    """What could be filed by now and is not, by source."""
    found: dict[str, list[int]] = {}
    with connections.reading() as connection:
        for source, due in connection.execute(_WAITING, (now,)):
            found.setdefault(source, []).append(now - due)
    return tuple(WaitingFigure(source, len(ages), max(ages)) for source, ages in sorted(found.items()))
