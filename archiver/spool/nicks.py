"""Nicks that backfills used as the directory has them, without a place: which ones, and where. Holds no rule."""

from __future__ import annotations

from collections.abc import Iterable

from archiver.spool.database import Connections

Nick = tuple[str, str]
"""A nick as the directory compares it, and its place."""


def nicks(connections: Connections) -> frozenset[Nick]:
    with connections.reading() as connection:
        return frozenset(connection.execute("SELECT nick, place FROM nick").fetchall())


def note(connections: Connections, found: Iterable[Nick]) -> None:
    rows = sorted(found)
    if rows:
        with connections.writing() as transaction:
            transaction.connection.executemany("INSERT OR IGNORE INTO nick (nick, place) VALUES (?, ?)", rows)
