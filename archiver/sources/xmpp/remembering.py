"""What later records refer to, and which modules were heard: in a file, so that a restart forgets nothing.

It names no person: its keys are digests.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from archiver.exceptions import EnvironmentFault, TryLater

MOST = 1_000_000
"""Of some 100 bytes each; a message takes two or three."""
_SLACK = 10_000
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS remembered (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS module (
    sender TEXT PRIMARY KEY, agent TEXT NOT NULL, heard INTEGER NOT NULL, waiting INTEGER NOT NULL
) STRICT;
"""
_HEARD = """INSERT OR REPLACE INTO module (sender, agent, heard, waiting) VALUES (?, ?, ?, ?)"""


class Module(Struct, frozen=True):
    """A server's module as it was last heard: the token's name, what it calls itself, when (microseconds), and how
    many records it then still had."""

    sender: str
    agent: str
    heard: int
    waiting: int


class Remembered:
    """A `Memory` in a file, or without one for as long as it lives. What is tried is kept or forgotten as a whole.

    Raises `EnvironmentFault` where the file can't be used, later `TryLater`.
    """

    def __init__(self, path: Path | None = None, most: int = MOST) -> None:
        self._most = most
        self._tried: dict[bytes, str] = {}
        self._lock = threading.Lock()
        try:
            if path is not None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, timeout=10)
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as fault:
            hint = "free or permit it; if it is damaged, move it away: only what corrections refer to is lost"
            raise EnvironmentFault(f"{path} can't be used: {fault}", hint=hint) from fault

    def recall(self, *key: str) -> str | None:
        digest = _digest(key)
        if digest in self._tried:
            return self._tried[digest]
        with self._lock, _later():
            row = self._connection.execute("SELECT value FROM remembered WHERE key = ?", (digest,)).fetchone()
        return str(row[0]) if row is not None else None

    def note(self, value: str, *key: str) -> None:
        self._tried[_digest(key)] = value

    @contextmanager
    def trying(self) -> Iterator[Callable[[], None]]:
        """What is noted meanwhile is forgotten again, unless what this gives is called."""
        self._tried = {}
        try:
            yield self._keep
        finally:
            self._tried = {}

    def _keep(self) -> None:
        if not self._tried:
            return
        with self._lock, _later(), self._connection as connection:
            connection.executemany("REPLACE INTO remembered (key, value) VALUES (?, ?)", self._tried.items())
            (last,) = connection.execute("SELECT max(number) FROM remembered").fetchone()
            if last % _SLACK < len(self._tried):
                connection.execute("DELETE FROM remembered WHERE number <= ?", (last - self._most,))

    def hear(self, module: Module) -> None:
        with self._lock, _later(), self._connection as connection:
            connection.execute(_HEARD, (module.sender, module.agent, module.heard, module.waiting))

    def modules(self) -> list[Module]:
        with self._lock:
            return _modules(self._connection)

    def close(self) -> None:
        with self._lock:
            self._connection.close()


@contextmanager
def _later() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise TryLater(f"what corrections refer to can't be looked up now: {fault}") from fault


def modules_heard(path: Path) -> list[Module]:
    """As a running daemon has them, without a trace. None where it never ran."""
    if not path.exists():
        return []
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        return _modules(connection)
    except sqlite3.Error as fault:
        raise EnvironmentFault(f"{path} can't be read: {fault}") from fault
    finally:
        connection.close()


def _modules(connection: sqlite3.Connection) -> list[Module]:
    rows = connection.execute("SELECT sender, agent, heard, waiting FROM module ORDER BY sender")
    return [Module(*row) for row in rows]


def _digest(key: tuple[str, ...]) -> bytes:
    # Each part's length before it: no two keys run together into one.
    text = "".join(f"{len(part)}:{part}" for part in key)
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
