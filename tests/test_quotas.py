"""A mailbox that may hold only so much: what is too much waits with its reason, and is filed by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_builder import FOLDER, Archive
from builders import BASE, HOUR, MINUTE, say

from archiver import config as configuration
from archiver.config import Config
from archiver.daemon import job as daemon_job
from archiver.daemon.job import Job
from archiver.decisions.planning import FULL
from archiver.events import SECOND, Captured

ALICE, BOB = "alice@example.org", "bob@example.org"
MIB = 1024 * 1024


def config(quota: str = "1MiB", **more: Any) -> Config:
    return configuration.parse({"mailbox": [{"address": ALICE, "quota": quota}], **more})


def talk(room: str, at: float = 0, text: str = "hello") -> list[Captured]:
    return [
        say(one, text, at + n, id=f"{room}-{at}-{n}", room=room, present=[ALICE, BOB])
        for n, one in enumerate((ALICE, BOB))
    ]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path, config())
    yield made
    made.spool.close()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the job's clock, in seconds after BASE."""
    return lambda seconds: monkeypatch.setattr(daemon_job, "clock", lambda: round((BASE + seconds) * SECOND))


def fill(archive: Archive, size: int, mailbox: str = ALICE) -> Path:
    """Mail of its owner's own, in a folder of theirs."""
    folder = archive.spool.data / "mail" / "example.org" / mailbox.partition("@")[0] / ".Holiday" / "cur"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "1.photo:2,S"
    path.write_bytes(b"x" * size)
    return path


def test_where_there_is_room_nothing_waits(archive: Archive) -> None:
    fill(archive, MIB // 2)
    assert archive.take(talk("one"), HOUR).copies == 2


def test_what_is_too_much_waits_with_its_reason_and_keeps_nobody_else_waiting(archive: Archive) -> None:
    fill(archive, MIB)
    fill(archive, MIB, BOB)
    tally = archive.take(talk("one"), HOUR)
    assert (tally.copies, tally.withheld, tally.failed, tally.parked) == (1, 1, 0, 0)
    assert len(archive.items(BOB)) == 1 and not archive.items(ALICE)
    (kept,) = archive.spool.withheld()
    assert (kept.mailbox, kept.reason) == (ALICE, f"{FULL}{ALICE} is over its quota of 1 MiB")
    assert kept.bytes > 0


def test_a_run_counts_what_it_files_itself(archive: Archive) -> None:
    """Many small items in one run: not all of them fit."""
    archive.take(talk("first"), HOUR)
    (item,) = archive.items(ALICE).values()
    fill(archive, MIB - len(item) - 3 * len(item) - 200)
    events = [each for n in range(6) for each in talk(f"room{n}", 2 * HOUR)]
    tally = archive.take(events, 4 * HOUR)
    assert tally.withheld == 3 and tally.copies == 6 + 3
    held = sum(found.size for folder in archive.store.folders(ALICE) for found in archive.store.items(ALICE, folder))
    assert held <= MIB


def test_what_takes_another_ones_place_needs_no_more_room_than_it_adds(archive: Archive) -> None:
    archive.take(talk("one"), HOUR)
    (item,) = archive.items(ALICE).values()
    fill(archive, MIB - len(item) - 2_000)
    archive.take([say(BOB, "more", 5, id="more", room="one", present=[ALICE, BOB])], HOUR + 60)
    assert [text.count("more") for text in archive.texts(ALICE)] == [1]


def test_an_older_version_stays_until_there_is_room_for_the_newer(archive: Archive) -> None:
    archive.take(talk("one"), HOUR)
    path = fill(archive, MIB)
    archive.take([say(BOB, "more", 5, id="more", room="one", present=[ALICE, BOB])], HOUR + 60)
    assert [text.count("more") for text in archive.texts(ALICE)] == [0]
    path.unlink()
    archive.spool.wake([ALICE], BASE * SECOND)
    archive.file(2 * HOUR)
    assert [text.count("more") for text in archive.texts(ALICE)] == [1]


def test_the_daemon_files_it_by_itself_once_its_owner_made_room(archive: Archive, at: Callable[[float], None]) -> None:
    path = fill(archive, MIB)
    for n in range(5):
        archive.take(talk(f"room{n}", n * HOUR), (n + 1) * HOUR)
    job = Job(archive.spool, archive.config, archive.spool.data)
    for minute in range(10):
        at(6 * HOUR + minute * MINUTE)
        assert job.file().withheld == 1  # one conversation asks for all
        assert job.file().conversations == 0
    path.unlink()
    at(7 * HOUR)
    assert job.file().copies == 1
    at(7 * HOUR + MINUTE)
    assert job.file().copies == 4
    assert not archive.spool.withheld() and not archive.spool.parked_filings()
    assert len(list(archive.store.items(ALICE, FOLDER))) == 5


def test_a_larger_quota_counts_from_the_next_round_on(archive: Archive, at: Callable[[float], None]) -> None:
    fill(archive, MIB)
    archive.take(talk("one"), HOUR)
    job = Job(archive.spool, config("2MiB"), archive.spool.data)
    at(2 * HOUR)
    assert job.file().copies == 1


def test_without_a_quota_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path, configuration.parse({}))
    fill(archive, MIB)
    monkeypatch.setattr(type(archive.store), "items", lambda *_: pytest.fail("it was looked into"))
    assert archive.take(talk("one"), HOUR).copies == 2
    archive.spool.close()
