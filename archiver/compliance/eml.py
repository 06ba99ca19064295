"""EML files in a folder: what `archiver backfill items` reads back, and any mail program opens.

Many files with few syncs. What is there already stays as it is, and something else in its place is the user's to move.
"""

from __future__ import annotations

import os
from pathlib import Path

from archiver.exceptions import UsageError


class EmlFolder:
    """Files below one folder; durable once `sync` returns. Written again, nothing changes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._touched: set[Path] = set()

    def write(self, parts: tuple[str, ...], name: str, content: bytes) -> None:
        """In the folder that `parts` name. A killed writer leaves no half file under the name."""
        path = self.root.joinpath(*parts, f"{name}.eml")
        self._touched.add(path.parent)
        if path.exists():
            if path.read_bytes() != content:
                raise UsageError(f"{path} is there already, and not the same", hint="name an empty folder")
            return
        self._make(path.parent)
        draft = path.with_name(f".{path.name}.part")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        draft.rename(path)

    def _make(self, folder: Path) -> None:
        self._touched |= {each.parent for each in (folder, *folder.parents) if not each.exists()}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def sync(self) -> None:
        for each in sorted(self._touched):
            _sync(each)
        self._touched.clear()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
