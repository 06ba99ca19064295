"""What was filed long ago, by the journal, and that it went because its time was over. Holds no rule of how long."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from archiver.spool.database import Connections
from archiver.spool.journal import Tally, known
from archiver.spool.records import AgedDelivery
from archiver.types import DeliveryState, Destination

_AT_ONCE = 2_000
"""Rows looked at in one read: a short one, however few of them are that old."""
_AGED = """
SELECT delivery.n, address, destination, folder, name, size, started, ended
    FROM delivery JOIN filing ON filing.n = delivery.filing JOIN mailbox ON mailbox.n = delivery.mailbox
    WHERE delivery.n > ?1 AND delivery.n <= ?2 AND delivery.state = 'filed' AND delivery.name <> '' AND ended < ?3
    AND (?4 IS NULL OR address = ?4) ORDER BY delivery.n
"""

_ARCHIVED = """
SELECT 1 FROM delivery WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?) AND name = ?
    AND destination = 'archive' AND state = 'filed'
"""


def aged(connections: Connections, before: int, mailbox: str | None) -> Iterator[list[AgedDelivery]]:
    """Deliveries whose conversations ended before a time, in the order in which they were begun, lot by lot."""
    with connections.reading() as connection:
        (last,) = connection.execute("SELECT value FROM counter WHERE name = 'delivery'").fetchone()
    for start in range(0, last, _AT_ONCE):
        with connections.reading() as connection:
            rows = connection.execute(_AGED, (start, start + _AT_ONCE, before, mailbox)).fetchall()
        if rows:
            yield list(map(_from_row, rows))


def _from_row(row: Sequence[Any]) -> AgedDelivery:
    number, mailbox, destination, folder, name, size, started, ended = row
    return AgedDelivery(number, mailbox, Destination(destination), folder, name, size, started, ended)


def archived(connections: Connections, mailbox: str, names: Iterable[str]) -> set[str]:
    """Those of these base names that filed deliveries to a mailbox's archive have."""
    with connections.reading() as connection:
        return {name for name in names if connection.execute(_ARCHIVED, (mailbox, name)).fetchone() is not None}


def purged(connections: Connections, numbers: Collection[int], now: int) -> None:
    """These were taken out. What became something else meanwhile stays that."""
    tally = Tally()
    with connections.writing() as transaction:
        connection = transaction.connection
        for number in numbers:
            old = known(connection, number)
            if old is not None and old.state is DeliveryState.FILED:
                connection.execute("UPDATE delivery SET state = 'purged', at = ? WHERE n = ?", (now, number))
                tally.move(old, DeliveryState.PURGED, old.size)
        tally.write(connection)
