"""The command: chooses parts, runs them one after another, and prints one JSON document."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bench import (
    backfilling,
    delivering,
    filing,
    formats,
    inspecting,
    live,
    machine,
    policy,
    posting,
    purging,
    rendering,
    searching,
    spooling,
    steady,
)
from bench.measure import ROOT, Bench, Figure, Sizes

PARTS: dict[str, Callable[[Bench], Iterable[Figure]]] = {
    "spool": spooling.run,
    "filing": filing.run,
    "rendering": rendering.run,
    "backfill": backfilling.run,
    "live": live.run,
    "http": posting.run,
    "smtp": delivering.run,
    "steady": steady.run,
    "policy": policy.run,
    "inspection": inspecting.run,
    "purge": purging.run,
    "search": searching.run,
    "formats": formats.run,
}
QUICK = 50_000
_IN_MEMORY = {"tmpfs", "ramfs"}
_INTERRUPTED = 130
_STAMP = "removed"
_SETTLED = 600
"""Seconds after a removal of many files until ext4 makes new ones as fast as before."""


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    home: Path = given.work or ROOT / "build" / "bench"
    home.mkdir(parents=True, exist_ok=True)
    sizes = Sizes(QUICK if given.quick else given.events, ten=given.ten, minutes=given.minutes)
    if machine.file_system(home) in _IN_MEMORY and sizes.events >= QUICK:
        sys.exit(f"{home} lies in memory: what is measured there says nothing. Name a folder on a disk with --work.")
    work = home / datetime.now().strftime("run-%Y%m%d-%H%M%S-%f")
    bench = Bench(work, sizes, frozenset(given.without))
    _note_removal(bench, home)
    signal.signal(signal.SIGTERM, _interrupt)
    report = _run(bench, given.only or list(PARTS))
    _print(report, given.out)
    if report["interrupted"]:
        bench.say("interrupted: the report has what was known; this run's files go at the end of the next")
        return _INTERRUPTED
    if not given.keep:
        bench.say("removing this run's files, and those of runs before it")
        _remove(home)
    return 1 if report["failures"] or bench.missing else 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N", help="size of the backfill (%(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"everything small: {QUICK:,} events")
    parser.add_argument("--ten", action="store_true", help="also a backfill of ten times the size")
    parser.add_argument(
        "--minutes", type=float, default=0.0, metavar="N", help="how long memory is watched (10; quick 1)"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given again")
    parser.add_argument(
        "--without", action="append", choices=["mblaze", "notmuch"], default=[], help="do without this program"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder on the file system to measure (build/bench)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there instead of standard output")
    parser.add_argument("--keep", action="store_true", help="remove nothing at the end")
    return parser


def _run(bench: Bench, names: Sequence[str]) -> dict[str, Any]:
    """All parts, whatever becomes of the others: a run takes long. Stopped by a signal, it keeps what is known."""
    parts: dict[str, Any] = {}
    failures: dict[str, str] = {}
    about = machine.description(bench.work.parent)
    interrupted = False
    for name in names:
        started = time.monotonic()
        figures: list[Figure] = []
        try:
            for figure in PARTS[name](bench):
                figures.append(figure)
                bench.say(_line(figure))
        except Exception as error:
            traceback.print_exc()
            failures[name] = f"{type(error).__name__}: {error}"
        except KeyboardInterrupt:
            interrupted = True
            machine.end_children()
        if figures or name not in failures:
            parts[name] = {"seconds": round(time.monotonic() - started, 1), "figures": figures}
        if interrupted:
            break
    return {
        "machine": about,
        "events": bench.sizes.events,
        "parts": parts,
        "missed": [each.name for part in parts.values() for each in part["figures"] if each.met is False],
        "failures": failures,
        "interrupted": interrupted,
        "missing": bench.missing,
        "notes": bench.notes,
    }


def _line(figure: Figure) -> str:
    met = {True: "met", False: "MISSED", None: ""}[figure.met]
    aim = f"   aim {figure.aim}: {met}" if figure.aim else ""
    return f"    {figure.name:28} {figure.value:>12,} {figure.unit}{aim}"


def _print(report: dict[str, Any], out: Path | None) -> None:
    text = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    if out:
        out.write_bytes(text)
    else:
        sys.stdout.buffer.write(text)
        sys.stdout.flush()


def _note_removal(bench: Bench, home: Path) -> None:
    """Never by this run, but by the end of the last one."""
    stamp = home / _STAMP
    ago = time.time() - stamp.stat().st_mtime if stamp.exists() else _SETTLED
    if ago < _SETTLED:
        bench.notes.append(f"a run's files were removed {ago:.0f} s before: new files may be slow; use --keep")
        bench.say(bench.notes[-1])


def _remove(home: Path) -> None:
    for run in home.glob("run-*"):
        shutil.rmtree(run)
    (home / _STAMP).touch()


if __name__ == "__main__":
    sys.exit(main())
