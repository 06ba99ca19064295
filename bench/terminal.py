"""A command on a terminal of its own: what it shows, and when. Knows no command."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

_TERMINAL = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def _outside() -> dict[str, str]:
    """The environment without the size that another terminal has, which would outweigh this one's."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """Runs `command` until it ends or the block is left; `shown` is all it has written, with every control sequence."""

    def __init__(
        self, command: Sequence[str], *, rows: int = 40, columns: int = 140, environment: Mapping[str, str] = _TERMINAL
    ) -> None:
        self.started = time.perf_counter()
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**_outside(), **_TERMINAL, **environment},
        )
        os.close(slave)
        self.shown = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def lines(self, count: int, *, within: float = 60) -> float:
        """Waits for so many lines; seconds since the command was begun."""
        while self.shown.count(b"\n") < count and self._read(within):
            pass
        if self.shown.count(b"\n") < count:
            raise TimeoutError(f"no {count} lines on the terminal: {self.shown[-500:]!r}")
        return time.perf_counter() - self.started

    def send(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self, *, within: float = 60) -> int:
        """Reads on until the command ends; its exit status."""
        while self._read(within):
            pass
        return self._process.wait(within)

    def _read(self, within: float) -> bool:
        if not select.select([self._master], [], [], within)[0]:
            return False
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:  # Linux: nobody has the other side open any more
            return False
        self.shown += piece
        return bool(piece)
