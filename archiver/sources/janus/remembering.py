"""Which meetings are on and who is in them, in a file: a daemon that is started anew goes on where it stood.

Whoever isn't in a meeting is not named there any more, not even in what SQLite leaves behind.
What one delivery changes is kept or forgotten as a whole, so that the same delivery means the same again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from archiver.exceptions import EnvironmentFault, TryLater

DELIVERIES = 64
"""How many of the last are known again. Janus sends one after the other, so it is the last that may come twice."""
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS meeting (
    place TEXT PRIMARY KEY, session TEXT NOT NULL, last INTEGER NOT NULL, said INTEGER NOT NULL,
    started INTEGER NOT NULL, topic TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS person (
    place TEXT NOT NULL, plugin TEXT NOT NULL, who TEXT NOT NULL, address TEXT NOT NULL, name TEXT,
    handle INTEGER NOT NULL, screen INTEGER NOT NULL, sure INTEGER NOT NULL, gone INTEGER NOT NULL,
    PRIMARY KEY (place, plugin, who)
) STRICT;
CREATE INDEX IF NOT EXISTS person_by_handle ON person (handle);
CREATE TABLE IF NOT EXISTS delivery (number INTEGER PRIMARY KEY, digest BLOB NOT NULL) STRICT;
"""


_MEETING = "place, session, last, said, started, topic"
_PERSON = "place, plugin, who, address, name, handle, screen, sure, gone"


class Meeting(Struct, frozen=True, array_like=True):
    """One that is on in a place. `last` is when anything happened in it, `said` when something was said last.

    `started`: whether that was told.
    """

    place: str
    session: str
    last: int
    said: int = 0
    started: bool = False
    topic: str | None = None


class Person(Struct, frozen=True, array_like=True):
    """Somebody in a room; `who` is what the room knows them by, `handle` by which they came, 0 where that wasn't told.

    Not `sure`: they spoke, but nothing said they came. `gone`: they aren't there, but nothing said they left.
    """

    place: str
    plugin: str
    who: str
    address: str
    name: str | None = None
    handle: int = 0
    screen: bool = False
    sure: bool = True
    gone: bool = False


class Remembered:
    """In a file, or without one for as long as it lives. Raises `EnvironmentFault` where it can't be used, later
    `TryLater`. One at a time uses it, from whichever thread."""

    def __init__(self, path: Path | None = None) -> None:
        try:
            if path is not None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path or ":memory:", check_same_thread=False, timeout=10, isolation_level=None
            )
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as fault:
            hint = "free or permit it; if it is damaged, move it away: meetings that are on then count as new ones"
            raise EnvironmentFault(f"{path} can't be used: {fault}", hint=hint) from fault

    @contextmanager
    def trying(self) -> Iterator[Callable[[], None]]:
        """What changes meanwhile is forgotten again, unless what this gives is called."""
        self._do("BEGIN IMMEDIATE")
        try:
            yield self._keep
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()

    def _keep(self) -> None:
        self._do("COMMIT")

    def is_new(self, delivery: bytes) -> bool:
        """Whether it wasn't among the last ones; from now on it is."""
        digest = blake2b(delivery, digest_size=16).digest()
        if self._do("SELECT 1 FROM delivery WHERE digest = ?", digest):
            return False
        self._do("INSERT INTO delivery (digest) VALUES (?)", digest)
        self._do("DELETE FROM delivery WHERE number <= (SELECT max(number) FROM delivery) - ?", DELIVERIES)
        return True

    def meeting(self, place: str) -> Meeting | None:
        rows = self._do(f"SELECT {_MEETING} FROM meeting WHERE place = ?", place)  # noqa: S608  ours alone
        return msgspec.convert(rows[0], Meeting, strict=False) if rows else None

    def places(self) -> list[str]:
        return [place for (place,) in self._do("SELECT place FROM meeting ORDER BY place")]

    def hold(self, meeting: Meeting) -> None:
        self._do(f"REPLACE INTO meeting ({_MEETING}) VALUES (?, ?, ?, ?, ?, ?)", *astuple(meeting))  # noqa: S608

    def end(self, place: str) -> None:
        self._do("DELETE FROM meeting WHERE place = ?", place)
        self._do("DELETE FROM person WHERE place = ?", place)

    def people(self, place: str) -> list[Person]:
        return self._people("place = ? AND NOT gone", place)

    def gone(self, place: str) -> list[Person]:
        return self._people("place = ? AND gone", place)

    def person(self, place: str, plugin: str, who: str) -> Person | None:
        found = self._people("place = ? AND plugin = ? AND who = ?", place, plugin, who)
        return found[0] if found else None

    def by_handle(self, handle: int) -> list[Person]:
        return self._people("handle = ?", handle) if handle else []

    def put(self, person: Person) -> None:
        self._do(f"REPLACE INTO person ({_PERSON}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *astuple(person))  # noqa: S608

    def remove(self, person: Person) -> None:
        self._do(
            "DELETE FROM person WHERE place = ? AND plugin = ? AND who = ?", person.place, person.plugin, person.who
        )

    def close(self) -> None:
        self._connection.close()

    def _people(self, where: str, *values: object) -> list[Person]:
        rows = self._do(f"SELECT {_PERSON} FROM person WHERE {where} ORDER BY plugin, who", *values)  # noqa: S608  ours alone
        return [msgspec.convert(row, Person, strict=False) for row in rows]

    def _do(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as fault:
            raise TryLater(f"which meetings are on can't be looked up now: {fault}") from fault
