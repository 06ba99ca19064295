"""The daemon's figures for Prometheus (text format 0.0.4): of each live source, of critical mode, of the spool.

Counters begin anew with the source that they count. Nothing here says who talks to whom: labels are names of sources
and pools as configured, never what comes in.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from archiver import __version__
from archiver.daemon.capture import Capture
from archiver.daemon.critical import Critical
from archiver.daemon.job import clock
from archiver.daemon.metering import BOUNDS
from archiver.daemon.supervision import Standing
from archiver.decisions.critical import Outage
from archiver.events import SECOND, Outcome
from archiver.spool import Spool
from archiver.spool.records import PutOff, Totals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
AGAIN = 15.0
"""Seconds for which what the spool was asked serves: it counts all mailboxes."""

_TOTALS = {
    "spooled": "Events in the spool.",
    "waiting": "Conversations with work to be done.",
    "filed": "Items filed in Conversation History.",
    "withheld": "Items that the gate withholds from Conversation History.",
    "unarchived": "Complete items that are withheld from the archive.",
    "parked": "Items set aside after failures, for a person.",
    "quarantined": "Pieces of input that could not be read.",
    "conflicts": "Events that came twice, not the same.",
}


class Metrics:
    """Callable from any thread."""

    def __init__(self, spool: Spool, capture: Capture, critical: Critical) -> None:
        self._spool = spool
        self._capture = capture
        self._critical = critical
        self._asked = -AGAIN
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Raises `TryLater` where the spool can't be read."""
        if time.monotonic() - self._asked >= AGAIN:
            self._totals, self._put_off = self._spool.totals(), self._spool.put_off()
            self._asked = time.monotonic()
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """None beforehand: the library would ask for all figures to learn their names."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield _gauge("archiver_info", "The version that runs.", {(__version__,): 1}, "version")
        yield from of_sources(self._capture.standings())
        yield from of_critical_mode(self._critical.outages(), self._put_off, clock())
        yield from of_the_spool(self._totals)


def of_sources(standings: Iterable[Standing]) -> Iterator[Metric]:
    up = _gauge("archiver_source_up", "Whether a source runs, is connected and has caught up.", {}, "source")
    restarts = _counter("archiver_source_restarts", "How often a source broke and was started anew.", "source")
    events = _counter("archiver_source_events", "Pieces of input by what became of them.", "source", "outcome")
    refused = _counter("archiver_source_refused", "Requests that were refused, by reason.", "source", "reason")
    gaps = _counter("archiver_source_gaps", "Events known to be lost for good, where a source can tell.", "source")
    heard = _gauge("archiver_source_last_event_timestamp_seconds", "When the last event came.", {}, "source")
    lag = _gauge("archiver_source_lag_seconds", "How long after it happened the last event came.", {}, "source")
    rate = _gauge("archiver_source_events_per_second", "Pieces of input in the last minute.", {}, "source")
    took = HistogramMetricFamily(
        "archiver_source_append_seconds", "How long it took to make a batch durable.", labels=["source"]
    )
    for each in standings:
        name, reading = [each.name], each.reading
        up.add_metric(name, float(not reading.fault))
        restarts.add_metric(name, reading.restarts)
        for outcome in Outcome:
            events.add_metric([*name, outcome.value], each.counts.outcomes.get(outcome, 0))
        for reason, count in each.signs.refused.items():
            refused.add_metric([*name, reason], count)
        for figure, value in ((gaps, reading.gaps), (heard, _seconds(reading.heard)), (lag, _seconds(reading.lag))):
            if value is not None:
                figure.add_metric(name, value)
        rate.add_metric(name, reading.rate)
        upto = [*map(str, BOUNDS), "+Inf"]
        took.add_metric(name, list(zip(upto, accumulate(each.counts.took), strict=True)), each.counts.seconds)
    yield from (up, restarts, events, refused, gaps, heard, lag, rate, took)


def _seconds(moment: int | None) -> float | None:
    return None if moment is None else moment / SECOND


def of_critical_mode(outages: Mapping[str, Outage], put_off: list[PutOff], now: int) -> Iterator[Metric]:
    """Pools that fail, "" for sources in none; a pool that doesn't fail has no figure."""
    yield _gauge(
        "archiver_critical_mode",
        "Whether archiving fails in a pool for so long that sources marked blocking put off.",
        {(pool,): float(outage.is_critical(now)) for pool, outage in outages.items()},
        "pool",
    )
    yield _gauge(
        "archiver_unarchived_since_timestamp_seconds",
        "Since when archiving fails in a pool.",
        {(pool,): outage.since / SECOND for pool, outage in outages.items()},
        "pool",
    )
    counted = _counter("archiver_put_off_events", "Events put off by critical mode.", "pool")
    for each in put_off:
        counted.add_metric([each.pool], each.events)
    yield counted


def of_the_spool(totals: Totals) -> Iterator[Metric]:
    for name, sentence in _TOTALS.items():
        yield _gauge(f"archiver_{name}", sentence, {(): float(getattr(totals, name))})


def _gauge(name: str, sentence: str, values: Mapping[tuple[str, ...], float], *labels: str) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, sentence, labels=labels)
    for each, value in values.items():
        gauge.add_metric(list(each), value)
    return gauge


def _counter(name: str, sentence: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, sentence, labels=labels)
