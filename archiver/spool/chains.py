"""How long the manifest of each compliance archive is, and its last digest: told apart from it, so that a cut is found.

Holds no manifest.
"""

from __future__ import annotations

from archiver.spool.database import Connections
from archiver.spool.records import Chain

_NOTED = """INSERT INTO chain (mailbox, length, head) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET length = excluded.length, head = excluded.head WHERE excluded.length > length"""


def note(connections: Connections, mailbox: str, length: int, head: str) -> None:
    """Manifests only grow: of two notes that cross, the longer one stays."""
    with connections.writing() as transaction:
        transaction.connection.execute(_NOTED, (mailbox, length, head))


def chain(connections: Connections, mailbox: str) -> Chain | None:
    with connections.reading() as connection:
        row = connection.execute("SELECT mailbox, length, head FROM chain WHERE mailbox = ?", (mailbox,)).fetchone()
    return None if row is None else Chain(*row)


def chains(connections: Connections) -> list[Chain]:
    with connections.reading() as connection:
        return [Chain(*row) for row in connection.execute("SELECT mailbox, length, head FROM chain ORDER BY mailbox")]
