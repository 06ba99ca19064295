"""The whole in numbers, from a real spool: a conversation counts once, and what waits is told with its age."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import BASE, DAY, HOUR, say
from click.testing import CliRunner

from archiver.cli import main
from archiver.events import SECOND
from archiver.spool import Spool
from archiver.spool.figures import BOUNDS
from archiver.spool.records import Figures, RoomFigure

NOW = (BASE + 10 * DAY) * SECOND


def filed(data: Path, *events) -> None:
    file = data / "events.ndjson"
    data.mkdir(exist_ok=True)
    file.write_bytes(b"".join(event.body + b"\n" for event in events))
    outcome = CliRunner().invoke(main, ["--data", str(data), "backfill", "events", str(file)])
    assert outcome.exit_code == 0, outcome.output


def figures(data: Path, now: int = NOW) -> Figures:
    with Spool.open(data, readonly=True) as spool:
        return spool.figures(now)


TALK = (
    say("a@example.org", "one", 0),
    say("b@example.org", "two", 1),
    say("a@example.org", "another", 2 * HOUR),
    say("a@example.org", "in a hall", 3 * HOUR, room="hall"),
    say("a@example.org", "next day", DAY),
    say("a@example.org", "between us", 3 * DAY, room="a b", where="im"),
)


def test_conversations_are_counted_by_day_and_room(tmp_path: Path) -> None:
    filed(tmp_path, *TALK)
    found = figures(tmp_path)
    first = BASE // DAY
    assert found.days == ((first, 3), (first + 1, 1), (first + 3, 1))
    assert found.rooms == (RoomFigure("test:one", "room", "group", 3), RoomFigure("test:one", "hall", "group", 1))
    assert found.latencies == (0,) * len(BOUNDS) + (5,), "read long after it was said"
    assert found.waiting == ()


def test_a_continued_conversation_is_one(tmp_path: Path) -> None:
    filed(tmp_path, *TALK)
    filed(tmp_path, say("b@example.org", "late", 2))
    assert sum(count for _, count in figures(tmp_path).days) == 5


def test_what_waits_is_told_with_its_age(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as spool:
        feed = spool.open_feed("smtp:x", "live", now=BASE * SECOND)
        spool.append(TALK, feed.number, live=True, now=(BASE + 4 * DAY) * SECOND)
    assert figures(tmp_path, BASE * SECOND).waiting == ()
    (waiting,) = figures(tmp_path).waiting
    assert waiting.source == "test:one" and waiting.places == 3
    assert 5 * DAY * SECOND < waiting.longest <= 10 * DAY * SECOND


@pytest.mark.parametrize("now", [0, NOW])
def test_an_empty_spool_has_nothing(tmp_path: Path, now: int) -> None:
    Spool.open(tmp_path).close()
    assert figures(tmp_path, now) == Figures((), (), (0,) * (len(BOUNDS) + 1), ())
