"""A file written whole before anybody can see it, then linked to where it belongs. Knows no folder layout.

O_TMPFILE gives it no name at all, so that a killed process leaves nothing behind. On a file system without it (NFS,
FUSE) it gets a name in `tmp` that is taken away at the end, or by `sweep` after a kill: its writer holds a lock as
long as it lives.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from archiver.store.tree import Ownership, own
from archiver.types import Item

_NAMELESS = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
_NAMED = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_BESIDE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_SUPPORTED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
_LEFTOVER = re.compile(r"archiver\.[0-9a-f]{32}\.part")


class Draft:
    """An item's bytes with owner, mode and time already right; may be linked as often as wanted until closed."""

    __slots__ = ("_directory", "_name", "descriptor")

    def __init__(self, directory: int, item: Item, ownership: Ownership) -> None:
        """`directory` is the `new` or `cur` it will be in: the kernel places the file near it, the quota is its own."""
        self._name: str | None = None
        self._directory = -1
        self.descriptor = self._create(directory)
        try:
            _write(self.descriptor, item.content)
            os.utime(self.descriptor, ns=(item.changed * 1000, item.changed * 1000))
            own(self.descriptor, ownership, ownership.mode)
        except BaseException:
            self.close()
            raise

    def _create(self, directory: int) -> int:
        try:
            return os.open(".", _NAMELESS, 0o600, dir_fd=directory)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
        name = f"archiver.{secrets.token_hex(16)}.part"
        self._directory = os.open("../tmp", _BESIDE, dir_fd=directory)
        descriptor = os.open(name, _NAMED, 0o600, dir_fd=self._directory)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._name = name
        return descriptor

    def link(self, directory: int, name: str) -> None:
        """linkat(2) with AT_SYMLINK_FOLLOW, which CPython uses only where a directory descriptor is given."""
        os.link(f"/proc/self/fd/{self.descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)

    def close(self) -> None:
        if self._name is not None:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._directory)
            os.close(self._directory)
        os.close(self.descriptor)


def _write(descriptor: int, content: bytes) -> None:
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, memoryview(content)[written:])


def sweep(directory: int) -> int:
    """Take away named drafts whose writer is dead from a `tmp`; how many there were."""
    with os.scandir(directory) as entries:
        return sum([take_away(directory, entry.name) for entry in list(entries) if is_draft(entry.name)])


def is_draft(name: str) -> bool:
    return _LEFTOVER.fullmatch(name) is not None


def take_away(directory: int, name: str) -> bool:
    """A draft whose writer is dead; False where it lives."""
    with _left(directory, name) as is_left:
        if is_left:
            os.unlink(name, dir_fd=directory)
        return is_left


def is_left(directory: int, name: str) -> bool:
    """Whether a draft's writer is dead."""
    with _left(directory, name) as left:
        return left


@contextmanager
def _left(directory: int, name: str) -> Iterator[bool]:
    """Its lock is ours meanwhile, if nobody has it."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer lives
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
