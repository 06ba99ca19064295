"""What waits in the journal: withheld by the gate, parked for a person; and strangers, recalled messages, held blobs.

Holds no decision why something is withheld or parked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from msgspec import json

from archiver.spool import files
from archiver.spool.database import Connections
from archiver.spool.identity import number
from archiver.spool.journal import Tally, filing_from_row
from archiver.types import Filing, Lease

_AT_ONCE = 1_000
WAKE = "UPDATE place SET due_at = min(ifnull(due_at, ?1), ?1) WHERE n = ?2 AND parked_at IS NULL"


def withheld_mailboxes(connections: Connections) -> set[str]:
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT address FROM mailbox WHERE n IN
            (SELECT mailbox FROM tally WHERE state = 'withheld' AND deliveries > 0)"""
        )
        return {address for (address,) in rows}


def wake(connections: Connections, mailboxes: Iterable[str], now: int) -> int:
    places: set[int] = set()
    with connections.reading() as connection:
        for mailbox in mailboxes:
            rows = connection.execute(
                """SELECT DISTINCT place FROM delivery INDEXED BY delivery_withheld JOIN filing ON filing.n = filing
                WHERE delivery.state = 'withheld' AND mailbox = (SELECT n FROM mailbox WHERE address = ?)""",
                (mailbox,),
            )
            places.update(place for (place,) in rows)
    make_due(connections, sorted(places), now)
    return len(places)


def wake_one(connections: Connections, reason: str, now: int) -> bool:
    """Of the places with something withheld for a reason, the one tried longest ago is due."""
    with connections.reading() as connection:
        row = connection.execute(
            """SELECT place FROM delivery INDEXED BY delivery_withheld JOIN filing ON filing.n = filing
            WHERE delivery.state = 'withheld' AND reason = ?
            ORDER BY attempted_at, filing.n LIMIT 1""",
            (reason,),
        ).fetchone()
    make_due(connections, [] if row is None else [row[0]], now)
    return row is not None


def make_due(connections: Connections, places: Sequence[int], now: int) -> None:
    for start in range(0, len(places), _AT_ONCE):
        with connections.writing() as transaction:
            transaction.connection.executemany(WAKE, [(now, place) for place in places[start : start + _AT_ONCE]])


def fail(connections: Connections, filings: Iterable[Filing], error: str, now: int) -> int | None:
    """The attempt failed: note why; the earliest next try."""
    numbers = [filing.number for filing in filings]
    with connections.writing() as transaction:
        connection = transaction.connection
        connection.executemany("UPDATE filing SET error = ? WHERE n = ?", [(error, number) for number in numbers])
        found = [connection.execute("SELECT next_at FROM filing WHERE n = ?", (n,)).fetchone() for n in numbers]
    return min((row[0] for row in found if row and row[0] is not None), default=None)


def park(connections: Connections, filings: Iterable[Filing], reason: str, now: int) -> None:
    with connections.writing() as transaction:
        for filing in filings:
            _move(transaction.connection, filing.number, "attempted", "parked", reason, now)
            transaction.connection.execute(
                "UPDATE filing SET state = 'parked', error = ?, next_at = NULL WHERE n = ?", (reason, filing.number)
            )


def park_place(connections: Connections, lease: Lease, reason: str, now: int) -> None:
    with connections.writing() as transaction:
        transaction.connection.execute(
            """UPDATE place SET parked_at = ?, error = ?, due_at = NULL, owner = NULL, lease_until = NULL,
            claimed_due = NULL WHERE n = ? AND owner = ?""",
            (now, reason, lease.place, lease.owner),
        )


def unpark(connections: Connections, filings: Iterable[int], places: Iterable[int], now: int) -> int:
    """Due again, with no attempts on record against them; how many there were."""
    done = 0
    with connections.writing() as transaction:
        connection = transaction.connection
        for filing in filings:
            row = connection.execute(
                """UPDATE filing SET state = 'attempted', attempts = 0, error = NULL WHERE n = ?1 AND (state = 'parked'
                OR EXISTS (SELECT 1 FROM delivery WHERE filing = ?1 AND state = 'parked')) RETURNING place""",
                (filing,),
            ).fetchone()
            if row is not None:
                done += 1
                _move(connection, filing, "parked", "attempted", "", now)
                connection.execute(WAKE, (now, row[0]))
        for place in places:
            done += connection.execute(
                """UPDATE place SET parked_at = NULL, error = NULL, attempts = 0, due_at = ?
                WHERE n = ? AND parked_at IS NOT NULL""",
                (now, place),
            ).rowcount
    return done


def _move(connection: sqlite3.Connection, filing: int, old: str, new: str, reason: str, now: int) -> None:
    rows = connection.execute(
        """UPDATE delivery SET state = ?, reason = ?, at = ? WHERE filing = ? AND state = ?
        RETURNING mailbox, destination, size""",
        (new, reason, now, filing, old),
    ).fetchall()
    tally = Tally()
    tally.move_all(rows, old, new)
    tally.write(connection)


def note_strangers(connections: Connections, people: Iterable[tuple[str, str, int]], now: int) -> None:
    rows = sorted((source, address, count, now) for source, address, count in people)
    with connections.writing() as transaction:
        transaction.connection.executemany(
            """INSERT INTO stranger (source, address, seen, last) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET seen = seen + excluded.seen, last = max(last, excluded.last)""",
            rows,
        )


def recalled(connections: Connections, place: int, targets: Iterable[str]) -> list[tuple[str, Filing]]:
    """Each target with a filing that holds a text of it whose event is forgotten already."""
    found = []
    with connections.reading() as connection:
        for target in targets:
            rows = connection.execute(
                """SELECT filing.n, filing.place, version, started, ended, part, events, attempts FROM recall
                JOIN filing ON filing.n = recall.filing WHERE recall.place = ? AND target = ? ORDER BY filing.n""",
                (place, number(target.encode())),
            ).fetchall()
            found += [(target, filing_from_row(connection, row)) for row in rows]
    return found


def whispered(connections: Connections, place: int, targets: Iterable[str]) -> dict[str, frozenset[str]]:
    """Those of the targets that are forgotten whispers, and who alone may see them."""
    found: dict[str, frozenset[str]] = {}
    with connections.reading() as connection:
        for target in targets:
            for (packed,) in connection.execute(
                "SELECT parties FROM whisper WHERE place = ? AND target = ?", (place, number(target.encode()))
            ):
                who = frozenset(json.decode(packed, type=list[str]))
                found[target] = who & found.get(target, who)
    return found


def hold_blobs(connections: Connections, holder: str, digests: Iterable[str]) -> None:
    with connections.writing() as transaction:
        transaction.connection.executemany(
            "INSERT OR IGNORE INTO blob_holder (sha256, holder) VALUES (?, ?)", [(sha, holder) for sha in digests]
        )


def drop_blobs(connections: Connections, holder: str) -> None:
    with connections.writing() as transaction:
        transaction.connection.execute("DELETE FROM blob_holder WHERE holder = ?", (holder,))


def sweep_blobs(connections: Connections, tree: files.Tree) -> int:
    """Remove contents that nobody holds any more; how many. A file goes while the write lock is held, so that no
    append can count on it meanwhile: after a crash in between, a row without file and holder is simply swept again."""
    with connections.reading() as connection:
        found = connection.execute(
            """SELECT sha256 FROM blob
            WHERE NOT EXISTS (SELECT 1 FROM blob_holder WHERE blob_holder.sha256 = blob.sha256)"""
        ).fetchall()
    removed = 0
    for start in range(0, len(found), 100):
        with connections.writing() as transaction:
            for (sha256,) in found[start : start + 100]:
                done = transaction.connection.execute(
                    """DELETE FROM blob WHERE sha256 = ?1
                    AND NOT EXISTS (SELECT 1 FROM blob_holder WHERE sha256 = ?1)""",
                    (sha256,),
                )
                if done.rowcount:
                    tree.remove(files.blob_path(sha256))
                    removed += 1
    return removed
