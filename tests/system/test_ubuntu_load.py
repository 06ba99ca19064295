"""Years of #ubuntu into a thousand mailboxes: every message once in the folder of its author and of all who were there
beyond doubt, in none of those who weren't, and a second run files nothing.

Counted through Python's own mailbox; what was said, by whom and when is read from the raw logs by crude patterns.
"""

from __future__ import annotations

import csv
import json
import mailbox
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pytest

from system.archives import FIXTURES, FOLDER, archiver, events_of, listing, parsed

pytestmark = pytest.mark.slow

LOAD = sorted((FIXTURES / "irc" / "ubuntu-load").glob("*.raw.txt"))
DEV = [*sorted((FIXTURES / "irc" / "dev").glob("*.raw.txt")), *sorted((FIXTURES / "irc").glob("20*_*.raw.txt"))]
SAID = re.compile(rb"^\[\d\d:\d\d\] (?:<(?P<nick>[^>]+)>|-(?P<who>[^:\s]+):#\S+-)(?: (?P<text>.*))?$")
FORMATTING = re.compile("\x03(?:\\d{1,2}(?:,\\d{1,2})?)?|[\x02\x0f\x11\x16\x1d\x1e\x1f]")
NICK = re.compile(
    rb"^=== (.{1,40}?) is now known as (.+)|^=== (.{1,40}?) ?\[\S+\]  has "
    rb"|^===  ?(?:\* )?(\S+)|^\[\d\d:\d\d\]  \* (\S+)"
)
ACTED = re.compile(rb"^\[\d\d:\d\d\]  \* (?P<nick>\S+)(?: (?P<text>.*))?$")
BARE = re.compile(rb"^=== (?P<nick>\S+) (?P<text>(?!.*(?:has (?:joined|left|quit) |is now known as )).*)$")
"""As the earliest logs tell actions, and much of what the system says."""
CLOCK = re.compile(rb"^\[\d\d:\d\d\]")
DAY = 24 * 60
SURE, DOUBT = 10, 60
"""Minutes: who spoke twice within so many was there between; who did nothing for so many can't be said to be there."""
MAILBOXES = 1_000


def decoded(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("windows-1252", "replace")
    return FORMATTING.sub("", text).replace("\0", "\ufffd")


def owner_of(nick: str) -> str:
    return f"u{crc32(nick.casefold().encode()) % MAILBOXES}@example.org"


class Line(NamedTuple):
    """`at` in minutes since year 1; `nicks` are those who did something: of two, the second is the first's new one.
    `said` is a message, by `words`; where it isn't `sure`, the system may have said it."""

    at: int
    nicks: tuple[str, ...]
    said: str | None = None
    sure: bool = True


def words(nick: str, text: str) -> str:
    """Author and text with no blanks: of actions, those logs don't tell where the one ends."""
    return "".join(f"{nick}{text.removeprefix('/me')}".split())


def line_of(raw: bytes, at: int) -> Line:
    match = SAID.match(raw) or ACTED.match(raw) or BARE.match(raw)
    if match is not None:
        nick = decoded(match["nick"] or match["who"]).replace(" ", "")
        return Line(at, (nick,), words(nick, decoded(match["text"] or b"")), match.re is not BARE)
    match = NICK.match(raw)
    return Line(at, tuple(decoded(each).replace(" ", "") for each in match.groups() if each) if match else ())


def lines_of(path: Path) -> list[Line]:
    """The clock goes on over midnight, and stands where it goes back; lines without a time have the last one."""
    begin = date.fromisoformat(path.name[:10]).toordinal() * DAY
    raws = path.read_bytes().splitlines()
    now = begin + next(int(raw[1:3]) * 60 + int(raw[4:6]) for raw in raws if CLOCK.match(raw))
    lines = []
    for raw in raws:
        if CLOCK.match(raw):
            at = now - now % DAY + int(raw[1:3]) * 60 + int(raw[4:6])
            now = max(now, at if at > now - DAY // 2 else at + DAY)
        lines.append(line_of(raw, now))
    return lines


class Seen(NamedTuple):
    """Numbers of messages: those that a mailbox has in any case, and those that it may have."""

    least: set[int]
    most: set[int]


def seen(logs: Sequence[Sequence[Line]]) -> tuple[list[str], dict[str, Seen]]:
    """All messages, and what of them each mailbox has seen.

    In any case its own, and those in the minutes between two of one nick's own that are `SURE` apart at most, with
    nothing else of it between. None that lies over `DOUBT` behind everything that its nicks did, or those that they
    were before or came to be.
    """
    told = [line for log in logs for line in log if line.said is not None]
    numbers = sorted(range(len(told)), key=lambda number: told[number].at)
    times = [told[number].at for number in numbers]
    found: dict[str, Seen] = {}
    acts: dict[str, set[int]] = {}
    number = 0
    for log in logs:
        last: dict[str, Line] = {}
        same = renamed(log)
        for line in log:
            for nick in line.nicks:
                for owner in map(owner_of, same.get(nick.casefold(), (nick,))):
                    acts.setdefault(owner, set()).add(line.at)
            if line.said is not None:
                (nick,) = line.nicks
                if line.sure:
                    mine = found.setdefault(owner_of(nick), Seen(set(), set())).least
                    mine.add(number)
                    before = last.get(nick, line)
                    if before.said is not None and before.sure and line.at - before.at <= SURE:
                        mine.update(numbers[bisect_right(times, before.at) : bisect_left(times, line.at)])
                number += 1
            last.update(dict.fromkeys(line.nicks, line))
    doubtful = {number for number, line in enumerate(told) if not line.sure}
    for owner, each in found.items():
        each.least.difference_update(doubtful)
        for at in acts[owner]:
            each.most.update(numbers[bisect_left(times, at) : bisect_right(times, at + DOUBT)])
    return [line.said or "" for line in told], found


def renamed(log: Iterable[Line]) -> dict[str, set[str]]:
    """Every nick that was changed, with all that may be the same person's."""
    same: dict[str, set[str]] = {}
    for line in log:
        if len(line.nicks) == 2:
            all_ = set[str]().union(*(same.get(nick, {nick}) for nick in map(str.casefold, line.nicks)))
            same.update(dict.fromkeys(all_, all_))
    return same


def all_nicks(logs: Iterable[Iterable[Line]]) -> set[str]:
    return {nick for log in logs for line in log for nick in line.nicks}


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    data = tmp_path_factory.mktemp("load")
    people = data / "people.csv"
    with people.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("address", "mailbox"))
        folded = {nick.casefold(): nick for nick in sorted(all_nicks(map(lines_of, LOAD + DEV)))}
        rows.writerows((nick, owner_of(nick)) for nick in folded.values())
    config = data / "archiver.toml"
    config.write_text(f"[directory]\nfile = '{people}'\n")
    run(data / "data", config)
    return data / "data", config


def run(data: Path, config: Path) -> dict[str, int]:
    named = ("--channel", "#ubuntu", "--network", "libera", *map(str, LOAD + DEV))
    report = json.loads(archiver(data, "backfill", "irc", "--json", *named, config=config, timeout=900))
    return dict(report)


def test_every_message_is_in_the_folder_of_all_who_saw_it_once(filed: tuple[Path, Path]) -> None:
    data, _ = filed
    messages, wanted = seen([lines_of(path) for path in LOAD + DEV])
    assert len(messages) > 55_000
    assert len(list((data / "mail" / "example.org").iterdir())) == len(wanted) > 950
    for owner, (least, most) in wanted.items():
        folder = mailbox.Maildir(data / "mail" / "example.org" / owner.partition("@")[0], create=False)
        items = folder.get_folder(FOLDER)
        events = [event for key in items.keys() for event in events_of(parsed(items.get_bytes(key)))]  # noqa: SIM118
        sent = [event for event in events if event["type"] == "message.sent"]
        assert len({event["id"] for event in sent}) == len(sent), owner
        found = Counter(words(e["data"]["actor"]["address"], e["data"]["message"]["text"]) for e in sent)
        missing = Counter(messages[number] for number in least) - found
        beyond = found - Counter(messages[number] for number in most)
        assert (missing, beyond) == (Counter(), Counter()), owner
    others = sum(len(least) for least, _ in wanted.values()) - len(messages)
    assert others > 100_000, "what is beyond doubt is more than everybody's own"


def test_a_second_run_files_nothing(filed: tuple[Path, Path]) -> None:
    data, config = filed
    before = {name: stamp for name, (stamp, _) in listing(data).items()}
    report = run(data, config)
    assert report["skipped"] == len(LOAD) + len(DEV), "known by their content, and not read"
    assert report["accepted"] == report["conflicts"] == report["quarantined"] == 0
    assert {name: stamp for name, (stamp, _) in listing(data).items()} == before
