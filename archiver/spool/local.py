"""The local archive: complete items of people whose mailbox is not to have them, in the spool's own database.

Each conversation version is one row whoever it was archived for; those stand beside it. Contents come last in their
row, large ones in `pieces` beside it, and are read one at a time, so that lists and purges touch none. Holds no rule of
who is archived here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, TypeVar

from msgspec import json

from archiver.spool import pieces
from archiver.spool.database import Connections
from archiver.spool.records import LocalCopy, LocalItem

_AT_ONCE = 1_000
_BYTES = pieces.SIZE
"""Of contents written in one transaction: a longer one would keep live capture waiting."""
_GONE_AT_ONCE = 1024 * 1024
"""Bytes freed in one."""

_NEW = """
INSERT OR IGNORE INTO local_archive (place, version, name, sha256, size, first, last, at, content)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FOR = """
INSERT OR IGNORE INTO local_participant (item, mailbox)
    SELECT local_archive.n, mailbox.n FROM local_archive, mailbox WHERE place = ? AND name = ? AND address = ?
"""
_LISTED = """
SELECT local_archive.n, name, sha256, size, first, last, at, exported, version,
    (SELECT source.name FROM source JOIN place ON place.source = source.n WHERE place.n = local_archive.place),
    (SELECT conversation FROM place WHERE place.n = local_archive.place),
    (SELECT json_group_array(address) FROM (SELECT address FROM local_participant
        JOIN mailbox ON mailbox.n = mailbox WHERE item = local_archive.n ORDER BY address))
FROM local_archive WHERE local_archive.n > ? AND last >= ? AND first < ?
"""
_OF = """
AND local_archive.n IN (SELECT item FROM local_participant WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?))
"""
_ONLY_HERE = """
SELECT count(*) FROM local_participant JOIN local_archive ON local_archive.n = item
    WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?) AND NOT EXISTS
    (SELECT 1 FROM delivery WHERE delivery.mailbox = local_participant.mailbox AND delivery.name = local_archive.name
        AND destination = 'archive' AND state = 'filed')
"""
_DELIVERIES = """
SELECT delivery.n FROM local_archive JOIN filing ON filing.place = local_archive.place
    JOIN delivery ON delivery.filing = filing.n AND delivery.name = local_archive.name
    WHERE local_archive.n = ? AND destination = 'local' AND delivery.state = 'filed'
"""
_KEPT = "SELECT 1 FROM local_archive WHERE place = ? AND name = ?"
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1


def keep(connections: Connections, copies: Sequence[LocalCopy], now: int) -> None:
    """Durable when it returns; the same again changes nothing."""
    for some in _lots(copies, lambda copy: len(copy.item.content), _BYTES):
        ready = [(copy, sha256(copy.item.content).hexdigest()) for copy in some]
        done = False
        while not done:
            for copy, digest in ready:
                with connections.reading() as connection:
                    is_new = _is_large(copy) and not _is_kept(connection, copy)
                if is_new:
                    pieces.write(connections, digest, copy.item.content)
            with connections.writing() as transaction:
                done = _keep(transaction.connection, ready, now)


def _is_large(copy: LocalCopy) -> bool:
    return len(copy.item.content) > pieces.SIZE


def _is_kept(connection: sqlite3.Connection, copy: LocalCopy) -> bool:
    return connection.execute(_KEPT, (copy.place, copy.item.name)).fetchone() is not None


def _keep(connection: sqlite3.Connection, ready: Sequence[tuple[LocalCopy, str]], now: int) -> bool:
    """False where pieces of one were swept since: nothing is written then."""
    in_pieces = [each for each in ready if _is_large(each[0]) and not _is_kept(connection, each[0])]
    if not all(pieces.has(connection, digest, len(copy.item.content)) for copy, digest in in_pieces):
        return False
    for copy, digest in ready:
        item, size = copy.item, len(copy.item.content)
        content = b"" if _is_large(copy) else item.content
        row = (copy.place, copy.version, item.name, digest, size, item.date, item.changed, now, content)
        connection.execute(_NEW, row)
        connection.executemany(
            "INSERT OR IGNORE INTO mailbox (address) VALUES (?)", [(each,) for each in copy.mailboxes]
        )
        connection.executemany(_FOR, [(copy.place, item.name, each) for each in copy.mailboxes])
    return True


T = TypeVar("T")


def _lots(some: Iterable[T], size_of: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """As many as have so many bytes together; at least one."""
    lot: list[T] = []
    size = 0
    for each in some:
        if lot and size + size_of(each) > most:
            yield lot
            lot, size = [], 0
        lot.append(each)
        size += size_of(each)
    if lot:
        yield lot


def items(
    connections: Connections, since: int | None, until: int | None, mailbox: str | None, *, exported: bool
) -> Iterator[LocalItem]:
    """In the order they were archived: those with events in [since, until), of one mailbox if it is named.

    `exported` is False to leave out what was exported before.
    """
    query = _LISTED + (_OF if mailbox is not None else "") + ("" if exported else "AND exported IS NULL ")
    query += "ORDER BY local_archive.n LIMIT ?"
    bounds = (_EARLIEST if since is None else since, _LATEST if until is None else until)
    after = 0
    while True:  # lot by lot, so that no read transaction grows old
        with connections.reading() as connection:
            values = (after, *bounds, *((mailbox,) if mailbox is not None else ()), _AT_ONCE)
            rows = connection.execute(query, values).fetchall()
        yield from map(_item_from_row, rows)
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1][0]


def _item_from_row(row: Sequence[Any]) -> LocalItem:
    number, name, digest, size, first, last, at, exported, version, source, conversation, mailboxes = row
    people = tuple(json.decode(mailboxes, type=list[str]))
    return LocalItem(number, name, digest, size, first, last, at, exported, version, source, conversation, people)


def content(connections: Connections, number: int) -> bytes | None:
    with connections.reading() as connection:
        row = connection.execute("SELECT content, sha256 FROM local_archive WHERE n = ?", (number,)).fetchone()
        if row is None:
            return None
        return bytes(row[0]) or pieces.read(connection, row[1])


def only_here(connections: Connections, mailbox: str) -> int:
    """How many items of somebody's their own archive never got."""
    with connections.reading() as connection:
        count: int
        (count,) = connection.execute(_ONLY_HERE, (mailbox,)).fetchone()
    return count


def deliveries(connections: Connections, numbers: Iterable[int]) -> list[int]:
    """Those that the journal has of items: of every version, for everybody, that one row is."""
    with connections.reading() as connection:
        return [delivery for number in numbers for (delivery,) in connection.execute(_DELIVERIES, (number,))]


def mark_exported(connections: Connections, numbers: Iterable[int], now: int) -> None:
    """The first time stands."""
    with connections.writing() as transaction:
        transaction.connection.executemany(
            "UPDATE local_archive SET exported = ? WHERE n = ? AND exported IS NULL", [(now, n) for n in numbers]
        )


def drop(connections: Connections, numbers: Iterable[int]) -> int:
    """Take items out for good; how many there were. Whether they may go is the caller's to know."""
    with connections.reading() as connection:
        query = "SELECT n, sha256, size, length(content) FROM local_archive WHERE n = ?"
        found = [row for number in numbers if (row := connection.execute(query, (number,)).fetchone()) is not None]
    for some in _lots(found, lambda row: int(row[3]), _GONE_AT_ONCE):
        rows = [(number,) for number, *_ in some]
        with connections.writing() as transaction:
            transaction.connection.executemany("DELETE FROM local_participant WHERE item = ?", rows)
            transaction.connection.executemany("DELETE FROM local_archive WHERE n = ?", rows)
        for _, digest, size, inline in some:
            if inline < size:
                pieces.drop(connections, digest)
    return len(found)
