"""Events out of the spool, in conversation order. Reads in short pages: no read transaction stays open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from msgspec import json

from archiver.events import Captured, Event, named
from archiver.spool.database import MIB, Connections
from archiver.spool.records import Room
from archiver.types import Roster

_ROWS = 2_000
_BYTES = 4 * MIB
_FETCH = 64

_START = "SELECT n, time, received, body FROM event WHERE place = ? AND n <= ? ORDER BY time, n LIMIT ?"
_LATER = "SELECT n, time, received, body FROM event WHERE place = ? AND time > ? AND n <= ? ORDER BY time, n LIMIT ?"
# Its own query: `(time, n) > (?, ?)` would read all events of that time again for each page.
_SAME = "SELECT n, time, received, body FROM event WHERE place = ? AND time = ? AND n > ? AND n <= ? ORDER BY n LIMIT ?"

_decode = json.Decoder(Event).decode
_decode_roster = json.Decoder(Roster).decode
_EVERY = 2**62
"""Above every number of an event."""

Row = tuple[int, int, int, bytes]


def captured_from_row(row: Row) -> Captured:
    number, time, received, body = row
    return Captured(_decode(body), time, received, body, number)


def order(captured: Captured) -> tuple[int, bool, str, str]:
    """Conversation order: time, sequence (absent first), id. Python compares text by code point, which is the order
    of its UTF-8 bytes too."""
    event = captured.event
    return captured.time, event.sequence is not None, event.sequence or "", event.id


def events(connections: Connections, place: int, upto: int, since: int | None = None) -> Iterator[Captured]:
    """Events of one place with numbers up to `upto`, from the time `since` on, that aren't forgotten."""
    tied: list[Captured] = []
    decode = _decode
    floor_time, floor_number = floor(connections, place)
    for number, time, received, body in _rows(connections, place, upto, since):
        if time < floor_time and number <= floor_number:
            continue  # forgotten, though its row hasn't gone yet
        captured = Captured(decode(body), time, received, body, number)
        if tied and tied[0].time != time:
            if len(tied) > 1:
                tied.sort(key=order)
            yield from tied
            tied.clear()
        tied.append(captured)
    tied.sort(key=order)
    yield from tied


def floor(connections: Connections, place: int) -> tuple[int, int]:
    """Events before this time are forgotten if their number isn't above this one (those came late)."""
    with connections.reading() as connection:
        found: tuple[int, int] | None = connection.execute(
            "SELECT upto, number FROM roster WHERE place = ?", (place,)
        ).fetchone()
    return found or (-(2**63), 0)


def _rows(connections: Connections, place: int, upto: int, since: int | None) -> Iterator[Row]:
    if since is None:
        page, more = _page(connections, _START, (place, upto, _ROWS))
    else:
        page, more = _page(connections, _LATER, (place, since - 1, upto, _ROWS))
    while True:
        yield from page
        if not more:
            return
        number, time = page[-1][:2]
        page, more = _page(connections, _SAME, (place, time, number, upto, _ROWS))
        if more:
            continue
        yield from page
        page, more = _page(connections, _LATER, (place, time, upto, _ROWS))


def _page(connections: Connections, query: str, values: Sequence[int]) -> tuple[list[Row], bool]:
    """Some rows, fewer where they are large, and whether there may be more; the read transaction ends here."""
    rows: list[Row] = []
    size = 0
    with connections.reading() as connection:
        cursor = connection.execute(query, values)
        while size < _BYTES and (some := cursor.fetchmany(_FETCH)):
            rows += some
            size += sum([len(row[3]) for row in some])
        cursor.close()
    return rows, len(rows) == _ROWS or size >= _BYTES


def rooms(connections: Connections) -> list[Room]:
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT place.n, source.name, conversation FROM place JOIN source ON source.n = place.source
            WHERE EXISTS (SELECT 1 FROM event WHERE event.place = place.n) ORDER BY source.name, conversation"""
        )
        return [Room(*row) for row in rows]


def people(connections: Connections, source: str, conversation: str) -> frozenset[str]:
    """Every address that a place is known to have: of its roster, and of its events that aren't forgotten."""
    with connections.reading() as connection:
        row = connection.execute(
            """SELECT n, (SELECT body FROM roster WHERE place = place.n) FROM place
            WHERE conversation = ? AND source = (SELECT n FROM source WHERE name = ?)""",
            (conversation, source),
        ).fetchone()
    if row is None:
        return frozenset()
    place, body = row
    present = () if body is None else _decode_roster(body).present
    met = {address for captured in events(connections, place, _EVERY) for address in named(captured.event)}
    return frozenset(met.union(*(each.addresses for each in present)))


def numbered(connection: sqlite3.Connection, numbers: Sequence[int]) -> Iterator[Captured]:
    """The events with these numbers that are still in the spool, in the order of the numbers given."""
    for number in numbers:
        row = connection.execute("SELECT n, time, received, body FROM event WHERE n = ?", (number,)).fetchone()
        if row is not None:
            yield captured_from_row(row)
