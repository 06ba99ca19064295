"""A file or stream of events -> lines -> `Captured` or `Rejected`, in constant memory whatever the file holds.

A line longer than `LINE_LIMIT` is given up to that limit and said to be cut; a compressed stream that breaks off or is
damaged ends with what came before it. Nothing here judges an event: `capture` does.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import zstandard

from archiver.events.attachment import Beside
from archiver.events.capture import BOM, capture
from archiver.events.record import Captured, Rejected, microseconds
from archiver.exceptions import EnvironmentFault, EventError, UsageError

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of one line, the content of attachments included; larger files lie beside the event file (`path`)."""

CHUNK = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# A run of one byte packs 128 KiB into 4 bytes: so few bytes at a time unpack to 16 MiB at most.
ZSTD_SLICE = 512
# Levels up to 20 need 32 MiB; a frame may ask for gigabytes.
ZSTD_WINDOW = 64 * 1024 * 1024

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)
"""What a packed stream raises where it is broken."""
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)-?([01]\d)-?([0-3]\d)(?!\d)")


def open_events(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked where its first bytes say gzip or Zstandard."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as fault:
        raise UsageError(f"{path}: {fault.strerror}", hint="name a file that exists", path=str(path)) from fault
    except OSError as fault:
        raise EnvironmentFault(f"{path}: {fault.strerror}", hint="check its permissions", path=str(path)) from fault
    return unpacked(file)


def is_packed(magic: bytes) -> bool:
    """Whether a file that begins so, with at least four bytes, is gzip or Zstandard."""
    return magic.startswith((GZIP_MAGIC, ZSTD_MAGIC))


def unpacked(file: BinaryIO) -> BinaryIO:
    """What a seekable file holds, unpacked where its first bytes say gzip or Zstandard.

    One that is damaged from its start on is told when it is read.
    """
    try:
        magic = file.read(4)
    except DAMAGED:
        return file
    file.seek(0)
    if magic.startswith(GZIP_MAGIC):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if magic == ZSTD_MAGIC:
        return io.BufferedReader(_Zstandard(file))
    return file


def read_events(
    stream: BinaryIO, *, name: str, received: int, beside: Beside | None = None, file_date: int | None = None
) -> Iterator[Captured | Rejected]:
    """The events of an NDJSON stream, each line one; `name` stands in the position of what is rejected."""
    previous: int | None = None
    for number, line, fault in lines(stream):
        if not line.strip() and not fault:
            continue
        try:
            if fault:
                raise EventError(fault)
            captured = capture(
                line,
                received=received,
                previous=previous,
                file_date=file_date,
                beside=beside,
                position=f"{name}:{number}",
            )
        except EventError as reason:
            yield Rejected(line, f"{name}:{number}", str(reason), _source(line))
            continue
        previous = captured.time
        yield captured


def lines(stream: BinaryIO, limit: int = LINE_LIMIT) -> Iterator[tuple[int, bytes, str]]:
    """Number from 1, content without its line end, and what is wrong with it ("" for a whole line)."""
    number, rest, dropped = 0, bytearray(), 0
    for chunk in chunks(stream, min(CHUNK, limit)):
        if isinstance(chunk, str):  # the stream is damaged here: an unfinished line is lost with it
            yield number + 1, bytes(rest), chunk
            return
        first, *others = chunk.split(b"\n")
        room = max(0, limit - len(rest))
        rest += first[:room]
        dropped += max(0, len(first) - room)
        if not others:
            continue
        number += 1
        yield number, _clean_end(bytes(rest), number), _cut(len(rest), dropped)
        last = others.pop()
        for line in others:
            number += 1
            yield number, line[:-1] if line.endswith(b"\r") else line, ""
        rest, dropped = bytearray(last), 0
    if rest:
        yield number + 1, _clean_end(bytes(rest), number + 1), _cut(len(rest), dropped)


def chunks(stream: BinaryIO, size: int) -> Iterator[bytes | str]:
    """What a stream holds, piece by piece; a text instead of bytes says why it ends before its end."""
    # read1 hands over what one step unpacked: read would lose it when the next step finds the damage.
    read = cast(io.BufferedReader, stream).read1 if hasattr(stream, "read1") else stream.read
    while True:
        try:
            chunk = read(size)
        except DAMAGED as fault:
            yield f"the compressed stream is damaged or ends early: {fault}"
            return
        if not chunk:
            return
        yield chunk


def date_of(path: Path) -> int | None:
    """The day a file's name or its folders state, as microseconds; else when the file was last changed."""
    match = _DATE.search(path.name)
    if match:
        try:
            return microseconds(datetime(*(int(part) for part in match.groups()), tzinfo=UTC))  # type: ignore[arg-type,misc]
        except ValueError:
            pass
    try:
        return path.stat().st_mtime_ns // 1000
    except OSError:
        return None


def _clean_end(line: bytes, number: int) -> bytes:
    if number == 1 and line.startswith(BOM):
        line = line[len(BOM) :]
    return line[:-1] if line.endswith(b"\r") else line


def _cut(kept: int, dropped: int) -> str:
    return f"a line of {kept + dropped:,} bytes: only its first {kept:,} were kept" if dropped else ""


def _source(line: bytes) -> str | None:
    try:
        return _read_source(line).source
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Sourced(msgspec.Struct):
    source: str | None = None


_read_source = msgspec.json.Decoder(_Sourced).decode


class _Zstandard(io.RawIOBase):
    """Frame after frame, bounded in memory; the library's own reader takes a broken-off file for a whole one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = b""
        self._unpacked = b""
        self._frame = self._new_frame()
        self._begun = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._unpacked and self._fill():
            pass
        size = min(len(buffer), len(self._unpacked))
        buffer[:size] = self._unpacked[:size]
        self._unpacked = self._unpacked[size:]
        return size

    def _new_frame(self) -> zstandard.ZstdDecompressionObj:
        return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()

    def _fill(self) -> bool:
        """Unpack one more slice; False at a sound end."""
        packed, self._packed = self._packed or self._file.read(ZSTD_SLICE), b""
        if not packed:
            if self._begun:
                raise EOFError("the file breaks off inside a frame")
            return False
        self._begun = True
        self._unpacked = self._frame.decompress(packed)
        if self._frame.eof:
            self._packed = self._frame.unused_data
            self._frame, self._begun = self._new_frame(), False
        return True
