"""Backfills of some rooms and some time: nobody misses what they could see, and all together give what one gives."""

from __future__ import annotations

import json
import mailbox
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from builders import BASE, DAY, event, say
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import BARE, SECOND, Captured, Rejected, moment, ndjson
from archiver.importers.selection import EARLIER, LATER, OTHER_ROOMS, Selection

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
    assert (done["accepted"], done["quarantined"]) == (3 + 4, 1)
    assert done["ignored"] == {OTHER_ROOMS: 2 * 24, EARLIER: 4, LATER: 13}
    wanted = Counter([f"plans {day} {n}" for day in (3, 4) for n in (0, 1)])
    assert texts(tmp_path / "data") == {ANN: wanted, BOB: wanted, CAROL: wanted}
    told = call("backfill", "--report", done["run"]).stdout
    assert "48 events of other rooms, left out (--room)" in told
    assert "4 events from before, left out (--from)" in told and "13 events from later, left out (--until)" in told
    assert "that say nothing" not in told


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
def test_ranges_that_meet_have_everything_said_once_and_everybody_who_was_there(
    captured: Captured, days: set[int]
) -> None:
    cuts = [None, *((BASE + day * DAY) * SECOND for day in sorted(days)), None]
    found = [Selection((), since, until).passes_over(captured) for since, until in pairwise(cuts)]
    at = [since is None or since <= captured.time for since in cuts[:-1]].count(True) - 1
    assert found[at] == ""
    assert set(found[:at]) <= {LATER}
    assert set(found[at + 1 :]) <= {"" if captured.event.type in BARE else EARLIER}


@pytest.mark.parametrize(
    ("patterns", "rooms"),
    [((), ROOMS), (("plans",), ("plans",)), (("plans*",), ("plans", "plans-old")), (("?unch", "x"), ("lunch",))],
)
def test_rooms_are_named_by_patterns_of_their_ids(patterns: tuple[str, ...], rooms: tuple[str, ...]) -> None:
    passed = {each.event.data.conversation.id: Selection(patterns).passes_over(each) for each in history()}
    assert passed == {room: "" if room in rooms else OTHER_ROOMS for room in ROOMS}


def test_what_cannot_be_read_is_passed_over_by_no_selection() -> None:
    assert Selection(("x",), 5, 6).passes_over(Rejected(b"{", "a line", "broken", "test:one")) == ""
