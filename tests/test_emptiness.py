"""Conversations without content are counted over the whole spool, whatever they become later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_builder import Archive
from builders import DAY, HOUR, join, leave, say
from click.testing import CliRunner

from archiver.cli import main


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path)
    yield made
    made.spool.close()


def test_joins_and_leaves_are_counted_and_not_filed(archive: Archive) -> None:
    tally = archive.take(
        [join("a@x.org", 0), leave("a@x.org", 9), join("b@x.org", HOUR), say("a@x.org", "x", DAY)], DAY
    )
    assert (tally.empty, tally.copies) == (2, 2)
    assert archive.spool.totals().empty == 2
    assert [(count.source, count.empty) for count in archive.spool.sources()] == [("test:one", 2)]


def test_a_conversation_that_grows_is_still_one(archive: Archive) -> None:
    archive.take([join("a@x.org", 0)], 60)
    archive.take([leave("a@x.org", 9)], 120)
    assert archive.spool.totals().empty == 1


def test_two_that_late_events_join_are_one(archive: Archive) -> None:
    archive.take([join("a@x.org", 0), leave("a@x.org", 900)], 960)
    assert archive.spool.totals().empty == 2
    archive.take([join("b@x.org", 450)], 1020)
    assert archive.spool.totals().empty == 1


def test_what_gets_content_is_no_longer_counted(archive: Archive) -> None:
    archive.take([join("a@x.org", 0)], 60)
    archive.take([say("a@x.org", "hello", 30)], 120)
    assert archive.spool.totals().empty == 0
    assert len(archive.items("a@x.org")) == 1


def test_doing_it_again_counts_nothing_twice(archive: Archive) -> None:
    archive.take([join("a@x.org", 0)], 60)
    archive.take([join("a@x.org", 0)], 90)
    archive.take([say("c@x.org", "elsewhere", 0, room="other")], 120)
    assert archive.spool.totals().empty == 1


def test_what_is_forgotten_stays_counted(archive: Archive) -> None:
    archive.take([join("a@x.org", 0), leave("a@x.org", 9)], 60)
    assert archive.forget(8 * DAY) == 2
    archive.take([join("b@x.org", 9 * DAY)], 9 * DAY + 60)
    assert archive.spool.totals().empty == 2


def test_a_conversation_of_strangers_is_not_one_without_content(archive: Archive) -> None:
    tally = archive.take([say("", "hello", 0)], 60)
    assert (tally.empty, tally.unowned) == (0, 1)
    assert archive.spool.totals().empty == 0


def test_looking_them_up_reads_the_sources_alone(archive: Archive) -> None:
    """Neither what is filed nor what is empty makes `status` slower."""
    with archive.spool._connections.reading() as connection:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        archive.spool.totals()
        connection.set_trace_callback(None)
    assert not [question for question in asked if "filing" in question or "delivery" in question.partition(" FROM ")[2]]


def test_status_says_so(archive: Archive, tmp_path: Path) -> None:
    archive.take([join("a@x.org", 0)], 60)
    archive.spool.close()
    said = CliRunner().invoke(main, ["--data", str(tmp_path), "status"]).output
    assert "1 conversation only of joins, leaves and topics" in said
    told = json.loads(CliRunner().invoke(main, ["--data", str(tmp_path), "status", "--json"]).output)
    assert told["totals"]["empty"] == 1
