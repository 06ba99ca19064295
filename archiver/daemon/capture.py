"""The live sources of a configuration, each with its feed in the spool. Holds no source and no schedule.

A new source is one line in `sources_of`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from msgspec import Struct

from archiver.config import Config, Smtp
from archiver.config.settings import Endpoint
from archiver.daemon.critical import Critical
from archiver.daemon.job import clock
from archiver.decisions.excluding import Whose
from archiver.events import Captured, Rejected
from archiver.exceptions import ArchiverError
from archiver.filing.sifting import sift
from archiver.sources.protocol import Accept, Source
from archiver.sources.smtp import Address, Limits, MailSource
from archiver.spool import Spool

log = structlog.get_logger(__name__)

Wanted = Mapping[str, Callable[[], Source]]
"""What to capture from, by the name of the feed; each is made only when it is to be started."""


def sources_of(config: Config) -> Wanted:
    return {"smtp:mail": lambda: _mail(config.smtp)} if config.smtp.enabled else {}


def _mail(smtp: Smtp) -> Source:
    addresses = [_address(smtp.listen, local=False)]
    if smtp.lmtp is not None:
        addresses.append(_address(smtp.lmtp, local=True))
    return MailSource("mail", tuple(addresses), limits=Limits(size=smtp.max_size), blocking=smtp.blocking)


def _address(endpoint: Endpoint, *, local: bool) -> Address:
    if endpoint.path:
        return Address(path=Path(endpoint.path), local=local)
    return Address(endpoint.host, endpoint.port, local=local)


class _Running(Struct):
    source: Source
    feed: int


class Capture:
    """Starts what is wanted, tells the spool of its signs of life, stops it. Callable from any thread."""

    def __init__(self, spool: Spool, whose: Whose, critical: Critical) -> None:
        self._spool = spool
        self._critical = critical
        self._whose = whose
        self._wanted: Wanted = {}
        self._running: dict[str, _Running] = {}
        self._lock = threading.RLock()

    def use(self, wanted: Wanted) -> None:
        """Capture from these and no others. Raises `EnvironmentFault` where one can't be started; `contact` tries
        it again."""
        with self._lock:
            self.stop()
            self._wanted = wanted
            self._close_others()
            self._start_missing()

    def _close_others(self) -> None:
        """Feeds of sources that are wanted no longer: nothing waits for what will not come."""
        for feed in self._spool.feeds(only_open=True):
            if feed.kind == "live" and feed.name not in self._wanted:
                self._spool.close_feed(feed.number, clock())

    def _start_missing(self) -> None:
        for name, make in self._wanted.items():
            if name not in self._running:
                feed = self._spool.open_feed(name, "live").number
                source = make()
                source.start(self._accept(feed, blocking=source.blocking))
                self._running[name] = _Running(source, feed)
                log.info("capturing", source=name, where=source.describe())

    def _accept(self, feed: int, *, blocking: bool) -> Accept:
        def accept(batch: Sequence[Captured | Rejected]) -> None:
            now = clock()
            taken, left_out = sift(batch, self._spool.exclusions(), self._whose, now)
            if blocking:
                self._critical.admit(taken, now)
            self._spool.append(taken, feed, live=True, now=now)
            if left_out:
                self._spool.count_excluded(left_out)

        return accept

    def contact(self) -> None:
        """Say of each source that is up that it has told everything up to now; try again what isn't running."""
        with self._lock:
            for each in self._running.values():
                if each.source.up:
                    self._spool.contact(each.feed, clock())
            self._start_missing()

    def stop(self) -> None:
        """Take nothing new; what is just coming in is made durable and acknowledged first."""
        with self._lock:
            self._wanted = {}
            for each in self._running.values():
                each.source.stop()
                with suppress(ArchiverError):
                    self._spool.contact(each.feed, clock())
            self._running = {}
