"""The forms that are one file: an mbox, a zip. Written as items come, one at a time, and in their place when all are.

What a killed export left is written anew: half a file says nothing about its other half.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.utils import parseaddr
from pathlib import Path
from time import asctime, gmtime
from types import TracebackType
from typing import BinaryIO, Protocol, Self
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from archiver.events import SECOND
from archiver.exporting.durable import DurableFile, DurableFolder
from archiver.exporting.manifest import CSV, NDJSON, About, Manifest, about
from archiver.exporting.records import LeftOut, Piece
from archiver.inspection.messages import date_of, header


class Packer(Protocol):
    """Puts items into one open file."""

    def add(self, path: str, item: About, content: bytes) -> None: ...

    def end(self, manifest: Manifest) -> None: ...

    def close(self) -> None:
        """Whether it came to its end or not."""
        ...


class FileForm:
    """`beside`: the manifest goes into two files beside it, `NAME.manifest.ndjson` and `.csv`."""

    exact = True
    whole = True

    def __init__(self, target: Path, packer: Callable[[BinaryIO], Packer], *, beside: bool) -> None:
        self._target = target
        self._make = packer
        self._beside = beside
        self._manifest = Manifest()
        self._file: DurableFile | None = None
        self._last = ""

    def __enter__(self) -> Self:
        self._file = DurableFile(self._target)
        self._packer = self._make(self._file.stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manifest.close()
        if self._file is not None:
            with suppress(OSError):  # what failed before is told
                self._packer.close()
            self._file.close()

    def add(self, piece: Piece, content: bytes, digest: str) -> bool:
        path = f"{piece.path}.eml"
        if path != self._last:  # asked for twice: it is in it
            facts = about(piece, content, digest)
            self._packer.add(path, facts, content)
            self._manifest.add([facts.row(path, content)])
        self._last = path
        return True

    def leave_out(self, what: LeftOut) -> None:
        self._manifest.leave_out(what)

    def sync(self) -> None:
        """Once, at the end."""

    def finish(self) -> str:
        assert self._file is not None
        self._packer.end(self._manifest)
        digest = self._file.finish()
        if self._beside:
            folder = DurableFolder(self._target.parent)
            for name, lines in ((NDJSON, self._manifest.ndjson()), (CSV, self._manifest.csv())):
                folder.replace(f"{self._target.name}.{name}", lines)
            folder.sync()
        return digest


def mbox(target: Path) -> FileForm:
    return FileForm(target, Mbox, beside=True)


def zipped(target: Path) -> FileForm:
    return FileForm(target, Zipped, beside=False)


_QUOTED = re.compile(rb"^(>*From )", re.MULTILINE)
_ODD = re.compile(r"[^\x21-\x7e]+")


class Mbox:
    """Messages one after the other, each behind a line `From ADDRESS DATE` and before an empty one (RFC 4155). A line
    of a message that looks like that gets a `>`, also where it has some already, so that each can lose one again
    (mboxrd)."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(self, path: str, item: About, content: bytes) -> None:
        self._stream.write(_from_line(item))
        self._stream.write(_QUOTED.sub(rb">\1", content))
        self._stream.write(b"\n" if content.endswith(b"\n") else b"\n\n")

    def end(self, manifest: Manifest) -> None:
        """Nothing more."""

    def close(self) -> None:
        """Nothing more."""


def _from_line(item: About) -> bytes:
    """When it was delivered stands there: here the time of its first event, in UTC."""
    address = _ODD.sub("-", parseaddr(header(item.message, "From"))[1]) or "MAILER-DAEMON"
    first = date_of(item.message)
    return f"From {address} {asctime(gmtime((first or 0) // SECOND))}\n".encode("ascii")


class Zipped:
    """Items by their paths, then the manifest. Of equal items the same bytes: no entry has a time or an owner."""

    def __init__(self, stream: BinaryIO) -> None:
        self._zip = ZipFile(stream, "w", ZIP_DEFLATED)

    def add(self, path: str, item: About, content: bytes) -> None:
        self._zip.writestr(entry(path), content)

    def end(self, manifest: Manifest) -> None:
        self._write(CSV, manifest.csv())
        self._write(NDJSON, manifest.ndjson())
        self._zip.close()

    def close(self) -> None:
        self._zip.close()

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        with self._zip.open(entry(name), "w", force_zip64=True) as member:
            for piece in pieces:
                member.write(piece)


def entry(path: str) -> ZipInfo:
    """The earliest time that a zip can tell (APPNOTE 4.4.6), and a file that its owner alone may read."""
    made = ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    made.compress_type = ZIP_DEFLATED
    made.create_system = 3
    made.external_attr = 0o100600 << 16
    return made
