"""Directories below a mail root: opened step by step without following a link, made and mended where asked.

The users of a mail server own what lies in their mailboxes and can put a symbolic link in place of anything there, so
that every step is an openat with O_NOFOLLOW from a directory already held. Holds no files and decides no names.
"""

from __future__ import annotations

import errno
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from msgspec import Struct

from archiver.store.syncing import GROUPED

Parts = tuple[str, ...]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAILDIR = ("cur", "new", "tmp")
MARK = "maildirfolder"
_TICK = 2_000_000_000
"""Nanoseconds in which two changes of a directory may bear the same time, on the coarsest file system."""


class Ownership(Struct, frozen=True):
    """Who owns what a store makes, and its modes. -1: the process's own user or group, as chown(2) has it."""

    uid: int = -1
    gid: int = -1
    mode: int = 0o600
    directory_mode: int = 0o700

    @property
    def given_away(self) -> bool:
        return self.uid not in {-1, os.geteuid()} or self.gid not in {-1, os.getegid()}


class Place(Struct, frozen=True):
    """A folder of a mailbox on disk: components below the mail root, and the folder's directory ("" for INBOX)."""

    mailbox: Parts
    folder: str

    @property
    def parts(self) -> Parts:
        return (*self.mailbox, self.folder) if self.folder else self.mailbox

    @property
    def path(self) -> str:
        """Below the mail root, to tell a person."""
        return "/".join(self.parts)


class Mended:
    """Maildirs seen whole, by inode and time of last change of the directory itself: seven calls less for each put.

    Outlives a `Tree`: a change of the directory, or another in its place, is never mistaken for what was seen.
    """

    def __init__(self, most: int = 8192) -> None:
        self._most = most
        self._seen: dict[tuple[int, int], int] = {}

    def has(self, maildir: int) -> bool:
        status = os.fstat(maildir)
        return self._seen.get((status.st_dev, status.st_ino)) == status.st_mtime_ns

    def add(self, maildir: int) -> None:
        status = os.fstat(maildir)
        if time.time_ns() - status.st_mtime_ns < _TICK:
            return
        if len(self._seen) >= self._most:
            self._seen.clear()
        self._seen[status.st_dev, status.st_ino] = status.st_mtime_ns


class _Descriptors:
    """Open directories, the least recently used one closed where there would be too many."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._open: OrderedDict[Parts, int] = OrderedDict()

    def get(self, parts: Parts) -> int | None:
        descriptor = self._open.get(parts)
        if descriptor is not None:
            self._open.move_to_end(parts)
        return descriptor

    def keep(self, parts: Parts, descriptor: int) -> int:
        self._open[parts] = descriptor
        if len(self._open) > self._room:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def close(self, below: Parts = ()) -> None:
        for parts in [parts for parts in self._open if parts[: len(below)] == below]:
            os.close(self._open.pop(parts))


class Tree:
    """The directories in use during one call, at most `room` open at a time, and the file systems they lie on.

    No descriptor is kept from call to call: meanwhile an owner may have renamed or removed a folder.
    """

    def __init__(
        self, root: Path, ownership: Ownership, *, make: bool, room: int = 128, mended: Mended | None = None
    ) -> None:
        self._root = root
        self._ownership = ownership
        self._gives_away = make and ownership.given_away
        self._make = make
        self._used = _Descriptors(room)
        self._above = _Descriptors(16)
        self._mended = mended or Mended()
        self._systems: dict[int, int] = {}
        self._top = -1
        self.has_made = False
        """Whether a directory was made, so that those above it need a sync too."""

    def __enter__(self) -> Tree:
        if self._make and not self._root.is_dir():
            self._make_root()
        with suppress(FileNotFoundError):
            self._top = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # its links are the admin's
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._used.close()
        self._above.close()
        for descriptor in (*self._systems.values(), *([self._top] if self._top >= 0 else [])):
            os.close(descriptor)

    def _make_root(self) -> None:
        missing = [path for path in (self._root, *self._root.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=self._ownership.directory_mode, exist_ok=True)
            with opened(path.parent) as parent:
                os.fsync(parent)
        with opened(self._root) as top:
            own(top, self._ownership, self._ownership.directory_mode)

    @property
    def file_systems(self) -> list[int]:
        return list(self._systems.values())

    def directory(self, parts: Parts) -> int:
        """A descriptor that stays open until `room` others were asked for. FileNotFoundError where nothing is made."""
        descriptor = self._used.get(parts)
        if descriptor is not None:
            return descriptor
        descriptor = self._step(self._ancestor(parts[:-1]), parts[-1]) if parts else os.dup(self._held_top())
        return self._used.keep(parts, self._noted(descriptor))

    def _ancestor(self, parts: Parts) -> int:
        if not parts:
            return self._held_top()
        descriptor = self._above.get(parts)
        if descriptor is not None:
            return descriptor
        return self._above.keep(parts, self._step(self._ancestor(parts[:-1]), parts[-1]))

    def _held_top(self) -> int:
        if self._top < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._root))
        return self._top

    def maildir(self, place: Place, subdirectory: str) -> int:
        """`cur` or `new` of a folder; makes what is missing of it and of its mailbox."""
        parts = (*place.parts, subdirectory)
        descriptor = self._used.get(parts)
        if descriptor is not None:
            return descriptor
        self._mend(self._ancestor(place.mailbox), marked=False)
        if place.folder:
            self._mend(self._ancestor(place.parts), marked=True)
        return self.directory(parts)

    def forget(self, place: Place) -> None:
        """Open the mailbox anew next time: something of it was removed or renamed under our hands."""
        self._used.close(place.mailbox)
        self._above.close(place.mailbox)

    def complete(self, place: Place) -> None:
        """Make what is missing of a folder, whatever was seen of it before."""
        maildir = self._ancestor(place.parts)
        self._complete(maildir)
        if place.folder:
            self._mark(maildir)

    def _mend(self, maildir: int, *, marked: bool) -> None:
        if self._mended.has(maildir):
            return
        self._complete(maildir)
        if marked:
            self._mark(maildir)
        self._mended.add(maildir)

    def _complete(self, maildir: int) -> None:
        for name in MAILDIR:
            if not _exists(maildir, name):
                os.close(self._made(maildir, name))

    def _mark(self, folder: int) -> None:
        """`maildirfolder`, empty: a delivery agent sees that the folder isn't a whole mailbox (Maildir++)."""
        if _exists(folder, MARK):
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            mark = os.open(MARK, flags, self._ownership.mode, dir_fd=folder)
        except FileExistsError:
            return
        try:
            own(mark, self._ownership, self._ownership.mode)
        finally:
            os.close(mark)

    def _step(self, above: int, part: str) -> int:
        try:
            descriptor = os.open(part, _DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            if not self._make:
                raise
            return self._made(above, part)
        if self._gives_away and self._half_made(descriptor):
            self._own(descriptor)
        return descriptor

    def _half_made(self, descriptor: int) -> bool:
        """Made just before a crash: still our own, and nothing in it, because it is given away at once."""
        if os.fstat(descriptor).st_uid != os.geteuid():
            return False
        with os.scandir(descriptor) as entries:
            return next(entries, None) is None

    def _made(self, above: int, part: str) -> int:
        with suppress(FileExistsError):
            os.mkdir(part, self._ownership.directory_mode, dir_fd=above)
        descriptor = os.open(part, _DIRECTORY, dir_fd=above)
        self._own(descriptor)
        self.has_made = True
        if not GROUPED:
            os.fsync(above)
        return descriptor

    def _own(self, descriptor: int) -> None:
        try:
            own(descriptor, self._ownership, self._ownership.directory_mode)
        except OSError:
            os.close(descriptor)
            raise

    def _noted(self, descriptor: int) -> int:
        device = os.fstat(descriptor).st_dev
        if device not in self._systems:
            self._systems[device] = os.dup(descriptor)
        return descriptor


@contextmanager
def opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def own(descriptor: int, ownership: Ownership, mode: int) -> None:
    """Mode first: after chown(2) to another user a process without CAP_FOWNER may not change it."""
    os.fchmod(descriptor, mode)
    if ownership.given_away:
        os.fchown(descriptor, ownership.uid, ownership.gid)


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
