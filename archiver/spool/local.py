"""The local archive: complete items of people whose mailbox is not to have them, in the spool's own database.

Each conversation version is one row whoever it was archived for; those stand beside it. Contents come last in their
row and are read one at a time, so that lists and purges touch none. Holds no rule of who is archived here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from msgspec import json

from archiver.spool.database import Connections
from archiver.spool.records import LocalCopy, LocalItem

_AT_ONCE = 1_000
_BYTES = 512 * 1024
"""Of contents written in one transaction: a longer one would keep live capture waiting."""

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
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1


def keep(connections: Connections, copies: Sequence[LocalCopy], now: int) -> None:
    """Durable when it returns; the same again changes nothing."""
    for some in _lots(copies):
        with connections.writing() as transaction:
            connection = transaction.connection
            for copy in some:
                item = copy.item
                digest = sha256(item.content).hexdigest()
                size = len(item.content)
                row = (copy.place, copy.version, item.name, digest, size, item.date, item.changed, now, item.content)
                connection.execute(_NEW, row)
                connection.executemany(
                    "INSERT OR IGNORE INTO mailbox (address) VALUES (?)", [(each,) for each in copy.mailboxes]
                )
                connection.executemany(_FOR, [(copy.place, item.name, each) for each in copy.mailboxes])


def _lots(copies: Sequence[LocalCopy]) -> Iterator[list[LocalCopy]]:
    lot: list[LocalCopy] = []
    size = 0
    for copy in copies:
        if lot and size + len(copy.item.content) > _BYTES:
            yield lot
            lot, size = [], 0
        lot.append(copy)
        size += len(copy.item.content)
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
        row = connection.execute("SELECT content FROM local_archive WHERE n = ?", (number,)).fetchone()
    return None if row is None else bytes(row[0])


def only_here(connections: Connections, mailbox: str) -> int:
    """How many items of somebody's their own archive never got."""
    with connections.reading() as connection:
        count: int
        (count,) = connection.execute(_ONLY_HERE, (mailbox,)).fetchone()
    return count


def mark_exported(connections: Connections, numbers: Iterable[int], now: int) -> None:
    """The first time stands."""
    with connections.writing() as transaction:
        transaction.connection.executemany(
            "UPDATE local_archive SET exported = ? WHERE n = ? AND exported IS NULL", [(now, n) for n in numbers]
        )


def drop(connections: Connections, numbers: Iterable[int]) -> int:
    """Take items out for good; how many there were. Whether they may go is the caller's to know."""
    dropped = 0
    with connections.writing() as transaction:
        for number in numbers:
            transaction.connection.execute("DELETE FROM local_participant WHERE item = ?", (number,))
            dropped += transaction.connection.execute("DELETE FROM local_archive WHERE n = ?", (number,)).rowcount
    return dropped
