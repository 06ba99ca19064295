"""One batch inside its transaction: identities numbered, what is new written, what comes again compared.

Holds the rule when a live event makes its place due; nothing of conversations.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

from msgspec import Struct

from archiver.events import Outcome
from archiver.exceptions import UsageError
from archiver.spool import files, identities, runs
from archiver.spool.batch import Batch, PlaceKey, Sealed
from archiver.spool.likeness import First
from archiver.spool.memory import Memory
from archiver.spool.records import Appended

_NEW_IDENTITY = "INSERT OR IGNORE INTO identity (serial, key, event, digest) VALUES (?, ?, ?, ?)"
_NEW_EVENT = "INSERT INTO event (n, place, time, received, feed, body) VALUES (?, ?, ?, ?, ?, ?)"
_NEW_PLACE = "INSERT OR IGNORE INTO place (source, conversation, kind) VALUES (?, ?, ?) RETURNING n"
_PLACE = "SELECT n FROM place WHERE source = ? AND conversation = ?"
_TOUCHED = """INSERT INTO feed_place (feed, place, pending) VALUES (?, ?, 1)
    ON CONFLICT DO UPDATE SET pending = 1 WHERE pending = 0"""
# A place that backs off after failures, or is parked, isn't hurried by new events.
_DUE = """UPDATE place SET due_at = CASE WHEN attempts > 0 AND owner IS NULL AND due_at IS NOT NULL THEN due_at
    ELSE min(ifnull(due_at, ?1), ?1) END WHERE n = ?2 AND parked_at IS NULL"""
_NEW_QUARANTINE = """INSERT OR IGNORE INTO quarantine (feed, source, position, reason, file, size, cleaned, at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_NEW_CONFLICT = """INSERT OR IGNORE INTO conflict (key, digest, source, id, feed, event, kept, other, at)
    VALUES (?, ?, ?, ?, ?, ?, (SELECT body FROM event WHERE n = ?6), ?, ?)"""
_COUNTED = """UPDATE feed SET accepted = accepted + ?, duplicates = duplicates + ?, conflicts = conflicts + ?,
    quarantined = quarantined + ?, cleaned = cleaned + ?, contact = max(ifnull(contact, 0), ?) WHERE n = ?"""


class Unjudged(Exception):
    """Events that differ from the first of their identity: what they say is looked at outside the transaction."""

    def __init__(self, found: Mapping[Pair, tuple[Sealed, First]]) -> None:
        super().__init__(f"{len(found)} differ")
        self.found = found


Pair = tuple[int, int]
"""Key and digest of an event that came again."""


class Terms(Struct, frozen=True):
    """Whether a batch comes live, when it came, and how long its places wait before they are due (microseconds)."""

    live: bool
    now: int
    idle: int
    lateness: int


class Step:
    """One batch inside its transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        batch: Batch,
        feed: int,
        memory: Memory,
        same: Mapping[Pair, bool],
        terms: Terms,
    ) -> None:
        self._memory = memory
        self._terms = terms
        self._connection = connection
        self._batch = batch
        self._feed = feed
        self._same = same
        self._live = terms.live
        self._now = terms.now
        self.new_places: dict[PlaceKey, int] = {}
        self.new_sources: dict[str, int] = {}
        self.touched: set[int] = set()
        self.reopened = False
        self.numbers = range(0)
        self.again: list[int] = []
        """Numbers of events that this batch tells again."""

    def run(self, size: int) -> Appended:
        partial = self._open_feed()
        batch = self._batch
        outcomes = [Outcome.ACCEPTED] * size
        dropped = self._number_identities(outcomes)
        accepted = [i for i in range(len(batch.events)) if i not in dropped] if dropped else range(len(batch.events))
        unusual = [i for i in batch.unusual if i not in dropped]
        if accepted:
            self._insert_events(accepted, partial)
            self._insert_blobs(unusual)
        cleaned = self._quarantine_cleaned(unusual, outcomes)
        self._quarantine_rejected(outcomes)
        if self._live and self.again:
            runs.stand_alone(self._connection, self.again)
        conflicts = sum(outcome is Outcome.CONFLICT for outcome in dropped.values())
        counts = (len(accepted), len(dropped) - conflicts, conflicts, len(batch.rejected), cleaned)
        self._connection.execute(_COUNTED, (*counts, self._now, self._feed))
        return Appended(*counts, outcomes=tuple(outcomes))

    def _open_feed(self) -> int:
        row = self._connection.execute("SELECT state, partial FROM feed WHERE n = ?", (self._feed,)).fetchone()
        if row is None:
            raise UsageError(f"there is no feed {self._feed}", feed=self._feed)
        if row[0] == "closed":
            # Closed by command while it still lives: it is open again, or its events would never become due.
            self._connection.execute("UPDATE feed SET state = 'open', closed = NULL WHERE n = ?", (self._feed,))
            self.reopened = True
        partial: int = row[1]
        return partial

    def _number_identities(self, outcomes: list[Outcome]) -> dict[int, Outcome]:
        """Identities take their numbers; which events (by index) aren't accepted, and as what they count."""
        batch = self._batch
        connection = self._connection
        if not batch.events:
            return {}
        size = len(batch.events)
        (self._base,) = connection.execute(
            "UPDATE counter SET value = value + ? WHERE name = 'event' RETURNING value - ?", (size, size - 1)
        ).fetchone()
        base = self._base
        self.numbers = range(base, base + size)
        numbers = [base + i for i in batch.order]
        rows = zip(batch.serials, batch.keys, numbers, batch.digests, strict=True)
        done = connection.executemany(_NEW_IDENTITY, rows)
        if done.rowcount == size:
            return {}
        dropped: dict[int, Outcome] = {}
        known = identities.known(self._connection, zip(batch.serials, batch.keys, strict=True))
        found = list(zip(batch.keys, batch.order, batch.digests, strict=True))
        for k, i, d in found:
            number, digest = known[k]
            if number != base + i:
                is_same = digest == d or self._same.get((k, d))
                dropped[i] = Outcome.DUPLICATE if is_same else Outcome.CONFLICT
        self.again = [known[k][0] for k, i, _ in found if dropped.get(i) is Outcome.DUPLICATE]
        # Conflicts wait until the events are in: the first of two may be in this very batch.
        self._conflicts = [(k, i, d, known[k][0]) for k, i, d in found if dropped.get(i) is Outcome.CONFLICT]
        if unjudged := {
            (k, d): (batch.events[i], self._first(number, known[k][1]))
            for k, i, d, number in self._conflicts
            if (k, d) not in self._same
        }:
            raise Unjudged(unjudged)
        return self._settle(dropped, outcomes)

    def _first(self, number: int, digest: int) -> First:
        if number < self._base:
            return identities.first(self._connection, number, digest)
        sealed = self._batch.events[number - self._base]
        return First(digest, sealed.time, sealed.body)

    def _settle(self, dropped: dict[int, Outcome], outcomes: list[Outcome]) -> dict[int, Outcome]:
        for k, i, d, number in self._conflicts:
            other = self._batch.events[i]
            row = (k, d, other.source, other.id, self._feed, number, other.body, self._now)
            if self._connection.execute(_NEW_CONFLICT, row).rowcount == 0:
                dropped[i] = Outcome.DUPLICATE
            elif self._base <= number:
                kept = self._batch.events[number - self._base].body
                self._connection.execute("UPDATE conflict SET kept = ? WHERE key = ? AND digest = ?", (kept, k, d))
        for i, outcome in dropped.items():
            outcomes[self._batch.positions[i]] = outcome
        return dropped

    def _insert_events(self, accepted: Sequence[int], partial: int) -> None:
        events = [self._batch.events[i] for i in accepted]
        places = [self._batch.places[i] for i in accepted]
        numbers = self._place_numbers(dict(zip(places, events, strict=True)))
        rows = zip(
            [self._base + i for i in accepted],
            [numbers[place] for place in places],
            [each.time for each in events],
            [each.received for each in events],
            repeat(self._feed, len(events)),
            [each.body for each in events],
            strict=True,
        )
        self._connection.executemany(_NEW_EVENT, rows)
        self._touch(set(numbers.values()), partial)
        if self._live:
            self._make_due(accepted, numbers)
        self._count_sources(Counter([each.source for each in events]))

    def _place_numbers(self, wanted: dict[PlaceKey, Sealed]) -> dict[PlaceKey, int]:
        """By place, each with one of its events."""
        known = self._memory.places
        return {place: known.get(place) or self._new_place(place, sealed.kind) for place, sealed in wanted.items()}

    def _new_place(self, place: PlaceKey, kind: str) -> int:
        name, conversation = place
        source = self._source(name)
        row = self._connection.execute(_NEW_PLACE, (source, conversation, kind)).fetchone()
        number: int
        (number,) = row or self._connection.execute(_PLACE, (source, conversation)).fetchone()
        self.new_places[place] = number
        return number

    def _source(self, name: str) -> int:
        number = self._memory.sources.get(name) or self.new_sources.get(name)
        if number is None:
            self._connection.execute("INSERT OR IGNORE INTO source (name) VALUES (?)", (name,))
            (number,) = self._connection.execute("SELECT n FROM source WHERE name = ?", (name,)).fetchone()
            self.new_sources[name] = number
        return number

    def _touch(self, places: set[int], partial: int) -> None:
        seen = self._memory.touched
        if self._memory.touched_by == self._feed and not self.reopened:
            places = places - seen
        self.touched = places
        # Live feeds need no such rows: no place waits for a live feed to be closed.
        if not self._live:
            self._connection.executemany(_TOUCHED, [(self._feed, place) for place in sorted(places)])
        if partial:
            self._connection.executemany("UPDATE place SET partial = 1 WHERE n = ?", [(place,) for place in places])

    def _make_due(self, accepted: Sequence[int], numbers: dict[PlaceKey, int]) -> None:
        due: dict[int, int] = {}
        for i in accepted:
            sealed = self._batch.events[i]
            wait = self._terms.lateness
            if not sealed.ends:
                wait += self._terms.idle
            at = min(sealed.time, sealed.received) + wait
            place = numbers[self._batch.places[i]]
            due[place] = min(due.get(place, at), at)
        self._connection.executemany(_DUE, [(at, place) for place, at in due.items()])

    def _count_sources(self, counts: Mapping[str, int]) -> None:
        live = self._feed if self._live else None
        self._connection.executemany(
            "UPDATE source SET spooled = spooled + ?, live = ifnull(?, live) WHERE n = ?",
            [(count, live, self._source(name)) for name, count in counts.items()],
        )

    def _insert_blobs(self, unusual: Iterable[int]) -> None:
        batch = self._batch
        self._connection.executemany(
            "INSERT OR IGNORE INTO blob (sha256, size) VALUES (?, ?)", [(sha, size) for sha, size, _ in batch.blobs]
        )
        held = [(sha256, f"event:{self._base + i}") for i in unusual for sha256 in batch.events[i].shares]
        self._connection.executemany("INSERT OR IGNORE INTO blob_holder (sha256, holder) VALUES (?, ?)", held)

    def _quarantine_cleaned(self, unusual: Iterable[int], outcomes: list[Outcome]) -> int:
        batch = self._batch
        rows = []
        for i in unusual:
            sealed = batch.events[i]
            if sealed.original is not None:
                outcomes[batch.positions[i]] = Outcome.CLEANED
                rows.append(
                    self._quarantined(sealed.source, sealed.where, sealed.cleaned, sealed.original, self._base + i)
                )
        cleaned = len(rows)
        for i, reason in batch.spoiled:
            sealed = batch.events[i]
            rows.append(self._quarantined(sealed.source, sealed.id, reason, sealed.body, None))
        self._connection.executemany(_NEW_QUARANTINE, rows)
        return cleaned

    def _quarantine_rejected(self, outcomes: list[Outcome]) -> None:
        rows = []
        for position, item in self._batch.rejected:
            outcomes[position] = Outcome.QUARANTINED
            rows.append(self._quarantined(item.source or "", item.position, item.reason, item.content, None))
        self._connection.executemany(_NEW_QUARANTINE, rows)

    def _quarantined(
        self, source: str, position: str, reason: str, content: bytes, event: int | None
    ) -> tuple[object, ...]:
        name = files.content_name(content)
        return (self._feed, source, position, reason, name, len(content), event, self._now)
