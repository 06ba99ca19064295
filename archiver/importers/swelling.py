"""What packed content may unpack to: a bomb ends with an error where it grows beyond that. Knows no format."""

from __future__ import annotations

import io
import zipfile
from typing import BinaryIO, cast

RATIO = 200
"""What is packed unpacks to at most so many times its size; text gains 5 to 30, real logs up to 100."""
FREE = 16 * 1024 * 1024
"""Bytes that everything may unpack to, whatever its ratio."""


def bounded(file: BinaryIO, packed: int) -> BinaryIO:
    """The same content, which ends with `EOFError` where it comes to more than its packed size allows, in bytes."""
    return cast(BinaryIO, io.BufferedReader(_Bounded(file, packed)))


class _Bounded(io.RawIOBase):
    def __init__(self, file: BinaryIO, packed: int) -> None:
        self._file = file
        self._limit = max(FREE, packed * RATIO)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = self._file.seek(offset, whence)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        # read1 hands over what one step gave: read would lose it when the next step finds damage.
        try:
            data = cast(io.BufferedReader, self._file).read1(len(buffer))
        except zipfile.BadZipFile as fault:
            raise EOFError(str(fault)) from fault
        self._at += len(data)
        if self._at > self._limit:
            raise EOFError(f"it unpacks to over {RATIO} times its size: refused as a bomb")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
