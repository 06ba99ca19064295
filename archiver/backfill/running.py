"""The order of a backfill: reading process, spool, filing processes, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from archiver.assembly import archive_of, directory_of, open_spool, store_of, terms_of
from archiver.backfill import reading
from archiver.backfill.appending import Writer
from archiver.backfill.reporting import Findings, Report
from archiver.backfill.request import Progress, Request, Show, check, chosen_by, description, feed_name, manner
from archiver.backfill.room import require_room
from archiver.config import Config
from archiver.exceptions import UsageError
from archiver.filing import moving, sifting
from archiver.filing.gathering import Tally
from archiver.filing.pipeline import Filer, Journal
from archiver.filing.sifting import LongSieve
from archiver.filing.workers import Child, filer, lots, reader, serve
from archiver.importers import Document
from archiver.spool import Spool
from archiver.spool.runs import Run, State
from archiver.types import Exclusion, Lease

ALONE = 2_000
"""Fewer new events than this are filed by one process: more would hardly have begun."""
_FEWEST, _MOST = 1, 100
"""Places given to a filing process at once."""
_ENOUGH = 10_000
"""Renderings that are a fair piece of work: small chats go out by the hundred, busy rooms one by one."""


def run(config: Config, data: Path, request: Request, show: Show = lambda progress: None) -> Report:
    """Read `request.paths` and file what they bring. Raises `InUse` while another backfill runs."""
    check(request)
    started, documents = time.monotonic(), chosen_by(request)
    if not request.force:
        require_room(data, documents)
    sieve = _sieve(config, data)
    children = [filer(lambda journal: _filer(config, data, journal), n) for n in range(request.jobs)]
    reader_ = reader(lambda had: reading.read(request, documents, sieve, _now(), had))
    try:
        with open_spool(config, data) as spool, spool.hold("backfill", description(request)):
            spool.reap(_now())
            moving.take_up(config, directory_of(config), spool, _now())
            begun, findings = _append(spool, request, documents, reader_, show)
            reader_.close()
            spool.shrink()  # what the first half has cached is of no use to the second
            tally = _file(config, data, spool, begun, children, show)
            return _report(spool, begun, findings, tally, time.monotonic() - started)
    finally:
        for child in (reader_, *children):
            child.close()


def _now() -> int:
    return time.time_ns() // 1_000


def _sieve(config: Config, data: Path) -> LongSieve:
    """With the exclusions as they are now; the spool is closed again before any process is forked."""
    exclusions: list[Exclusion] = []
    if Spool.exists(data):
        with open_spool(config, data) as spool:
            exclusions = spool.exclusions()
    return LongSieve(data, lambda: open_spool(config, data, readonly=True), sifting.whose_of(config), exclusions)


def _append(
    spool: Spool, request: Request, documents: Sequence[Document], reader_: Child, show: Show
) -> tuple[Run, Findings]:
    """Everything read goes into the spool; only then is the feed closed, and what it brought is due."""
    named = ", ".join(map(str, request.paths))
    feed = spool.open_feed(feed_name(request), "import", partial=request.importer.partial_presence, path=named)
    run = spool.begin_run(feed.number, request.importer.name, map(str, request.paths), manner(request), _now())
    reader_.send({} if request.reread else spool.inputs())
    findings = Findings()
    writer = Writer(spool, feed.number, run.number, findings)
    try:
        _read(writer, reader_, documents, show)
    except UsageError:
        spool.close_feed(feed.number, _now())  # a mistake is no dead import that waits to be run again
        spool.note_run(run.number, State.STOPPED, _now())
        raise
    if findings.left_out:
        spool.count_excluded(findings.left_out)
    spool.close_feed(feed.number, _now())
    spool.hurry(feed.number, _now())
    spool.note_run(run.number, State.FILING, _now())
    return spool.backfill(run.number)[0], findings


def _read(writer: Writer, reader_: Child, documents: Sequence[Document], show: Show) -> None:
    sizes = {document.place: document.size for document in documents}
    passed, total = 0, sum(sizes.values())
    for lot in lots(reader_):
        writer.add(lot)
        passed += sizes.get(lot.passage.place, 0) if lot.ended else 0
        show(Progress("reading", passed, total, lot.passage.place))
    writer.flush()


def _report(spool: Spool, run: Run, findings: Findings, tally: Tally, seconds: float) -> Report:
    """Kept with the run, whatever becomes of the terminal."""
    findings.came(spool.came_of_it(run.feed, run.began))
    report = findings.report(run, tally, seconds)
    spool.note_run(run.number, State.DONE, _now(), msgspec.json.encode(report))
    return report


def _filer(config: Config, data: Path, journal: Journal) -> Filer:
    """What a filing process has of its own: a reader of the spool, a store, the terms."""
    reader = open_spool(config, data, readonly=True)
    return Filer(reader, journal, store_of(config, data), archive_of(config, data), terms_of(config))


def _file(config: Config, data: Path, spool: Spool, run: Run, children: Sequence[Child], show: Show) -> Tally:
    """File what the feed's places hold, until none is left."""
    work = _Work(spool, run.feed, show)
    if len(children) > 1 and run.accepted >= ALONE:
        serve(children, spool, work.more, work.done)
        return work.tally
    return _file_alone(config, data, spool, work)


def file_of(config: Config, data: Path, spool: Spool, feed: int) -> Tally:
    """File what is due of a feed's places, in this process."""
    return _file_alone(config, data, spool, _Work(spool, feed, lambda _: None))


def _file_alone(config: Config, data: Path, spool: Spool, work: _Work) -> Tally:
    alone = Filer(spool, spool, store_of(config, data), archive_of(config, data), terms_of(config))
    while leases := work.more()[0]:
        work.done(alone.run(leases, _now()))
    return work.tally


class _Work:
    """Hands out the feed's places, a few at a time, and counts what comes of them."""

    def __init__(self, spool: Spool, feed: int, show: Show) -> None:
        self.tally = Tally()
        self._spool = spool
        self._feed = feed
        self._show = show
        self._given = 0
        self._places = 4

    def more(self) -> tuple[list[Lease], int]:
        leases = self._spool.claim(_now(), self._places, feed=self._feed)
        self._given += len(leases)
        self._show(Progress("filing", self._given, 0))
        return leases, _now()

    def done(self, tally: Tally) -> None:
        self.tally.add(tally)
        if tally.renderings < _ENOUGH:
            self._places = min(self._places * 2, _MOST)
        else:
            self._places = max(self._places // 2, _FEWEST)
