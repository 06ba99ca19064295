"""What a source hands over, into the spool: left out, refused for now, or durable. Holds no source.

exclusions ─► critical mode (sources that say `blocking`) ─► `Spool.append` ─► one outcome a piece
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import structlog

from archiver.daemon.critical import Critical, identity
from archiver.daemon.job import clock
from archiver.daemon.metering import Meter
from archiver.decisions.excluding import Whose
from archiver.events import Captured, Outcome, Rejected
from archiver.filing.sifting import sift
from archiver.spool import Spool

Pieces = Sequence[Captured | Rejected]
log = structlog.get_logger(__name__)

QUIET = 10.0
"""Seconds between two lines of the log on what one source sends to quarantine: a flood of it does not fill the log."""


class Taking:
    """The `Accept` of one source. `critical` is None where it can't be told to try later."""

    def __init__(
        self, source: str, spool: Spool, feed: int, whose: Whose, critical: Critical | None, meter: Meter
    ) -> None:
        self._source = source
        self._told = -QUIET
        self._spool = spool
        self._feed = feed
        self._whose = whose
        self._critical = critical
        self._meter = meter

    def __call__(self, batch: Pieces) -> Sequence[Outcome]:
        now, began = clock(), time.monotonic()
        outcomes = self._take(batch, now)
        self._meter.note(batch, outcomes, now, time.monotonic() - began)
        if Outcome.QUARANTINED in outcomes:
            self._tell([piece for piece, each in zip(batch, outcomes, strict=True) if each is Outcome.QUARANTINED])
        return outcomes

    def _tell(self, quarantined: Pieces) -> None:
        now = time.monotonic()
        if now - self._told >= QUIET:
            self._told = now
            reason = next((piece.reason for piece in quarantined if isinstance(piece, Rejected)), "")
            log.warning("quarantined", source=self._source, pieces=len(quarantined), reason=reason[:200])

    def _take(self, batch: Pieces, now: int) -> Sequence[Outcome]:
        excluded = sift(batch, self._spool.exclusions(), self._whose, now)
        kept_back = dict.fromkeys(excluded, Outcome.EXCLUDED)
        if self._critical is not None:
            kept_back |= self._blocked(self._critical, [(i, p) for i, p in enumerate(batch) if i not in excluded], now)
        taken = [piece for i, piece in enumerate(batch) if i not in kept_back] if kept_back else batch
        outcomes: Sequence[Outcome] = ()
        if taken:
            outcomes = self._spool.append(taken, self._feed, live=True, now=now).outcomes
        if excluded:
            self._spool.count_excluded(Counter(each.number for each in excluded.values()))
        return _merged(len(batch), kept_back, outcomes) if kept_back else outcomes

    def _blocked(
        self, critical: Critical, pieces: Sequence[tuple[int, Captured | Rejected]], now: int
    ) -> dict[int, Outcome]:
        refused = critical.refused([piece for _, piece in pieces], now)
        if not refused:
            return {}
        return {i: Outcome.BLOCKED for i, p in pieces if isinstance(p, Captured) and identity(p) in refused}


def _merged(size: int, kept_back: dict[int, Outcome], outcomes: Sequence[Outcome]) -> list[Outcome]:
    rest = iter(outcomes)
    return [kept_back[i] if i in kept_back else next(rest) for i in range(size)]
