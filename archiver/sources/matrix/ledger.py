"""What a Matrix source must still know after a restart, in a SQLite file of its own. Holds no rule.

What it tells is written after the spool has the events: at the worst a transaction is told twice, and the spool knows
its events. Only that a file is to be fetched later is written before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from archiver.events import SECOND
from archiver.exceptions import EnvironmentFault, TryLater

TRANSACTIONS = 1_000
"""So many last transactions are known again; a homeserver repeats the last one only."""
REMEMBERED = 60 * 86_400 * SECOND
"""How long it is known who wrote a message; of an older one the homeserver is asked."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS txn (n INTEGER PRIMARY KEY, id TEXT NOT NULL, events TEXT NOT NULL, UNIQUE (id, events));
CREATE TABLE IF NOT EXISTS room (id TEXT PRIMARY KEY, met INTEGER NOT NULL, direct INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (
    room TEXT NOT NULL, type TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (room, type, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meant (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, sender TEXT NOT NULL, is_edit INTEGER NOT NULL, target TEXT NOT NULL,
    key TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS meant_at ON meant (at);
CREATE TABLE IF NOT EXISTS file (
    event TEXT PRIMARY KEY, room TEXT NOT NULL, body BLOB NOT NULL, tries INTEGER NOT NULL, due INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Known(Struct, frozen=True):
    """A room as it stands in the ledger. `met`: who is in it is known."""

    met: bool = False
    direct: bool = False
    state: tuple[bytes, ...] = ()


class Meaning(Struct, frozen=True):
    """What later events may speak of. `key` is a reaction's, or what a poll asks, as JSON."""

    id: str
    type: str
    sender: str
    is_edit: bool
    target: str
    key: str


class Waiting(Struct, frozen=True):
    """A message whose file is still to be fetched: `body` is its Matrix event, `due` when to try."""

    event: str
    room: str
    body: bytes
    tries: int = 0
    due: int = 0


class Entry(Struct, frozen=True):
    """What one transaction leaves. `events` tells which it had; `state` by room, type and key; `rooms` are (id, met,
    direct)."""

    txn: str
    events: str
    rooms: tuple[tuple[str, bool, bool], ...]
    state: tuple[tuple[str, str, str, bytes], ...]
    meant: tuple[Meaning, ...]


class Ledger:
    """One thread's at a time. Raises `TryLater` where the file can't be used just now."""

    def __init__(self, path: Path) -> None:
        """Raises `EnvironmentFault`."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as fault:
            raise EnvironmentFault(f"{path} can't be used: {fault}", hint="let the archiver's user write it") from fault

    def close(self) -> None:
        self._connection.close()

    def knows(self, txn: str, events: str) -> bool:
        """Of these very events: a Synapse on SQLite gives its numbers anew after each restart."""
        return bool(self._rows("SELECT 1 FROM txn WHERE id = ? AND events = ?", txn, events))

    def room(self, identity: str) -> Known:
        found = self._rows("SELECT met, direct FROM room WHERE id = ?", identity)
        met, direct = found[0] if found else (False, False)
        state = self._rows("SELECT body FROM state WHERE room = ?", identity)
        return Known(bool(met), bool(direct), tuple(body for (body,) in state))

    def members(self) -> Iterator[tuple[str, str, bytes]]:
        """Of every room: its id, whose membership, and the state event that tells it."""
        yield from self._rows("SELECT room, key, body FROM state WHERE type = 'm.room.member' ORDER BY room, key")

    def meanings(self, wanted: Iterable[str]) -> Mapping[str, Meaning]:
        found = (self._rows("SELECT id, type, sender, is_edit, target, key FROM meant WHERE id = ?", i) for i in wanted)
        return {
            i: Meaning(i, type_, who, bool(edit), to, key) for rows in found for i, type_, who, edit, to, key in rows
        }

    def encrypted(self) -> tuple[int, int]:
        """How many rooms are encrypted, and how many there are."""
        ((encrypted,),) = self._rows("SELECT count(*) FROM state WHERE type = 'm.room.encryption' AND key = ''")
        ((rooms,),) = self._rows("SELECT count(*) FROM room")
        return int(encrypted), int(rooms)

    def state_of(self, room: str, type_: str, key: str) -> bytes | None:
        found = self._rows("SELECT body FROM state WHERE room = ? AND type = ? AND key = ?", room, type_, key)
        return found[0][0] if found else None

    def write(self, entry: Entry, now: int) -> None:
        meant = [(m.id, m.type, m.sender, m.is_edit, m.target, m.key, now) for m in entry.meant]
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO txn (id, events) VALUES (?, ?)", (entry.txn, entry.events))
            connection.execute("DELETE FROM txn WHERE n <= (SELECT max(n) FROM txn) - ?", (TRANSACTIONS,))
            connection.executemany("INSERT OR REPLACE INTO room (id, met, direct) VALUES (?, ?, ?)", entry.rooms)
            connection.executemany(
                "INSERT OR REPLACE INTO state (room, type, key, body) VALUES (?, ?, ?, ?)", entry.state
            )
            connection.executemany("INSERT OR IGNORE INTO meant VALUES (?, ?, ?, ?, ?, ?, ?)", meant)

    def forget(self, now: int) -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM meant WHERE at < ?", (now - REMEMBERED,))

    # Files that are to be fetched later

    def wait_for(self, files: Iterable[Waiting]) -> None:
        rows = [(each.event, each.room, each.body, each.tries, each.due) for each in files]
        if rows:
            with self._writing() as connection:
                connection.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)", rows)

    def waits_for(self, events: Iterable[str]) -> set[str]:
        return {each for each in events if self._rows("SELECT 1 FROM file WHERE event = ?", each)}

    def due(self, now: int, limit: int) -> list[Waiting]:
        rows = self._rows(
            "SELECT event, room, body, tries, due FROM file WHERE due <= ? ORDER BY due LIMIT ?", now, limit
        )
        return [Waiting(*row) for row in rows]

    def done_with(self, events: Iterable[str]) -> None:
        with self._writing() as connection:
            connection.executemany("DELETE FROM file WHERE event = ?", [(each,) for each in events])

    def _rows(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as fault:
            raise TryLater(f"the ledger can't be read: {fault}") from fault

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, durable at its end."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except sqlite3.Error as fault:
            raise TryLater(f"the ledger can't be written: {fault}") from fault
