"""Old events through the same spool and pipeline: read all, then file all they brought, then say so.

    files ─► reading process ─► append ─► close the feed ─► filing processes ─► report

Holds the order of a backfill and its progress. Reading it again after any interruption is safe and quick: what is in
the spool is known by its identity, and what is filed by its version.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import structlog
from msgspec import Struct, field

from archiver.assembly import archive_of, directory_of, open_spool, store_of, terms_of
from archiver.config import Config
from archiver.events import Captured, Rejected
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.filing import moving, sifting
from archiver.filing.gathering import Tally
from archiver.filing.pipeline import Filer, Journal
from archiver.filing.sifting import LongSieve
from archiver.filing.workers import Child, Remarks, filer, lots, reader, serve
from archiver.importers import Document, Importer, Options, Reading
from archiver.importers.recognising import Recognised, chosen, recognise
from archiver.spool import Pace, Sealed, Spool
from archiver.types import Exclusion, Lease

log = structlog.get_logger(__name__)

ALONE = 2_000
"""Fewer new events than this are filed by one process: more would hardly have begun."""
_FEWEST, _MOST = 1, 100
"""Places given to a filing process at once."""
_EXCLUDED = "excluded: "
_UNKNOWN = "of people the directory doesn't know"
_ENOUGH = 10_000
"""Renderings that are a fair piece of work: small chats go out by the hundred, busy rooms one by one."""


class Request(Struct, frozen=True):
    """What to read, as what, and with how many processes to file.

    `documents` are those of the paths that are of this format, where it was told by looking; else all. What `without`
    (source and address) did is left out.
    """

    importer: Importer
    paths: tuple[Path, ...]
    options: Options = Options()
    jobs: int = 2
    documents: tuple[Document, ...] = ()
    without: frozenset[tuple[str, str]] = frozenset()


class Progress(Struct):
    """How far it is: `stage` is "reading" or "filing", `done` of `total` bytes or places."""

    stage: str
    done: int
    total: int
    position: str = ""


class Report(Struct):
    """What a backfill did. `waiting` are conversations that are not ready yet: the daemon will file them."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    cleaned: int = 0
    excluded: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    guessed: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)

    @property
    def clean(self) -> bool:
        """False where a person should look: exit status 1."""
        return not (self.conflicts or self.quarantined or self.tally.parked or self.tally.failed)


Show = Callable[[Progress], None]


def run(config: Config, data: Path, request: Request, show: Show = lambda progress: None) -> Report:
    """Read `request.paths` and file what they bring. Raises `InUse` while another backfill runs."""
    check(request)
    started, documents = time.monotonic(), chosen_by(request)
    sieve = _sieve(config, data)
    children = [filer(lambda journal: _filer(config, data, journal), n) for n in range(request.jobs)]
    said = Reading(_now())
    reading = reader(lambda: _read(request, documents, sieve, said), lambda: _remarks(said))
    try:
        with open_spool(config, data) as spool, spool.hold("backfill", _description(request)):
            spool.reap(_now())
            moving.take_up(config, directory_of(config), spool, _now())
            feed, report = _append(spool, request, documents, reading, show)
            reading.close()
            spool.shrink()  # what the first half has cached is of no use to the second
            _file(config, data, spool, feed, children, report, show)
    finally:
        for child in (reading, *children):
            child.close()
    report.seconds = time.monotonic() - started
    return report


def check(request: Request) -> None:
    """Tell a wrong path before anything is begun."""
    for path in request.paths:
        require(path)


def require(path: Path, hint: str = "name files or folders that exist") -> None:
    """That it can be read, twice if need be: no pipe, whose writer may never come and whose bytes come only once."""
    try:
        mode = path.stat().st_mode
    except PermissionError as fault:
        raise EnvironmentFault(f"{path}: {fault.strerror}", hint="check its permissions", path=str(path)) from fault
    except OSError as fault:
        raise UsageError(f"{path}: {_NO_FILE.get(fault.errno or 0, fault.strerror)}", hint=hint) from fault
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError(f"{path}: neither a file nor a folder", hint="save what it gives as a file, and name that")


_NO_FILE = {errno.ENOENT: "no such file"}


def feed_name(request: Request) -> str:
    """The same files again are the same feed, so that a dead import ends by being run again."""
    named = "\0".join(str(path.resolve()) for path in request.paths).encode("utf-8", "surrogateescape")
    return f"import:{request.importer.name}:{blake2b(named, digest_size=6).hexdigest()}"


def chosen_by(request: Request) -> tuple[Document, ...]:
    return request.documents or chosen(request.importer, request.paths, Spool.exists)


def look(paths: Sequence[Path]) -> Recognised:
    """What the files are, by looking. A data directory among them is passed over: what was filed is no input."""
    return recognise(paths, Spool.exists)


def _description(request: Request) -> str:
    return f"archiver backfill {request.importer.name} {request.paths[0]} (process {os.getpid()})"


def _now() -> int:
    return time.time_ns() // 1_000


def _sieve(config: Config, data: Path) -> LongSieve:
    """With the exclusions as they are now; the spool is closed again before any process is forked."""
    exclusions: list[Exclusion] = []
    if Spool.exists(data):
        with open_spool(config, data) as spool:
            exclusions = spool.exclusions()
    return LongSieve(data, lambda: open_spool(config, data, readonly=True), sifting.whose_of(config), exclusions)


def _read(
    request: Request, documents: Sequence[Document], sieve: LongSieve, reading: Reading
) -> Iterator[tuple[str, Captured | Rejected]]:
    for document in documents:
        for piece in request.importer.read(document, request.options, reading):
            if request.without and _is_by(piece, request.without):
                reading.ignored[_UNKNOWN] += 1
                continue
            exclusion = sieve.of(piece, reading.received)
            if exclusion is None:
                yield document.place, piece
            else:
                reading.ignored[_EXCLUDED + str(exclusion.number)] += 1


def _is_by(piece: Captured | Rejected, people: frozenset[tuple[str, str]]) -> bool:
    actor = None if isinstance(piece, Rejected) else piece.event.data.actor
    return actor is not None and (piece.event.source, actor.address) in people  # type: ignore[union-attr]


def _remarks(reading: Reading) -> Remarks:
    return {"ignored": reading.ignored, "guessed": reading.guessed}


def _count_excluded(spool: Spool, report: Report) -> None:
    """Told beside what is ignored, and kept with each exclusion."""
    left_out = {name: count for name, count in report.ignored.items() if name.startswith(_EXCLUDED)}
    for name in left_out:
        del report.ignored[name]
    report.excluded = sum(left_out.values())
    if left_out:
        spool.count_excluded({int(name.removeprefix(_EXCLUDED)): count for name, count in left_out.items()})


def _append(
    spool: Spool, request: Request, documents: Sequence[Document], reading: Child, show: Show
) -> tuple[int, Report]:
    """Everything read goes into the spool; only then is the feed closed, and what it brought is due."""
    report = Report()
    sizes = {document.place: document.size for document in documents}
    feed = spool.open_feed(
        feed_name(request),
        "import",
        partial=request.importer.partial_presence,
        path=", ".join(map(str, request.paths)),
    )
    writer = _Writer(spool, feed.number, report)
    passed, current = 0, ""
    remarks: dict[str, dict[str, int]] = {}
    try:
        for position, pieces in lots(reading, remarks):
            if position != current:
                passed, current = passed + sizes.get(current, 0), position
            writer.add(pieces)
            show(Progress("reading", passed, sum(sizes.values()), position))
        writer.flush()
        report.ignored, report.guessed = remarks["ignored"], remarks["guessed"]
        _count_excluded(spool, report)
    except UsageError:
        spool.close_feed(feed.number, _now())  # a mistake is no dead import that waits to be run again
        raise
    spool.close_feed(feed.number, _now())
    spool.hurry(feed.number, _now())
    return feed.number, report


class _Writer:
    """Appends in batches sized by how long the last ones held the write lock."""

    def __init__(self, spool: Spool, feed: int, report: Report) -> None:
        self._spool = spool
        self._feed = feed
        self._report = report
        self._pending: list[Sealed | Rejected] = []
        self._alone = True
        self._pace = Pace(alone=True)

    def add(self, pieces: list[Sealed | Rejected]) -> None:
        self._pending += pieces
        alone = self._spool.holder("daemon") is None
        if alone is not self._alone:  # a daemon came or went: live capture must never wait long
            self._alone, self._pace = alone, Pace(alone=alone)
        while len(self._pending) >= self._pace.rows:
            self._append()

    def flush(self) -> None:
        while self._pending:
            self._append()

    def _append(self) -> None:
        some = self._take()
        done = self._spool.append(some, self._feed)
        self._pace.measured(len(some), done.held)
        report = self._report
        report.accepted += done.accepted
        report.duplicates += done.duplicates
        report.conflicts += done.conflicts
        report.quarantined += done.quarantined
        report.cleaned += done.cleaned

    def _take(self) -> list[Sealed | Rejected]:
        weight = taken = 0
        for piece in self._pending:
            weight += self._pace.weight(len(piece.body if isinstance(piece, Sealed) else piece.content))
            if taken and weight > self._pace.rows:
                break
            taken += 1
        some, self._pending = self._pending[:taken], self._pending[taken:]
        return some


def _filer(config: Config, data: Path, journal: Journal) -> Filer:
    """What a filing process has of its own: a reader of the spool, a store, the terms."""
    reader = open_spool(config, data, readonly=True)
    return Filer(reader, journal, store_of(config, data), archive_of(config, data), terms_of(config))


def _file(
    config: Config, data: Path, spool: Spool, feed: int, children: Sequence[Child], report: Report, show: Show
) -> None:
    """File what the feed's places hold, until none is left."""
    work = _Work(spool, feed, report, show)
    if len(children) > 1 and report.accepted >= ALONE:
        serve(children, spool, work.more, work.done)
        return
    alone = Filer(spool, spool, store_of(config, data), archive_of(config, data), terms_of(config))
    while leases := work.more()[0]:
        work.done(alone.run(leases, _now()))


class _Work:
    """Hands out the feed's places, a few at a time, and counts what comes of them."""

    def __init__(self, spool: Spool, feed: int, report: Report, show: Show) -> None:
        self._spool = spool
        self._feed = feed
        self._report = report
        self._show = show
        self._given = 0
        self._places = 4

    def more(self) -> tuple[list[Lease], int]:
        leases = self._spool.claim(_now(), self._places, feed=self._feed)
        self._given += len(leases)
        self._show(Progress("filing", self._given, 0))
        return leases, _now()

    def done(self, tally: Tally) -> None:
        self._report.tally.add(tally)
        if tally.renderings < _ENOUGH:
            self._places = min(self._places * 2, _MOST)
        else:
            self._places = max(self._places // 2, _FEWEST)
