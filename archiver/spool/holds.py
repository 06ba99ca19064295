"""Legal holds on mailboxes: placed and released, never removed. Holds nothing of what they cover."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from archiver.exceptions import UsageError
from archiver.spool import audit
from archiver.spool.database import Connections
from archiver.spool.records import Entry
from archiver.types import Hold

_HOLD = 'SELECT n, mailbox, "by", reason, placed, released, "query" FROM hold'


def place(connections: Connections, mailbox: str, by: str, reason: str, query: str, now: int) -> Hold:
    with connections.writing() as transaction:
        connection = transaction.connection
        number = connection.execute("SELECT ifnull(max(n), 0) + 1 FROM hold").fetchone()[0]
        details = {"hold": number, "query": query}
        told = audit.append(connection, Entry("hold placed", mailbox, by, reason, details), now)
        hold = Hold(number, mailbox, by, reason, told.at, None, query)
        connection.execute(
            'INSERT INTO hold (n, mailbox, "by", reason, placed, "query") VALUES (?, ?, ?, ?, ?, ?)',
            (number, mailbox, by, reason, told.at, query),
        )
    return hold


def release(connections: Connections, number: int, by: str, reason: str, now: int) -> Hold:
    with connections.writing() as transaction:
        connection = transaction.connection
        row = connection.execute(f"{_HOLD} WHERE n = ?", (number,)).fetchone()
        if row is None:
            raise UsageError(f"there is no hold {number}", hint="`archiver hold list` lists them", hold=number)
        hold = from_row(row)
        if hold.released is not None:
            raise UsageError(f"hold {number} is released already", hint="`archiver hold list --all` says when")
        told = audit.append(connection, Entry("hold released", hold.mailbox, by, reason, {"hold": number}), now)
        connection.execute("UPDATE hold SET released = ? WHERE n = ?", (told.at, number))
        return from_row((*row[:5], told.at, row[6]))


def holds(connections: Connections, mailbox: str | None) -> list[Hold]:
    """All there ever were, in the order they were placed."""
    with connections.reading() as connection:
        rows = connection.execute(f"{_HOLD} WHERE ?1 IS NULL OR mailbox = ?1 ORDER BY n", (mailbox,)).fetchall()
    return [from_row(row) for row in rows]


def standing(connections: Connections, mailboxes: Iterable[str]) -> dict[str, tuple[Hold, ...]]:
    """The holds not released of those mailboxes that have any."""
    found: dict[str, tuple[Hold, ...]] = {}
    with connections.reading() as connection:
        for mailbox in sorted(set(mailboxes)):
            rows = connection.execute(f"{_HOLD} WHERE released IS NULL AND mailbox = ? ORDER BY n", (mailbox,))
            if of_it := tuple(map(from_row, rows)):
                found[mailbox] = of_it
    return found


def refuse_while_held(connection: sqlite3.Connection, mailbox: str) -> None:
    """Within the transaction that would give something of a mailbox up for good."""
    rows = connection.execute("SELECT n FROM hold WHERE released IS NULL AND mailbox = ? ORDER BY n", (mailbox,))
    numbers = [str(number) for (number,) in rows]
    if numbers:
        raise UsageError(
            f"{mailbox} is under hold {', '.join(numbers)}: nothing of it is given up",
            hint="release the hold first, if that is meant; see `archiver hold list`",
            mailbox=mailbox,
        )


def untaken(connections: Connections) -> list[Hold]:
    """Standing ones under which what their mailboxes hold already wasn't kept yet."""
    with connections.reading() as connection:
        rows = connection.execute(f"{_HOLD} WHERE released IS NULL AND taken IS NULL ORDER BY n").fetchall()
    return [from_row(row) for row in rows]


def take(connections: Connections, number: int, now: int) -> None:
    """What a hold's mailbox holds already is kept."""
    with connections.writing() as transaction:
        transaction.connection.execute("UPDATE hold SET taken = ? WHERE n = ?", (now, number))


def from_row(row: Any) -> Hold:
    number, mailbox, by, reason, placed, released, query = row
    return Hold(number, mailbox, by, reason, placed, released, query)
