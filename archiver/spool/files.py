"""Files of the spool beside its database: blobs and quarantine, written once and never changed.

Every name is a digest of the content, so nothing from outside gets into a path. A file is durable before the row
that speaks of it: written beside, synced, renamed, its directory synced. Holds no SQL.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

_CHUNK = 1024 * 1024
_GROUP = 8
"""From this many files on, one sync of the file system is cheaper than one for each."""


class Entry(Struct, frozen=True):
    """A file to be: its path within the tree, and its content or where it is read from."""

    path: str
    content: bytes | Path


def blob_path(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def is_digest(text: str) -> bool:
    return len(text) == 64 and all(character in "0123456789abcdef" for character in text)


def content_name(content: bytes) -> str:
    return blob_path(hashlib.sha256(content).hexdigest())


class Tree:
    """One directory of such files. `owner` marks unfinished ones, so that a dead owner's can be removed."""

    def __init__(self, root: Path, owner: str) -> None:
        self.root = root
        self._owner = owner

    def write(self, entries: Sequence[Entry]) -> None:
        """All durable when it returns; what is there already stays."""
        wanted = {entry.path: entry for entry in entries if not (self.root / entry.path).exists()}
        if not wanted:
            return
        single = len(wanted) < _GROUP
        written: list[tuple[Path, Path]] = []
        try:
            for entry in wanted.values():
                written.append(self._beside(entry, sync=single))
            if not single:
                _sync_file_system(self.root)
            for unfinished, target in written:
                unfinished.replace(target)
        except BaseException:
            for unfinished, _ in written:
                unfinished.unlink(missing_ok=True)
            raise
        for directory in {target.parent for _, target in written}:
            sync_directory(directory)

    def _beside(self, entry: Entry, *, sync: bool) -> tuple[Path, Path]:
        target = self.root / entry.path
        if not target.parent.is_dir():
            make_directory(target.parent)
        unfinished = self.root / f".{self._owner}.{secrets.token_hex(8)}.tmp"
        try:
            with open(unfinished, "xb") as stream:
                _fill(stream.write, entry)
                stream.flush()
                if sync:
                    os.fsync(stream.fileno())
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return unfinished, target

    def has(self, path: str) -> bool:
        return (self.root / path).exists()

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def remove_unfinished(self, is_alive: Callable[[str], bool]) -> int:
        """Remove what dead owners left half written; how many files."""
        removed = 0
        for path in self.root.glob(".*.tmp"):
            if not is_alive(path.name.split(".")[1]):
                path.unlink(missing_ok=True)
                removed += 1
        return removed


def _fill(write: Callable[[bytes], object], entry: Entry) -> None:
    if isinstance(entry.content, bytes):
        write(entry.content)
        return
    with open(entry.content, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            write(chunk)


def size_of(content: bytes | Path) -> int | None:
    """None where the file can't be read."""
    if isinstance(content, bytes):
        return len(content)
    with contextlib.suppress(OSError):
        return content.stat().st_size
    return None


def digest_of(content: bytes | Path) -> str | None:
    """SHA-256 in hex; None where the file can't be read."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with contextlib.suppress(OSError), open(content, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
    return None


def make_directory(path: Path) -> None:
    """A directory that will still be there after a crash: each new one's parent is synced."""
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file_system(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
