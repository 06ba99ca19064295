"""What should lie in folders beside what does, in a temporary database: memory stays the same for any store.

Holds rows and questions about them; finds nothing by itself.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from types import TracebackType

from msgspec import Struct

from archiver.store.damage import Code, Damage
from archiver.store.survey import Lying
from archiver.types import Delivery, DeliveryState

_TABLES = """
CREATE TABLE filed (number INTEGER PRIMARY KEY, mailbox TEXT, folder BLOB, name TEXT, state TEXT, size INTEGER);
CREATE INDEX filed_name ON filed (name, mailbox);
CREATE INDEX filed_mailbox ON filed (mailbox, number);
CREATE TABLE lying (mailbox TEXT, name TEXT, folder BLOB, subdirectory TEXT, file BLOB, flags TEXT, digest BLOB,
    PRIMARY KEY (mailbox, folder, subdirectory, file)) WITHOUT ROWID;
CREATE INDEX lying_name ON lying (mailbox, name);
CREATE TABLE copied (mailbox TEXT, key TEXT, folder BLOB, file BLOB,
    PRIMARY KEY (mailbox, key, folder, file)) WITHOUT ROWID;
CREATE TABLE altered (mailbox TEXT, key TEXT, place TEXT, code TEXT, found TEXT);
CREATE TABLE sound (mailbox TEXT, key TEXT, PRIMARY KEY (mailbox, key)) WITHOUT ROWID;
CREATE TABLE proved (digest BLOB PRIMARY KEY, proof BLOB) WITHOUT ROWID;
"""
_CACHE_KIB = 16 * 1024


class Expected(Struct, frozen=True):
    """What the journal has of one item; `folder` as it stands on disk."""

    number: int
    folder: str
    name: str
    state: DeliveryState
    size: int


class Kept(Struct, frozen=True):
    """A file under a name of ours that was seen, and the digest of its bytes."""

    folder: str
    subdirectory: str
    file: str
    flags: str
    digest: bytes


class Ledger:
    """Filled from the journal once, and from each mailbox as it is walked."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # a file that nobody else sees, gone at the end
        self._database.executescript(f"PRAGMA cache_size = -{_CACHE_KIB}; PRAGMA journal_mode = OFF; {_TABLES}")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @property
    def last(self) -> int:
        (number,) = self._database.execute("SELECT ifnull(max(number), 0) FROM filed").fetchone()
        return int(number)

    def expect(self, deliveries: Iterable[tuple[Delivery, str]]) -> None:
        """Deliveries, each with its folder as it stands on disk."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR REPLACE INTO filed VALUES (?, ?, ?, ?, ?, ?)",
            ((d.number, d.mailbox, os.fsencode(on_disk), d.name, d.state.value, d.size) for d, on_disk in deliveries),
        )
        self._database.execute("COMMIT")

    def mailboxes(self) -> Iterator[str]:
        """Those where something should lie."""
        with closing(self._database.execute("SELECT DISTINCT mailbox FROM filed WHERE state = 'filed'")) as rows:
            yield from (mailbox for (mailbox,) in rows)

    def folders(self, mailbox: str) -> set[str]:
        rows = self._database.execute(
            "SELECT DISTINCT folder FROM filed WHERE mailbox = ? AND state = 'filed'", (mailbox,)
        )
        return {os.fsdecode(folder) for (folder,) in rows}

    def see(self, mailbox: str, lying: Lying, digest: bytes) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO lying VALUES (?, ?, ?, ?, ?, ?, ?)",
            (mailbox, lying.name, *_on_disk(lying), lying.flags, digest),
        )

    def proof(self, digest: bytes) -> bytes | None:
        """What was kept of an item with these bytes, in whichever mailbox it lay."""
        row = self._database.execute("SELECT proof FROM proved WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def keep_proof(self, digest: bytes, proof: bytes) -> None:
        self._database.execute("INSERT OR REPLACE INTO proved VALUES (?, ?)", (digest, proof))

    def see_copy(self, mailbox: str, key: str, lying: Lying) -> None:
        folder, _, file = _on_disk(lying)
        self._database.execute("INSERT OR REPLACE INTO copied VALUES (?, ?, ?, ?)", (mailbox, key, folder, file))

    def see_altered(self, key: str, damage: Damage) -> None:
        """A copy under another's name that is not what was filed."""
        row = (damage.mailbox, key, damage.place, damage.code.value, damage.found)
        self._database.execute("INSERT INTO altered VALUES (?, ?, ?, ?, ?)", row)

    def see_sound(self, mailbox: str, key: str) -> None:
        self._database.execute("INSERT OR IGNORE INTO sound VALUES (?, ?)", (mailbox, key))

    def altered(self, mailbox: str) -> Iterator[tuple[Damage, bool]]:
        """Altered copies, and whether a sound one of the same item was seen."""
        cursor = self._database.execute(
            """SELECT code, place, found, sound.key IS NOT NULL FROM altered LEFT JOIN sound USING (mailbox, key)
            WHERE mailbox = ? ORDER BY place""",
            (mailbox,),
        )
        with closing(cursor):
            for code, place, found, is_sound in cursor:
                yield Damage(Code(code), mailbox, place, found), bool(is_sound)

    def done(self, mailbox: str) -> None:
        """What was seen of it is asked for no more."""
        for table in ("lying", "copied", "altered", "sound"):
            self._database.execute(f"DELETE FROM {table} WHERE mailbox = ?", (mailbox,))  # noqa: S608

    def expected(self, mailbox: str) -> Iterator[Expected]:
        """What should lie there, or did until its owner took it away, in the order it was filed."""
        cursor = self._database.execute(
            """SELECT number, folder, name, state, size FROM filed WHERE mailbox = ? AND state IN ('filed', 'gone')
            ORDER BY number""",
            (mailbox,),
        )
        with closing(cursor):
            yield from map(_expected, cursor)

    def known(self, mailbox: str, name: str) -> list[Expected]:
        rows = self._database.execute(
            "SELECT number, folder, name, state, size FROM filed WHERE name = ? AND mailbox = ?", (name, mailbox)
        )
        return list(map(_expected, rows))

    def others(self, mailbox: str, name: str) -> str | None:
        """Another mailbox that an item of this name was filed for."""
        row = self._database.execute(
            "SELECT mailbox FROM filed WHERE name = ? AND mailbox <> ? LIMIT 1", (name, mailbox)
        ).fetchone()
        return None if row is None else str(row[0])

    def names(self, mailbox: str) -> Iterator[str]:
        """Names of ours that lie there."""
        with closing(
            self._database.execute("SELECT DISTINCT name FROM lying WHERE mailbox = ? ORDER BY name", (mailbox,))
        ) as rows:
            yield from (name for (name,) in rows)

    def lying(self, mailbox: str, name: str) -> list[Kept]:
        rows = self._database.execute(
            # Left to itself SQLite reads the whole mailbox by the primary key, for each item of it.
            """SELECT folder, subdirectory, file, flags, digest FROM lying INDEXED BY lying_name
            WHERE mailbox = ? AND name = ? ORDER BY subdirectory <> 'cur', length(flags) DESC, file""",
            (mailbox, name),
        )
        return [Kept(os.fsdecode(folder), sub, os.fsdecode(file), flags, d) for folder, sub, file, flags, d in rows]

    def copies(self, mailbox: str, key: str) -> list[str]:
        """Folders, as they stand on disk, with this item under another's name."""
        rows = self._database.execute("SELECT folder FROM copied WHERE mailbox = ? AND key = ?", (mailbox, key))
        return [os.fsdecode(folder) for (folder,) in rows]


def _expected(row: tuple[int, bytes, str, str, int]) -> Expected:
    number, folder, name, state, size = row
    return Expected(number, os.fsdecode(folder), name, DeliveryState(state), size)


def _on_disk(lying: Lying) -> tuple[bytes, str, bytes]:
    return os.fsencode(lying.folder), lying.subdirectory, os.fsencode(lying.file)
