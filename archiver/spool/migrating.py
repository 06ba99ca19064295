"""Which migrations of mailboxes are known, and when they were to end. Holds no rule of when that is too late."""

from __future__ import annotations

from collections.abc import Mapping

from archiver.spool.database import Connections


def migrations(connections: Connections) -> dict[str, int]:
    with connections.reading() as connection:
        return dict(connection.execute("SELECT mailbox, ends FROM migration").fetchall())


def note(connections: Connections, ends: Mapping[str, int]) -> None:
    """These and no others."""
    with connections.writing() as transaction:
        transaction.connection.execute("DELETE FROM migration")
        transaction.connection.executemany("INSERT INTO migration (mailbox, ends) VALUES (?, ?)", ends.items())
