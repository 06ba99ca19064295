"""Whether the disk has room for an import, told before anything is begun. Counts bytes; reads no file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from archiver.exceptions import EnvironmentFault
from archiver.importers import Document

LARGE = 64 * 1024 * 1024
"""Less than this is not asked about."""
SPOOL = 1.2
"""Bytes that the spool takes for each of the input."""
ITEM = 0.5
"""Bytes that items take for each of the input and each view of a conversation."""
VIEWS = 3


def require_room(data: Path, documents: Sequence[Document]) -> None:
    """Raises `EnvironmentFault` where less is free than a large import is likely to need. Of compressed files the size
    as they lie there is counted, so that theirs is the least it can be."""
    size = sum(document.size for document in documents)
    needed = int(size * (SPOOL + ITEM * VIEWS))
    free = shutil.disk_usage(_existing(data)).free
    if size >= LARGE and needed > free:
        raise EnvironmentFault(
            f"{data}: {needed / 2**30:,.1f} GiB are likely to be needed, {free / 2**30:,.1f} GiB are free"
            f" (input: {size / 2**30:,.1f} GiB; the spool takes {SPOOL} times that, items {ITEM} times per view)",
            hint="make room, or say --force where much of it was read before, or few people have a mailbox here",
        )


def _existing(path: Path) -> Path:
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
