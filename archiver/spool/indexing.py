"""What the search index has to look at again: a queue that is written in the transaction that changes a delivery.

Triggers on the journal's own table write it (see `schema`), so that nobody who records a delivery can forget to.
Numbers are given in order, and only those that were read are taken out: what changes meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterable

from archiver.spool.database import Connections
from archiver.spool.records import Backlog, Unindexed
from archiver.types import Destination


def unindexed(connections: Connections, destination: Destination, limit: int) -> list[Unindexed]:
    """The oldest of what goes there."""
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT unindexed.n, address, folder, name FROM unindexed JOIN mailbox ON mailbox.n = mailbox
            WHERE destination = ? ORDER BY unindexed.n LIMIT ?""",
            (destination.value, limit),
        ).fetchall()
    return [Unindexed(*row) for row in rows]


def indexed(connections: Connections, numbers: Iterable[int]) -> None:
    with connections.writing() as transaction:
        transaction.connection.executemany("DELETE FROM unindexed WHERE n = ?", [(number,) for number in numbers])


def backlog(connections: Connections, destination: Destination) -> Backlog:
    with connections.reading() as connection:
        entries, since = connection.execute(
            "SELECT count(*), min(at) FROM unindexed WHERE destination = ?", (destination.value,)
        ).fetchone()
    return Backlog(entries, since)
