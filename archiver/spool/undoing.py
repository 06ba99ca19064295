"""Taking back what a backfill brought: its events, what they are known by, and what the journal has of them.

Place by place, each in one transaction; begun again, it finds what is left. Holds no rule of which items go and no
folder: that is passed in. Archived versions stay on record, and so does what owners took away.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from archiver.exceptions import UsageError
from archiver.spool import sharing
from archiver.spool.database import Connections
from archiver.spool.journal import Tally, filing_from_row, known
from archiver.spool.kept import WAKE
from archiver.spool.packing import unpack_numbers
from archiver.spool.records import Room
from archiver.types import DeliveryState, Filing

_AT_ONCE = 500
_IDENTITIES = 20_000
_EVERY = 2**62
"""Above every number of an event."""
_FILINGS = "SELECT n, place, version, started, ended, part, events, attempts FROM filing WHERE place = ? ORDER BY n"
_ROOMS = """SELECT place.n, source.name, conversation FROM feed_place JOIN place ON place.n = feed_place.place
    JOIN source ON source.n = place.source WHERE feed = ? AND place > ? ORDER BY place LIMIT ?"""
_LIVE = frozenset({DeliveryState.FILED, DeliveryState.ATTEMPTED, DeliveryState.WITHHELD, DeliveryState.PARKED})
FILED = DeliveryState.FILED
MARK = "being taken back"
"""The reason that stands with deliveries while their items are taken out."""
_SETTLED = "UPDATE filing SET state = 'filed', next_at = NULL, error = NULL, filed_at = ifnull(filed_at, ?) WHERE n = ?"
_ALL_SUPERSEDED = """EXISTS (SELECT 1 FROM delivery WHERE filing = ?1 AND destination = 'history') AND NOT EXISTS
    (SELECT 1 FROM delivery WHERE filing = ?1 AND destination = 'history' AND state <> 'superseded'
        AND NOT (state = 'filed' AND name = ''))"""


class Ranges(Struct, frozen=True):
    """Numbers of events: the first and last of each range, in order; none overlap."""

    ranges: tuple[tuple[int, int], ...]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.ranges, (number, _EVERY)) - 1
        return at >= 0 and number <= self.ranges[at][1]

    def of(self, numbers: Iterable[int]) -> frozenset[int]:
        return frozenset(number for number in numbers if number in self)


class Brought(Struct, frozen=True):
    """What a run brought to one place. `filings` hold events of it and are somebody's, or may be; `left` are the other
    events that the place has in the spool."""

    room: Room
    events: frozenset[int]
    filings: tuple[Filing, ...]
    left: frozenset[int]


def ranges(connections: Connections, run: int) -> Ranges:
    """Of what a run brought, and no other told again."""
    with connections.reading() as connection:
        return Ranges(tuple(sharing.brought(connection, run)))


def rooms(connections: Connections, feed: int) -> Iterator[Room]:
    """Those that a feed ever gave events."""
    after = 0
    while True:
        with connections.reading() as connection:
            rooms = [Room(*row) for row in connection.execute(_ROOMS, (feed, after, _AT_ONCE))]
        yield from rooms
        if len(rooms) < _AT_ONCE:
            return
        after = rooms[-1].place


def brought_to(connections: Connections, room: Room, numbers: Ranges) -> Brought:
    with connections.reading() as connection:
        there = {n for (n,) in connection.execute("SELECT n FROM event WHERE place = ?", (room.place,))}
        rows = connection.execute(_FILINGS, (room.place,)).fetchall()
        touched = [row for row in rows if numbers.of(unpack_numbers(row[6]))]
        filings = tuple(each for row in touched if _is_live(each := filing_from_row(connection, row)))
    mine = numbers.of(there)
    return Brought(room, mine, filings, frozenset(there - mine))


def _is_live(filing: Filing) -> bool:
    """A delivery that is filed without a name took an item from somebody, and gave none."""
    return any(each.state in _LIVE and (each.name or each.state is not FILED) for each in filing.deliveries)


def mark(connections: Connections, deliveries: Collection[int]) -> None:
    """Their items are about to be taken out: whoever finds them gone knows who did it."""
    with connections.writing() as transaction:
        rows = [(MARK, number) for number in deliveries]
        transaction.connection.executemany("UPDATE delivery SET reason = ? WHERE n = ?", rows)


def take_back(
    connections: Connections, found: Brought, superseded: Collection[int], numbers: Ranges, hold: int, now: int
) -> None:
    """The events of a leased place, and the deliveries whose items are no more. `hold` is the number of the newest hold
    that was asked; a newer one stops it. The place is due: what it has left is filed anew."""
    with connections.writing() as transaction:
        connection = transaction.connection
        _refuse_newer_hold(connection, hold)
        _supersede(connection, superseded, now)
        _let_refile(connection, found.room.place)
        connection.executemany(_SETTLED, [(now, filing.number) for filing in found.filings])
        rows = [(number,) for number in sorted(found.events)]
        gone = connection.executemany("DELETE FROM event WHERE n = ?", rows).rowcount
        connection.executemany("DELETE FROM blob_holder WHERE holder = 'event:' || ?", rows)
        connection.executemany("DELETE FROM conflict WHERE event = ?", rows)
        connection.execute(
            "UPDATE source SET spooled = spooled - ? WHERE n = (SELECT source FROM place WHERE n = ?)",
            (gone, found.room.place),
        )
        if not found.left:
            _forget_roster(connection, found.room.place, numbers)
        connection.execute(WAKE, (now, found.room.place))


def _refuse_newer_hold(connection: sqlite3.Connection, asked: int) -> None:
    row = connection.execute("SELECT n FROM hold WHERE n > ? AND released IS NULL", (asked,)).fetchone()
    if row is not None:
        raise UsageError(f"hold {row[0]} was placed meanwhile", hint="run it again: what the hold covers then stays")


def _supersede(connection: sqlite3.Connection, deliveries: Iterable[int], now: int) -> None:
    tally = Tally()
    for number in deliveries:
        old = known(connection, number)
        if old is not None:
            connection.execute("UPDATE delivery SET state = 'superseded', at = ? WHERE n = ?", (now, number))
            connection.execute("DELETE FROM blob_holder WHERE holder = 'delivery:' || ?", (number,))
            tally.move(old, DeliveryState.SUPERSEDED, old.size)
    tally.write(connection)


def _let_refile(connection: sqlite3.Connection, place: int) -> None:
    """What the place's conversations were before these events came, they are again, also those that only knew by them
    who was there; and the same once more when they come again. So versions that nobody has count as never filed."""
    for row in connection.execute(_FILINGS, (place,)).fetchall():
        connection.execute(
            f"UPDATE filing SET version = ?2 WHERE n = ?1 AND {_ALL_SUPERSEDED}",  # noqa: S608
            (row[0], _former(row)),
        )


def let_refile(connections: Connections, room: Room) -> None:
    with connections.writing() as transaction:
        _let_refile(transaction.connection, room.place)


def _forget_roster(connection: sqlite3.Connection, place: int, numbers: Ranges) -> None:
    """What forgotten events add up to is nothing, where all of them were of the run."""
    rows = connection.execute("SELECT events FROM filing WHERE place = ?", (place,)).fetchall()
    if all(number in numbers for (events,) in rows for number in unpack_numbers(events)):
        for table in ("roster", "recall", "whisper"):
            connection.execute(f"DELETE FROM {table} WHERE place = ?", (place,))  # noqa: S608


def refile(connections: Connections, room: Room, now: int) -> tuple[int, int]:
    """Let every conversation of a place be filed anew; how many, and of how many the events are no longer there."""
    with connections.writing() as transaction:
        connection = transaction.connection
        there = {n for (n,) in connection.execute("SELECT n FROM event WHERE place = ?", (room.place,))}
        rows = connection.execute(_FILINGS, (room.place,)).fetchall()
        live = [row for row in rows if _is_live(filing_from_row(connection, row))]
        again = [row for row in live if there.issuperset(unpack_numbers(row[6]))]
        connection.executemany("UPDATE filing SET version = ? WHERE n = ?", [(_former(row), row[0]) for row in again])
        if again:
            connection.execute(WAKE, (now, room.place))
    return len(again), len(live) - len(again)


def _former(row: Sequence[Any]) -> bytes:
    """No version's: what bears it counts as filed, and what it was may be filed again."""
    made: bytes = b"former %d " % row[0] + row[2][:16]
    return made


def forget_identities(connections: Connections, numbers: Ranges, kept: Collection[int]) -> int:
    """By which the events of these numbers were known, but for those that are `kept`; how many. Goes through all."""
    after, gone = (-(2**63), -(2**63)), 0
    while True:
        with connections.reading() as connection:
            rows = connection.execute(
                "SELECT serial, key, event FROM identity WHERE (serial, key) > (?, ?) ORDER BY serial, key LIMIT ?",
                (*after, _IDENTITIES),
            ).fetchall()
        going = [(serial, key) for serial, key, event in rows if event in numbers and event not in kept]
        for start in range(0, len(going), _AT_ONCE):
            with connections.writing() as transaction:
                some = going[start : start + _AT_ONCE]
                transaction.connection.executemany("DELETE FROM identity WHERE serial = ? AND key = ?", some)
        gone += len(going)
        if len(rows) < _IDENTITIES:
            return gone
        after = rows[-1][0], rows[-1][1]


def forget_inputs(connections: Connections) -> None:
    """Whatever was read to its end is read once more the next time: what is known of it costs only time."""
    with connections.writing() as transaction:
        transaction.connection.execute("DELETE FROM input")


def events_of(filings: Sequence[Filing], numbers: Ranges) -> frozenset[int]:
    return numbers.of(number for filing in filings for number in filing.events)
