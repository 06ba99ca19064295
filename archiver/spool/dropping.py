"""Dropping what the gate withholds: a person's decision, on record with who, when and why.

Conversation History's alone: what waits for the archives is not its owner's to give up.

Holds nothing of what a later version of the conversation does with it: see `planning`.
"""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from archiver.spool import audit, holds
from archiver.spool.database import Connections
from archiver.spool.journal import Tally, settle
from archiver.spool.records import Dropped, Entry
from archiver.types import DeliveryState, Destination

_AT_ONCE = 200
_WITHHELD = """
SELECT delivery.n, mailbox, size, filing FROM delivery INDEXED BY delivery_withheld
    JOIN filing ON filing.n = delivery.filing JOIN place ON place.n = filing.place
    WHERE delivery.state = 'withheld' AND mailbox = (SELECT n FROM mailbox WHERE address = ?1)
    AND destination = 'history' AND (?2 = '' OR conversation = ?2) LIMIT ?3
"""
_RECORD = """
INSERT INTO dropping (at, mailbox, conversation, person, reason, deliveries, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET deliveries = deliveries + excluded.deliveries, bytes = bytes + excluded.bytes
"""


class Order(Struct, frozen=True):
    """One command: whose withheld items go (all, or those of one conversation), who says so, and why."""

    mailbox: str
    conversation: str
    person: str
    reason: str


def drop(connections: Connections, order: Order, now: int) -> int:
    """In short transactions, each complete in itself and told in the audit log; how many. Refused under a hold: what
    is withheld may be all there is of a conversation."""
    dropped = 0
    while True:
        with connections.writing() as transaction:
            done = _some(transaction.connection, order, now)
        dropped += done
        if done < _AT_ONCE:
            return dropped


def _some(connection: sqlite3.Connection, order: Order, now: int) -> int:
    holds.refuse_while_held(connection, order.mailbox)
    found = connection.execute(_WITHHELD, (order.mailbox, order.conversation, _AT_ONCE)).fetchall()
    if not found:
        return 0
    connection.executemany(
        "UPDATE delivery SET state = 'dropped', reason = ?, at = ? WHERE n = ?",
        [(order.reason, now, number) for number, *_ in found],
    )
    tally = Tally()
    moved = [(mailbox, Destination.HISTORY, size) for _, mailbox, size, _ in found]
    tally.move_all(moved, DeliveryState.WITHHELD, DeliveryState.DROPPED)
    tally.write(connection)
    settle(connection, {filing for *_, filing in found}, now)
    size = sum(size for _, _, size, _ in found)
    details = {"conversation": order.conversation, "items": len(found), "bytes": size}
    audit.append(connection, Entry("withheld dropped", order.mailbox, order.person, order.reason, details), now)
    connection.execute(_RECORD, (now, found[0][1], order.conversation, order.person, order.reason, len(found), size))
    return len(found)


def dropped(connections: Connections, *, limit: int) -> list[Dropped]:
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT address, conversation, person, reason, deliveries, bytes, at
            FROM dropping JOIN mailbox ON mailbox.n = mailbox ORDER BY at DESC LIMIT ?""",
            (limit,),
        )
        return [Dropped(*row) for row in rows]
