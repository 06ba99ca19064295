"""`kill -9` in the middle of a backfill, twenty times at random moments; then once to the end: as if undisturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from builders import say

from archiver.events import ndjson
from system.archives import ARCHIVER, ROOT, archiver, listing

KILLS = 20


def corpus(path: Path) -> None:
    """Conversations of two to four people, some of them going on later: about 30,000 events."""
    chance = random.Random(11)
    events = []
    for n in range(1_200):
        people = [f"p{chance.randrange(120)}@example.org" for _ in range(chance.choice([2, 2, 3, 4]))]
        people = sorted(set(people)) if len(set(people)) > 1 else ["p1@example.org", "p2@example.org"]
        for m in range(25):
            text = " ".join(chance.choices(["so", "then", "明天", "yes", "meeting", "no"], k=8))
            where = "im" if len(people) == 2 else "group"
            events.append(
                say(
                    chance.choice(people),
                    text,
                    n * 7 + m * 11,
                    id=f"{n}-{m}",
                    room=f"room {n}",
                    where=where,
                    present=people,
                )
            )
    chance.shuffle(events)
    path.write_bytes(ndjson(events))


def children_of(process: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True).stdout
    return [int(each) for each in found.split()]


def gone(processes: list[int]) -> bool:
    states = [path.read_text().split()[2] for each in processes if (path := Path(f"/proc/{each}/stat")).exists()]
    return all(state == "Z" for state in states)


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    corpus(events)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    begun = time.monotonic()
    archiver(undisturbed, "backfill", "events", str(events))
    length = time.monotonic() - begun
    chance = random.Random(os.getpid())
    interrupted = 0
    for _ in range(KILLS):
        # What was read to its end isn't looked at again: then too little would be left to be killed in.
        again = [*ARCHIVER, "--data", str(killed), "backfill", "--reread", "events", str(events)]
        process = subprocess.Popen(again, cwd=ROOT, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.2, 0.7 * length))
        children = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
        interrupted += process.wait() == -signal.SIGKILL
        until = time.monotonic() + 10
        while not gone(children):
            assert time.monotonic() < until, "children outlive their parent"
            time.sleep(0.01)
        whole = listing(undisturbed)
        for name, (_, content) in listing(killed).items():
            assert "/tmp/" in name or whole[name][1] == content, name
    assert interrupted >= 5, interrupted
    archiver(killed, "backfill", "events", str(events))
    assert listing(killed) == listing(undisturbed)
    assert not [name for name in listing(killed) if "/tmp/" in name]
