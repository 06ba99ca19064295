"""What was said long ago and is retracted now: its item changes where it stands, though its events are forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from archive_builder import CONFIG, FOLDER, Archive
from builders import BASE, DAY, edit, event, react, retract, say

from archiver.assembly import terms_of
from archiver.events import SECOND, Captured
from archiver.filing import recall
from archiver.filing.pipeline import Filer
from archiver.rendering import lines_of


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


TALK = [
    say("a@x.org", "my secret", 0, id="m1", where="im", present=["a@x.org", "b@x.org"]),
    say("b@x.org", "thanks", 5, id="m2", where="im", present=["a@x.org", "b@x.org"]),
]
LATE = 30 * DAY
RETRACTED = retract("a@x.org", "m1", LATE, where="im", present=["a@x.org", "b@x.org"])


def test_a_late_retraction_replaces_the_item_where_it_stands(archive: Archive) -> None:
    archive.take(TALK, 60)
    assert archive.forget(8 * DAY) == 2
    (before,) = archive.items("b@x.org").values()
    assert b"my secret" in before
    archive.take([RETRACTED], LATE + 60)
    for mailbox in ("a@x.org", "b@x.org"):
        items = archive.items(mailbox)
        assert list(items) == ["S"], "one item as before, still seen"
        assert b"my secret" not in items["S"] and b"thanks" in items["S"]


def test_a_late_retraction_beside_a_reaction_to_the_same_message(archive: Archive) -> None:
    archive.take(TALK, 60)
    archive.forget(8 * DAY)
    archive.take([react("b@x.org", "m1", "+", LATE - 5, where="im"), RETRACTED], LATE + 60)
    assert not any("my secret" in text for text in archive.texts("b@x.org"))


@pytest.mark.parametrize("forgotten", [False, True], ids=["spooled", "forgotten"])
def test_a_late_retraction_takes_a_late_edit_s_text_too(archive: Archive, forgotten: bool) -> None:
    archive.take(TALK, 60)
    archive.forget(8 * DAY)
    archive.take([edit("a@x.org", "m1", "my other secret", 9 * DAY, where="im")], 9 * DAY + 60)
    assert any("my other secret" in text for text in archive.texts("a@x.org"))
    if forgotten:
        assert archive.forget(17 * DAY) == 1
    archive.take([RETRACTED], LATE + 60)
    for mailbox in ("a@x.org", "b@x.org"):
        items = [archive.store.read(mailbox, FOLDER, each.name) for each in archive.store.items(mailbox, FOLDER)]
        assert items and not any("secret" in text for text in archive.texts(mailbox))
        assert not any(b"secret" in line for item in items for line in lines_of(item))


@pytest.mark.parametrize("planted", ["forged", "giant", "damaged"])
def test_what_an_owner_put_in_their_items_place_changes_nobody_else_s(
    archive: Archive, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "LARGEST", 1_000_000)
    both = {"present": ["a@x.org", "b@x.org"]}
    archive.take([say("a@x.org", "my secret", 0, id="m1", **both), say("b@x.org", "thanks", 5, id="m2", **both)], 60)
    archive.forget(8 * DAY)
    (path,) = (archive.store.root / "x.org/a/.Conversation History/cur").iterdir()
    content = path.read_bytes()
    path.unlink()  # it is a link to the one inode of both
    path.write_bytes(content.replace(b"thanks", b"I agree") if planted == "forged" else b"Subject: nothing\n\n")
    if planted == "giant":
        os.truncate(path, 8 * 1024**3)
    archive.take([retract("a@x.org", "m1", LATE, **both)], LATE + 60)
    (text,) = archive.texts("b@x.org")
    assert "thanks" in text and "secret" not in text and "agree" not in text


def test_what_merely_names_a_message_does_not_stand_for_it(archive: Archive) -> None:
    pinned = event("message.pinned", DAY, "a@x.org", where="im", message={"id": "m1"})
    archive.take([*TALK, pinned], DAY + 60)
    assert archive.forget(9 * DAY) == 3
    archive.take([RETRACTED], LATE + 60)
    assert not any("my secret" in text for text in archive.texts("b@x.org"))


@pytest.mark.parametrize(
    "late",
    [
        edit("a@x.org", "m2", "our secret", LATE),
        react("b@x.org", "m2", "+", LATE),
        retract("a@x.org", "m2", LATE),
    ],
    ids=["edit", "reaction", "retraction"],
)
def test_what_refers_to_a_whisper_is_for_its_parties_though_it_is_forgotten(archive: Archive, late: Captured) -> None:
    people = ["a@x.org", "b@x.org", "c@x.org"]
    archive.take([say("a@x.org", "hello", 0, present=people), say("a@x.org", "psst", 5, id="m2", to=people[:2])], 60)
    assert archive.forget(8 * DAY) == 2
    before = {who: archive.texts(who) for who in people}
    archive.take([late], LATE + 60)
    assert archive.texts("c@x.org") == before["c@x.org"]
    for who in people[:2]:
        assert archive.texts(who) != before[who]
        assert not any("psst" in text for text in archive.texts(who)) or late.event.type != "message.retracted"


def test_doing_it_again_changes_nothing(archive: Archive) -> None:
    archive.take(TALK, 60)
    archive.forget(8 * DAY)
    archive.take([RETRACTED], LATE + 60)
    once = archive.texts("b@x.org")
    again = archive.take([react("b@x.org", "m1", "+", LATE + 90, where="im")], LATE + 120)
    assert again.items <= 2
    assert set(once) <= set(archive.texts("b@x.org"))


def test_an_item_its_owner_deleted_stays_deleted(archive: Archive) -> None:
    archive.take(TALK, 60)
    archive.forget(8 * DAY)
    (found,) = archive.store.items("b@x.org", FOLDER)
    archive.store.remove("b@x.org", FOLDER, found.name)
    archive.take([RETRACTED], LATE + 60)
    assert all(b"thanks" not in item for item in archive.items("b@x.org").values())
    assert b"my secret" not in archive.items("a@x.org")["S"]


def test_one_that_waits_because_the_old_item_cannot_be_kept_is_renewed_once_it_can(archive: Archive) -> None:
    archive.take(TALK, 60)
    archive.forget(8 * DAY)
    archive.spool.place_hold("b@x.org", by="legal", reason="case 7", now=BASE * SECOND)
    in_the_way = archive.spool.data / "archive"
    in_the_way.write_text("a file in its place")
    archive.take([RETRACTED], LATE + 60)
    for minutes in range(2, 9):
        assert b"my secret" in archive.items("b@x.org")["S"] and b"my secret" not in archive.items("a@x.org")["S"]
        assert [kept.mailbox for kept in archive.spool.withheld()] == ["b@x.org"]
        archive.spool.wake(["b@x.org"], (BASE + LATE) * SECOND + minutes * 60 * SECOND)
        archive.file(LATE + minutes * 60)
    in_the_way.unlink()
    archive.spool.wake(["b@x.org"], (BASE + LATE + 3600) * SECOND)
    archive.file(LATE + 3600)
    assert archive.spool.withheld() == []
    (item,) = archive.items("b@x.org").values()
    assert b"my secret" not in item and b"thanks" in item
    assert any(b"my secret" in kept for kept in archive.archived("b@x.org").values())


def test_a_forgotten_partial_place_keeps_only_who_may_still_be_there(archive: Archive) -> None:
    """Where leaves are not recorded, a roster must not grow by everybody who ever spoke."""
    events = [say(f"p{n}@x.org", "hello", n * 3600) for n in range(30)]
    now = (BASE + 2 * DAY) * SECOND
    feed = archive.spool.open_feed("partial", "import", partial=True, now=now)
    archive.spool.append(events, feed.number, now=now)
    archive.spool.close_feed(feed.number, now)
    terms_filer = Filer(archive.spool, archive.spool, archive.store, archive.archive, terms_of(CONFIG))
    terms_filer.run(archive.spool.claim(now, 10), now)
    assert archive.forget(10 * DAY) == 30
    later = (BASE + 11 * DAY) * SECOND
    archive.spool.append([say("late@x.org", "hi", 11 * DAY)], feed.number, now=later)
    archive.spool.close_feed(feed.number, later)
    (lease,) = archive.spool.claim(later, 10)
    assert len(lease.roster.present) <= 1
