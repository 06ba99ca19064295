"""Backfills of some rooms and some time: nobody misses what they could see, and all together give what one gives."""

from __future__ import annotations

import json
import mailbox
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from builders import BASE, DAY, event, join, leave, rename, say
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from archiver.conversations.presence import Attendance
from archiver.conversations.rules import Rules
from archiver.events import SECOND, SENT, Captured, Rejected, capture, moment, ndjson
from archiver.selection import EARLIER, LATER, OTHER_ROOMS, Picking, Selection
from archiver.spool import seal
from archiver.types import Roster

Call = Callable[..., Result]
ANN, BOB, CAROL = "ann@example.org", "bob@example.org", "carol@example.org"
ROOMS = ("plans", "lunch", "plans-old")


def on(day: float) -> str:
    return f"{moment(round((BASE + day * DAY) * SECOND)):%Y-%m-%dT%H:%M:%S}"


def history() -> list[Captured]:
    """Ten days of three rooms: Ann and Bob talk, Carol came at the beginning and never says anything."""
    found = []
    for room in ROOMS:
        found += [
            event("participant.joined", n, who, id=f"{room} came {n}", room=room)
            for n, who in enumerate((ANN, BOB, CAROL))
        ]
        for day in range(1, 11):
            for n, who in enumerate((ANN, BOB)):
                found.append(say(who, f"{room} {day} {n}", day * DAY + n, id=f"{room}{day}{n}", room=room))
        found.append(
            event(
                "message.reacted",
                9 * DAY + 50,
                ANN,
                id=f"{room} +1",
                room=room,
                message={"id": f"{room}30"},
                reaction="+1",
            )
        )
    return sorted(found, key=lambda each: each.time)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.ndjson"
    path.write_bytes(ndjson(history()) + b"{broken\n")
    return path


def texts(data: Path) -> dict[str, Counter[str]]:
    """What each mailbox's items say, and how often."""
    found: dict[str, Counter[str]] = {}
    for folder in (data / "mail").glob("*/*/.*"):
        words = found.setdefault(f"{folder.parts[-2]}@{folder.parts[-3]}", Counter())
        for item in mailbox.Maildir(folder, create=False):
            (plain,) = (part for part in item.walk() if part.get_content_type() == "text/plain")
            body = plain.get_payload(decode=True)
            assert isinstance(body, bytes)
            words.update(re.findall(r"\b(?:plans|lunch|plans-old) \d+ \d$", body.decode(), re.MULTILINE))
    return found


def test_some_rooms_and_some_days_are_filed_for_all_who_were_there(call: Call, log: Path, tmp_path: Path) -> None:
    done = json.loads(
        call("backfill", "--json", log, "--room", "plans", "--from", on(3), "--until", on(5), status=1).stdout
    )
    assert (done["accepted"], done["quarantined"]) == (4, 1)
    assert done["ignored"] == {OTHER_ROOMS: 2 * 24, EARLIER: 7, LATER: 13}
    wanted = Counter([f"plans {day} {n}" for day in (3, 4) for n in (0, 1)])
    assert texts(tmp_path / "data") == {ANN: wanted, BOB: wanted, CAROL: wanted}
    told = call("backfill", "--report", done["run"]).stdout
    assert "48 events of other rooms, left out (--room)" in told
    assert "7 events from before, left out (--from)" in told and "13 events from later, left out (--until)" in told
    assert "that say nothing" not in told
    since, until = (on(day).replace("T", " ") for day in (3, 5))
    assert f"Only of plans; from {since} on (UTC); before {until} (UTC)." in told


def test_a_room_that_is_not_there_is_said_to_be_none(call: Call, log: Path) -> None:
    assert "NO ROOM is called so" in call("backfill", log, "--room", "lanch", status=1).stdout
    assert "NO ROOM" not in call("backfill", log, "--room", "lunch", "--until", "1990-01-01", status=1).stdout


@pytest.mark.parametrize(
    "runs",
    [
        [("--room", "plans*", "--until", on(5)), ("--room", "lunch", "--from", on(2)), ()],
        [("--from", on(6)), ("--until", on(3)), ("--from", on(3), "--until", on(6))],
        [("--room", "lunch"), ("--room", "plans", "--room", "plans-old")],
    ],
)
def test_what_was_left_out_comes_with_the_next_and_nothing_twice(
    call: Call, log: Path, tmp_path: Path, runs: list[tuple[str, ...]]
) -> None:
    for options in runs:
        assert json.loads(call("backfill", "--json", log, *options, status=1).stdout)["skipped"] == 0
    every = Counter(f"{room} {day} {n}" for room in ROOMS for day in range(1, 11) for n in (0, 1))
    assert texts(tmp_path / "data") == {ANN: every, BOB: every, CAROL: every}
    again = json.loads(call("backfill", "--json", log, status=1 if options else 0).stdout)
    assert again["accepted"] == 0 and again["skipped"] == (not options)


def test_a_dry_run_looks_at_the_same_and_names_the_rooms_as_the_option_wants_them(call: Call, log: Path) -> None:
    found = json.loads(
        call("backfill", "--json", log, "--dry-run", "--room", "lunch", "--until", on(2), status=1).stdout
    )
    (only,) = found["formats"]
    assert [room["conversation"] for room in only["rooms"]] == ["lunch"] and only["events"] == 3 + 2
    assert only["ignored"] == {OTHER_ROOMS: 48, LATER: 19}
    said = call("backfill", log, "--dry-run", status=1).stdout
    assert "plans-old" in said


def test_who_wrote_another_time_is_not_asked_for(call: Call, log: Path, tmp_path: Path) -> None:
    """In that second only Ann said something."""
    ours = f"[directory.people]\n'{ANN}' = '{ANN}'\n"
    assert "1 person who wrote have no mailbox here (Bob" in call("backfill", log, config=ours, status=2).stderr
    call("backfill", log, "--from", on(1), "--until", on(1 + 1 / DAY), config=ours, status=1)
    assert texts(tmp_path / "data") == {ANN: Counter(f"{room} 1 0" for room in ROOMS)}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--from", "2024-02-01", "--until", "2024-02-01"), "--until must be after --from"),
        (("--from", "yesterday"), "is not a date"),
        (("--room", " "), "is empty"),
    ],
)
def test_what_can_not_be_meant_is_refused(call: Call, log: Path, options: tuple[str, ...], why: str) -> None:
    assert why in call("backfill", log, *options, status=2).stderr


@pytest.mark.parametrize("what", ["--undo", "--refile"])
@pytest.mark.parametrize("only", [("--room", "lunch"), ("--from", "2024-02-01"), ("--until", "2024-02-01")])
def test_a_run_is_taken_back_or_filed_anew_whole(
    call: Call, log: Path, tmp_path: Path, what: str, only: tuple[str, str]
) -> None:
    call("backfill", log, status=1)
    filed = texts(tmp_path / "data")
    said = call("backfill", what, 1, *only, "--by", "Ann", "--reason", "wrong room", status=2)
    assert "are for whole runs" in said.stderr and texts(tmp_path / "data") == filed


@given(st.sampled_from(history()), st.sets(st.integers(0, 11), max_size=4))
def test_of_ranges_that_meet_each_event_is_in_one(captured: Captured, days: set[int]) -> None:
    cuts = [None, *((BASE + day * DAY) * SECOND for day in sorted(days)), None]
    found = [Selection((), since, until).passes_over(captured) for since, until in pairwise(cuts)]
    at = [since is None or since <= captured.time for since in cuts[:-1]].count(True) - 1
    assert found == [LATER] * at + [""] + [EARLIER] * (len(found) - at - 1)


# --- who was there


WHO = st.sampled_from([ANN, BOB, CAROL, "dan@example.org"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), WHO, st.none() | st.lists(WHO, min_size=1, unique=True)),
        st.tuples(st.just("join"), WHO, st.none()),
        st.tuples(st.just("leave"), WHO, st.none()),
        st.tuples(st.just("rename"), WHO, WHO),
    ),
    max_size=25,
)


def happened(steps: list[Any]) -> list[Captured]:
    """One after the other, a second apart."""
    found = []
    for at, (what, who, more) in enumerate(steps):
        if what == "say":
            found.append(say(who, f"{at}", at, present=None if more is None else sorted({*more, who})))
        elif what == "rename":
            found.append(rename(who, more, at))
        else:
            found.append((join if what == "join" else leave)(who, at))
    return found


def picked(events: list[Captured], selection: Selection, *, partial: bool = False) -> list[Captured]:
    picking = Picking(selection, Rules(), partial=partial)
    pieces = [picking.of(each) for each in events]
    return [piece for piece, why in pieces if isinstance(piece, Captured) and not why]


def seen(events: list[Captured]) -> tuple[dict[str, set[str]], set[str]]:
    """Who was there at each thing said, and in the end."""
    attendance, found = Attendance(Roster(), None), {}
    for ordinal, each in enumerate(events):
        attendance.apply(each.event, each.time, ordinal)
        if each.event.type == SENT:
            found[each.event.id] = set(attendance.here)
    return found, set(attendance.here)


@given(STEPS, st.integers(0, 25), st.integers(0, 25))
def test_who_sees_what_is_said_is_as_if_all_had_been_read(steps: list[Any], since: int, length: int) -> None:
    """And who was there and is gone hears nothing that comes live later, if it was said that they went."""
    events = happened(steps)
    first, last = ((BASE + at) * SECOND for at in (since, since + length))
    taken = picked(events, Selection((), first, last))
    (some, left), (every, present) = seen(taken), seen(events)
    assert some == {id: who for id, who in every.items() if any(each.event.id == id for each in taken)}
    if not any(each.time >= last and each.event.data.conversation.participants for each in events):
        assert left <= present


@given(STEPS, st.integers(0, 25))
def test_what_is_taken_is_what_happened_and_the_same_event_when_it_comes_again(steps: list[Any], since: int) -> None:
    events = happened(steps)
    wanted = [each for each in events if each.time >= (BASE + since) * SECOND]
    taken = picked(events, Selection((), (BASE + since) * SECOND))
    assert [seal(each).digest for each in taken] == [seal(each).digest for each in wanted]
    for each in taken:
        assert capture(each.body, received=each.received).event == each.event


def members(captured: Captured) -> list[str]:
    return [each.address for each in captured.event.data.conversation.participants or ()]


def test_members_that_only_the_first_message_names_get_what_is_said_later(call: Call, tmp_path: Path) -> None:
    """As in exports of Slack: Carol never says anything, Dan left before."""
    log = tmp_path / "log.ndjson"
    there = [ANN, BOB, CAROL, "dan@example.org"]
    said = [say(ANN, f"plans {day} 0", day * DAY, id=f"{day}") for day in range(2, 9)]
    first = say(ANN, "plans 1 0", DAY, id="1", present=there, topic="#plans")
    log.write_bytes(ndjson([first, leave("dan@example.org", 2.5 * DAY), *said]))
    call("backfill", log, "--from", on(4), "--until", on(6))
    wanted = Counter(["plans 4 0", "plans 5 0"])
    assert texts(tmp_path / "data") == {ANN: wanted, BOB: wanted, CAROL: wanted}
    assert "#plans" in call("inspect", CAROL).stdout
    assert json.loads(call("backfill", "--json", log).stdout)["conflicts"] == 0
    every = Counter(f"plans {day} 0" for day in range(1, 9))
    assert texts(tmp_path / "data") == {ANN: every, BOB: every, CAROL: every} | {
        "dan@example.org": Counter(["plans 1 0", "plans 2 0"])
    }


def test_where_leaves_are_not_told_members_stay_and_who_spoke_does_not() -> None:
    events = [say(ANN, "0", 0, present=[ANN, CAROL]), say(BOB, "1", 1), say(ANN, "2", 2), say(BOB, "3", 3)]
    taken = picked(events, Selection((), (BASE + 2) * SECOND), partial=True)
    assert [members(each) for each in taken] == [[CAROL], []]
    assert [members(each) for each in picked(events[1:], Selection((), (BASE + 2) * SECOND), partial=True)] == [[], []]


def test_a_later_instance_of_a_conference_begins_with_nobody() -> None:
    there = {"room": "board", "where": "conference"}
    events = [
        say(ANN, "0", 0, session="one", present=[ANN, CAROL], **there),
        say(ANN, "1", 1, session="one", **there),
        say(BOB, "2", 2, session="two", **there),
    ]
    assert [members(each) for each in picked(events, Selection((), (BASE + 1) * SECOND))] == [[ANN, CAROL], []]


def test_what_comes_out_of_its_order_says_nothing_of_who_is_there() -> None:
    """Documents of one room may be read in any order: Ann had left when the older one was written."""
    events = [
        say(ANN, "0", 2 * DAY, present=[ANN, BOB]),
        leave(ANN, 2 * DAY + 1),
        say(ANN, "1", 0),
        say(BOB, "2", 3 * DAY),
    ]
    (taken,) = picked(events, Selection((), (BASE + 3 * DAY) * SECOND))
    assert members(taken) == [BOB]


def test_what_an_event_says_beside_the_contract_stays_in_it() -> None:
    first, then = say(ANN, "0", 0, present=[ANN, CAROL]), say(ANN, "1", 1, colour="red")
    (taken,) = picked([first, then], Selection((), (BASE + 1) * SECOND))
    assert json.loads(taken.body)["data"]["colour"] == "red" and members(taken) == [ANN, CAROL]


@pytest.mark.parametrize(
    ("patterns", "rooms"),
    [((), ROOMS), (("plans",), ("plans",)), (("plans*",), ("plans", "plans-old")), (("?unch", "x"), ("lunch",))],
)
def test_rooms_are_named_by_patterns_of_their_ids(patterns: tuple[str, ...], rooms: tuple[str, ...]) -> None:
    passed = {each.event.data.conversation.id: Selection(patterns).passes_over(each) for each in history()}
    assert passed == {room: "" if room in rooms else OTHER_ROOMS for room in ROOMS}


def test_what_cannot_be_read_is_passed_over_by_no_selection() -> None:
    broken = Rejected(b"{", "a line", "broken", "test:one")
    assert Picking(Selection(("x",), 5, 6), Rules(), partial=False).of(broken) == (broken, "")
