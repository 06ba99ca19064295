"""Events that come after what they change was filed: in the end all is as if they had come in time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from archive_builder import FOLDER, Archive
from builders import DAY, HOUR, MINUTE, event, invite, join, leave, react, say

from archiver.events import Captured


def both_orders(folder: Path, late: Captured, others: Sequence[Captured], mailbox: str) -> tuple[list[str], list[str]]:
    """What a mailbox holds in the end where `late` came with the others, and where it came after they were filed."""
    found = []
    for name, turns in (("in time", [[late, *others]]), ("late", [others, [late]])):
        archive = Archive(folder / name)
        for turn in turns:
            archive.take(turn, 4 * HOUR)
        found.append(archive.texts(mailbox))
    return found[0], found[1]


TALK = [join("c@x.org", 0), say("a@x.org", "hello", 1), say("a@x.org", "for those here", HOUR)]


@pytest.mark.parametrize(
    ("late", "seeing"),
    [(leave("c@x.org", 5), {"a@x.org"}), (join("d@x.org", 5), {"a@x.org", "c@x.org", "d@x.org"})],
    ids=["leave", "join"],
)
@pytest.mark.parametrize("mailbox", ["a@x.org", "c@x.org", "d@x.org"])
def test_a_late_join_or_leave_decides_who_sees_later_conversations(
    tmp_path: Path, late: Captured, seeing: set[str], mailbox: str
) -> None:
    in_time, came_late = both_orders(tmp_path, late, TALK, mailbox)
    assert came_late == in_time
    assert any("for those here" in text for text in in_time) is (mailbox in seeing)


def test_a_late_message_before_a_conversation_says_who_did_not_miss_it(tmp_path: Path) -> None:
    both = ["a@x.org", "b@x.org"]
    asked = [say("a@x.org", "are you there?", 30 * MINUTE, where="im", present=both)]
    late = say("b@x.org", "back soon", 0, where="im", present=both)
    in_time, came_late = both_orders(tmp_path, late, asked, "b@x.org")
    assert len(in_time) == 2 and came_late == in_time


def test_a_late_topic_stands_in_later_items(tmp_path: Path) -> None:
    late = event("conversation.topic.changed", 5, "a@x.org", topic="holidays")
    in_time, came_late = both_orders(tmp_path, late, TALK, "a@x.org")
    assert came_late == in_time


def test_a_reference_alone_is_shown_as_found_though_what_was_before_came_late(tmp_path: Path) -> None:
    alone = [react("a@x.org", "unknown", "+", HOUR)]
    names = []
    for turns in ([[say("a@x.org", "hello", 0), *alone]], [alone, [say("a@x.org", "hello", 0)]]):
        archive = Archive(tmp_path / str(len(turns)))
        for turn in turns:
            archive.take(turn, 4 * HOUR)
        names.append({found.name for found in archive.store.items("a@x.org", FOLDER)})
    assert len(names[0]) == 2 and names[1] == names[0]


BOTH = ["a@x.org", "b@x.org"]


@pytest.mark.parametrize(
    ("missed", "then", "owner"),
    [
        (
            [say("a@x.org", "there?", 0, where="im", present=BOTH)],
            [say("b@x.org", "yes", 60, where="im"), say("a@x.org", "good", 61, where="im")],
            "b@x.org",
        ),
        (
            [say("a@x.org", "hello", 0), invite("a@x.org", "c@x.org", 1)],
            [join("c@x.org", 60), say("a@x.org", "welcome", 61)],
            "c@x.org",
        ),
    ],
    ids=["answered", "joined"],
)
def test_what_was_missed_only_so_far_is_seen_at_last(
    tmp_path: Path, missed: list[Captured], then: list[Captured], owner: str
) -> None:
    archive = Archive(tmp_path)
    archive.take(missed, HOUR)
    assert list(archive.items(owner)) == [""]
    archive.take(then, 2 * HOUR)
    assert list(archive.items(owner)) == ["S"], "as it would have been in time"


def test_what_is_still_missed_stays_unread(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.take([say("a@x.org", "there?", 0, where="im", present=BOTH)], HOUR)
    archive.take([say("a@x.org", "hello?", 60, where="im", present=BOTH)], 2 * HOUR)
    assert list(archive.items("b@x.org")) == [""]


# Those from before what is forgotten by now


def test_who_came_since_does_not_see_what_came_late(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    talk = [say("a@x.org", "one", 0), say("b@x.org", "two", 5), join("c@x.org", DAY), say("b@x.org", "three", DAY + 5)]
    archive.take(talk, 2 * DAY)
    assert archive.forget(10 * DAY) == 4
    archive.take([say("b@x.org", "before c came", 60), say("b@x.org", "hi", 11 * DAY)], 11 * DAY + HOUR)
    assert [any("before c came" in text for text in archive.texts(f"{who}@x.org")) for who in "abc"] == [1, 1, 0]
    assert not any("c@x.org" in text for text in archive.texts("a@x.org") if "before c came" in text)
    assert any("hi" in text for text in archive.texts("c@x.org")), "but what is said now"


def test_a_late_leave_does_not_take_away_who_came_back_since(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    talk = [say("a@x.org", "one", 0), say("b@x.org", "two", 5), leave("a@x.org", 6, id="first")]
    archive.take([*talk, join("a@x.org", DAY), say("b@x.org", "three", DAY + 5)], 2 * DAY)
    assert archive.forget(10 * DAY) == 5
    archive.take([leave("a@x.org", 100, id="late"), say("b@x.org", "welcome", 11 * DAY)], 11 * DAY + HOUR)
    (new,) = (text for text in archive.texts("a@x.org") if "welcome" in text)
    assert "- A <" in new, "there from before, and told so"
