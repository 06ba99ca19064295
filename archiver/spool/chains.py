"""Where the manifest of each compliance archive ended: told apart from it, so that a cut shows. Holds no manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archiver.spool.database import Connections
from archiver.types import Head

_NOTED = """INSERT INTO chain (mailbox, length, head) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET length = excluded.length, head = excluded.head WHERE excluded.length > length"""
_ALL = "SELECT mailbox, length, head FROM chain"
_AT_ONCE = 1_000


def note(connections: Connections, heads: Mapping[str, Head]) -> None:
    """Manifests only grow: of two notes that cross, the longer one stays."""
    with connections.writing() as transaction:
        transaction.connection.executemany(_NOTED, [(m, head.length, head.digest) for m, head in heads.items()])


def heads(connections: Connections, mailboxes: Iterable[str] | None) -> dict[str, Head]:
    with connections.reading() as connection:
        if mailboxes is None:
            return {mailbox: Head(length, head) for mailbox, length, head in connection.execute(_ALL)}
        found: dict[str, Head] = {}
        wanted = sorted(set(mailboxes))
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            rows = connection.execute(f"{_ALL} WHERE mailbox IN ({','.join('?' * len(some))})", some)
            found.update((mailbox, Head(length, head)) for mailbox, length, head in rows)
    return found
