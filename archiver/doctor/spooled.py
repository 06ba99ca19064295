"""The spool: whether it is sound, and what waits in it for a person. Reads only."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from archiver.assembly import archiving_of, open_spool
from archiver.config import Config
from archiver.decisions import critical
from archiver.doctor.finding import Check, Finding, Verdict, judged
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.spool import Spool

_CHECKED_FOR = 1.0
"""Seconds for the check of the file while somebody works with it: a longer read would keep its log from shrinking."""
_SETBACK = (
    "read again what came since the backup was made (exports, or sources that tell it again): nothing is filed twice; "
    "`archiver inspect --verify` names what the journal doesn't know then"
)
_LOG = 64 * 1024 * 1024


def spool_file(config: Config, data: Path, now: int) -> Iterator[Finding]:
    path = data / "spool.db"
    if not Spool.exists(data):
        yield Finding("spool", Verdict.OK, "there is none yet")
        return
    with open_spool(config, data, readonly=True) as spool:
        working = spool.holder("daemon") or spool.holder("backfill")
        yield _soundness(path, _CHECKED_FOR if working else None)
        if setback := spool.setback():
            known, made = f"{setback.known:,}", f"{setback.made:,}"
            found = f"its file is older than what was filed: {made} deliveries were made, it knew {known}"
            yield Finding("spool put back", Verdict.WARN, found, _SETBACK)
    log = path.with_name("spool.db-wal")
    size = log.stat().st_size if log.exists() else 0
    yield judged(
        "write-ahead log",
        size <= _LOG,
        f"{size // 1024:,} KiB",
        "a reader that never ends keeps it from shrinking: look for hung processes that have it open",
        otherwise=Verdict.WARN,
    )


def _soundness(path: Path, seconds: float | None) -> Finding:
    advice = "stop the daemon, keep a copy of the file, and put back a backup"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
            said = _quick_check(connection, seconds)
    except sqlite3.DatabaseError as error:
        return Finding("spool", Verdict.BAD, f"{path}: {error}", advice)
    if said not in ("ok", _UNFINISHED):
        return Finding("spool", Verdict.BAD, f"{path} is damaged: {said}", advice)
    wal = "use the archiver's own commands on it, nothing that changes its journal mode"
    return judged("spool", mode == "wal", f"sound{'' if said == 'ok' else said}; journal mode {mode}", wal)


_UNFINISHED = " as far as there was time to look (stop the daemon for the whole)"


def _quick_check(connection: sqlite3.Connection, seconds: float | None) -> str:
    end = None if seconds is None else time.monotonic() + seconds
    connection.set_progress_handler(lambda: int(end is not None and time.monotonic() > end), 10_000)
    try:
        return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return _UNFINISHED
        raise


def waiting(config: Config, data: Path, now: int) -> Iterator[Finding]:
    try:
        spool = open_spool(config, data, readonly=True)
    except (UsageError, EnvironmentFault):
        return  # there is none, or it was told already
    with spool:
        totals = spool.totals()
        yield Finding("events", Verdict.OK, f"{totals.spooled:,} in the spool, {totals.filed:,} items filed")
        parked = len(spool.parked_filings()) + len(spool.parked_places())
        for count, what, advice in (
            (parked, "conversations parked", "`archiver status --parked` says why; then `archiver doctor --unpark`"),
            (totals.quarantined, "pieces of input quarantined", "`archiver status --quarantine` lists them"),
            (totals.conflicts, "events in conflict", "`archiver status --conflicts` lists them"),
            (
                totals.withheld,
                "items withheld",
                "`archiver status` says why; what nobody wants goes with --drop-withheld",
            ),
        ):
            if count:
                yield Finding(what, Verdict.WARN, f"{count:,}", advice)
        yield from _outages(config, spool, now)
        yield from _dead_imports(spool)


def _outages(config: Config, spool: Spool, now: int) -> Iterator[Finding]:
    """Archiving that fails: a warning until critical mode begins."""
    if failures := spool.failures():
        for outage in critical.outages(failures, archiving_of(config)).values():
            verdict = Verdict.BAD if outage.is_critical(now) else Verdict.WARN
            yield Finding("archiving", verdict, critical.told(outage, now), _MEND)


_MEND = "mend the cause: what waits is then archived by itself, and critical mode ends"


def _dead_imports(spool: Spool) -> Iterator[Finding]:
    if spool.holder("backfill") is not None:
        return
    for feed in spool.feeds(only_open=True):
        if feed.kind == "import":
            advice = f"run the same backfill again, or `archiver doctor --close-import {feed.name}`"
            found = f"{feed.name} ({feed.path}) never came to its end and holds back what it brought"
            yield Finding("dead import", Verdict.WARN, found, advice)


def audit_log(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """Also whether holds and exclusions stand as the log has them."""
    if not Spool.exists(data):
        return
    with open_spool(config, data, readonly=True) as spool:
        checked = spool.check_audit()
    found = "; ".join(checked.damage) or f"{checked.length:,} entries, all as written"
    advice = (
        "somebody changed the spool's file by hand: `archiver audit` shows what the log has; a lost hold is placed anew"
    )
    yield judged("audit log", not checked.damage, found, advice)


CHECKS: tuple[Check, ...] = (spool_file, waiting, audit_log)
