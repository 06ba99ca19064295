"""Questions that `archiver status` asks. Counts come from rows kept beside the data, never from counting it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from archiver.spool.database import Connections
from archiver.spool.likeness import differs_in_files
from archiver.spool.records import (
    Conflict,
    Kept,
    MailboxCount,
    ParkedFiling,
    ParkedPlace,
    Quarantined,
    SourceCount,
    Stranger,
    Totals,
)
from archiver.types import Destination


def sources(connections: Connections) -> list[SourceCount]:
    with connections.reading() as connection:
        waiting = dict(
            connection.execute(
                """SELECT source, count(*) FROM (SELECT source FROM place WHERE due_at IS NOT NULL AND owner IS NULL
                UNION ALL SELECT source FROM place WHERE owner IS NOT NULL) GROUP BY source"""
            ).fetchall()
        )
        rows = connection.execute(
            """SELECT source.n, source.name, spooled, forgotten, empty, feed.name FROM source
            LEFT JOIN feed ON feed.n = source.live ORDER BY source.name"""
        )
        return [
            SourceCount(name, spooled, gone, waiting.get(n, 0), empty, live)
            for n, name, spooled, gone, empty, live in rows
        ]


def mailboxes(connections: Connections) -> list[MailboxCount]:
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT address, destination, state, deliveries, bytes FROM tally JOIN mailbox ON mailbox.n = mailbox
            WHERE deliveries > 0 ORDER BY address, destination = 'history' DESC, destination, state"""
        )
        return [MailboxCount(*row) for row in rows]


def kept(connections: Connections, state: str) -> list[Kept]:
    """`state`: withheld or parked. Read through the index that holds only those."""
    if state not in ("withheld", "parked"):
        raise ValueError(state)
    with connections.reading() as connection:
        rows = connection.execute(
            f"""SELECT address, destination, reason, count(*), sum(size), min(filing.attempted_at)
            FROM delivery INDEXED BY delivery_{state} JOIN mailbox ON mailbox.n = mailbox
            JOIN filing ON filing.n = delivery.filing
            WHERE delivery.state = '{state}' GROUP BY address, destination, reason
            ORDER BY address, destination, reason"""  # noqa: S608
        )
        return [Kept(*row) for row in rows]


def parked_filings(connections: Connections) -> list[ParkedFiling]:
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT filing.n, source.name, conversation, filing.attempts, ifnull(filing.error, ''), attempted_at
            FROM filing JOIN place ON place.n = filing.place JOIN source ON source.n = place.source
            WHERE filing.n IN (SELECT n FROM filing INDEXED BY filing_parked WHERE state = 'parked'
                UNION SELECT filing FROM delivery INDEXED BY delivery_parked WHERE state = 'parked')
            ORDER BY filing.n"""
        )
        return [ParkedFiling(*row) for row in rows]


def parked_places(connections: Connections) -> list[ParkedPlace]:
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT place.n, source.name, conversation, attempts, ifnull(error, ''), parked_at
            FROM place JOIN source ON source.n = place.source WHERE parked_at IS NOT NULL ORDER BY place.n"""
        )
        return [ParkedPlace(*row) for row in rows]


def _quarantined_from_row(row: Sequence[Any]) -> Quarantined:
    number, feed, source, position, reason, file, size, cleaned, at = row
    return Quarantined(number, feed, source, position, reason, file, size, bool(cleaned), at)


def quarantined(connections: Connections, *, limit: int) -> list[Quarantined]:
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT quarantine.n, feed.name, source, position, reason, file, size,
            quarantine.cleaned IS NOT NULL, at
            FROM quarantine JOIN feed ON feed.n = quarantine.feed ORDER BY quarantine.n DESC LIMIT ?""",
            (limit,),
        )
        return [_quarantined_from_row(row) for row in rows]


def conflicts(connections: Connections, *, limit: int) -> list[Conflict]:
    with connections.reading() as connection:
        rows = connection.execute(
            """SELECT conflict.n, source, id, feed.name, kept, other, at,
                (SELECT run FROM brought WHERE event BETWEEN first AND last LIMIT 1)
            FROM conflict JOIN feed ON feed.n = conflict.feed ORDER BY conflict.n DESC LIMIT ?""",
            (limit,),
        )
        return [
            Conflict(n, source, id_, feed, kept, other, at, run, "" if kept is None else differs_in_files(kept, other))
            for n, source, id_, feed, kept, other, at, run in rows
        ]


def strangers(connections: Connections, *, limit: int) -> list[Stranger]:
    with connections.reading() as connection:
        rows = connection.execute(
            "SELECT source, address, seen, last FROM stranger ORDER BY source, address LIMIT ?", (limit,)
        )
        return [Stranger(*row) for row in rows]


def totals(connections: Connections) -> Totals:
    by_source = sources(connections)
    states: Counter[tuple[bool, str]] = Counter()
    for count in mailboxes(connections):
        states[count.destination == Destination.HISTORY, count.state] += count.deliveries
    with connections.reading() as connection:
        (quarantine, cleaned) = connection.execute("SELECT count(*), count(cleaned) FROM quarantine").fetchone()
        (conflict,) = connection.execute("SELECT count(*) FROM conflict").fetchone()
    return Totals(
        spooled=sum(count.spooled for count in by_source),
        forgotten=sum(count.forgotten for count in by_source),
        waiting=sum(count.waiting for count in by_source),
        empty=sum(count.empty for count in by_source),
        filed=states[True, "filed"],
        withheld=states[True, "withheld"],
        dropped=states[True, "dropped"] + states[False, "dropped"],
        parked=states[True, "parked"] + states[False, "parked"],
        quarantined=quarantine - cleaned,
        cleaned=cleaned,
        conflicts=conflict,
        archived=states[False, "filed"],
        unarchived=states[False, "withheld"],
    )
