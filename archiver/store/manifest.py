"""The manifest file of one mailbox's archive: read, and lengthened under its lock. What lines say is `chain`'s.

It lies in the mailbox's root, beside the folders. Only whole lines are its own: what a crash left behind the last line
end was never synced, so nobody has been told that it was done, and the next line takes its place.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from stat import S_ISREG

from archiver.exceptions import EnvironmentFault, ItemError
from archiver.store.chain import Contents, Entry, Tail, lengthened, line_of, tail_after

NAME = "manifest.ndjson"
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 8 * 1024
"""Bytes read for the last line, as a rule."""
_WHY = 1000
"""Characters of a reason that a line takes."""


class Manifest:
    """One manifest, open and locked until `close`. `tail` is what its next line is bound to."""

    def __init__(self, directory: int, first: Tail, *, writes: bool) -> None:
        """`directory` is the mailbox's root. FileNotFoundError where there is none and nothing is to be written."""
        self.descriptor = self._open(directory, writes)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX if writes else fcntl.LOCK_SH)
            status = os.fstat(self.descriptor)
            if not S_ISREG(status.st_mode):
                raise _not_a_file()
            self._first = first
            self._size = status.st_size
            self.is_new = status.st_size == 0
        except BaseException:
            os.close(self.descriptor)
            raise

    def _open(self, directory: int, writes: bool) -> int:
        try:
            return os.open(NAME, _FLAGS | (os.O_RDWR if writes else os.O_RDONLY), dir_fd=directory)
        except IsADirectoryError as error:
            raise _not_a_file() from error
        except FileNotFoundError:
            if not writes:
                raise
        return os.open(NAME, _FLAGS | os.O_RDWR | os.O_CREAT, 0o600, dir_fd=directory)

    def close(self) -> None:
        os.close(self.descriptor)

    def find_tail(self) -> Tail:
        """Read the last whole line; `ItemError` where it is none, since nothing can be bound to it."""
        self._end, raw = self._whole(0)
        tail = self._first if raw is None else tail_after(raw)
        if tail is None:
            raise ItemError("the last line of its manifest can't be read", hint="see `archiver inspect --verify`")
        self.tail = tail
        return tail

    def line_before(self, back: int) -> bytes:
        """The line so many before the last one; empty where there is none."""
        return self._whole(back)[1] or b""

    def _whole(self, back: int) -> tuple[int, bytes | None]:
        """Where the last whole line ends, and the line so many before it, read from the end on."""
        room = _BLOCK
        while True:
            begin = max(0, self._size - room)
            *lines, torn = os.pread(self.descriptor, self._size - begin, begin).split(b"\n")
            if len(lines) > back + 1 or begin == 0:
                break
            room *= 8
        return self._size - len(torn), lines[-1 - back] if back < len(lines) else None

    def append(self, entries: Iterable[Entry], now: int) -> None:
        """Written, not yet synced. What can't be written whole isn't written at all."""
        lines, tail = lengthened(self.tail, (_cut(entry) for entry in entries), now)
        content = b"".join(line + b"\n" for line in lines)
        os.ftruncate(self.descriptor, self._end)
        try:
            _write_at(self.descriptor, content, self._end)
        except OSError:
            os.ftruncate(self.descriptor, self._end)
            raise
        self._end = self._size = self._end + len(content)
        self.tail = tail

    def lines(self) -> Iterator[bytes]:
        """Every whole line, without its end."""
        with open(os.dup(self.descriptor), "rb") as file:
            file.seek(0)
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]

    @property
    def is_torn(self) -> bool:
        return self._size > 0 and os.pread(self.descriptor, 1, self._size - 1) != b"\n"

    def contents(self) -> Contents:
        """What the lines add up to. Where they don't fit together, that is `verify`'s to tell."""
        contents = Contents()
        for line in filter(None, map(line_of, self.lines())):
            contents.follow(line)
        return contents


def _not_a_file() -> EnvironmentFault:
    return EnvironmentFault(f"{NAME}: not a file", hint="take it out of the way, and put the manifest back")


def _cut(entry: Entry) -> Entry:
    return (
        entry
        if len(entry.why) <= _WHY
        else Entry(entry.kind, entry.folder, entry.content, entry.why[:_WHY], entry.instead)
    )


def _write_at(descriptor: int, content: bytes, position: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written
