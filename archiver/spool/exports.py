"""What was exported of mailboxes and archives, by base name and digest, and when. The local archive marks its own.

A base name stands for one content for good, so that the name is what a purge asks by. Rows stay when the items go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from archiver.spool.database import Connections
from archiver.spool.records import Exported
from archiver.types import Destination

_NEW = """
INSERT INTO exported (mailbox, destination, name, sha256, at)
    VALUES ((SELECT n FROM mailbox WHERE address = ?), ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET sha256 = excluded.sha256, at = excluded.at WHERE sha256 <> excluded.sha256
"""
_KNOWN = """
SELECT 1 FROM exported WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?) AND destination = ? AND name = ?
"""


def note(connections: Connections, exported: Collection[Exported]) -> None:
    """For the same content the first time stands."""
    with connections.writing() as transaction:
        connection = transaction.connection
        mailboxes = sorted({each.mailbox for each in exported})
        connection.executemany("INSERT OR IGNORE INTO mailbox (address) VALUES (?)", [(each,) for each in mailboxes])
        connection.executemany(
            _NEW, [(each.mailbox, each.destination.value, each.name, each.sha256, each.at) for each in exported]
        )


def exported(
    connections: Connections, destination: Destination, wanted: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of these (mailbox, base name) that were exported."""
    with connections.reading() as connection:
        return {
            (mailbox, name)
            for mailbox, name in wanted
            if connection.execute(_KNOWN, (mailbox, destination.value, name)).fetchone() is not None
        }
