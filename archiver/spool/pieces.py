"""Contents of large items of the local archive, piece by piece: no transaction waits for a whole one.

Pieces are known by the SHA-256 of the whole. They come before the item's row, and go after it: what a crash leaves
belongs to no row, and is taken away by `sweep`. That a content is whole is checked in the transaction of its row.
"""

from __future__ import annotations

import sqlite3

from archiver.spool.database import Connections

SIZE = 256 * 1024
"""Bytes of one piece: written, with its sync, in some milliseconds."""
_GONE_AT_ONCE = 4
# The row of a content in pieces has an empty one.
_OWNED = "SELECT 1 FROM local_archive WHERE local_archive.sha256 = local_piece.sha256 AND content = x''"
_GO = f"""
DELETE FROM local_piece WHERE rowid IN
    (SELECT rowid FROM local_piece WHERE sha256 = ? AND NOT EXISTS ({_OWNED}) LIMIT {_GONE_AT_ONCE})
"""  # noqa: S608


def write(connections: Connections, sha256: str, content: bytes) -> None:
    """Durable when it returns; the same again changes nothing."""
    for number, start in enumerate(range(0, len(content), SIZE)):
        with connections.writing() as transaction:
            transaction.connection.execute(
                "INSERT OR IGNORE INTO local_piece (sha256, number, content) VALUES (?, ?, ?)",
                (sha256, number, content[start : start + SIZE]),
            )


def has(connection: sqlite3.Connection, sha256: str, size: int) -> bool:
    """Whether all of a content is there, within the transaction that relies on it."""
    (there,) = connection.execute(
        "SELECT ifnull(sum(length(content)), 0) FROM local_piece WHERE sha256 = ?", (sha256,)
    ).fetchone()
    return bool(there == size)


def read(connection: sqlite3.Connection, sha256: str) -> bytes:
    rows = connection.execute("SELECT content FROM local_piece WHERE sha256 = ? ORDER BY number", (sha256,))
    return b"".join(piece for (piece,) in rows)


def drop(connections: Connections, sha256: str) -> None:
    """Those of a content that no row has, in short transactions."""
    while True:
        with connections.writing() as transaction:
            done = transaction.connection.execute(_GO, (sha256,)).rowcount
        if done < _GONE_AT_ONCE:
            return


def sweep(connections: Connections) -> int:
    """What a crash left; of how many contents. One that is just being written begins anew."""
    with connections.reading() as connection:
        rows = connection.execute(
            f"SELECT DISTINCT sha256 FROM local_piece WHERE NOT EXISTS ({_OWNED})"  # noqa: S608
        ).fetchall()
    for (sha256,) in rows:
        drop(connections, sha256)
    return len(rows)
