"""What the real XMPP servers have in common, with the archiver's module in them: a process on loopback that is started
anew as often as need be, on the same ports and data."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

HOST, ROOMS = "localhost", "rooms.localhost"
PATIENCE = 20.0
T = TypeVar("T", bound="XmppServer")


class XmppServer(ABC):
    """Anybody logs in with any password. Rooms stay, their archive too, and tell everybody's address.

    Where the server isn't there or doesn't start, the test fails with what it logged.
    """

    name: ClassVar[str]
    logs: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        directory: Path,
        listener: int,
        token: str,
        *,
        options: Mapping[str, object] | None = None,
        scheme: str = "http",
        disk: int | None = None,
    ) -> None:
        """`options` are the module's own, by the names they have in all servers. `disk` puts the queue on one of its
        own, of so many KiB, which goes with the server."""
        self.directory = directory
        self.port, self.component = free_port(), free_port()
        self.listener = listener
        self.options, self.scheme, self.disk = dict(options or {}), scheme, disk
        (directory / "token").write_text(token + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder that the module's queue is in, as the server sees it."""

    @property
    def queue(self) -> Path:
        """The same: a disk of its own is seen by the server alone."""
        seen = Path(f"/proc/{self._process.pid}/root") if self.disk and self._process else Path("/")
        return seen / self.folder.relative_to("/")

    @property
    def archive(self) -> Path:
        return self.directory / "archive.sqlite"

    @abstractmethod
    def command(self, *, with_module: bool) -> tuple[list[str], dict[str, str] | None]:
        """Writes the configuration; how the server is started in the foreground, and with which environment."""

    def start(self, *, with_module: bool = True) -> None:
        command, environment = self.command(with_module=with_module)
        with (self.directory / "out.log").open("ab") as out:
            command = [*self._on_disk(), *command]
            self._process = subprocess.Popen(command, cwd=self.directory, env=environment, stdout=out, stderr=out)
        wait(lambda: is_open(self.port), self.logged)

    def _on_disk(self) -> list[str]:
        if self.disk is None:
            return []
        self.folder.mkdir(parents=True, exist_ok=True)
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        mount = f'mount -t tmpfs -o size={self.disk}k tmpfs "$0" && exec "$@"'
        return [*unshare, "sh", "-c", mount, str(self.folder)]

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def is_drained(self) -> bool:
        """Whether all that the module has in its queue was acknowledged."""
        place = self.queue / "position"
        segment, offset = map(int, place.read_text().split()) if place.exists() else (1, 0)
        rest = [each for each in self.queue.glob("*.ndjson") if each.stem.isdecimal() and int(each.stem) >= segment]
        return sum(each.stat().st_size for each in rest) == (offset if rest else 0)

    def logged(self) -> str:
        logs = [self.directory / name for name in self.logs]
        return "\n".join(log.read_text("utf-8", "replace")[-20_000:] for log in logs if log.exists())


@contextmanager
def running(server: T) -> Iterator[T]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(until: Callable[[], object], told: Callable[[], str] = lambda: "", seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"it didn't come about: {told()}"
        time.sleep(0.02)
