"""A folder on disk as a tree of documents; links lead nowhere out of it, hidden files are left out.

Hidden folders are not: a Maildir keeps its folders in such. Whatever else is no file to read is told.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from archiver.exceptions import NotPermitted, NotThere
from archiver.importers.leaving import Leave, unheeded


class Folder:
    """Files below `root`. `foreign` tells folders to pass over: what the archiver filed is no input.

    `leave` is told once what is left alone.
    """

    sealed = False

    def __init__(
        self, root: Path, foreign: Callable[[Path], bool] = lambda folder: False, leave: Leave = unheeded
    ) -> None:
        self.place = str(root)
        self._root = root
        self._foreign = foreign
        self._leave = leave

    def names(self) -> Iterator[str]:
        """Raises `NotPermitted` where `root` itself can't be read."""
        yield from sorted(path.relative_to(self._root).as_posix() for path in self._files())
        self._leave = unheeded

    def _files(self) -> Iterator[Path]:
        root = self._root.resolve()
        for directory, folders, names in os.walk(self._root, onerror=self._refuse):
            here = Path(directory)
            if self._foreign(here):
                self._leave(directory, "folders of the archiver itself")
                folders.clear()
                continue
            folders.sort()
            for name in folders:
                if (here / name).is_symlink():
                    self._leave(str(here / name), "links to folders")
            for path in (here / name for name in sorted(names) if not name.startswith(".")):
                if why := _why_not(path, root):
                    self._leave(str(path), why)
                else:
                    yield path

    def _refuse(self, fault: OSError) -> None:
        if str(fault.filename) == str(self._root):
            raise not_permitted(self._root, fault) from fault
        self._leave(str(fault.filename), f"can't be read: {fault.strerror}", is_fault=True)

    def holds(self, name: str, below: str | None = None) -> bool:
        try:
            folder = (self._root / (below or "")).resolve()
            path = (self._root / name).resolve()
            if not path.is_relative_to(folder) or not path.is_file():
                return False
            return below is None or not any(part.startswith(".") for part in path.relative_to(folder).parts)
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, an unencodable one
            return False

    def size(self, name: str) -> int:
        """0 where it is gone: whoever opens it says so."""
        try:
            return (self._root / name).stat().st_size
        except OSError:
            return 0

    def open(self, name: str) -> BinaryIO:
        return open_file(self._root / name)

    def path(self, name: str) -> Path:
        return self._root / name


def open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as fault:
        raise NotThere(f"{path}: {fault.strerror}", hint="name a file that exists", path=str(path)) from fault
    except OSError as fault:
        raise not_permitted(path, fault) from fault


def not_permitted(path: Path, fault: OSError) -> NotPermitted:
    return NotPermitted(f"{path}: {fault.strerror}", hint="check its permissions", path=str(path))


def _why_not(path: Path, root: Path) -> str:
    """Why a file is none to read; "" for one that is."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            return ""
        if not stat.S_ISLNK(mode):
            return "neither files nor folders"
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # gone just now, or a loop of links
        return "links to nothing"
    if not target.is_relative_to(root):
        return "links that lead out of the folder"
    return "" if target.is_file() else "links to no file"
