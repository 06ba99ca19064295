"""What was filed beside a room: other rooms of the same time with the same owner, and what was said in each.

Asks a bounded number of rows of each table, so that a report may ask. Holds no rule of what is alike.
"""

from __future__ import annotations

from msgspec import Struct

from archiver.spool.database import Connections
from archiver.spool.records import Room

_EARLIER = 60_000_000
"""Microseconds by which a source with coarser times may be off."""
_LARGEST = """SELECT place.n, filing.n, filing.started, filing.ended FROM place JOIN source ON source.n = place.source
    JOIN filing ON filing.place = place.n WHERE source.name = ? AND place.conversation = ?
    ORDER BY length(filing.events) DESC, filing.n DESC LIMIT 1"""
# The owner with the fewest items: theirs are gone through, if they aren't too many.
_OWNER = """SELECT delivery.mailbox FROM delivery LEFT JOIN tally ON tally.mailbox = delivery.mailbox
        AND tally.destination = 'history' AND tally.state = 'filed'
    WHERE delivery.filing = ? AND delivery.destination = 'history' AND delivery.name <> ''
        AND ifnull(tally.deliveries, 0) <= 20000
    ORDER BY tally.deliveries LIMIT 1"""
_BESIDE = """SELECT DISTINCT place.n, source.name, place.conversation FROM delivery
    JOIN filing ON filing.n = delivery.filing
    JOIN place ON place.n = filing.place JOIN source ON source.n = place.source
    WHERE delivery.mailbox = ? AND delivery.destination = 'history' AND delivery.name <> ''
        AND filing.place <> ? AND filing.started <= ? AND filing.ended >= ? LIMIT ?"""
_SAID = "SELECT n, time, body FROM event WHERE place = ? AND time BETWEEN ? AND ? ORDER BY time LIMIT ?"


class Beside(Struct, frozen=True):
    """The largest conversation of a room, in microseconds, and the rooms beside it."""

    place: int
    started: int
    ended: int
    rooms: tuple[Room, ...]


def beside(connections: Connections, source: str, conversation: str, most: int) -> Beside | None:
    """None where nothing of the room is filed for anybody."""
    with connections.reading() as connection:
        largest = connection.execute(_LARGEST, (source, conversation)).fetchone()
        owner = largest and connection.execute(_OWNER, (largest[1],)).fetchone()
        if not owner:
            return None
        place, _, started, ended = largest
        asked = (owner[0], place, ended + _EARLIER, started - _EARLIER, most)
        return Beside(place, started, ended, tuple(Room(*row) for row in connection.execute(_BESIDE, asked)))


def said(connections: Connections, place: int, found: Beside, most: int) -> list[tuple[int, int, bytes]]:
    """Numbers, times and bodies of events of that time that are in the spool."""
    with connections.reading() as connection:
        asked = (place, found.started - _EARLIER, found.ended + _EARLIER, most)
        return connection.execute(_SAID, asked).fetchall()
