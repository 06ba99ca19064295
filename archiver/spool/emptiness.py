"""How many conversations have no content: counted as they are recorded, so that nobody need look for them.

A later version of a conversation takes the place of the versions whose events it has. Holds no rule of what content is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from archiver.spool.packing import unpack_numbers
from archiver.types import Filing

_EARLIER = """
SELECT n, events FROM filing INDEXED BY filing_empty
    WHERE empty = 1 AND place = ? AND ended >= ? AND started <= ? AND n <> ?
"""


def count(connection: sqlite3.Connection, filings: Iterable[Filing]) -> None:
    """Inside the transaction that records the filings; doing it again changes nothing."""
    for filing in filings:
        change = -_outdate(connection, filing)
        if filing.empty:
            change += connection.execute(
                "UPDATE filing SET empty = 1 WHERE n = ? AND empty = 0", (filing.number,)
            ).rowcount
        if change:
            connection.execute(
                "UPDATE source SET empty = empty + ? WHERE n = (SELECT source FROM place WHERE n = ?)",
                (change, filing.place),
            )


def _outdate(connection: sqlite3.Connection, filing: Filing) -> int:
    found = connection.execute(_EARLIER, (filing.place, filing.started, filing.ended, filing.number)).fetchall()
    outdated = [(n,) for n, events in found if not set(unpack_numbers(events)).isdisjoint(filing.events)]
    connection.executemany("UPDATE filing SET empty = 0 WHERE n = ?", outdated)
    return len(outdated)
