"""How often an answer and what it answers fall into the same item, on logs in which people marked who answers whom.

    python -m bench.conversing FOLDER [FOLDER …]

A folder holds `NAME.raw.txt` with `NAME.annotation.txt` (the form of Kummerfeld and others, ACL 2019: `A B -`, numbers
of lines from 0). Fixed idle gaps are cut by the product itself. Beside them stand rules it doesn't have, cut here, so
that what they would bring is known: a gap that goes with how busy the room is, and parts that end at a pause.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from archiver.conversations.conversation import conversations
from archiver.conversations.rules import MINUTE, Rules, order
from archiver.conversations.survey import survey
from archiver.events import SENT, Captured
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at
from archiver.types import Roster

RECEIVED = 1_800_000_000_000_000
GAPS = (5, 10, 20, 30)
WINDOW = 50
"""Messages by which it is told how busy a room is."""
PART = Rules().part_events
BEGINNINGS = 10
"""Places in a part at which a log is taken to begin, in turn."""

Lines = list[list[int]]
"""Per item, the numbers of its messages' lines."""


class Log(NamedTuple):
    """`links` are pairs of lines: an answer, and what it answers."""

    events: list[Captured]
    links: list[tuple[int, int]]


def read(path: Path) -> Log:
    found = IMPORTERS["irc"].read(document_at(path), Options(channel="#c", network="n"), Reading(RECEIVED))
    events = sorted((each for each in found if isinstance(each, Captured)), key=order)
    said = {line(each) for each in events if each.event.type == SENT}
    marked = "".join(each.read_text() for each in path.parent.glob(path.name.replace(".raw.txt", ".annotation*.txt")))
    pairs = (row.split()[:2] for row in marked.splitlines() if row.strip())
    links = sorted({(int(a), int(b)) for a, b in pairs if a != b})
    return Log(events, [(a, b) for a, b in links if a in said and b in said])


def line(captured: Captured) -> int:
    return int(captured.event.sequence or 0) - 1


def fixed(log: Log, rules: Rules) -> Lines:
    """What the product makes of it."""
    ahead = survey(lambda: log.events, Roster(), rules, partial=True)
    made = conversations(log.events, ahead, Roster(), rules, partial=True)
    return [[line(each) for each in one.events if each.event.type == SENT] for one in made]


def adaptive(log: Log, factor: float, floor: int) -> Lines:
    """Cut where a pause is `factor` times as long as the last ones were, and at least `floor`."""
    return _parted(log, lambda gaps: max(floor, factor * mean(gaps[-WINDOW:])) if gaps else 10 * MINUTE, calm=False)


def calm(log: Log, idle: int) -> Lines:
    """The fixed gap, but a part that is full ends at the longest pause of its last quarter."""
    return _parted(log, lambda gaps: idle, calm=True)


def _parted(log: Log, limit: Callable[[list[float]], float], *, calm: bool) -> Lines:
    runs: list[list[Captured]] = [[]]
    gaps: list[float] = []
    for each in log.events:
        gap = each.time - runs[-1][-1].time if runs[-1] else 0
        if gap > limit(gaps):
            runs.append([])
        gaps.append(gap)
        runs[-1].append(each)
    parts = [part for run in runs for part in _parts(run, calm)]
    return [[line(each) for each in part if each.event.type == SENT] for part in parts]


def _parts(run: Sequence[Captured], calm: bool) -> Iterator[Sequence[Captured]]:
    while len(run) > PART:
        end = PART
        if calm:
            window = range(PART * 3 // 4, PART)
            end = max(window, key=lambda at: (run[at].time - run[at - 1].time, at))
        yield run[:end]
        run = run[end:]
    yield run


def anywhere(logs: Sequence[Log], cut: Callable[[Log], Lines]) -> float:
    """The share of links whose both ends are in one item, wherever in a room's years its first part begins: a log's
    marked lines stand at one place of it, and where a part of a thousand events ends there is chance."""
    together = total = 0.0
    for first in range(0, PART, PART // BEGINNINGS):
        later = [_from(log, first) for log in logs if len(log.events) > first]
        links = sum(len(log.links) for log in later)
        together += figures(later, cut)["together"] * links
        total += links
    return round(together / total, 4)


def _from(log: Log, first: int) -> Log:
    begin = line(log.events[first])
    return Log(log.events[first:], [(a, b) for a, b in log.links if min(a, b) >= begin])


def figures(logs: Sequence[Log], cut: Callable[[Log], Lines]) -> dict[str, float]:
    """`together`: the share of links whose both ends are in one item; `spread`: answers' distance where they aren't."""
    together = total = 0
    sizes: list[int] = []
    for log in logs:
        items = [item for item in cut(log) if item]
        where = {number: index for index, item in enumerate(items) for number in item}
        sizes += map(len, items)
        total += len(log.links)
        together += sum(where.get(a) == where.get(b) for a, b in log.links)
    messages = sum(sizes)
    return {
        "together": round(together / total, 4),
        "apart": total - together,
        "links": total,
        "items": len(sizes),
        "median_messages": median(sizes),
        # How large the item is that a message finds itself in.
        "messages_seen": round(sum(size * size for size in sizes) / messages),
    }


def everything(folders: Sequence[Path]) -> dict[str, dict[str, float]]:
    logs = [read(path) for folder in folders for path in sorted(folder.glob("*.raw.txt"))]
    logs = [log for log in logs if log.links]
    made = {f"idle {gap} min": figures(logs, lambda log, gap=gap: fixed(log, Rules(idle=gap * MINUTE))) for gap in GAPS}
    made |= {
        f"idle {gap} min, parts end at a pause": figures(logs, lambda log, gap=gap: calm(log, gap * MINUTE))
        for gap in GAPS
    }
    made["idle 10 min"]["together_anywhere"] = anywhere(logs, lambda log: fixed(log, Rules()))
    pausing = made["idle 10 min, parts end at a pause"]
    pausing["together_anywhere"] = anywhere(logs, lambda log: calm(log, 10 * MINUTE))
    for factor, floor in ((5, 2), (10, 2), (10, 5), (20, 5)):
        name = f"{factor} times the usual pause, at least {floor} min"
        made[name] = figures(logs, lambda log, f=factor, m=floor: adaptive(log, f, m * MINUTE))
    return made


def longest(logs: Sequence[Log]) -> list[float]:
    """Minutes between an answer and what it answers, at the 50th, 90th, 95th and 99th percentile."""
    found = []
    for log in logs:
        times = {line(each): each.time for each in log.events}
        found += [abs(times[a] - times[b]) / MINUTE for a, b in log.links]
    found.sort()
    return [found[int(len(found) * share)] for share in (0.5, 0.9, 0.95, 0.99)]


if __name__ == "__main__":
    given = [Path(each) for each in sys.argv[1:]] or [Path(__file__).parent.parent / "fixtures" / "irc"]
    logs = [read(path) for folder in given for path in sorted(folder.glob("*.raw.txt"))]
    print(json.dumps({"answers after, minutes": longest(logs)} | everything(given), indent=1))
