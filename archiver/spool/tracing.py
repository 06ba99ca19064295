"""What the spool and its journal know of one conversation and one mailbox. Holds no rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archiver.spool.database import Connections
from archiver.spool.records import Placed, Traced
from archiver.types import Delivery, DeliveryState, Destination


def placed(connections: Connections, conversation: str, source: str | None) -> list[Placed]:
    """The places of that name, in whatever source where none is named."""
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT place.n, source.name, conversation, kind, due_at, owner IS NOT NULL, parked_at, ifnull(error, ''),
            EXISTS (SELECT 1 FROM roster WHERE roster.place = place.n)
            FROM place JOIN source ON source.n = source WHERE conversation = ?1 AND ifnull(source.name = ?2, 1)
            ORDER BY source.name""",
            (conversation, source),
        ).fetchall()
        counts = [
            connection.execute("SELECT count(*), max(time) FROM event WHERE place = ?", (row[0],)).fetchone()
            for row in rows
        ]
    return [
        Placed(n, name, key, kind, events, last, due, bool(claimed), parked, error, bool(forgotten))
        for (n, name, key, kind, due, claimed, parked, error, forgotten), (events, last) in zip(
            rows, counts, strict=True
        )
    ]


def traced(connections: Connections, place: int, mailbox: str, limit: int) -> list[Traced]:
    """The newest versions first."""
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT filing.n, started, ended, part, attempts, filing.state, ifnull(delivery.at, attempted_at),
            delivery.n, destination, folder, name, delivery.state, reason, size
            FROM filing LEFT JOIN delivery ON delivery.filing = filing.n
                AND mailbox = (SELECT n FROM mailbox WHERE address = ?)
            WHERE place = ? ORDER BY filing.n DESC, delivery.n DESC LIMIT ?""",
            (mailbox, place, limit),
        )
        return [
            Traced(n, started, ended, part, attempts, state, at, _delivery(mailbox, delivery))
            for n, started, ended, part, attempts, state, at, *delivery in rows
        ]


def _delivery(mailbox: str, row: Sequence[Any]) -> Delivery | None:
    number, destination, folder, name, state, reason, size = row
    if number is None:
        return None
    return Delivery(mailbox, folder, name, 0, DeliveryState(state), reason, size, (), number, Destination(destination))
