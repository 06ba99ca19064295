"""The page of `archiver inspect --web` as a process of its own, for as long as a `with` block lasts."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 30.0


class Page:
    """A running page. `next_url` waits for the next address that it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._urls: queue.Queue[str] = queue.Queue()
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.append(line)
            for url in re.findall(r"https?://\S+", line):
                self._urls.put(url)

    @property
    def said(self) -> str:
        return "".join(self._said)

    def next_url(self) -> str:
        try:
            return self._urls.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"the page prints no address:\n{self.said}") from None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self._reader.join(PATIENCE)


@contextmanager
def page(data: Path, *arguments: str, config: Path | None = None) -> Iterator[Page]:
    named = ["--config", str(config)] if config else []
    command = [sys.executable, "-m", "archiver", "--data", str(data), *named, "inspect", "--web", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Page(process)
    finally:
        process.kill()
        process.wait()
