"""Backfills by number: what each was told to read, how far it has come, which events it brought, what it reported.

How much of an input is durable is written in the transaction that makes it so; what an input is (`key`) is told by
the caller. Holds no rule of what is read again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from archiver.events import Outcome
from archiver.exceptions import UsageError
from archiver.spool import sharing
from archiver.spool.database import Connections
from archiver.types import Delivery

_AT_ONCE = 500
_RUN = """n, feed, format, paths, options, began, ended, state, accepted, duplicates, conflicts, quarantined, cleaned"""
_UNFINISHED = f"""SELECT {_RUN} FROM backfill WHERE feed = ? AND format = ? AND options = ?
    AND state IN ('reading', 'filing') ORDER BY n DESC LIMIT 1"""  # noqa: S608
_SET_ASIDE = "UPDATE backfill SET state = 'stopped' WHERE feed = ? AND state IN ('reading', 'filing')"
_FORGOTTEN = """DELETE FROM backfill_part WHERE run IN
    (SELECT n FROM backfill WHERE feed = ? AND state IN ('reading', 'filing'))"""
_NEW = f"""INSERT INTO backfill (feed, format, paths, options, began, state) VALUES (?, ?, ?, ?, ?, 'reading')
    RETURNING {_RUN}"""  # noqa: S608
_COUNTED = """UPDATE backfill SET accepted = accepted + ?, duplicates = duplicates + ?, conflicts = conflicts + ?,
    quarantined = quarantined + ?, cleaned = cleaned + ? WHERE n = ?"""
_BROUGHT_BY = "SELECT run, first, last FROM brought WHERE first <= ? ORDER BY first DESC LIMIT 1"
_GROWN = "UPDATE brought SET last = ?3 WHERE run = ?1 AND last = ?2 - 1"
_FAR = """INSERT INTO input (key, pieces, whole) VALUES (?, ?, ?) ON CONFLICT DO UPDATE
    SET pieces = max(pieces, excluded.pieces), whole = max(whole, excluded.whole)"""
_CAME_OF_IT = """
SELECT source.name, conversation, delivery.state, delivery.reason, count(*) FROM filing
    JOIN delivery ON delivery.filing = filing.n JOIN place ON place.n = filing.place
    JOIN source ON source.n = place.source
    WHERE filing.place IN ({}) AND filing.attempted_at >= ? AND delivery.destination = 'history'
    GROUP BY 1, 2, 3, 4
"""


_DUE = """SELECT place FROM feed_place JOIN place ON place.n = place WHERE feed = ? AND place > ? AND due_at IS NOT NULL
    ORDER BY place LIMIT ?"""
_COUNT = "SELECT count(*) FROM event INDEXED BY event_place WHERE place IN ({}) AND n >= ?"


class State(StrEnum):
    """How far a backfill is. One that reads or files while no backfill runs was interrupted."""

    READING = "reading"
    FILING = "filing"
    DONE = "done"
    STOPPED = "stopped"
    """Given up: by a mistake of its user's, or by another way of reading the same files."""
    UNDOING = "undoing"
    UNDONE = "undone"


class Run(Struct, frozen=True):
    """One backfill. `options` is how it was told to read, as JSON; the counts are of all that is durable."""

    number: int
    feed: int
    format: str
    paths: tuple[str, ...]
    options: str
    began: int
    ended: int | None
    state: State
    accepted: int
    duplicates: int
    conflicts: int
    quarantined: int
    cleaned: int


class Far(Struct, frozen=True):
    """How much of an input is in the spool: pieces from its beginning, and whether that is all of it."""

    key: bytes
    pieces: int
    whole: bool


class Step(Struct, frozen=True):
    """What a batch is to its backfill: whose it is, how far that has come in its inputs once it is durable, and what
    the batch adds to its report, by what became of each piece."""

    run: int
    inputs: tuple[Far, ...] = ()
    tell: Callable[[Sequence[Outcome]], bytes] | None = None


class Finished(Struct, frozen=True):
    """What some filings are to their backfill: whose they are, and what they add to its report, by their deliveries
    that came to an end just now."""

    run: int
    tell: Callable[[Sequence[Delivery]], bytes]


class CameOfIt(Struct, frozen=True):
    """What became of a room's items: how many stand in a state for a reason."""

    source: str
    conversation: str
    state: str
    reason: str
    items: int


def begin(connections: Connections, feed: int, format_: str, paths: Iterable[str], options: str, now: int) -> Run:
    """The one that was interrupted goes on under its number; else a new one."""
    with connections.writing() as transaction:
        connection = transaction.connection
        row = connection.execute(_UNFINISHED, (feed, format_, options)).fetchone()
        if row is None:
            _refuse_undoing(connection, feed)
            connection.execute(_FORGOTTEN, (feed,))
            connection.execute(_SET_ASIDE, (feed,))
            told = msgspec.json.encode(list(paths)).decode()
            row = connection.execute(_NEW, (feed, format_, told, options, now)).fetchone()
    return _run_from_row(row)


def _refuse_undoing(connection: sqlite3.Connection, feed: int) -> None:
    row = connection.execute("SELECT n FROM backfill WHERE feed = ? AND state = 'undoing'", (feed,)).fetchone()
    if row is not None:
        raise UsageError(
            f"backfill {row[0]} of the same is half taken back",
            hint=f"end that first: archiver backfill --undo {row[0]}",
        )


def _run_from_row(row: tuple[object, ...]) -> Run:
    number, feed, format_, paths, options, began, ended, state, *counts = row
    named = msgspec.json.decode(str(paths), type=tuple[str, ...])
    return Run(number, feed, format_, named, options, began, ended, State(str(state)), *counts)  # type: ignore[arg-type]


def record(
    connection: sqlite3.Connection,
    step: Step,
    numbers: range,
    again: Sequence[int],
    counts: tuple[int, ...],
    outcomes: Sequence[Outcome],
) -> None:
    """Within the transaction that appends: numbers that its events may have, those it tells `again`, and what became of
    all."""
    if numbers:
        first, last = numbers[0], numbers[-1]
        if not connection.execute(_GROWN, (step.run, first, last)).rowcount:
            connection.execute("INSERT INTO brought (run, first, last) VALUES (?, ?, ?)", (step.run, first, last))
    sharing.note(connection, step.run, again)
    connection.executemany(_FAR, [(each.key, each.pieces, each.whole) for each in step.inputs])
    connection.execute(_COUNTED, (*counts, step.run))
    if step.tell is not None:
        keep(connection, step.run, step.tell(outcomes))


def keep(connection: sqlite3.Connection, number: int, told: bytes) -> None:
    """Within the transaction of what is told."""
    connection.execute("INSERT INTO backfill_part (run, told) VALUES (?, ?)", (number, told.decode()))


def parts(connections: Connections, number: int) -> Iterator[bytes]:
    """What was kept of a run that isn't over, in its order."""
    after = 0
    while True:
        with connections.reading() as connection:
            rows = connection.execute(
                "SELECT n, told FROM backfill_part WHERE run = ? AND n > ? ORDER BY n LIMIT ?",
                (number, after, _AT_ONCE),
            ).fetchall()
        yield from (told.encode() for _, told in rows)
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1][0]


def stand_alone(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Within the transaction of a live source that told events again: from now on no run is taken back with them."""
    for number in sorted(set(numbers)):
        row = connection.execute(_BROUGHT_BY, (number,)).fetchone()
        if row is None or row[2] < number:
            continue
        run, first, last = row
        connection.execute("DELETE FROM brought WHERE run = ? AND first = ?", (run, first))
        left = [(run, *each) for each in ((first, number - 1), (number + 1, last)) if each[0] <= each[1]]
        connection.executemany("INSERT INTO brought (run, first, last) VALUES (?, ?, ?)", left)


def inputs(connections: Connections) -> dict[bytes, Far]:
    """By key, all that were ever begun."""
    with connections.reading() as connection:
        rows = connection.execute("SELECT key, pieces, whole FROM input")
        return {key: Far(key, pieces, bool(whole)) for key, pieces, whole in rows}


def note(connections: Connections, number: int, state: State, now: int, report: bytes | None) -> None:
    """How far it is, and what it says of itself (JSON) if that is known."""
    ended = None if state in (State.READING, State.FILING, State.UNDOING) else now
    with connections.writing() as transaction:
        transaction.connection.execute(
            "UPDATE backfill SET state = ?, ended = ?, report = ifnull(?, report) WHERE n = ?",
            (state.value, ended, None if report is None else report.decode(), number),
        )
        if ended is not None:
            transaction.connection.execute("DELETE FROM backfill_part WHERE run = ?", (number,))


def runs(connections: Connections) -> list[Run]:
    """The newest first."""
    with connections.reading() as connection:
        rows = connection.execute(f"SELECT {_RUN} FROM backfill ORDER BY n DESC").fetchall()  # noqa: S608
    return [_run_from_row(row) for row in rows]


def run(connections: Connections, number: int) -> tuple[Run, bytes | None]:
    """One of them and its report."""
    with connections.reading() as connection:
        row = connection.execute(f"SELECT {_RUN}, report FROM backfill WHERE n = ?", (number,)).fetchone()  # noqa: S608
    if row is None:
        raise UsageError(f"there is no backfill {number}", hint="`archiver backfill --runs` lists them")
    return _run_from_row(row[:-1]), None if row[-1] is None else row[-1].encode()


def to_file(connections: Connections, number: int) -> tuple[int, int]:
    """The first number that an event of a run can have, and how many such are in places that are due."""
    with connections.reading() as connection:
        (feed,) = connection.execute("SELECT feed FROM backfill WHERE n = ?", (number,)).fetchone()
        (first,) = connection.execute("SELECT min(first) FROM brought WHERE run = ?", (number,)).fetchone()
    return first or 0, 0 if first is None else sum(_due(connections, feed, first))


def _due(connections: Connections, feed: int, first: int) -> Iterator[int]:
    after = 0
    while True:
        with connections.reading() as connection:
            places = [place for (place,) in connection.execute(_DUE, (feed, after, _AT_ONCE))]
            query = _COUNT.format(",".join("?" * len(places)))
            (count,) = connection.execute(query, (*places, first)).fetchone()
        yield count
        if len(places) < _AT_ONCE:
            return
        after = places[-1]


def came_of_it(connections: Connections, feed: int, since: int) -> Iterator[CameOfIt]:
    """What attempts from this time on have made of the rooms that a feed gave events."""
    after = 0
    while True:
        with connections.reading() as connection:
            places = [
                place
                for (place,) in connection.execute(
                    "SELECT place FROM feed_place WHERE feed = ? AND place > ? ORDER BY place LIMIT ?",
                    (feed, after, _AT_ONCE),
                )
            ]
            query = _CAME_OF_IT.format(",".join("?" * len(places)))
            rows = connection.execute(query, (*places, since)).fetchall()
        yield from (CameOfIt(*row) for row in rows)
        if len(places) < _AT_ONCE:
            return
        after = places[-1]
