"""How far the journal had come, noted beside the spool's file: so a file put back from a backup is known as older.

The note is written without a sync, after the commit it tells of: lost, it says nothing; it never says too much.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from msgspec import Struct

from archiver.spool.database import Connections

NAME = "filed"


class Setback(Struct, frozen=True):
    """The file knows deliveries up to `known`, and `made` were made. Some of what is filed now was filed already, and
    is looked for, until as many again have been made."""

    known: int
    made: int

    @property
    def over(self) -> int:
        return self.made + (self.made - self.known)


def note(run: Path, number: int) -> None:
    """The number of the newest delivery. That it can't be written stops nobody from filing."""
    with contextlib.suppress(OSError):
        (run / NAME).write_text(f"{number}\n")


def compare(connections: Connections, run: Path) -> None:
    """When the spool is opened: put on record that its file is an older one."""
    made = _noted(run)
    with connections.reading() as connection:
        (known,) = connection.execute("SELECT value FROM counter WHERE name = 'delivery'").fetchone()
        before = setback(connection)
    if made > known and (before is None or made > before.made):
        rows = [("set back from", known), ("set back to", made)]
        with connections.writing() as transaction:
            transaction.connection.executemany("INSERT OR REPLACE INTO counter (name, value) VALUES (?, ?)", rows)


def read(connections: Connections) -> Setback | None:
    with connections.reading() as connection:
        return setback(connection)


def setback(connection: sqlite3.Connection) -> Setback | None:
    """None where there was none, or where it is over."""
    rows = dict(connection.execute("SELECT name, value FROM counter").fetchall())
    found = Setback(rows.get("set back from", 0), rows.get("set back to", 0))
    return found if rows["delivery"] < found.over else None


def _noted(run: Path) -> int:
    try:
        return int((run / NAME).read_text())
    except (OSError, ValueError):
        return 0
