"""glibc's memory: it keeps what lies between pieces in use for itself, and has an arena for each thread."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8
"""Of glibc's malloc.h; see mallopt(3)."""


def share() -> None:
    """One arena for all threads that start from now on: what one has freed, another uses. Nothing but on glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """All that is free, in all arenas. Takes milliseconds; nothing where the C library has no such call."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
