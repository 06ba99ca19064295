"""What looking into folders costs: the first screen of a large mailbox, and verifying items against their events.

The large mailbox has real items under made-up names, hard links of a few: a listing reads no more of it than a screen.
What is verified is what a backfill has filed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from bench import child, corpus
from bench.measure import ROOT, Bench, Figure, at_most, plain
from bench.terminal import Terminal

SCREEN_AIM = 1.0
"""Seconds."""
GROWTH_AIM = 1.2
"""Four times the items have to take the same memory: within what the interpreter's own caches differ."""
_ROWS = 40
_FOLDER = ".Conversation History"
_BIG = "big@example.org"
_KIB = 1024


def run(bench: Bench) -> Iterator[Figure]:
    data, small = _backfilled(bench, bench.sizes.verified), _backfilled(bench, bench.sizes.verified // 4)
    yield _screen(bench, data)
    yield from _verify(bench, data, small)


def _backfilled(bench: Bench, events: int) -> Path:
    path = corpus.write(bench.fresh("export") / "export.ndjson", events, "random")
    data = bench.fresh("data")
    bench.say(f"inspection: filing {events:,} events")
    child.ended(child.start(data, "events", path))
    return data


def _screen(bench: Bench, data: Path) -> Figure:
    mail = bench.fresh("large")
    items = bench.sizes.listed
    _fill(mail / "mail" / "example.org" / "big" / _FOLDER, _items(data), items)
    seconds = []
    for number in range(bench.sizes.rounds):
        bench.say(f"inspection: first screen of {items:,} items, round {number + 1} of {bench.sizes.rounds}")
        command = [sys.executable, "-m", "archiver", "--data", str(mail), "inspect", _BIG]
        with Terminal(command, rows=_ROWS, environment={"PAGER": "cat"}) as terminal:
            seconds.append(terminal.lines(_ROWS))
    what = f"first screen of a mailbox of {items:,} items, from the start of the command"
    return at_most(SCREEN_AIM, "inspection.screen", what, median(seconds), "s", samples=seconds)


def _items(data: Path) -> list[Path]:
    return sorted((data / "mail").glob(f"*/*/{_FOLDER}/cur/*"))


def _fill(folder: Path, found: Sequence[Path], items: int) -> None:
    for directory in (folder, folder.parent):
        for name in ("cur", "new", "tmp"):
            (directory / name).mkdir(parents=True, mode=0o700)
    (folder / "maildirfolder").touch()
    for number, path in enumerate(islice(cycle(found), items)):
        key = blake2b(str(number).encode(), digest_size=16).hexdigest()
        os.link(path, folder / "cur" / f"{corpus.START + 61 * number}.K{key}.conversation-archiver:2,S")


def _verify(bench: Bench, data: Path, small: Path) -> Iterator[Figure]:
    items = len(_items(data))
    bench.say(f"inspection: verifying {items:,} items")
    (seconds, memory), (_, less) = _verified(data), _verified(small)
    facts = {"items": items, "seconds": round(seconds, 1)}
    what = "verifying all that was filed: journal, folders, each item made again from its events, one process"
    yield plain("inspection.verify", what, items / seconds, "items/s", facts=facts)
    facts = {"MiB": memory, "a quarter": less}
    what = "its largest memory at four times the items"
    yield at_most(GROWTH_AIM, "inspection.verify.memory", what, memory / less, "times", facts=facts)


def _verified(data: Path) -> tuple[float, float]:
    """Seconds, and MiB at most."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "archiver", "--data", str(data), "inspect", "--verify"]
    silent = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    process = os.posix_spawn(sys.executable, command, {**os.environ, "PYTHONPATH": str(ROOT)}, file_actions=[silent])
    _, status, used = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"verifying ended with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, round(used.ru_maxrss / _KIB, 1)
