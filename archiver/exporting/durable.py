"""Files that are whole or not there: written beside, synced, renamed; many of them with few syncs.

What is there already stays as it is, and something else in its place is the user's to move.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

from archiver.exceptions import InUse, UsageError

_CHUNK = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class DurableFolder:
    """Files below one folder; durable once `sync` returns. Written again, nothing changes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._touched: set[Path] = set()

    def write(self, relative: str, content: bytes) -> None:
        """`relative` has `/` between its parts. A killed writer leaves no half file under the name."""
        path = self.root / relative
        self._touched.add(path.parent)
        if path.exists():
            if path.read_bytes() != content:
                raise _other(path)
            return
        self._make(path.parent)
        self._put(path, [content])

    def replace(self, name: str, pieces: Iterable[bytes]) -> None:
        """A file of the folder itself, whatever was there before."""
        self._make(self.root)
        self._touched.add(self.root)
        self._put(self.root / name, pieces)

    def _put(self, path: Path, pieces: Iterable[bytes]) -> None:
        draft = _beside(path)
        with open_private(draft, _NEW, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)

    def _make(self, folder: Path) -> None:
        self._touched |= {each.parent for each in (folder, *folder.parents) if not each.exists()}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def sync(self) -> None:
        for each in sorted(self._touched):
            sync_folder(each)
        self._touched.clear()


class DurableFile:
    """One file, written beside its place as `.NAME.part` and put there by `finish`. One writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draft = _beside(path)
        if path.is_dir():
            raise UsageError(f"{path} is a folder", hint="this form is one file: name that")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.stream = open_private(self._draft, os.O_RDWR | os.O_CREAT, "w+b")
        locked(self.stream, self._draft)
        self._is_here = True
        self.stream.truncate(0)

    def finish(self) -> str:
        """Its SHA-256. The same file there already stays."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        digest = digest_of(self._draft)
        if not self.path.exists():
            self._draft.rename(self.path)
            self._is_here = False
            sync_folder(self.path.parent)
        elif digest_of(self.path) != digest:
            raise _other(self.path)
        return digest

    def close(self) -> None:
        """What isn't finished goes."""
        if self._is_here:
            with suppress(FileNotFoundError):
                self._draft.unlink()
            self._is_here = False
        self.stream.close()


def open_private(path: Path, flags: int, mode: str) -> BinaryIO:
    """Only for who writes it; a link that somebody put there is not followed."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return cast(BinaryIO, os.fdopen(descriptor, mode))


def locked(file: BinaryIO, path: Path) -> None:
    """Until it is closed. Who had it before may have finished it since it was opened: then it is another's by now."""
    try:
        flock(file, LOCK_EX | LOCK_NB)
        if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
            return
    except BlockingIOError:
        pass
    file.close()
    raise InUse(f"another export writes {path} at this moment", hint="wait for it, or name another place")


def digest_of(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _other(path: Path) -> UsageError:
    return UsageError(f"{path} is there already, and not the same", hint="move it away, or name another place")
