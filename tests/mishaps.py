"""What can happen to a process that writes: another process to be killed in, before any step; disks that are full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from archiver.store import syncing


def in_child(work: Callable[[], object]) -> int:
    """Run it in a process of its own; its wait status. The child never returns into the test."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    return os.waitpid(child, 0)[1]


def noting(happened: list[str]) -> Callable[[str, Callable[..., object]], Callable[..., object]]:
    """Wraps functions so that each call leaves its name in `happened`, in order."""

    def note(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def noted(*arguments: object, **options: object) -> object:
            happened.append(name)
            return function(*arguments, **options)

        return noted

    return note


class Killer:
    """Counts calls into the operating system and ends the process before the one of the given number."""

    def __init__(self, last: int) -> None:
        self.left = last

    def arm(self, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(os, name, self.armed(getattr(os, name)))
        syncing.sync_file_system = self.armed(syncing.sync_file_system)  # type: ignore[assignment]

    def armed(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    def afterwards(self, function: Callable[..., object], counted: int) -> Callable[..., object]:
        """Ends the process once the call of the given number is done; of this function's, the first ones count."""
        calls = 0

        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            result = function(*arguments, **options)
            calls += 1
            self.left -= calls <= counted
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


CALLS = ("open", "mkdir", "write", "utime", "fchmod", "fchown", "fsync", "link", "unlink")


def on_a_small_disk(script: str, mounts: str) -> None:
    """In a mount namespace of its own, which goes with the process; a plain user gets one by a user namespace."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    with tempfile.TemporaryDirectory() as directory:
        command = f'set -e; cd {directory}; {mounts}; exec {sys.executable} -c "$0" {directory}'
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent), *sys.path])
        done = subprocess.run(
            [*unshare, "sh", "-c", command, script],
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
