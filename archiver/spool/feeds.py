"""Feeds: live sources and import runs, and what closing one makes due. Holds no watermark rule (see `watermark`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from archiver.exceptions import UsageError
from archiver.spool.database import Connections
from archiver.spool.records import Feed, Reading

_FEED = """n, name, kind, state, partial, opened, contact, closed, owner, path,
    accepted, duplicates, conflicts, quarantined, cleaned"""
_OPEN = f"""INSERT INTO feed (name, kind, state, partial, opened, owner, path) VALUES (?1, ?2, 'open', ?3, ?4, ?5, ?6)
    ON CONFLICT (name) DO UPDATE SET state = 'open', partial = max(partial, ?3), opened = ?4, closed = NULL,
    owner = ?5, path = ?6, accepted = 0, duplicates = 0, conflicts = 0, quarantined = 0, cleaned = 0
    WHERE kind = ?2 RETURNING {_FEED}"""  # noqa: S608
_PLACES_AT_ONCE = 2_000
_SETTLE = """UPDATE place SET due_at = min(ifnull(due_at, ?1), ?1) WHERE parked_at IS NULL AND n IN
    (SELECT place FROM feed_place WHERE feed = ?2 AND pending = 1 AND place <= ?3)"""


def feed_from_row(row: Sequence[Any]) -> Feed:
    number, name, kind, state, partial, *rest = row
    return Feed(number, name, kind, state, bool(partial), *rest)


def open_feed(
    connections: Connections,
    name: str,
    kind: Literal["live", "import"],
    now: int,
    *,
    partial: bool,
    owner: str | None,
    path: str | None,
) -> Feed:
    with connections.writing() as transaction:
        row = transaction.connection.execute(_OPEN, (name, kind, partial, now, owner, path)).fetchone()
    if row is None:
        raise UsageError(f"there is a feed {name!r} of another kind than {kind}", feed=name)
    return feed_from_row(row)


def contact(connections: Connections, feed: int, now: int) -> None:
    with connections.writing(live=True) as transaction:
        transaction.connection.execute(
            "UPDATE feed SET contact = max(ifnull(contact, 0), ?), state = 'open', closed = NULL WHERE n = ?",
            (now, feed),
        )


def note_reading(connections: Connections, feed: int, reading: Reading) -> None:
    values = (feed, *msgspec.structs.astuple(reading))
    with connections.writing(live=True) as transaction:
        transaction.connection.execute("INSERT OR REPLACE INTO reading VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def readings(connections: Connections) -> dict[int, Reading]:
    with connections.reading() as connection:
        rows = connection.execute("SELECT feed, heard, lag, rate, gaps, refused, at, fault, restarts FROM reading")
        return {feed: Reading(*row) for feed, *row in rows}


def close_feed(connections: Connections, feed: int, now: int) -> None:
    # Closed first: a place that is due while its import is open would be claimed in vain and forgotten. What a crash
    # leaves unsettled is found by `settle_closed` at the next start.
    with connections.writing() as transaction:
        transaction.connection.execute(
            "UPDATE feed SET state = 'closed', closed = ?, owner = NULL WHERE n = ? AND state = 'open'", (now, feed)
        )
    _settle(connections, feed, now)


def settle_closed(connections: Connections, now: int) -> int:
    with connections.reading() as connection:
        found = connection.execute(
            """SELECT n FROM feed WHERE state = 'closed'
            AND EXISTS (SELECT 1 FROM feed_place WHERE feed = feed.n AND pending = 1)"""
        ).fetchall()
    for (feed,) in found:
        _settle(connections, feed, now)
    return len(found)


def _settle(connections: Connections, feed: int, now: int) -> None:
    """Make due what the feed touched, in short transactions."""
    while True:
        with connections.writing() as transaction:
            connection = transaction.connection
            (upto,) = connection.execute(
                """SELECT max(place) FROM
                (SELECT place FROM feed_place WHERE feed = ? AND pending = 1 ORDER BY place LIMIT ?)""",
                (feed, _PLACES_AT_ONCE),
            ).fetchone()
            if upto is None:
                return
            connection.execute(_SETTLE, (now, feed, upto))
            connection.execute(
                "UPDATE feed_place SET pending = 0 WHERE feed = ? AND pending = 1 AND place <= ?", (feed, upto)
            )


def feeds(connections: Connections, *, only_open: bool) -> list[Feed]:
    where = "WHERE state = 'open'" if only_open else ""
    with connections.reading() as connection:
        return [feed_from_row(row) for row in connection.execute(f"SELECT {_FEED} FROM feed {where} ORDER BY n")]  # noqa: S608


def feeds_of(connections: Connections, place: int) -> tuple[list[Feed], Feed | None]:
    """The open imports that gave a place events, and the live feed of its source."""
    with connections.reading() as connection:
        imports = connection.execute(
            f"""SELECT {_FEED} FROM feed WHERE kind = 'import' AND state = 'open'
            AND EXISTS (SELECT 1 FROM feed_place WHERE feed = feed.n AND place = ?)""",  # noqa: S608
            (place,),
        ).fetchall()
        live = _live_feed(connection, place)
    return [feed_from_row(row) for row in imports], live


def _live_feed(connection: sqlite3.Connection, place: int) -> Feed | None:
    row = connection.execute(
        f"""SELECT {_FEED} FROM feed WHERE n =
        (SELECT live FROM source WHERE n = (SELECT source FROM place WHERE n = ?))""",  # noqa: S608
        (place,),
    ).fetchone()
    return None if row is None else feed_from_row(row)
