"""Events that several backfills told: each belongs to the one that brought it, and then to who told it again.

Numbers of events are kept as ranges: what a run tells again mostly stands in a row. What is taken back, others say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from archiver.spool.database import Connections

Range = tuple[int, int]
"""The first and the last of some numbers."""

_TOLD = """INSERT INTO told_again (run, first, last) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET last = max(last, excluded.last)"""
_BROUGHT = "SELECT first, last FROM brought WHERE run = ? ORDER BY first"
_BRING = "INSERT INTO brought (run, first, last) VALUES (?, ?, ?)"
_ROOMS = """INSERT OR IGNORE INTO feed_place (feed, place, pending)
    SELECT (SELECT feed FROM backfill WHERE n = ?2), place, 0 FROM feed_place
    WHERE feed = (SELECT feed FROM backfill WHERE n = ?1)"""


def note(connection: sqlite3.Connection, run: int, numbers: Iterable[int]) -> None:
    """Within the transaction of a batch that told these again."""
    connection.executemany(_TOLD, [(run, *each) for each in merged((number, number) for number in numbers)])


def brought(connection: sqlite3.Connection, run: int) -> list[Range]:
    """What is only this run's."""
    own: list[Range] = connection.execute(_BROUGHT, (run,)).fetchall()
    for _, theirs in _told(connection, run):
        own = list(without(own, theirs))
    return own


def shared(connections: Connections, run: int) -> dict[int, int]:
    """By run, how many of the events that this one brought would be that one's."""
    with connections.reading() as connection:
        own: list[Range] = connection.execute(_BROUGHT, (run,)).fetchall()
        found = {}
        for other, theirs in _told(connection, run):
            both = list(common(own, theirs))
            own = list(without(own, both))
            found[other] = sum(last - first + 1 for first, last in both)
    return {other: count for other, count in found.items() if count}


def hand_over(connections: Connections, run: int) -> None:
    """What a run shares with others is theirs from now on, with its rooms; what it told again is so no more."""
    with connections.writing() as transaction:
        connection = transaction.connection
        connection.execute("DELETE FROM told_again WHERE run = ?", (run,))
        own: list[Range] = connection.execute(_BROUGHT, (run,)).fetchall()
        for other, theirs in _told(connection, run):
            if both := list(common(own, theirs)):
                own = list(without(own, both))
                connection.execute("DELETE FROM brought WHERE run = ?", (run,))
                connection.executemany(_BRING, [(run, *each) for each in own])
                connection.executemany(_BRING, [(other, *each) for each in both])
                connection.execute(_ROOMS, (run, other))


def _told(connection: sqlite3.Connection, run: int) -> Iterator[tuple[int, list[Range]]]:
    """What each of the other runs told again, the first run first."""
    others = connection.execute("SELECT DISTINCT run FROM told_again WHERE run <> ? ORDER BY run", (run,)).fetchall()
    for (other,) in others:
        rows = connection.execute("SELECT first, last FROM told_again WHERE run = ? ORDER BY first", (other,))
        yield other, merged(rows.fetchall())


# --- ranges: in order, none touching another ---------------------------------------------------------------------


def merged(ranges: Iterable[Range]) -> list[Range]:
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def common(some: Sequence[Range], others: Sequence[Range]) -> Iterator[Range]:
    at = 0
    for first, last in some:
        while at < len(others) and others[at][1] < first:
            at += 1
        for i in range(at, len(others)):
            if others[i][0] > last:
                break
            yield max(first, others[i][0]), min(last, others[i][1])


def without(some: Sequence[Range], others: Sequence[Range]) -> Iterator[Range]:
    both = list(common(some, others))
    at = 0
    for first, last in some:
        while at < len(both) and both[at][0] <= last:
            if first < both[at][0]:
                yield first, both[at][0] - 1
            first, at = both[at][1] + 1, at + 1
        if first <= last:
            yield first, last
