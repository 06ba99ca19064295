"""Sources, rooms and people that are left out: from when to when, by whom and why. Holds nothing of what that means."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from archiver.exceptions import UsageError
from archiver.spool import audit
from archiver.spool.database import Connections
from archiver.spool.records import Entry
from archiver.types import Exclusion

_EXCLUSION = 'SELECT n, source, conversation, person, since, until, "by", reason, placed, events FROM exclusion'


def add(connections: Connections, wanted: Exclusion, now: int) -> Exclusion:
    """As wanted, with its number."""
    with connections.writing() as transaction:
        connection = transaction.connection
        number = connection.execute("SELECT ifnull(max(n), 0) + 1 FROM exclusion").fetchone()[0]
        details = {"exclusion": number, "since": wanted.since, "until": wanted.until}
        told = audit.append(connection, _entry("exclusion added", wanted, wanted.by, wanted.reason, details), now)
        made = structs.replace(wanted, number=number, placed=told.at, events=0)
        connection.execute(
            """INSERT INTO exclusion (n, source, conversation, person, since, until, "by", reason, placed, events)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            structs.astuple(made),
        )
    return made


def end(connections: Connections, number: int, until: int, by: str, reason: str, now: int) -> Exclusion:
    with connections.writing() as transaction:
        connection = transaction.connection
        found = _one(connection, number)
        details = {"exclusion": number, "until": until}
        audit.append(connection, _entry("exclusion ended", found, by, reason, details), now)
        connection.execute("UPDATE exclusion SET until = ? WHERE n = ?", (until, number))
        return _one(connection, number)


def _one(connection: sqlite3.Connection, number: int) -> Exclusion:
    row = connection.execute(f"{_EXCLUSION} WHERE n = ?", (number,)).fetchone()
    if row is None:
        hint = "`archiver exclusion list --all` lists them"
        raise UsageError(f"there is no exclusion {number}", hint=hint, exclusion=number)
    return Exclusion(*row)


def _entry(action: str, of: Exclusion, by: str, reason: str, details: dict[str, Any]) -> Entry:
    return Entry(action, of.title, by, reason, details)


def exclusions(connections: Connections) -> list[Exclusion]:
    """All there ever were: what was said in the time of an ended one stays left out."""
    with connections.reading() as connection:
        return [Exclusion(*row) for row in connection.execute(f"{_EXCLUSION} ORDER BY n")]


def count(connections: Connections, left_out: Mapping[int, int]) -> None:
    """So many events were left out under each exclusion."""
    with connections.writing() as transaction:
        transaction.connection.executemany(
            "UPDATE exclusion SET events = events + ? WHERE n = ?", [(events, n) for n, events in left_out.items()]
        )
