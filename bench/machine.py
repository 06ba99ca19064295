"""What the machine is and what processes take: read from /proc, nothing measured by itself."""

from __future__ import annotations

import os
import platform
import signal
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_KIB = 1024
_INTERVAL = 0.06


def description(work: Path) -> dict[str, Any]:
    """Whoever reads a figure must know where it comes from."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _KIB**2,
        "file_system": file_system(work),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_before": round(os.getloadavg()[0], 2),
    }


def file_system(path: Path) -> str:
    """The type of the file system that a folder lies on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [(point, kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(inside, key=lambda mount: len(mount[0]))[1] if inside else "unknown"


def tree(root: int) -> list[int]:
    """A process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for each in found:
        found += children.get(each, [])
    return found


def end_children() -> None:
    """All processes below this one: a signal to it alone doesn't reach them."""
    for process in tree(os.getpid())[1:]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _parent(entry: Path) -> int | None:
    try:
        # The name in parentheses may hold anything, spaces and parentheses too (proc(5)).
        return int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def proportional(pid: int) -> int:
    """Bytes of memory a process is answerable for: its own, and its share of what it shares (PSS)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * _KIB
    except OSError:  # it has ended
        pass
    return 0


class Watch:
    """Looks at a process tree again and again, `every` so many seconds; `with Watch(pid) as watch`.

    `taken` are seconds since the beginning, each with the bytes of memory (PSS) of all processes then.
    """

    def __init__(self, pid: int, every: float = _INTERVAL) -> None:
        self.taken: list[tuple[float, int]] = []
        self.processes = 0
        self._pid = pid
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def peak(self) -> int:
        return max((size for _, size in self.taken), default=0)

    @property
    def samples(self) -> int:
        return len(self.taken)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        began = time.monotonic()
        while True:
            pids = tree(self._pid)
            self.taken.append((time.monotonic() - began, sum(map(proportional, pids))))
            self.processes = max(self.processes, len(pids))
            if self._over.wait(self._every):
                return
