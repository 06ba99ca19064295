"""Forgetting: events long filed leave the spool; what they add up to stays as the place's roster.

Their identities stay for ever, and for each message one small row that says which filing holds it, another for that
of an edit which came late, and for a whisper one more that says between whom it was. Holds the rule which events may
go; how they fold into a roster is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct, json

from archiver.events import EDITED, REFERENCES, Captured, parties, target
from archiver.spool import reading
from archiver.spool.database import Connections
from archiver.spool.identity import number
from archiver.spool.packing import unpack_numbers
from archiver.types import Roster

Fold = Callable[[Iterable[Captured], Roster, bool], Roster]
"""Events about to go, the roster before them, and whether presence is partial in their place -> the roster after."""


class Cache(Struct, frozen=True):
    """How long what was kept only until it was known whether anybody in it is archived stays after it is known.

    `interval` tells for a source, None where nothing is archived of it; `shortest` is the shortest of all.
    """

    interval: Callable[[str], int | None]
    shortest: int


_AT_ONCE = 500
_LEASE = 3_600_000_000

_decode = json.Decoder(Roster).decode
_encode = json.Encoder().encode


class Covered(Struct, frozen=True):
    """A filing and the first and last time of the events it covers, references included."""

    number: int
    first: int
    last: int
    part: int
    done: bool
    events: tuple[int, ...]
    nobodys: bool = False
    """True where no mailbox has a delivery of it, in whatever state."""


class Forgotten(Struct, frozen=True):
    """`after` is the last place looked at: where to go on, None when all were."""

    events: int
    places: int
    after: int | None


_LONG_AGO = """
SELECT n, (SELECT name FROM source WHERE source.n = place.source) FROM place
    WHERE n > ?1 AND due_at IS NULL AND owner IS NULL
    AND (EXISTS (SELECT 1 FROM event WHERE event.place = place.n AND received < ?2)
        OR ?3 > ?2 AND EXISTS (SELECT 1 FROM event WHERE event.place = place.n AND received < ?3)
        AND EXISTS (SELECT 1 FROM filing WHERE filing.place = place.n
            AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.filing = filing.n)))
    ORDER BY n LIMIT ?4
"""


def floor_of(filings: Sequence[Covered], limit: int) -> int:
    """The time before which everything may go: at most `limit`, before all that isn't done, and never inside a
    filing. A later part keeps the parts before it: parts are numbered from the start of their conversation."""
    floor = min([filing.first for filing in filings if not filing.done], default=limit)
    floor = min(floor, limit)
    keeps_earlier = False
    for filing in sorted(filings, key=lambda each: (each.last, each.part), reverse=True):
        if filing.last >= floor or keeps_earlier:
            floor = min(floor, filing.first)
            keeps_earlier = filing.part > 1
    return floor


def forget(
    connections: Connections,
    owner: str,
    now: int,
    window: int,
    fold: Fold,
    *,
    cache: Cache | None,
    after: int,
    limit: int,
) -> Forgotten:
    """One small batch of places, in the order of their numbers from `after` on."""
    soonest = now - (window if cache is None else min(window, cache.shortest))
    with connections.reading() as connection:
        found = connection.execute(_LONG_AGO, (after, now - window, soonest, limit)).fetchall()
    events = places = 0
    for place, source in found:
        interval = cache.interval(source) if cache is not None else None
        kept = window if interval is None else max(window, interval)
        nobody = kept if interval is None else interval
        gone = _Place(connections, place, owner, now - kept, now - nobody).forget(fold, now)
        events += gone
        places += bool(gone)
    return Forgotten(events, places, found[-1][0] if len(found) == limit else None)


class _Place:
    def __init__(self, connections: Connections, place: int, owner: str, before: int, nobodys_before: int) -> None:
        """What is older than `before` may go; what nobody has an item of, and nobody is to have, if it is older than
        `nobodys_before`."""
        self._connections = connections
        self._place = place
        self._owner = owner
        self._before = before
        self._nobodys_before = nobodys_before
        self._recalls: list[tuple[int, int, int]] = []
        self._whispers: set[tuple[int, int, str]] = set()
        self._holders: list[str] = []

    def forget(self, fold: Fold, now: int) -> int:
        if not self._lease(now):
            return 0
        try:
            return self._forget(fold)
        finally:
            with self._connections.writing() as transaction:
                transaction.connection.execute(
                    "UPDATE place SET owner = NULL, lease_until = NULL WHERE n = ? AND owner = ?",
                    (self._place, self._owner),
                )

    def _lease(self, now: int) -> bool:
        """As a claim does, so that nobody reads the events while they go."""
        with self._connections.writing() as transaction:
            done = transaction.connection.execute(
                """UPDATE place SET owner = ?, lease_until = ? WHERE n = ? AND owner IS NULL AND due_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM feed JOIN feed_place ON feed_place.feed = feed.n
                    WHERE feed.state = 'open' AND feed.kind = 'import' AND feed_place.place = place.n)""",
                (self._owner, now + _LEASE, self._place),
            )
        return bool(done.rowcount)

    def _forget(self, fold: Fold) -> int:
        connections, place = self._connections, self._place
        remove(connections, place)  # what a crash left
        with connections.reading() as connection:
            rows = connection.execute("SELECT n, time, received FROM event WHERE place = ?", (place,)).fetchall()
            (upto,) = connection.execute("SELECT value FROM counter WHERE name = 'event'").fetchone()
        times = {n: time for n, time, _ in rows}
        filings = self._filings(times)
        nobodys = {n for filing in filings if filing.nobodys for n in filing.events}
        nobodys -= {n for filing in filings if not filing.nobodys for n in filing.events}
        recent = [time for n, time, received in rows if received >= self._limit(nobodys=n in nobodys)]
        floor = floor_of(filings, min(recent, default=max(times.values(), default=0) + 1))
        going = len([time for time in times.values() if time < floor])
        if going:
            self._write(fold, floor, upto, {n: filing.number for filing in filings for n in filing.events})
            remove(connections, place)
        return going

    def _limit(self, *, nobodys: bool) -> int:
        return self._nobodys_before if nobodys else self._before

    def _filings(self, times: dict[int, int]) -> list[Covered]:
        with self._connections.reading() as connection:
            rows = connection.execute(
                """SELECT n, part, events, state, filed_at,
                NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.filing = filing.n)
                FROM filing WHERE place = ? ORDER BY n""",
                (self._place,),
            ).fetchall()
        covered = []
        for n, part, packed, state, filed_at, nobodys in rows:
            events = unpack_numbers(packed)
            present = [times[event] for event in events if event in times]
            if present:
                done = state == "filed" and filed_at < self._limit(nobodys=bool(nobodys))
                covered.append(Covered(n, min(present), max(present), part, done, events, bool(nobodys)))
        return covered

    def _write(self, fold: Fold, floor: int, upto: int, filing_of: dict[int, int]) -> None:
        with self._connections.reading() as connection:
            row = connection.execute("SELECT body, upto FROM roster WHERE place = ?", (self._place,)).fetchone()
            (partial,) = connection.execute("SELECT partial FROM place WHERE n = ?", (self._place,)).fetchone()
        before = Roster() if row is None else _decode(row[0])
        events = self._going(floor, upto, filing_of)
        roster = _encode(fold(events, before, bool(partial)))
        for _ in events:  # what the fold had no need to read is recalled all the same
            pass
        with self._connections.writing() as transaction:
            connection = transaction.connection
            connection.execute(
                "INSERT OR REPLACE INTO roster (place, upto, number, body) VALUES (?, ?, ?, ?)",
                (self._place, floor if row is None else max(floor, row[1]), upto, roster),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO recall (place, target, filing) VALUES (?, ?, ?)", sorted(self._recalls)
            )
            connection.executemany(
                "INSERT OR IGNORE INTO whisper (place, target, parties) VALUES (?, ?, ?)", sorted(self._whispers)
            )
            connection.executemany("DELETE FROM blob_holder WHERE holder = ?", [(each,) for each in self._holders])

    def _going(self, floor: int, upto: int, filing_of: dict[int, int]) -> Iterator[Captured]:
        for captured in reading.events(self._connections, self._place, upto):
            if captured.time >= floor:
                return
            kind = captured.event.type
            message = target(captured.event) if kind == EDITED or kind not in REFERENCES else None
            filing = filing_of.get(captured.number)
            if message is not None and filing is not None:
                self._recalls.append((self._place, number(message.encode()), filing))
            if message is not None and (only := parties(captured.event)) is not None:
                self._whispers.add((self._place, number(message.encode()), json.encode(sorted(only)).decode()))
            if captured.event.data.attachments:
                self._holders.append(f"event:{captured.number}")
            yield captured


def remove(connections: Connections, place: int) -> None:
    """Rows of forgotten events, in short transactions."""
    floor, upto = reading.floor(connections, place)
    while True:
        with connections.writing() as transaction:
            connection = transaction.connection
            done = connection.execute(
                """DELETE FROM event WHERE n IN
                (SELECT n FROM event WHERE place = ? AND time < ? AND n <= ? LIMIT ?)""",
                (place, floor, upto, _AT_ONCE),
            )
            connection.execute(
                """UPDATE source SET spooled = spooled - ?1, forgotten = forgotten + ?1
                WHERE n = (SELECT source FROM place WHERE n = ?2)""",
                (done.rowcount, place),
            )
        if done.rowcount < _AT_ONCE:
            return


def remove_all(connections: Connections) -> None:
    """The rows that a forgetting which was cut short has left, of every place."""
    with connections.reading() as connection:
        left = connection.execute(
            """SELECT place FROM roster WHERE EXISTS
            (SELECT 1 FROM event WHERE event.place = roster.place AND time < upto AND n <= number)"""
        ).fetchall()
    for (place,) in left:
        remove(connections, place)
