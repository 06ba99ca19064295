"""Locks by flock on files in DATA/run: one daemon, one backfill, owners of leases, live capture first.

A process's death frees its locks, whatever its pid was. Descriptors are close-on-exec and a forked child closes
its copies, so that no child keeps its parent's lock alive. Holds nothing of SQLite.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from archiver.exceptions import EnvironmentFault, InUse, TryLater

DAEMON = "daemon"
BACKFILL = "backfill"
_LIVE = "live"
_SCHEMA = "schema"
_FIXED = frozenset({DAEMON, BACKFILL, _LIVE, _SCHEMA})
_POLL = 0.001


class Lock:
    """A file locked by this process until `release`; the file says who holds it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        _HELD.add(self)

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def release(self, *, remove: bool = False) -> None:
        """Give it up. Removing happens while it is still held, so that nobody can lock a file about to go."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _forget_in_child(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)  # closing a copy leaves the parent's flock; LOCK_UN would free it


_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _after_fork() -> None:
    for lock in list(_HELD):
        lock._forget_in_child()


os.register_at_fork(after_in_child=_after_fork)


def _open(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _try(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def holder(run: Path, name: str) -> str | None:
    """The description of who holds a lock just now; None if nobody does."""
    try:
        descriptor = os.open(run / f"{name}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _try(descriptor, fcntl.LOCK_SH):
            return None
        return os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip() or "another process"
    finally:
        os.close(descriptor)


def take(run: Path, name: str, description: str) -> Lock:
    """Hold the named lock alone, or raise `InUse` naming who does."""
    path = run / f"{name}.lock"
    descriptor = _open(path)
    try:
        # A moment's patience: `holder` asks by taking the lock itself, shared, for an instant.
        deadline = time.monotonic() + 0.05
        while not _try(descriptor):
            if time.monotonic() > deadline:
                who = holder(run, name) or "another process"
                raise InUse(
                    f"the {name} lock of this data directory is held by {who}",
                    hint=f"stop it first, or wait until it has ended ({who})",
                    lock=str(path),
                )
            time.sleep(_POLL)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, description.encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(path, descriptor)


def enter(run: Path) -> tuple[str, Lock]:
    """A new owner's id and its lock."""
    while True:
        owner = secrets.token_hex(8)
        path = run / f"{owner}.lock"
        descriptor = _open(path, os.O_EXCL)
        # A reaper may have come between making the file and locking it: then this id is dead, take another.
        if _try(descriptor) and path.exists():
            return owner, Lock(path, descriptor)
        os.close(descriptor)


def is_alive(run: Path, owner: str) -> bool:
    return holder(run, owner) is not None


def remove_dead(run: Path) -> list[str]:
    """Remove the lock files of owners who are gone; their ids."""
    dead = []
    for path in run.glob("*.lock"):
        if path.stem in _FIXED:
            continue
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            if _try(descriptor):
                path.unlink(missing_ok=True)
                dead.append(path.stem)
            os.close(descriptor)
    return dead


class Gate:
    """Live capture first: while a live append waits or writes, no other write transaction starts."""

    def __init__(self, run: Path, patience: float) -> None:
        self._path = run / f"{_LIVE}.lock"
        self._patience = patience

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        descriptor = self._wait(fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(descriptor)

    def pass_through(self) -> None:
        """Wait until no live append waits or writes."""
        os.close(self._wait(fcntl.LOCK_SH))

    def _wait(self, how: int) -> int:
        # Opened anew each time: an flock belongs to the open file, and threads must exclude each other too.
        try:
            descriptor = _open(self._path)
        except OSError as error:
            raise EnvironmentFault(f"can't open {self._path}: {error.strerror}", lock=str(self._path)) from error
        deadline = time.monotonic() + self._patience
        while not _try(descriptor, how):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise TryLater("the spool is busy with live capture", lock=str(self._path))
            time.sleep(_POLL)
        return descriptor


@contextlib.contextmanager
def schema_alone(run: Path) -> Iterator[None]:
    """Only one process at a time brings the schema up to date; the others wait for it."""
    descriptor = _open(run / f"{_SCHEMA}.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
