"""Making what was written durable, many files with few syncs. Knows descriptors only, not what they are.

One `syncfs` costs about as much as one fsync of a file and its folder but covers a whole group. It also writes out
what others have dirty on that file system, so a few descriptors are fsynced one by one.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

_FEW = 8
_C = ctypes.CDLL(None, use_errno=True)


def _kernel() -> tuple[int, ...]:
    return tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])


GROUPED = hasattr(_C, "syncfs") and _kernel() >= (5, 8)
"""Before Linux 5.8 syncfs reports no write errors (syncfs(2)): there every descriptor is fsynced."""


def sync_file_system(descriptor: int) -> None:
    if _C.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def make_durable(descriptors: Iterable[int], count: int, file_systems: Iterable[int], *, all_of_it: bool) -> None:
    """Sync `count` descriptors, opened only as they are asked for, or the file systems they lie on.

    `file_systems` holds one descriptor for each, opened before the writing, so that its errors are reported to us.
    `all_of_it`: more was changed than the descriptors say.
    """
    if GROUPED and (all_of_it or count > _FEW):
        for descriptor in file_systems:
            sync_file_system(descriptor)
    else:
        for descriptor in descriptors:
            os.fsync(descriptor)
