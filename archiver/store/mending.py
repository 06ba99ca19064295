"""Mending a mailbox where nothing can be lost by it. Decides nothing: what is wrong, and what to do, is told to it.

A file is given another name by a link that replaces nothing, and only then loses the old one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archiver.store.draft import take_away
from archiver.store.tree import Ownership, Parts, Place, Tree

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Mender:
    """Works within one `Tree` that makes what is missing."""

    def __init__(self, tree: Tree, ownership: Ownership) -> None:
        self._tree = tree
        self._ownership = ownership

    def complete(self, place: Place) -> None:
        self._tree.complete(place)

    def give_mode(self, parts: Parts, file: str) -> None:
        """To a file, or, where none is named, to the directory."""
        if not file:
            os.fchmod(self._tree.directory(parts), self._ownership.directory_mode)
            return
        with self._held(parts, file) as path:
            path.chmod(self._ownership.mode)

    def give_owner(self, parts: Parts, file: str) -> None:
        """As `give_mode`; raises where the process may not, which only root may."""
        ownership = self._ownership
        if not file:
            os.fchown(self._tree.directory(parts), ownership.uid, ownership.gid)
            return
        with self._held(parts, file) as path:
            os.chown(path, ownership.uid, ownership.gid)

    @contextmanager
    def _held(self, parts: Parts, file: str) -> Iterator[Path]:
        """By O_PATH: one that its owner can't read couldn't be opened otherwise. A link put there isn't followed."""
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        held = os.open(file, flags, dir_fd=self._tree.directory(parts))
        try:
            yield Path(f"/proc/self/fd/{held}")
        finally:
            os.close(held)

    def give_date(self, parts: Parts, file: str, changed: int) -> None:
        descriptor = os.open(file, _OPEN, dir_fd=self._tree.directory(parts))
        try:
            os.utime(descriptor, ns=(changed * 1000, changed * 1000))
        finally:
            os.close(descriptor)

    def rename(self, old: Parts, file: str, new: Parts, name: str) -> bool:
        """False where the new name is taken."""
        source, target = self._tree.directory(old), self._tree.directory(new)
        try:
            os.link(file, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except FileExistsError:
            return False
        os.fsync(target)
        os.unlink(file, dir_fd=source)
        os.fsync(source)
        return True

    def take_out(self, parts: Parts, file: str) -> None:
        directory = self._tree.directory(parts)
        os.unlink(file, dir_fd=directory)
        os.fsync(directory)

    def sweep(self, parts: Parts, file: str) -> bool:
        return take_away(self._tree.directory(parts), file)
