"""Taking out of the spool what an exclusion came too late for. Holds no rule of what that is: numbers are passed in.

Identities stay, so that the same input read again brings nothing back. What any item has is another matter: its events
are needed for its continuation, and are asked for here so that the caller leaves them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from archiver.exceptions import UsageError
from archiver.spool import audit
from archiver.spool.database import Connections
from archiver.spool.journal import Tally, settle
from archiver.spool.kept import WAKE
from archiver.spool.packing import unpack_numbers
from archiver.spool.records import Entry
from archiver.types import DeliveryState, Exclusion

_AT_ONCE = 500
_UNFILED = "('withheld', 'parked', 'dropped')"
_FILED = f"""
SELECT events FROM filing WHERE place = ?
    AND EXISTS (SELECT 1 FROM delivery WHERE filing = filing.n AND state NOT IN {_UNFILED})
"""  # noqa: S608
_WAITING = """
SELECT filing.n, events FROM filing WHERE place = ?
    AND EXISTS (SELECT 1 FROM delivery WHERE filing = filing.n AND state IN ('withheld', 'parked'))
"""


class Order(Struct, frozen=True):
    """One command: for which exclusion, who says so, and why. `hold` is the number of the newest hold that the caller
    has asked; a newer one stops it."""

    exclusion: Exclusion
    person: str
    reason: str
    hold: int


def filed(connections: Connections, place: int) -> set[int]:
    """Numbers of the events that somebody's item has, had, or may be getting."""
    with connections.reading() as connection:
        return {number for (packed,) in connection.execute(_FILED, (place,)) for number in unpack_numbers(packed)}


def drop(connections: Connections, order: Order, place: int, numbers: Sequence[int], now: int) -> None:
    """In short transactions, each told in the audit log. What waited for the gate, and has no event left, waits no
    longer; what has some left is planned anew."""
    for start in range(0, len(numbers), _AT_ONCE):
        with connections.writing() as transaction:
            _drop(transaction.connection, order, place, numbers[start : start + _AT_ONCE], now)
    with connections.writing() as transaction:
        _end_waiting(transaction.connection, order, place, set(numbers), now)


def _drop(connection: sqlite3.Connection, order: Order, place: int, numbers: Sequence[int], now: int) -> None:
    _refuse_newer_hold(connection, order.hold)
    rows = [(number,) for number in numbers]
    gone = connection.executemany("DELETE FROM event WHERE n = ?", rows).rowcount
    connection.executemany("DELETE FROM blob_holder WHERE holder = 'event:' || ?", rows)
    source, conversation = connection.execute("SELECT source, conversation FROM place WHERE n = ?", (place,)).fetchone()
    connection.execute("UPDATE source SET spooled = spooled - ? WHERE n = ?", (gone, source))
    connection.execute("UPDATE exclusion SET events = events + ? WHERE n = ?", (gone, order.exclusion.number))
    details = {"exclusion": order.exclusion.number, "conversation": conversation, "events": gone}
    entry = Entry("excluded events dropped", order.exclusion.title, order.person, order.reason, details)
    audit.append(connection, entry, now)


def _refuse_newer_hold(connection: sqlite3.Connection, known: int) -> None:
    row = connection.execute("SELECT n FROM hold WHERE n > ? AND released IS NULL", (known,)).fetchone()
    if row is not None:
        raise UsageError(f"hold {row[0]} was placed meanwhile", hint="run it again: what the hold covers then stays")


def _end_waiting(connection: sqlite3.Connection, order: Order, place: int, gone: set[int], now: int) -> None:
    some_left = False
    for filing, packed in connection.execute(_WAITING, (place,)).fetchall():
        numbers = unpack_numbers(packed)
        if not gone.isdisjoint(numbers):
            if _has_any(connection, numbers):
                some_left = True
            else:
                _give_up(connection, filing, order.reason, now)
    if some_left:
        connection.execute(WAKE, (now, place))


def _has_any(connection: sqlite3.Connection, numbers: Sequence[int]) -> bool:
    query = "SELECT 1 FROM event WHERE n = ?"
    return any(connection.execute(query, (number,)).fetchone() is not None for number in numbers)


def _give_up(connection: sqlite3.Connection, filing: int, reason: str, now: int) -> None:
    tally = Tally()
    for old in (DeliveryState.WITHHELD, DeliveryState.PARKED):
        rows = connection.execute(
            """UPDATE delivery SET state = 'dropped', reason = ?, at = ? WHERE filing = ? AND state = ?
            RETURNING mailbox, destination, size""",
            (reason, now, filing, old.value),
        ).fetchall()
        tally.move_all(rows, old, DeliveryState.DROPPED)
    tally.write(connection)
    settle(connection, [filing], now)
