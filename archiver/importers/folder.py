"""A folder on disk as a tree of documents; links lead nowhere out of it, hidden files are left out.

Hidden folders are not: a Maildir keeps its folders in such.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from archiver.exceptions import EnvironmentFault, UsageError


class Folder:
    """Files below `root`. `foreign` tells folders to pass over: what the archiver filed is no input."""

    sealed = False

    def __init__(self, root: Path, foreign: Callable[[Path], bool] = lambda folder: False) -> None:
        self.place = str(root)
        self._root = root
        self._foreign = foreign

    def names(self) -> Iterator[str]:
        yield from sorted(path.relative_to(self._root).as_posix() for path in self._files())

    def _files(self) -> Iterator[Path]:
        for directory, folders, names in os.walk(self._root, onerror=_refuse):
            if self._foreign(Path(directory)):
                folders.clear()
                continue
            found = (Path(directory, name) for name in names if not name.startswith("."))
            yield from (each for each in found if each.is_file())

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
        return (self._root / name).stat().st_size

    def open(self, name: str) -> BinaryIO:
        return open_file(self._root / name)

    def path(self, name: str) -> Path:
        return self._root / name


def open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as fault:
        raise UsageError(f"{path}: {fault.strerror}", hint="name a file that exists", path=str(path)) from fault
    except OSError as fault:
        raise EnvironmentFault(f"{path}: {fault.strerror}", hint="check its permissions", path=str(path)) from fault


def _refuse(fault: OSError) -> None:
    raise EnvironmentFault(f"{fault.filename}: {fault.strerror}", hint="check its permissions") from fault
