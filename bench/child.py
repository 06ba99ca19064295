"""A backfill as a process tree of its own, started by the parts that watch one: `python -m bench.child DATA …`.

Prints one JSON object: the report, and when it went from reading to filing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from archiver import backfill
from archiver.config import load
from archiver.importers import Options, importer
from bench.measure import ROOT


class Done(Struct, frozen=True):
    """What the child tells. `filing_from` is the wall clock where the first item was about to be filed."""

    seconds: float
    began: float
    filing_from: float
    accepted: int
    quarantined: int
    tally: dict[str, int]

    @property
    def reading(self) -> float:
        return self.filing_from - self.began

    @property
    def filing(self) -> float:
        return self.seconds - self.reading


def start(data: Path, form: str, path: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench.child", str(data), form, str(path), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> Done:
    """Wait for it; what went wrong stands on its standard error."""
    out, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the backfill ended with status {process.returncode}")
    return msgspec.json.decode(out, type=Done)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench.child")
    parser.add_argument("data", type=Path)
    parser.add_argument("format")
    parser.add_argument("path", type=Path)
    parser.add_argument("--channel")
    parser.add_argument("--network")
    given = parser.parse_args(arguments)
    options = Options(channel=given.channel, network=given.network)
    began = filing_from = time.time()

    def show(progress: backfill.Progress) -> None:
        nonlocal filing_from
        if progress.stage == "reading":
            filing_from = time.time()

    request = backfill.Request(importer(given.format), (given.path,), options)
    report = backfill.run(load(), given.data, request, show)
    tally: dict[str, Any] = msgspec.to_builtins(report.tally)
    done = Done(report.seconds, began, filing_from, report.accepted, report.quarantined, tally)
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main(sys.argv[1:])
