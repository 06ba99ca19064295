"""The audit log: who decided what, when and why. Rows are only ever added, each with the digest of all before it.

The table's triggers refuse changes; the digests tell of those made past the triggers. That the newest rows were cut off
tells only who has noted the last digest elsewhere: so it is printed wherever the log is shown.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import structs

from archiver.exceptions import UsageError
from archiver.spool.database import Connections
from archiver.spool.records import Audited, Checked, Entry

BEGINNING = bytes(32)
_AT_ONCE = 500
_ROWS = f"""SELECT n, at, action, subject, "by", reason, details, hash FROM audit
    WHERE n > ? ORDER BY n LIMIT {_AT_ONCE}"""  # noqa: S608

Row = tuple[int, int, str, str, str, str, str, bytes]


def append(connection: sqlite3.Connection, entry: Entry, now: int) -> Audited:
    """Within the transaction that does what is told here. Times never go back: what the clock said then is kept."""
    who_and_why(entry.by, entry.reason)
    last = connection.execute("SELECT n, at, hash FROM audit ORDER BY n DESC LIMIT 1").fetchone()
    number, before, head = last or (0, now, BEGINNING)
    if now < before:
        entry = structs.replace(entry, details={**entry.details, "clock": now})
    details = msgspec.json.encode(entry.details, order="sorted").decode()
    told = (number + 1, max(now, before), entry.action, entry.subject, entry.by, entry.reason, details)
    row = (*told, _digest(head, told))
    connection.execute(
        """INSERT INTO audit (n, at, action, subject, "by", reason, details, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        row,
    )
    return _from_row(row)


def who_and_why(by: str, reason: str) -> None:
    """Nothing is decided by nobody, or without a reason."""
    for name, value in (("who decides this", by), ("the reason", reason)):
        if not value.strip():
            raise UsageError(f"{name} is empty", hint="the audit log keeps who decided what, and why: name both")


def add(connections: Connections, entry: Entry, now: int) -> Audited:
    with connections.writing() as transaction:
        return append(transaction.connection, entry, now)


def entries(connections: Connections, after: int = 0) -> Iterator[Audited]:
    """From the first one on."""
    yield from map(_from_row, _rows(connections, after))


def check(connections: Connections) -> Checked:
    """Follow the digests from the beginning; what is wrong is named, row by row."""
    head, number, damage = BEGINNING, 0, []
    for row in _rows(connections, 0):
        if row[0] != number + 1:
            damage.append(_missing(number + 1, row[0] - 1))
        elif row[7] != _digest(head, row[:7]):
            damage.append(f"entry {row[0]} is not what was written, or not what stood after entry {number}")
        number, head = row[0], row[7]
    return Checked(number, head.hex(), tuple(damage))


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _rows(connections: Connections, after: int) -> Iterator[Row]:
    while True:
        with connections.reading() as connection:
            page: list[Row] = connection.execute(_ROWS, (after,)).fetchall()
        yield from page
        if len(page) < _AT_ONCE:
            return
        after = page[-1][0]


def _digest(head: bytes, told: tuple[object, ...]) -> bytes:
    return hashlib.sha256(head + msgspec.json.encode(told)).digest()


def _from_row(row: Row) -> Audited:
    number, at, action, subject, by, reason, details, digest = row
    return Audited(number, at, action, subject, by, reason, _read(details), digest.hex())


def _read(details: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(details, type=dict[str, Any])
    except msgspec.DecodeError:  # changed past the triggers: shown as it is
        return {"": details}
