"""Before it is known whether anybody is archived everything is kept; then what nobody has goes, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from archive_builder import Archive
from builders import DAY, HOUR, join, say
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_archiving import ALICE, BOB, CAROL, TOO_OLD, config, talk

from archiver.events import Captured

EVE, MALLORY = "eve@elsewhere.example", "mallory@elsewhere.example"
FILED = 2 * HOUR
"""When what is said at the beginning is filed."""
OVER = FILED + 24 * HOUR


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path, config())
    yield made
    made.spool.close()


def strangers(at: float = 0) -> list[Captured]:
    """In our room, but none of ours."""
    return talk(at=at, room="room", who=(EVE, MALLORY))


def left(archive: Archive) -> int:
    return archive.spool.totals().spooled


def test_what_nobody_has_archived_goes_when_the_interval_is_over_and_not_before(archive: Archive) -> None:
    archive.take(strangers(), FILED)
    assert archive.forget(OVER - 1) == 0
    assert archive.forget(FILED - DAY) == 0  # a clock that jumps back
    assert archive.forget(OVER + 1) == 2


def test_the_interval_is_the_configuration_s(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(archiving={"archive": "im", "cache_purge_hours": 4}))
    archive.take(strangers(), FILED)
    assert archive.forget(FILED + 4 * HOUR - 1) == 0
    assert archive.forget(FILED + 4 * HOUR + 1) == 2
    archive.spool.close()


@settings(max_examples=15, deadline=None)
@given(hours=st.integers(4, 168), off=st.integers(-400 * HOUR, 400 * HOUR), one_of_ours=st.booleans())
@example(hours=4, off=-1, one_of_ours=False)
@example(hours=168, off=1, one_of_ours=False)
def test_no_never_removes_an_event_whose_interval_is_not_over(hours: int, off: int, one_of_ours: bool) -> None:
    with TemporaryDirectory() as data:
        archive = Archive(Path(data), config(archiving={"archive": "im", "cache_purge_hours": hours}))
        archive.take(talk(who=(EVE, BOB)) if one_of_ours else strangers(), FILED)
        gone = archive.forget(FILED + hours * HOUR + off, window=10_000 * HOUR)
        assert gone == (2 if off > 0 and not one_of_ours else 0) or off == 0
        archive.spool.close()


def test_a_longer_one_keeps_what_history_would_let_go(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(archiving={"archive": "im", "cache_purge_hours": 168}))
    archive.take(talk(who=(BOB, CAROL)), FILED)
    assert archive.forget(FILED + 7 * DAY - 1, window=DAY) == 0
    assert archive.forget(FILED + 7 * DAY + 1, window=DAY) == 2
    archive.spool.close()


def test_where_nothing_is_archived_nothing_is_dropped_early(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.take([join("carol", 0)], FILED)
    archive.use(config(archiving={"archive": "none"}))
    archive.take(strangers(at=HOUR), 2 * FILED)
    assert archive.forget(2 * FILED + 6 * DAY) == 0
    assert archive.forget(2 * FILED + 8 * DAY) == 3
    archive.spool.close()


def test_one_archived_participant_is_enough_to_keep_it(archive: Archive) -> None:
    archive.take(talk(who=(EVE, ALICE)), FILED)
    assert archive.forget(OVER + 1) == 0
    assert archive.forget(FILED + 8 * DAY) == 2


def test_what_somebody_s_history_can_still_be_continued_with_stays(archive: Archive) -> None:
    """Bob isn't archived, but has an item of it."""
    archive.take(talk(who=(BOB, CAROL)), FILED)
    assert archive.forget(OVER + 1) == 0
    archive.take([say(BOB, "later", 5, id="l", present=[BOB, CAROL])], FILED + 3 * DAY)
    assert [text.count("later") for text in archive.texts(CAROL)] == [1]
    assert len(archive.items(CAROL)) == 1


def test_what_somebody_s_history_still_waits_for_stays(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(history={"enabled": False}))
    archive.take(talk(who=(BOB, CAROL)), FILED)
    assert archive.forget(FILED + 100 * DAY) == 0
    archive.spool.close()


def test_what_the_archive_still_waits_for_stays(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(TOO_OLD))
    archive.take(talk(who=(EVE, ALICE)), FILED)
    assert archive.forget(FILED + 100 * DAY) == 0
    archive.spool.close()


def test_before_it_is_known_everything_is_kept(archive: Archive) -> None:
    """A meeting that isn't over: somebody archived may still come."""
    meeting = [say(EVE, "hello", 0, id="e", session="s", where="conference", room="m")]
    feed = archive.spool.open_feed("import:open", "import", now=0)
    archive.spool.append(meeting, feed.number, now=0)
    assert archive.forget(30 * DAY) == 0
    assert left(archive) == 1
    later = say(ALICE, "hi", 60, id="a", session="s", where="conference", room="m")
    archive.spool.append([later], feed.number, now=0)
    archive.spool.close_feed(feed.number, 0)
    archive.file(10 * HOUR)
    (item,) = archive.archived(ALICE).values()
    assert b"hello" in item


def test_who_was_there_is_known_when_it_is_dropped(archive: Archive) -> None:
    archive.take([join(EVE, 0, id="j"), say(EVE, "anybody?", 1, id="1"), say(EVE, "no", 2, id="2")], FILED)
    assert archive.forget(OVER + 1) == 3
    archive.take([join(ALICE, 30 * HOUR), say(ALICE, "hi", 30 * HOUR + 1, id="3")], 40 * HOUR)
    (item,) = archive.archived(ALICE).values()
    assert b"eve@elsewhere.example" in item
