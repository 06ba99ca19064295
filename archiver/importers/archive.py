"""A zip or a tar (plain, gzip, Zstandard) read in place as a tree of documents, with limits against bombs.

Nothing is unpacked to disk. A zip gives any member at once. A compressed tar is a stream: its members are read in the
order they lie in; going back begins it anew. Names that lead out, links and devices are left out and counted.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from archiver.events import DAMAGED, unpacked
from archiver.exceptions import NotThere
from archiver.importers.folder import open_file
from archiver.importers.swelling import bounded

MEMBERS = 2_000_000
"""Files in one archive: years of a large workspace are some hundred thousand."""
ENCRYPTED = "encrypted"
NAME = 4096
"""Bytes of a member's path: no system has longer ones, and what looks at each folder of one would take hours."""
HEADER = 1024 * 1024
"""Bytes of a long name, or of a member's pax records: paths end at 4 KiB."""
_SKIP = 1024 * 1024

_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_TAR_MAGIC = slice(257, 262)
_BROKEN = (*DAMAGED, tarfile.TarError, OSError, ValueError, OverflowError, RecursionError)


def archive_at(path: Path, content: bytes | None = None) -> Zip | Tar | None:
    """The archive a file is, told by its bytes; None for any other file. Raises `UsageError` for one that is broken.

    `content` is that of a file which doesn't lie on disk: `path` then only says to people where.
    """

    def begin() -> BinaryIO:
        return open_file(path) if content is None else io.BytesIO(content)

    with begin() as file:
        head = file.read(4)
        file.seek(0)
        if head in (_ZIP, _EMPTY_ZIP):
            return Zip(path, None if content is None else begin())
        try:
            inner = unpacked(file).read(512)
        except DAMAGED:
            return None  # not readable as what its first bytes promise: whoever reads it as a document says so
        return Tar(path, begin) if inner[_TAR_MAGIC] == b"ustar" else None


class Zip:
    """A zip file (APPNOTE 6.3). Encrypted members are left out."""

    sealed = True

    def __init__(self, path: Path | str, file: BinaryIO | None = None) -> None:
        """`file` is one that lies in memory: `path` then only says to people where."""
        path = Path(path)
        self.place = str(path)
        self.left_out: Counter[str] = Counter()
        self.broken = ""
        try:
            self._file = zipfile.ZipFile(file or path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as fault:
            raise _broken(path, fault) from fault
        infos = self._file.infolist()
        _check_count(path, len(infos))
        named = ((_name_of(info), info) for info in infos)
        self._members = {name: info for name, info in named if self._fit(name, info)}

    def _fit(self, name: str, info: zipfile.ZipInfo) -> bool:
        if name.endswith("/") or _hidden(name):
            return False
        why = _why_not(name) or (ENCRYPTED if info.flag_bits & 1 else "")
        if why:
            self.left_out[why] += 1
        return not why

    def names(self) -> Iterator[str]:
        yield from self._members

    def holds(self, name: str, below: str | None = None) -> bool:
        return name in self._members and name.startswith(below or "")

    def size(self, name: str) -> int:
        return self._members[name].file_size

    def path(self, name: str) -> None:
        return None

    def open(self, name: str) -> BinaryIO:
        info = self._members[name]
        try:
            member = cast(BinaryIO, self._file.open(info))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError) as fault:
            return cast(BinaryIO, io.BufferedReader(_Spoilt(f"the archive is damaged here: {fault}")))
        return bounded(member, info.compress_size)


class Tar:
    """A tar file (POSIX ustar, pax), indexed in one pass."""

    sealed = True

    def __init__(self, path: Path, begin: Callable[[], BinaryIO] | None = None) -> None:
        """`begin` opens one that lies elsewhere: `path` then only says to people where."""
        self.place = str(path)
        self.left_out: Counter[str] = Counter()
        self.broken = ""
        self._path = path
        opened = begin or (lambda: open_file(path))
        with opened() as file:
            packed = file.seek(0, io.SEEK_END)
        self._stream = _Rewinding(lambda: bounded(unpacked(opened()), packed))
        self._members: dict[str, tuple[int, int]] = {}
        self._index()

    def _index(self) -> None:
        """What stands before a break counts; `broken` says where it ends."""
        headers = _Headers(self._stream)
        try:
            with tarfile.open(fileobj=cast(IO[bytes], headers), mode="r:", errorlevel=0) as index:
                while (info := index.next()) is not None:
                    self._take(info)
                    index.members = []  # type: ignore[attr-defined]  # else it keeps every one it has met
            headers.require_end()
        except _BROKEN as fault:
            self.broken = f"the archive is damaged or ends early: {fault}"

    def _take(self, info: tarfile.TarInfo) -> None:
        name = info.name.removeprefix("./")
        if info.isdir() or _hidden(name):
            return
        why = _why_not(name) or ("" if info.isreg() else "link or device")
        if why:
            self.left_out[why] += 1
        else:
            self._members[name] = info.offset_data, info.size
            _check_count(self._path, len(self._members))

    def names(self) -> Iterator[str]:
        yield from self._members

    def holds(self, name: str, below: str | None = None) -> bool:
        return name in self._members and name.startswith(below or "")

    def size(self, name: str) -> int:
        return self._members[name][1]

    def path(self, name: str) -> None:
        return None

    def open(self, name: str) -> BinaryIO:
        offset, size = self._members[name]
        return cast(BinaryIO, io.BufferedReader(_Slice(self._stream, offset, size)))


class _Readable(io.RawIOBase):
    """Bytes to read, from any place; `_at` is where it stands."""

    _at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at


class _Rewinding(_Readable):
    """A stream that can be read from any place: forwards by reading, backwards by beginning anew."""

    def __init__(self, begin: Callable[[], BinaryIO]) -> None:
        self._begin = begin
        self._file = begin()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the start")
        if offset < self._at:
            self._file.close()
            self._file, self._at = self._begin(), 0
        while self._at < offset and self.read(min(_SKIP, offset - self._at)):
            pass
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Headers(_Readable):
    """A tar while it is indexed: `tarfile` reads a long name whole, however long its header says it is."""

    def __init__(self, stream: _Rewinding) -> None:
        self._stream = stream
        self._last = b""

    def require_end(self) -> None:
        """That a block of zeros was read last: `tarfile` takes anything for the end that is no header."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no header follows, and no mark of the end")

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = self._stream.seek(offset, whence)
        return self._at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self._stream.seek(self._at)
        self._last = self._stream.read(size) or b""
        self._at += len(self._last)
        return self._last


class _Slice(_Readable):
    """One member of a tar. Several may be open at once: each finds its place again."""

    def __init__(self, stream: _Rewinding, offset: int, size: int) -> None:
        self._stream = stream
        self._offset = offset
        self._size = size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, min(base + offset, self._size))
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = min(len(buffer), self._size - self._at)
        if size <= 0:
            return 0
        self._stream.seek(self._offset + self._at)
        data = self._stream.read(size) or b""
        if not data:
            raise EOFError("the archive ends inside this file")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Spoilt(_Readable):
    """A member that can't be opened: damage like any other, told where it is read."""

    def __init__(self, why: str) -> None:
        self._why = why

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        raise EOFError(self._why)


def _name_of(info: zipfile.ZipInfo) -> str:
    """Many tools write UTF-8 and don't say so (APPNOTE 4.4.4, bit 11): then it was read as code page 437."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _hidden(name: str) -> bool:
    return PurePosixPath(name).name.startswith(".") and not _why_not(name)


def _why_not(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or not name:
        return "a name that leads out of the archive"
    if len(name.encode("utf-8", "surrogateescape")) > NAME:
        return "a name too long to be one of a file"
    return ""


def _check_count(path: Path, count: int) -> None:
    if count > MEMBERS:
        raise NotThere(f"{path}: over {MEMBERS:,} files in one archive", hint="unpack it and name the folder")


def _broken(path: Path, fault: Exception) -> NotThere:
    return NotThere(f"{path}: can't be read as an archive: {fault}", hint="test it with unzip -t", path=str(path))
