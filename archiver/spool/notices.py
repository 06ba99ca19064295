"""Who was told that they are archived. Begun before it is done, so that nobody is told twice. Holds no text."""

from __future__ import annotations

from collections.abc import Iterable

from archiver.spool.database import Connections
from archiver.spool.records import Untold

_UNTOLD = """SELECT address, notice.at FROM mailbox LEFT JOIN notice ON notice.mailbox = mailbox.n
    WHERE notice.told IS NULL AND EXISTS (SELECT 1 FROM tally WHERE tally.mailbox = mailbox.n
        AND destination <> 'history' AND state = 'filed' AND deliveries > 0)
    ORDER BY mailbox.n"""
_BEGUN = """INSERT OR IGNORE INTO notice (mailbox, at) SELECT n, ? FROM mailbox WHERE address = ?"""
_TOLD = "UPDATE notice SET told = ? WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?)"


def untold(connections: Connections) -> list[Untold]:
    with connections.reading() as connection:
        return [Untold(*row) for row in connection.execute(_UNTOLD)]


def begin(connections: Connections, mailboxes: Iterable[str], now: int) -> None:
    with connections.writing() as transaction:
        transaction.connection.executemany(_BEGUN, [(now, mailbox) for mailbox in mailboxes])


def finish(connections: Connections, mailboxes: Iterable[str], now: int) -> None:
    with connections.writing() as transaction:
        transaction.connection.executemany(_TOLD, [(now, mailbox) for mailbox in mailboxes])
