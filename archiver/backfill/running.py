"""The order of a backfill: reading process, spool, filing processes, report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from archiver.assembly import archive_of, directory_of, open_spool, rules_of, store_of, terms_of
from archiver.backfill import reading
from archiver.backfill.appending import Writer
from archiver.backfill.extent import extent_of, sizes_of
from archiver.backfill.parts import OTHERS, Part, Told, part_filed
from archiver.backfill.progress import Course, Progress, Show, Stage
from archiver.backfill.reporting import Findings, Report
from archiver.backfill.request import Request, asked, check, chosen_by, description, feed_name
from archiver.backfill.resemblance import ROOMS, resembling
from archiver.backfill.room import require_room
from archiver.config import Config
from archiver.decisions.excluding import Whose
from archiver.exceptions import EnvironmentFault, TryLater, UsageError
from archiver.filing import moving, sifting
from archiver.filing.gathering import Tally
from archiver.filing.pipeline import Filer, Journal
from archiver.filing.sifting import LongSieve
from archiver.filing.workers import Child, filer, lots, reader, serve
from archiver.importers.document import readable
from archiver.importers.leaving import Leavings
from archiver.spool import Spool
from archiver.spool.runs import Finished, Run, State
from archiver.types import Delivery, Exclusion, Filing, Lease

_GOES_ON = "what was read is kept: once there is room and no lock, the same command goes on behind it"

ALONE = 2_000
"""Fewer new events than this are filed by one process: more would hardly have begun."""
FEW = 32 * 1024
"""Bytes that hold fewer events than that, as a rule even where they are packed: for them none is forked at all."""
_FEWEST, _MOST = 1, 100
"""Places given to a filing process at once."""
_ENOUGH = 10_000
"""Renderings that are a fair piece of work: small chats go out by the hundred, busy rooms one by one."""


def run(config: Config, data: Path, request: Request, show: Show = lambda progress: None) -> Report:
    """Read `request.paths` and file what they bring. Raises `InUse` while another backfill runs."""
    check(request)
    started, leavings = time.monotonic(), Leavings(request.left)
    documents = chosen_by(request, leavings)
    sizes = sizes_of(request.importer, documents)
    if not request.force:
        require_room(data, store_of(config, data).root, extent_of(request.importer, documents, request.paths))
    rules, sieve = rules_of(config), _sieve(config, data)
    jobs = request.jobs if sum(sizes.values()) > FEW else 0
    children = [filer(lambda journal: _filer(config, data, journal), n) for n in range(jobs)]
    reader_ = reader(lambda had, beat: reading.read(request, documents, rules, sieve, _now(), had, beat))
    try:
        with open_spool(config, data) as spool, spool.hold("backfill", description(request)):
            spool.reap(_now())
            moving.take_up(config, directory_of(config), spool, _now())
            begun, findings = _append(spool, request, leavings, sizes, reader_, show)
            reader_.close()
            spool.shrink()  # what the first half has cached is of no use to the second
            tally = _file(config, data, spool, begun, findings, children, show)
            seconds = time.monotonic() - started
            return _report(spool, sifting.whose_of(config), begun, findings, tally, seconds)
    except TryLater as fault:  # nobody tries again by himself here
        raise EnvironmentFault(str(fault), hint=_GOES_ON, **fault.facts) from fault
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
    spool: Spool, request: Request, leavings: Leavings, sizes: Mapping[str, int], reader_: Child, show: Show
) -> tuple[Run, Findings]:
    """Everything read goes into the spool; only then is the feed closed, and what it brought is due."""
    paths = [readable(path) for path in request.paths]
    feed = spool.open_feed(
        feed_name(request), "import", partial=request.importer.partial_presence, path=", ".join(paths)
    )
    run = spool.begin_run(feed.number, request.importer.name, paths, asked(request), _now())
    spool.note_nicks(request.nicks)
    reader_.send({} if request.reread else spool.inputs())
    findings = Findings(_before(spool, run), run.accepted + run.duplicates + run.conflicts, leavings)
    writer = Writer(spool, feed.number, run.number, findings)
    try:
        _read(writer, reader_, Course(sizes), show)
    except UsageError:
        spool.close_feed(feed.number, _now())  # a mistake is no dead import that waits to be run again
        spool.note_run(run.number, State.STOPPED, _now())
        raise
    if run.state is State.READING and (left_out := findings.left_out):
        spool.count_excluded(left_out)
    spool.close_feed(feed.number, _now())
    spool.hurry(feed.number, _now())
    spool.note_run(run.number, State.FILING, _now())
    return spool.backfill(run.number)[0], findings


def _before(spool: Spool, run: Run) -> Iterator[Part]:
    """What it had told before it was interrupted."""
    return (msgspec.json.decode(told, type=Part) for told in spool.parts_of_run(run.number))


def _read(writer: Writer, reader_: Child, course: Course, show: Show) -> None:
    for lot in lots(reader_):
        if not lot.beat:
            writer.add(lot)
        show(course.note(lot))
    writer.flush()


def _report(spool: Spool, whose: Whose, run: Run, findings: Findings, tally: Tally, seconds: float) -> Report:
    """Kept with the run, whatever becomes of the terminal."""
    findings.came(spool.came_of_it(run.feed, run.began))
    report = findings.report(run, tally, seconds)
    rooms = [(each.source, each.conversation) for each in report.conversations if each.new and each.source != OTHERS]
    report.resembling = list(resembling(spool, whose, run.number, rooms[:ROOMS]))
    spool.note_run(run.number, State.DONE, _now(), msgspec.json.encode(report))
    return report


def _filer(config: Config, data: Path, journal: Journal) -> Filer:
    """What a filing process has of its own: a reader of the spool, a store, the terms."""
    reader = open_spool(config, data, readonly=True)
    return Filer(reader, journal, store_of(config, data), archive_of(config, data), terms_of(config))


def _file(
    config: Config,
    data: Path,
    spool: Spool,
    run: Run,
    findings: Findings,
    children: Sequence[Child],
    show: Show,
) -> Tally:
    """File what the feed's places hold, until none is left."""
    work = _Work(spool, run.feed)
    journal = cast(Journal, _Watched(spool, run, findings, show))
    if len(children) > 1 and run.accepted >= ALONE:
        serve(children, journal, work.more, work.done)
        return work.tally
    return _file_alone(config, data, spool, journal, work)


def file_of(config: Config, data: Path, spool: Spool, feed: int) -> Tally:
    """File what is due of a feed's places, in this process."""
    return _file_alone(config, data, spool, spool, _Work(spool, feed))


def _file_alone(config: Config, data: Path, spool: Spool, journal: Journal, work: _Work) -> Tally:
    alone = Filer(spool, journal, store_of(config, data), archive_of(config, data), terms_of(config))
    while leases := work.more()[0]:
        work.done(alone.run(leases, _now()))
    return work.tally


class _Watched:
    """The journal of a run's filing: it keeps what that adds to the report, and tells how many of the run's events it
    has heard to be filed."""

    def __init__(self, spool: Spool, run: Run, findings: Findings, show: Show) -> None:
        self._spool = spool
        self._run = run.number
        self._findings = findings
        self._show = show
        self._first, self._total = spool.to_file(run.number)
        self._done = 0

    def finish(self, filings: Sequence[Filing], now: int, *, gone: Iterable[int]) -> None:
        told = Told[Sequence[Delivery]](lambda ended: part_filed(filings, ended))
        self._spool.finish(filings, now, gone=gone, backfill=Finished(self._run, told))
        self._findings.add(told.part)
        self._done += sum(number >= self._first for filing in filings for number in filing.events)
        done = min(self._done, self._total)
        self._show(Progress(Stage.FILING, done, self._total, events=done))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)


class _Work:
    """Hands out the feed's places, a few at a time, and counts what comes of them."""

    def __init__(self, spool: Spool, feed: int) -> None:
        self.tally = Tally()
        self._spool = spool
        self._feed = feed
        self._places = 4

    def more(self) -> tuple[list[Lease], int]:
        return self._spool.claim(_now(), self._places, feed=self._feed), _now()

    def done(self, tally: Tally) -> None:
        self.tally.add(tally)
        if tally.renderings < _ENOUGH:
            self._places = min(self._places * 2, _MOST)
        else:
            self._places = max(self._places // 2, _FEWEST)
