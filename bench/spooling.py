"""Events a second into the spool, against `executemany` alone with the same durability.

Both get the same events in the same batches, turn by turn; only the call is timed, not the making of events. The bare
side keeps the columns that an event needs and one unique index, and nothing of conflicts, places, feeds or counts.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from archiver.events import Captured, capture
from archiver.spool import Spool, seal
from bench import corpus
from bench.corpus import Ids
from bench.measure import Bench, Figure, ratio

AIM = 0.5
_RECEIVED = 1_700_000_000_000_000

# The same as the spool's own, so that the ratio is the cost of what an append does and not of tuning.
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "cache_size = -49152", "wal_autocheckpoint = 8000")
_TABLE = """CREATE TABLE event (n INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, place TEXT NOT NULL,
    time INTEGER NOT NULL, received INTEGER NOT NULL, feed INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (source, id))"""
_INSERT = "INSERT OR IGNORE INTO event (source, id, place, time, received, feed, body) VALUES (?, ?, ?, ?, ?, ?, ?)"


def run(bench: Bench) -> Iterator[Figure]:
    kinds: tuple[Ids, Ids] = ("serial", "random")
    for ids in kinds:
        yield from _figures(bench, ids)


def _figures(bench: Bench, ids: Ids) -> list[Figure]:
    rounds = []
    for number in range(bench.sizes.rounds):
        bench.say(f"spool: {ids} ids, round {number + 1} of {bench.sizes.rounds}")
        rounds.append(_round(bench, ids))
    ours, sealed, theirs = zip(*rounds, strict=True)
    facts: dict[str, Any] = {"events": bench.sizes.spooled, "batch": bench.sizes.batch, "unit": "events/s"}
    return [
        ratio(f"spool.{ids}", f"Spool.append against bare executemany, {ids} ids", ours, theirs, AIM, **facts),
        ratio(
            f"spool.{ids}.sealed",
            f"the same with identities computed before, as a backfill's reading process does, {ids} ids",
            sealed,
            theirs,
            None,
            **facts,
        ),
    ]


def _round(bench: Bench, ids: Ids) -> tuple[float, float, float]:
    """Events a second of append, of append with sealed events, and of the bare table."""
    folder = bench.fresh("spool")
    spent = [0.0, 0.0, 0.0]
    bare = _bare(folder / "bare.db")
    with Spool.open(folder / "captured") as spool, Spool.open(folder / "sealed") as second:
        feed, feed_of_second = spool.open_feed("bench", "import").number, second.open_feed("bench", "import").number
        for batch in batches(bench.sizes.spooled, bench.sizes.batch, ids):
            sealed = [seal(each) for each in batch]
            moments = [time.perf_counter()]
            spool.append(batch, feed)
            moments.append(time.perf_counter())
            _insert(bare, batch)
            moments.append(time.perf_counter())
            second.append(sealed, feed_of_second)
            moments.append(time.perf_counter())
            for side, (before, after) in zip((0, 2, 1), pairwise(moments), strict=True):
                spent[side] += after - before
    bare.close()
    ours, with_sealed, theirs = (bench.sizes.spooled / each for each in spent)
    return ours, with_sealed, theirs


def batches(events: int, size: int, ids: Ids) -> Iterator[list[Captured]]:
    made = (capture(line.rstrip(), received=_RECEIVED) for line in corpus.lines(events, ids))
    while batch := list(islice(made, size)):
        yield batch


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(_TABLE)
    return connection


def _insert(connection: sqlite3.Connection, batch: Sequence[Captured]) -> None:
    rows = [
        (e.source, e.id, e.data.conversation.id, each.time, each.received, 1, each.body)
        for each in batch
        for e in (each.event,)
    ]
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    connection.execute("COMMIT")
