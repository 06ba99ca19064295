"""What was spooled before its exclusion is dropped by a command; what items have, and what holds cover, stays."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from archive_builder import Archive
from builders import BASE, HOUR, edit, say
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver import config as configuration
from archiver.config import Config
from archiver.decisions.excluding import Sieve
from archiver.events import SECOND, Captured
from archiver.exceptions import UsageError
from archiver.filing import sifting
from archiver.filing.weeding import Weeded, Weeding
from archiver.spool import FOREVER
from archiver.types import Exclusion

ALICE, BOB = "alice@example.org", "bob@example.org"
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
NOW = (BASE + 10 * HOUR) * SECOND


def config(**more: Any) -> Config:
    return configuration.parse({"directory": {"domains": ["example.org"]}, **more})


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Nothing can be filed: the store is too old for a group's history."""
    made = Archive(tmp_path, config(store={"version": "14.3.123.4"}))
    yield made
    made.spool.close()


def talk(room: str = "room", *, at: float = 0) -> list[Captured]:
    return [
        say(who, f"{room} {n}", at + n, id=f"{room}-{at}-{n}", room=room, present=[ALICE, BOB])
        for n, who in enumerate((ALICE, BOB))
    ]


def exclude(archive: Archive, room: str = "", person: str = "") -> Exclusion:
    wanted = Exclusion(0, "" if person else "test:one", "" if person else room, person, 0, None, "council", "agreed", 0)
    return archive.spool.add_exclusion(wanted, NOW)


def weed(archive: Archive, exclusion: Exclusion, *, dry: bool = False) -> list[Weeded]:
    whose = sifting.whose_of(archive.config)
    return list(Weeding(archive.spool, exclusion, whose, "council", "agreed", dry=dry).run(NOW))


def bodies(archive: Archive) -> list[str]:
    found = [each for room in archive.spool.rooms() for each in archive.spool.events(room.place, FOREVER)]
    return [each.event.id for each in found]


def states(archive: Archive) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in archive.spool.mailboxes():
        counts[each.state] = counts.get(each.state, 0) + each.deliveries
    return {state: count for state, count in counts.items() if count}


def test_what_no_item_has_is_dropped_for_good(archive: Archive) -> None:
    archive.take([*talk(), *talk("hall")], HOUR)
    assert states(archive) == {"withheld": 4}
    exclusion = exclude(archive, room="room")
    assert weed(archive, exclusion, dry=True) == [Weeded("test:one", "room", 2)]
    assert len(bodies(archive)) == 4
    assert weed(archive, exclusion) == [Weeded("test:one", "room", 2)]
    assert bodies(archive) == ["hall-0-0", "hall-0-1"]
    assert states(archive) == {"withheld": 2, "dropped": 2}
    assert archive.spool.totals().spooled == 2
    (told,) = (each for each in archive.spool.audits() if each.action == "excluded events dropped")
    assert (told.by, told.reason) == ("council", "agreed")
    assert told.details == {"exclusion": 1, "conversation": "room", "events": 2}
    assert [each.events for each in archive.spool.exclusions()] == [2]
    assert archive.take(talk(), 2 * HOUR).conversations == 0, "read again, it brings nothing back"
    assert weed(archive, exclusion) == []


def test_what_is_not_planned_yet_goes_too(archive: Archive) -> None:
    feed = archive.spool.open_feed("smtp:mail", "live", now=NOW).number
    archive.spool.append(talk(), feed, live=True, now=NOW)
    assert [each.events for each in weed(archive, exclude(archive))] == [2]
    assert archive.file(20 * HOUR).conversations == 0


def test_what_items_have_stays_and_so_do_they(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config())
    archive.take([*talk(), *talk(at=5 * HOUR)], 6 * HOUR)
    before = archive.items(ALICE), bodies(archive)
    assert weed(archive, exclude(archive)) == [Weeded("test:one", "room", 0, filed=4)]
    assert (archive.items(ALICE), bodies(archive)) == before
    archive.spool.close()


def test_of_a_person_their_words_go_and_the_rest_is_planned_anew(archive: Archive) -> None:
    archive.take(talk(), HOUR)
    assert [each.events for each in weed(archive, exclude(archive, person=ALICE))] == [1]
    archive.use(config())
    archive.spool.wake([ALICE, BOB], NOW)
    archive.file(11 * HOUR)
    (text,) = archive.texts(BOB)
    assert "room 1" in text and "room 0" not in text
    assert states(archive) == {"filed": 2, "superseded": 2}


@pytest.mark.parametrize(
    ("query", "stays"),
    [("", True), ("room", True), ("nothing of the kind", False), ("before:2000-01-01", False), ("kind:group", True)],
)
def test_what_a_hold_covers_stays(archive: Archive, query: str, stays: bool) -> None:
    archive.take([*talk(), *talk("hall", at=2 * HOUR)], 3 * HOUR)
    hold = archive.spool.place_hold(BOB, by="judge", reason="case", query=query, now=NOW)
    exclusion = exclude(archive, room="room")
    for dry in (True, False):
        (found,) = weed(archive, exclusion, dry=dry)
        assert found == (
            Weeded("test:one", "room", holds=(hold.number,)) if stays else Weeded("test:one", "room", events=2)
        )
    assert len(bodies(archive)) == (4 if stays else 2)
    archive.spool.release_hold(hold.number, by="judge", reason="over", now=NOW)
    assert [each.events for each in weed(archive, exclusion)] == ([2] if stays else [])


def test_a_hold_on_who_has_left_the_directory_counts(archive: Archive) -> None:
    eve = "eve@elsewhere.example"
    archive.take([*talk(), say(eve, "hi", 5, id="e", present=[ALICE, BOB, eve])], HOUR)
    archive.spool.place_hold(eve, by="judge", reason="case", now=NOW)
    (found,) = weed(archive, exclude(archive))
    assert found.events == 0 and found.holds == (1,)


def test_a_hold_that_is_placed_meanwhile_stops_it(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.take(talk(), HOUR)
    asked = archive.spool.standing_holds

    def standing_holds(mailboxes: Sequence[str]) -> Any:
        answer = asked(mailboxes)
        archive.spool.place_hold(BOB, by="judge", reason="case", now=NOW)
        return answer

    monkeypatch.setattr(archive.spool, "standing_holds", standing_holds)
    with pytest.raises(UsageError, match="placed meanwhile"):
        weed(archive, exclude(archive))
    assert len(bodies(archive)) == 2
    archive.spool.wake([ALICE], NOW)
    assert archive.spool.claim(NOW, 9), "the room is free again"


def test_a_room_that_is_just_being_filed_is_left_and_told(archive: Archive) -> None:
    archive.take(talk(), HOUR)
    archive.spool.wake([ALICE], NOW)
    leases = archive.spool.claim(NOW, 9)
    assert weed(archive, exclude(archive)) == [Weeded("test:one", "room", busy=True)]
    archive.spool.release(leases)
    assert len(bodies(archive)) == 2
    assert archive.spool.claim(NOW, 9), "as due as it was"


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["room", "hall"]), st.sampled_from([ALICE, BOB]), st.booleans()), max_size=12),
    st.sampled_from(["", "room"]),
    st.sampled_from(["", ALICE]),
)
def test_exactly_what_capture_would_have_left_out_goes(
    said: list[tuple[str, str, bool]], room: str, person: str
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        _drops_what_capture_would_have_left_out(Path(folder), said, room, person)


def _drops_what_capture_would_have_left_out(
    folder: Path, said: list[tuple[str, str, bool]], room: str, person: str
) -> None:
    archive = Archive(folder, config(history={"enabled": False}))
    events = [
        (edit(who, "x", "y", n, id=str(n), room=where) if edits else say(who, "y", n, id=str(n), room=where))
        for n, (where, who, edits) in enumerate(said)
    ]
    archive.take(events, HOUR)
    exclusion = exclude(archive, room=room, person=person)
    whose = sifting.whose_of(archive.config)
    kept = [each.event.id for each in events if Sieve([exclusion], whose).of(each, NOW) is None]
    weed(archive, exclusion)
    assert sorted(bodies(archive)) == sorted(kept)
    archive.spool.close()
