"""What an erasure has to remember while it goes through everything: in a file of its own, not in memory.

The file has no name (SQLite removes it when it is opened), and holds digests of what is somebody's, never their words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import blake2b
from types import TracebackType
from typing import NamedTuple

from archiver.decisions.withholding import Fact
from archiver.spool.records import Journalled
from archiver.store.protocol import Where
from archiver.types import DeliveryState, Destination

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4096;
CREATE TABLE fact (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE journal (n INTEGER PRIMARY KEY, filing, mailbox, destination, folder, name, is_filed);
CREATE INDEX journal_name ON journal (name, mailbox);
CREATE INDEX journal_filing ON journal (filing, mailbox);
CREATE TABLE folder (mailbox, folder, PRIMARY KEY (mailbox, folder)) WITHOUT ROWID;
CREATE TABLE task (n INTEGER PRIMARY KEY, kind, mailbox, folder, name, number, is_sure);
CREATE INDEX task_kind ON task (kind, n);
CREATE INDEX task_number ON task (number);
"""
_AT_ONCE = 200


class Kind(StrEnum):
    """Where an item lies. MOVED: where its owner put it, and nobody but they may touch it."""

    VISIBLE = "visible"
    ARCHIVED = "archived"
    LOCAL = "local archive"
    MOVED = "moved"


class Task(NamedTuple):
    """An item that something of theirs is in, or may be (`is_sure`). `number` is its delivery's, or the local
    archive's; 0 where the journal has none."""

    n: int
    where: Where
    number: int
    is_sure: bool


class Facts:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, fact: Fact, /) -> None:
        self._connection.execute("INSERT OR IGNORE INTO fact VALUES (?)", (_digest(fact),))

    def __contains__(self, fact: Fact, /) -> bool:
        found = self._connection.execute("SELECT 1 FROM fact WHERE key = ?", (_digest(fact),))
        return found.fetchone() is not None


def _digest(fact: Fact) -> bytes:
    return blake2b("\0".join(fact).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Worklist:
    """Facts about a person, the journal by item, and the items to be worked on."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.executescript(_TABLES)
        self.facts = Facts(self._connection)

    def __enter__(self) -> Worklist:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def journal(self, rows: Iterable[Journalled]) -> None:
        for row in rows:
            values = (row.number, row.filing, row.mailbox, row.destination.value, row.folder, row.name)
            is_filed = row.state is DeliveryState.FILED
            self._connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, is_filed))
            if row.destination is Destination.HISTORY:
                self._connection.execute("INSERT OR IGNORE INTO folder VALUES (?, ?)", (row.mailbox, row.folder))

    def number(self, where: Where, destination: Destination) -> int:
        """Of the delivery that filed this item; 0 if there is none."""
        found = self._connection.execute(
            """SELECT n FROM journal WHERE name = ? AND mailbox = ? AND folder = ? AND destination = ? AND is_filed""",
            (where.name, where.mailbox, where.folder, destination.value),
        ).fetchone()
        return 0 if found is None else int(found[0])

    def local_deliveries(self, name: str) -> list[tuple[int, str]]:
        """Number and mailbox of each delivery to the local archive that shares this item."""
        return self._connection.execute(
            "SELECT n, mailbox FROM journal WHERE name = ? AND destination = ? AND is_filed",
            (name, Destination.LOCAL.value),
        ).fetchall()

    def is_filed_in(self, mailbox: str, folder: str) -> bool:
        found = self._connection.execute("SELECT 1 FROM folder WHERE mailbox = ? AND folder = ?", (mailbox, folder))
        return found.fetchone() is not None

    def took_part(self, number: int, mailbox: str) -> bool:
        """Whether a mailbox was to have an item of the conversation of this delivery."""
        found = self._connection.execute(
            """SELECT 1 FROM journal WHERE mailbox = ? AND filing = (SELECT filing FROM journal WHERE n = ?)""",
            (mailbox, number),
        )
        return found.fetchone() is not None

    def add(self, kind: Kind, where: Where, number: int, *, is_sure: bool) -> None:
        values = (kind.value, where.mailbox, where.folder, where.name, number, is_sure)
        self._connection.execute(
            "INSERT INTO task (kind, mailbox, folder, name, number, is_sure) VALUES (?, ?, ?, ?, ?, ?)", values
        )

    def settle(self, task: Task, *, is_theirs: bool) -> None:
        """Of one that wasn't sure: now it is, or it is none."""
        change = "UPDATE task SET is_sure = 1 WHERE n = ?" if is_theirs else "DELETE FROM task WHERE n = ?"
        self._connection.execute(change, (task.n,))

    def has(self, kind: Kind, number: int) -> bool:
        found = self._connection.execute("SELECT 1 FROM task WHERE number = ? AND kind = ?", (number, kind.value))
        return found.fetchone() is not None

    def tasks(self, kind: Kind) -> Iterator[Task]:
        """In the order they were found. Each may be settled while they are read."""
        after = 0
        while rows := self._connection.execute(
            "SELECT n, mailbox, folder, name, number, is_sure FROM task WHERE kind = ? AND n > ? ORDER BY n LIMIT ?",
            (kind.value, after, _AT_ONCE),
        ).fetchall():
            for n, mailbox, folder, name, number, is_sure in rows:
                yield Task(n, Where(mailbox, folder, name), number, bool(is_sure))
            after = rows[-1][0]
