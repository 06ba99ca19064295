"""Where the manifest of each compliance archive ended: told apart from it, so that a cut shows. Holds no manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archiver.events import SECOND
from archiver.spool import audit
from archiver.spool.database import Connections
from archiver.spool.records import Entry
from archiver.types import Head

_NOTED = """INSERT INTO chain (mailbox, length, head) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET length = excluded.length, head = excluded.head WHERE excluded.length > length"""
_ALL = "SELECT mailbox, length, head FROM chain"
_TOLD = "archive heads noted"
_TOLD_AT_ONCE = 200
_EVERY = 86_400 * SECOND


def note(connections: Connections, heads: Mapping[str, Head]) -> None:
    """Manifests only grow: of two notes that cross, the longer one stays."""
    with connections.writing() as transaction:
        transaction.connection.executemany(_NOTED, [(m, head.length, head.digest) for m, head in heads.items()])


def heads(connections: Connections, mailboxes: Iterable[str] | None) -> dict[str, Head]:
    with connections.reading() as connection:
        if mailboxes is None:
            return {mailbox: Head(length, head) for mailbox, length, head in connection.execute(_ALL)}
        found: dict[str, Head] = {}
        for wanted in sorted(set(mailboxes)):
            rows = connection.execute(f"{_ALL} WHERE mailbox = ?", (wanted,))
            found.update((mailbox, Head(length, head)) for mailbox, length, head in rows)
    return found


def tell(connections: Connections, now: int) -> int:
    """Once a day, where manifests end that have grown goes into the audit log too; of how many."""
    with connections.reading() as connection:
        (last,) = connection.execute("SELECT max(at) FROM audit WHERE action = ?", (_TOLD,)).fetchone()
    if last is not None and abs(now - last) < _EVERY:
        return 0
    told = 0
    while some := _tell_some(connections, now):
        told += some
    return told


def _tell_some(connections: Connections, now: int) -> int:
    with connections.writing() as transaction:
        connection = transaction.connection
        grown = connection.execute(f"{_ALL} WHERE length > audited LIMIT {_TOLD_AT_ONCE}").fetchall()
        if grown:
            details = {"heads": {mailbox: [length, head] for mailbox, length, head in grown}}
            audit.append(connection, Entry(_TOLD, "archives", "archiver", "daily housekeeping", details), now)
            connection.executemany("UPDATE chain SET audited = ? WHERE mailbox = ?", [(n, m) for m, n, _ in grown])
    return len(grown)


def told(connections: Connections) -> dict[str, Head]:
    """Where manifests ended by the audit log, the last of each."""
    entries = (entry.details.get("heads", {}) for entry in audit.entries(connections) if entry.action == _TOLD)
    return {mailbox: Head(*head) for heads in entries for mailbox, head in heads.items()}
