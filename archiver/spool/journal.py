"""The journal: every attempt to file a version of a conversation, recorded before it is made, and what came of it.

Holds what was filed where; nothing of how items are made or put.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from archiver.spool import emptiness, mark, runs
from archiver.spool.database import Connections
from archiver.spool.packing import pack_mask, pack_numbers, unpack_mask, unpack_numbers
from archiver.spool.places import backoff
from archiver.types import Delivery, DeliveryState, Destination, Filing

ATTEMPTED, FILED = DeliveryState.ATTEMPTED, DeliveryState.FILED
WITHHELD, PARKED = DeliveryState.WITHHELD, DeliveryState.PARKED
SUPERSEDED, GONE = DeliveryState.SUPERSEDED, DeliveryState.GONE
_OPEN = frozenset({ATTEMPTED, WITHHELD, PARKED})
_STATES = {state.value: state for state in DeliveryState}
_DESTINATIONS = {destination.value: destination for destination in Destination}

_NEW_FILING = """
INSERT INTO filing (n, place, version, started, ended, part, events, state, attempts, attempted_at, next_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, 'attempted', 1, ?, ?)
"""
_AGAIN = """
UPDATE filing SET attempts = ?, attempted_at = ?, next_at = ?, state = 'attempted',
    started = ?, ended = ?, part = ? WHERE n = ?
"""
_NEW_DELIVERY = """
INSERT INTO delivery (n, filing, mailbox, destination, folder, name, mask, state, reason, size, replaces, at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# What is withheld by decision from now on doesn't fail any more.
_CHANGED = """
UPDATE delivery SET folder = ?1, name = ?2, mask = ?3, state = ?4, reason = ?5, size = ?6, replaces = ?7, at = ?8,
    failed = CASE WHEN ?4 <> 'withheld' THEN failed END WHERE n = ?9
"""
_FINISHED = "UPDATE delivery SET name = ?, state = ?, reason = ?, size = ?, at = ? WHERE n = ?"
# The same conversation has failed as long as its earlier version.
_INHERITED = """
UPDATE delivery SET failed = (SELECT failed FROM delivery WHERE n = ?1)
    WHERE n = ?2 AND failed > (SELECT failed FROM delivery WHERE n = ?1)
"""
_COUNT = """
INSERT INTO tally (mailbox, destination, state, deliveries, bytes) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET deliveries = deliveries + excluded.deliveries, bytes = bytes + excluded.bytes
"""
# What is left to do: an attempt not ended outweighs what waits for the gate, that outweighs what waits for a person.
_SETTLED = """
UPDATE filing SET filed_at = ?2, next_at = NULL,
    error = (SELECT reason FROM delivery WHERE filing = ?1 AND state = 'parked' LIMIT 1),
    state = ifnull((SELECT state FROM delivery WHERE filing = ?1 AND state IN ('attempted', 'withheld', 'parked')
        ORDER BY state = 'attempted' DESC, state = 'withheld' DESC LIMIT 1), 'filed') WHERE n = ?1
"""
_KNOWN = "SELECT n, mailbox, destination, folder, state, size FROM delivery"
_FILING = "n, place, version, started, ended, part, events, attempts"


class Known(Struct):
    """A delivery as the journal has it. `mailbox` is the row's number here."""

    number: int
    mailbox: int
    destination: Destination
    folder: str
    state: DeliveryState
    size: int


class Tally:
    """Changes of the counts per mailbox, destination and state, gathered over one transaction."""

    def __init__(self) -> None:
        self._changes: dict[tuple[int, str, str], list[int]] = {}

    def add(self, mailbox: int, destination: str, state: str, size: int, *, sign: int = 1) -> None:
        change = self._changes.setdefault((mailbox, destination, state), [0, 0])
        change[0] += sign
        change[1] += sign * size

    def move(self, old: Known, state: str, size: int) -> None:
        self.add(old.mailbox, old.destination, old.state, old.size, sign=-1)
        self.add(old.mailbox, old.destination, state, size)

    def move_all(self, rows: Iterable[tuple[int, str, int]], old: str, new: str) -> None:
        """Deliveries (mailbox, destination, size) that all go from one state to another."""
        for mailbox, destination, size in rows:
            self.add(mailbox, destination, old, size, sign=-1)
            self.add(mailbox, destination, new, size)

    def write(self, connection: sqlite3.Connection) -> None:
        changed = [(*which, *change) for which, change in sorted(self._changes.items()) if any(change)]
        connection.executemany(_COUNT, changed)


class Journal:
    """The journal of one process. Remembers numbers of mailboxes that are committed."""

    def __init__(self, connections: Connections, run: Path) -> None:
        self._connections = connections
        self._run = run
        self._mailboxes: dict[str, int] = {}

    def begin(self, filings: Sequence[Filing], now: int) -> list[Filing]:
        packed = [pack_numbers(filing.events) for filing in filings]
        with self._connections.writing() as transaction:
            step = _Begin(transaction.connection, self._mailboxes, now)
            begun = [step.one(filing, events) for filing, events in zip(filings, packed, strict=True)]
            step.write()
            setback = mark.setback(transaction.connection)
        mark.note(self._run, step.newest)
        self._mailboxes |= step.new_mailboxes
        # What the file knows nothing of may have been filed before it was put back.
        return begun if setback is None else [structs.replace(each, attempts=each.attempts + 1) for each in begun]

    def finish(self, filings: Sequence[Filing], gone: Iterable[int], now: int, backfill: runs.Finished | None) -> None:
        with self._connections.writing() as transaction:
            ended = _Finish(transaction.connection, now).run(filings, gone)
            if backfill is not None:
                runs.keep(transaction.connection, backfill.run, backfill.tell(ended))


class _Begin:
    """Recording attempts inside one transaction; rows are gathered and written together."""

    def __init__(self, connection: sqlite3.Connection, mailboxes: dict[str, int], now: int) -> None:
        self._connection = connection
        self._mailboxes = mailboxes
        self.new_mailboxes: dict[str, int] = {}
        self._now = now
        self._tally = Tally()
        self._filings: list[tuple[object, ...]] = []
        self._again: list[tuple[object, ...]] = []
        self._deliveries: list[tuple[object, ...]] = []
        self._changed: list[tuple[object, ...]] = []
        self._numbers = {name: _value(connection, name) for name in ("filing", "delivery")}
        self._begun: dict[tuple[int, bytes], tuple[int, int]] = {}

    @property
    def newest(self) -> int:
        return self._numbers["delivery"]

    def one(self, filing: Filing, events: bytes) -> Filing:
        row = self._connection.execute(
            "SELECT n, attempts, state FROM filing WHERE place = ? AND version = ?", (filing.place, filing.version)
        ).fetchone()
        if row is None:
            number, attempts = self._next("filing"), 1
            values = (number, filing.place, filing.version, filing.started, filing.ended, filing.part, events)
            self._filings.append((*values, self._now, self._now + backoff(1)))
            known: list[Known] = []
        else:
            # An attempt that ended with something withheld came to its end: it counts against nobody.
            number, attempts = row[0], 1 if row[2] == WITHHELD else row[1] + 1
            retry = self._now + backoff(attempts)
            self._again.append((attempts, self._now, retry, filing.started, filing.ended, filing.part, number))
            known = self._known(number)
        deliveries = tuple([self._delivery(number, each, known, len(filing.events)) for each in filing.deliveries])
        return Filing(
            filing.place,
            filing.version,
            filing.started,
            filing.ended,
            filing.part,
            filing.events,
            deliveries,
            number,
            attempts,
            filing.empty,
        )

    def write(self) -> None:
        connection = self._connection
        connection.executemany(_NEW_FILING, self._filings)
        connection.executemany(_AGAIN, self._again)
        connection.executemany(_NEW_DELIVERY, self._deliveries)
        connection.executemany(_CHANGED, self._changed)
        for name, value in self._numbers.items():
            connection.execute("UPDATE counter SET value = ? WHERE name = ?", (value, name))
        self._tally.write(connection)

    def _next(self, name: str) -> int:
        self._numbers[name] += 1
        return self._numbers[name]

    def _known(self, filing: int) -> list[Known]:
        return [_known_from_row(row) for row in self._connection.execute(f"{_KNOWN} WHERE filing = ?", (filing,))]

    def _delivery(self, filing: int, delivery: Delivery, known: list[Known], events: int) -> Delivery:
        mailbox = self._mailbox(delivery.mailbox)
        found = _match(known, mailbox, delivery.destination, delivery.folder)
        replaces = pack_numbers(delivery.replaces) or None
        mask = pack_mask(delivery.mask, events)
        rest = (delivery.folder, delivery.name, mask, delivery.state.value, delivery.reason, delivery.size, replaces)
        if found is None:
            number = self._next("delivery")
            self._deliveries.append((number, filing, mailbox, delivery.destination.value, *rest, self._now))
            self._tally.add(mailbox, delivery.destination, delivery.state, delivery.size)
        elif found.state not in _OPEN:
            # Done in an earlier attempt: it stays as it is, and the caller sees so.
            return _with(delivery, found.number, found.state)
        else:
            number = found.number
            known.remove(found)
            self._changed.append((*rest, self._now, number))
            self._tally.move(found, delivery.state, delivery.size)
        return _with(delivery, number, delivery.state)

    def _mailbox(self, address: str) -> int:
        number = self._mailboxes.get(address) or self.new_mailboxes.get(address)
        if number is None:
            self._connection.execute("INSERT OR IGNORE INTO mailbox (address) VALUES (?)", (address,))
            (number,) = self._connection.execute("SELECT n FROM mailbox WHERE address = ?", (address,)).fetchone()
            self.new_mailboxes[address] = number
        return number


def _value(connection: sqlite3.Connection, name: str) -> int:
    value: int
    (value,) = connection.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
    return value


def _known_from_row(row: Sequence[Any]) -> Known:
    number, mailbox, destination, folder, state, size = row
    return Known(number, mailbox, _DESTINATIONS[destination], folder, _STATES[state], size)


def _match(known: Sequence[Known], mailbox: int, destination: Destination, folder: str) -> Known | None:
    """The row of the same mailbox, destination and folder; else one never put, whose folder has another name by now."""
    mine = [each for each in known if each.mailbox == mailbox and each.destination is destination]
    for each in mine:
        if each.folder == folder:
            return each
    return next((each for each in mine if each.state in (WITHHELD, PARKED)), None)


def _with(delivery: Delivery, number: int, state: DeliveryState) -> Delivery:
    return Delivery(
        delivery.mailbox,
        delivery.folder,
        delivery.name,
        delivery.mask,
        state,
        delivery.reason,
        delivery.size,
        delivery.replaces,
        number,
        delivery.destination,
    )


def settle(connection: sqlite3.Connection, filings: Iterable[int], now: int) -> None:
    """Say of filings what their deliveries leave to do."""
    connection.executemany(_SETTLED, [(number, now) for number in sorted(filings)])


class _Finish:
    """Recording results inside one transaction."""

    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        self._tally = Tally()
        self._others: set[int] = set()

    def run(self, filings: Sequence[Filing], gone: Iterable[int]) -> list[Delivery]:
        """The deliveries that were open, as they are now."""
        rows, ended = [], []
        for filing in filings:
            for delivery in filing.deliveries:
                old = self._old(delivery.number)
                if old is not None and old.state in _OPEN:
                    ended.append(delivery)
                    rows.append(
                        (delivery.name, delivery.state.value, delivery.reason, delivery.size, self._now, old.number)
                    )
                    self._tally.move(old, delivery.state, delivery.size)
        self._connection.executemany(_FINISHED, rows)
        for number in gone:
            self._mark(number, GONE, {ATTEMPTED, FILED})
        for filing in filings:
            for delivery in filing.deliveries:
                self._supersede(delivery)
        numbers = {filing.number for filing in filings} | self._others
        settle(self._connection, numbers, self._now)
        emptiness.count(self._connection, filings)
        self._tally.write(self._connection)
        return ended

    def _supersede(self, delivery: Delivery) -> None:
        """An item that was put goes only when its successor is; one never put, as soon as its successor waits too."""
        if delivery.state is FILED:
            which = {ATTEMPTED, FILED, WITHHELD, PARKED}
        elif delivery.state in (WITHHELD, PARKED):
            which = {WITHHELD, PARKED}
        else:
            return
        for number in delivery.replaces:
            self._mark(number, SUPERSEDED, which)
            if delivery.state is WITHHELD:
                self._connection.execute(_INHERITED, (number, delivery.number))

    def _mark(self, number: int, state: DeliveryState, which: set[DeliveryState]) -> None:
        old = self._old(number)
        if old is not None and old.state in which:
            self._connection.execute("UPDATE delivery SET state = ?, at = ? WHERE n = ?", (state, self._now, number))
            self._tally.move(old, state, old.size)
            (filing,) = self._connection.execute("SELECT filing FROM delivery WHERE n = ?", (number,)).fetchone()
            self._others.add(filing)

    def _old(self, number: int) -> Known | None:
        return known(self._connection, number)


def known(connection: sqlite3.Connection, number: int) -> Known | None:
    row = connection.execute(f"{_KNOWN} WHERE n = ?", (number,)).fetchone()
    return None if row is None else _known_from_row(row)


def filing_from_row(connection: sqlite3.Connection, row: Sequence[Any]) -> Filing:
    number, place, version, started, ended, part, packed, attempts = row
    events = unpack_numbers(packed)
    deliveries = tuple(
        Delivery(
            address,
            folder,
            name,
            unpack_mask(mask, len(events)),
            _STATES[state],
            reason,
            size,
            unpack_numbers(old),
            n,
            _DESTINATIONS[destination],
        )
        for n, address, destination, folder, name, mask, state, reason, size, old in connection.execute(
            """SELECT delivery.n, address, destination, folder, name, mask, state, reason, size, replaces
            FROM delivery JOIN mailbox ON mailbox.n = mailbox WHERE filing = ? ORDER BY delivery.n""",
            (number,),
        )
    )
    return Filing(place, version, started, ended, part, events, deliveries, number, attempts)


def priors(connections: Connections, place: int, started: int, ended: int) -> list[Filing]:
    with connections.reading() as connection:
        rows = connection.execute(
            f"""SELECT {_FILING} FROM filing WHERE place = ? AND ended >= ? AND started <= ? AND EXISTS
            (SELECT 1 FROM delivery WHERE filing = filing.n AND state <> 'superseded') ORDER BY n""",  # noqa: S608
            (place, started, ended),
        ).fetchall()
        return [filing_from_row(connection, row) for row in rows]


def versions(connections: Connections, place: int) -> set[bytes]:
    with connections.reading() as connection:
        return {
            version
            for (version,) in connection.execute(
                """SELECT version FROM filing WHERE place = ?1 AND state IN ('filed', 'parked')
                AND ended >= ifnull((SELECT upto FROM roster WHERE place = ?1), -9223372036854775808)""",
                (place,),
            )
        }
