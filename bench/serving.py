"""A daemon as a process of its own, and clients that give it work: what the parts that measure capture share."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.measure import ROOT

SECRET = "a-secret-for-the-bench-alone"  # noqa: S105
_PATIENCE = 30.0


class Daemon:
    """`archiver run` on ports of loopback."""

    def __init__(self, process: subprocess.Popen[bytes], http: int, smtp: int) -> None:
        self.pid = process.pid
        self.http = http
        self.smtp = smtp


@contextmanager
def daemon(folder: Path, more: str = "") -> Iterator[Daemon]:
    """With an empty data directory in `folder`, and `more` configuration; drained and ended afterwards."""
    http, smtp = _free_ports(2)
    (folder / "archiver.toml").write_text(
        f'[smtp]\nlisten = "127.0.0.1:{smtp}"\n[log]\nlevel = "warning"\n'
        f'[[source]]\ntype = "http"\nname = "bench"\nlisten = "127.0.0.1:{http}"\n'
        '[[source.token]]\nname = "bench"\nsources = ["*"]\nenv = "BENCH_TOKEN"\n' + more
    )
    command = [sys.executable, "-m", "archiver", "--data", str(folder / "data")]
    command += ["--config", str(folder / "archiver.toml"), "run"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "BENCH_TOKEN": SECRET})
    try:
        for port in (http, smtp):
            _await(port, process)
        yield Daemon(process, http, smtp)
        process.send_signal(signal.SIGTERM)
        process.wait(2 * _PATIENCE)
    finally:
        process.kill()
        process.wait()


class Poster:
    """One connection that posts NDJSON."""

    def __init__(self, port: int) -> None:
        self._client = HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, body: bytes) -> int:
        """The status of the reply."""
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/x-ndjson"}
        self._client.request("POST", "/events", body, headers)
        reply = self._client.getresponse()
        reply.read()
        return reply.status

    def close(self) -> None:
        self._client.close()


def share(work: Sequence[Any], makers: int, make: Callable[[], Any], do: Callable[[Any, Any], Any]) -> list[Any]:
    """Do all of `work` with `makers` clients at once, each with what it made for itself; results in no order."""

    def run(number: int) -> list[Any]:
        client = make()
        try:
            return [do(client, piece) for piece in work[number::makers]]
        finally:
            client.close()

    with ThreadPoolExecutor(makers) as threads:
        return [result for results in threads.map(run, range(makers)) for result in results]


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the daemon does not listen") from None
            time.sleep(0.05)
