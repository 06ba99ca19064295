"""What was read goes into the spool: in batches sized by how long the last ones held the write lock.

Each batch says in its own transaction how far its documents have come. Counts what became of every piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from msgspec import Struct

from archiver.backfill.parts import Read, Told, end_of, part_read
from archiver.backfill.reporting import Findings
from archiver.events import Outcome, Rejected
from archiver.filing.workers import Lot, Passage
from archiver.spool import Pace, Sealed, Spool
from archiver.spool.runs import Far, Step


class _Span(Struct):
    """Pieces that wait, all of one document, in a row: the first of them is its `first`."""

    passage: Passage
    first: int
    waiting: int
    ended: bool

    def far(self, taken: int) -> Far | None:
        """How far the document is once so many are durable. What was left out of it stands in none of them: from
        there on it is read again."""
        if self.passage.whole or not self.passage.complete:
            return None
        return Far(self.passage.key, self.first + taken, self.ended and taken == self.waiting)


class Writer:
    """Takes lots as they come; `flush` at the end."""

    def __init__(self, spool: Spool, feed: int, run: int, findings: Findings) -> None:
        self._spool = spool
        self._feed = feed
        self._run = run
        self._findings = findings
        self._pending: list[Sealed | Rejected] = []
        self._spans: deque[_Span] = deque()
        self._alone = True
        self._pace = Pace(alone=True)

    def add(self, lot: Lot) -> None:
        self._pending += lot.pieces
        self._spans.append(_Span(lot.passage, lot.first, len(lot.pieces), lot.ended))
        alone = self._spool.holder("daemon") is None
        if alone is not self._alone:  # a daemon came or went: live capture must never wait long
            self._alone, self._pace = alone, Pace(alone=alone)
        while len(self._pending) >= self._pace.rows:
            self._append()

    def flush(self) -> None:
        while self._pending or self._spans:
            self._append()

    def _append(self) -> None:
        some = self._take()
        spans = self._passed(len(some))
        far = {each.key: each for span, taken in spans if (each := span.far(taken)) is not None}
        told = Told[Sequence[Outcome]](lambda outcomes: part_read(_read(spans, some, outcomes)))
        done = self._spool.append(some, self._feed, backfill=Step(self._run, tuple(far.values()), told))
        self._pace.measured(len(some), done.held)
        self._findings.add(told.part)
        for span, taken in spans:
            span.first, span.waiting = span.first + taken, span.waiting - taken

    def _take(self) -> list[Sealed | Rejected]:
        weight = taken = 0
        for piece in self._pending:
            weight += self._pace.weight(len(piece.body if isinstance(piece, Sealed) else piece.content))
            if taken and weight > self._pace.rows:
                break
            taken += 1
        some, self._pending = self._pending[:taken], self._pending[taken:]
        return some

    def _passed(self, count: int) -> list[tuple[_Span, int]]:
        """The spans that the next so many pieces belong to, each with how many; those at their end wait no longer."""
        passed = []
        while self._spans:
            span = self._spans[0]
            taken = min(count, span.waiting)
            passed.append((span, taken))
            count -= taken
            if taken < span.waiting:
                break
            self._spans.popleft()
        return passed


def _read(
    spans: Sequence[tuple[_Span, int]], some: Sequence[Sealed | Rejected], outcomes: Sequence[Outcome]
) -> Iterator[Read]:
    start = 0
    for span, taken in spans:
        pieces = slice(start, start + taken)
        end = end_of(span.passage) if span.ended and taken == span.waiting else None
        yield Read(span.passage.place, some[pieces], outcomes[pieces], end)
        start += taken
