"""What the journal says lies in Conversation History, for whoever checks it; and asking for one of it once more.

Reads in pages by number: no read transaction stays open. Holds no folder and no rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from archiver.spool.database import Connections
from archiver.spool.journal import Tally
from archiver.spool.kept import WAKE
from archiver.spool.packing import unpack_numbers
from archiver.spool.reading import floor
from archiver.types import Delivery, DeliveryState

_AT_ONCE = 100
_PAGE = """SELECT delivery.n, address, folder, name, state, reason, size FROM delivery {index}
    JOIN mailbox ON mailbox.n = mailbox
    WHERE delivery.n > ?1 AND destination = 'history' AND name <> '' AND {which} ORDER BY delivery.n LIMIT ?3"""
_OF_ALL = _PAGE.format(index="", which="?2 IS NULL")
_OF_ONE = _PAGE.format(
    index="INDEXED BY delivery_history", which="mailbox = (SELECT n FROM mailbox WHERE address = ?2)"
)


def deliveries(connections: Connections, mailbox: str | None, after: int) -> Iterator[Delivery]:
    """All that was ever put, or tried, of one mailbox or of all, with numbers above `after`; without masks."""
    page = _OF_ALL if mailbox is None else _OF_ONE
    while True:
        with connections.reading() as connection:
            rows = connection.execute(page, (after, mailbox, _AT_ONCE)).fetchall()
        for number, address, folder, name, state, reason, size in rows:
            yield Delivery(address, folder, name, 0, DeliveryState(state), reason, size, (), number)
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1][0]


def state_of(connections: Connections, number: int) -> DeliveryState | None:
    with connections.reading() as connection:
        row = connection.execute("SELECT state FROM delivery WHERE n = ?", (number,)).fetchone()
    return None if row is None else DeliveryState(row[0])


def attempt_again(connections: Connections, number: int, now: int) -> bool:
    """Let what was filed, and is there no more, be filed by the next run. False where its events are forgotten."""
    with connections.writing() as transaction:
        connection = transaction.connection
        row = connection.execute(
            """SELECT filing.n, place, events, mailbox, destination, delivery.state, size FROM delivery
            JOIN filing ON filing.n = filing WHERE delivery.n = ?""",
            (number,),
        ).fetchone()
        if row is None:
            return False
        filing, place, events, mailbox, destination, state, size = row
        if state != DeliveryState.FILED or not _are_there(connections, place, unpack_numbers(events)):
            return False
        connection.execute("UPDATE delivery SET state = 'attempted', at = ? WHERE n = ?", (now, number))
        connection.execute(
            "UPDATE filing SET state = 'attempted', attempts = 0, next_at = ? WHERE n = ?", (now, filing)
        )
        tally = Tally()
        tally.add(mailbox, destination, state, size, sign=-1)
        tally.add(mailbox, destination, DeliveryState.ATTEMPTED, size)
        tally.write(connection)
        connection.execute(WAKE, (now, place))
    return True


def _are_there(connections: Connections, place: int, numbers: tuple[int, ...]) -> bool:
    upto, forgotten = floor(connections, place)
    with connections.reading() as connection:
        for number in numbers:
            row = connection.execute("SELECT time FROM event WHERE n = ?", (number,)).fetchone()
            if row is None or (row[0] < upto and number <= forgotten):
                return False
    return bool(numbers)
