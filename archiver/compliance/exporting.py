"""The local archive -> EML files: what `archiver backfill items` reads back, and any mail program opens.

A file is durable before its item counts as exported. Running it again writes nothing twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from msgspec import Struct, field

from archiver.events import moment
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.spool import Spool
from archiver.spool.records import LocalItem

_AT_ONCE = 100
"""Files between two syncs of their folders and one mark in the spool."""


class Wanted(Struct, frozen=True):
    """Items with events in [since, until), of one mailbox if it is named; only those never exported if `fresh`."""

    since: int | None = None
    until: int | None = None
    mailbox: str | None = None
    fresh: bool = False


class Report(Struct):
    """How many are in the folder now, how many bytes; and the names of those whose content isn't what was archived."""

    items: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)


def export(spool: Spool, folder: Path, wanted: Wanted, now: Callable[[], int]) -> Report:
    """One file an item, in a folder for each day (UTC) on which conversations began."""
    report = Report()
    lot: list[LocalItem] = []
    found = spool.local_items(since=wanted.since, until=wanted.until, mailbox=wanted.mailbox, exported=not wanted.fresh)
    try:
        for item in found:
            lot.append(item)
            if len(lot) == _AT_ONCE:
                _export(spool, folder, lot, report, now())
                lot = []
        if lot:
            _export(spool, folder, lot, report, now())
    except OSError as error:
        where = error.filename or folder
        raise EnvironmentFault(f"{where}: {error.strerror}", hint="free some space, or name another folder") from error
    return report


def _export(spool: Spool, folder: Path, lot: list[LocalItem], report: Report, now: int) -> None:
    folders: set[Path] = set()
    done: list[int] = []
    for item in lot:
        content = spool.local_content(item.number)
        if content is None:  # purged meanwhile
            continue
        if sha256(content).hexdigest() != item.sha256:
            report.damaged.append(item.name)
            continue
        folders |= _write(folder / moment(item.first).date().isoformat() / f"{item.name}.eml", content)
        done.append(item.number)
        report.items += 1
        report.bytes += len(content)
    for each in sorted(folders):
        _sync(each)
    spool.mark_exported(done, now)


def _write(path: Path, content: bytes) -> set[Path]:
    """The folders to sync for it."""
    if path.exists():
        if path.read_bytes() != content:
            raise UsageError(f"{path} is there already, and not the same", hint="name an empty folder")
        return {path.parent}
    made = {each for each in (path.parent, *path.parent.parents) if not each.exists()}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
    return {path.parent, *(each.parent for each in made)}


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
