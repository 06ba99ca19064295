"""Whether the disks have room for an import, told before anything is begun."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import gettempdir

from archiver.backfill.extent import Extent
from archiver.exceptions import EnvironmentFault

LARGE = 64 * 1024 * 1024
"""Less than this is not asked about."""
SPOOL = 1.2
"""Bytes that the spool takes for each of the input; of files beside it, one."""
ITEM = 0.5
"""Bytes that items take for each of the input and each view of a conversation."""
VIEWS = 3
ENCODED = 1.4
"""Bytes that a file takes in an item (base64), for each of its own."""
SIDES = 2
"""Items that hold a file: whoever sees the same shares one."""

_GIB = 2**30


def require_room(data: Path, mail: Path, extent: Extent) -> None:
    """Raises `EnvironmentFault` where less is free than a large import is likely to need, in the data directory, in
    the mail's tree or, for databases that are copied, in the temporary folder; on one file system for all together."""
    if extent.text + extent.media < LARGE:
        return
    spool = SPOOL * extent.text + extent.media
    items = ITEM * VIEWS * extent.text + ENCODED * SIDES * extent.media
    needs = [(data, spool), (mail, items)] + [(Path(gettempdir()), float(extent.copied))] * (extent.copied > 0)
    for where, needed in _by_disk(needs):
        free = shutil.disk_usage(where[0]).free
        if needed > free:
            raise EnvironmentFault(
                f"{' and '.join(map(str, where))}: {needed / _GIB:,.1f} GiB are likely to be needed,"
                f" {free / _GIB:,.1f} GiB are free (input: {extent.text / _GIB:,.1f} GiB unpacked, of which the spool"
                f" takes {SPOOL} times and items {ITEM} per view; files beside it: {extent.media / _GIB:,.1f} GiB;"
                f" copies of databases: {extent.copied / _GIB:,.1f} GiB)",
                hint="make room, or say --force where much of it was read before, or few people have a mailbox here",
            )


def _by_disk(needs: Iterable[tuple[Path, float]]) -> Iterator[tuple[list[Path], float]]:
    """Folders on the same file system, and what they need together."""
    disks: dict[int, tuple[list[Path], float]] = {}
    for path, needed in needs:
        there = _existing(path)
        folders, others = disks.get(there.stat().st_dev, ([], 0.0))
        disks[there.stat().st_dev] = [*folders, there], others + needed
    yield from disks.values()


def _existing(path: Path) -> Path:
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
