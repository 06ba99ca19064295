"""Deliveries to the archives that failed: since when, and what was refused because of them. Holds no rule.

A delivery that was filed, superseded or dropped fails no more, so nothing here is ever reset.
"""

from __future__ import annotations

from collections.abc import Iterable

from archiver.spool.database import Connections
from archiver.spool.records import PutOff
from archiver.types import Failure

_FAILED = """UPDATE delivery SET failed = ifnull(failed, ?), reason = ?
    WHERE n = ? AND destination <> 'history' AND state IN ('attempted', 'withheld')"""
# Bare columns come from the row with the least (SQLite, 2.4).
_FAILURES = """SELECT source.name, min(failed), count(*), reason FROM delivery INDEXED BY delivery_failed
    JOIN filing ON filing.n = delivery.filing JOIN place ON place.n = filing.place
    JOIN source ON source.n = place.source
    WHERE failed IS NOT NULL AND delivery.state IN ('attempted', 'withheld')
    GROUP BY source.name ORDER BY source.name"""
_PUT_OFF = """INSERT INTO put_off (pool, events, last) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events, last = excluded.last"""


def note(connections: Connections, failed: Iterable[tuple[int, str]], now: int) -> None:
    """Deliveries by number, each with its reason; of one that failed before, the first time stays."""
    with connections.writing() as transaction:
        transaction.connection.executemany(_FAILED, [(now, reason, number) for number, reason in failed])


def failures(connections: Connections) -> list[Failure]:
    with connections.reading() as connection:
        return [Failure(*row) for row in connection.execute(_FAILURES)]


def count_put_off(connections: Connections, pool: str, events: int, now: int) -> None:
    with connections.writing(live=True) as transaction:
        transaction.connection.execute(_PUT_OFF, (pool, events, now))


def put_off(connections: Connections) -> list[PutOff]:
    with connections.reading() as connection:
        return [PutOff(*row) for row in connection.execute("SELECT pool, events, last FROM put_off ORDER BY pool")]
