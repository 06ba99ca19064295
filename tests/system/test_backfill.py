"""Backfills as their user sees them: bad input, again and again, in any order, nothing outside the data directory."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import msgspec
import pytest
from builders import HOUR, say

from archiver.events import Captured, ndjson
from system.archives import FIXTURES, archiver, listing, parsed, said

pytestmark = pytest.mark.slow

PEOPLE = ["alice@example.org", "bob@example.org"]


def talk(count: int, begin: float = 0) -> list[Captured]:
    return [
        say(PEOPLE[n % 2], f"message {n}", begin + n * 30, id=f"{begin}-{n}", where="im", room="ab", present=PEOPLE)
        for n in range(count)
    ]


def written(path: Path, events: list[Captured]) -> str:
    path.write_bytes(ndjson(events))
    return str(path)


_numbers = itertools.count()


def spoiled(**changes: object) -> bytes:
    """A sound event with members changed, as the line it would be."""
    event = msgspec.json.decode(talk(1)[0].body)
    event["id"] = f"spoiled-{next(_numbers)}"
    event["data"]["message"].update(id=event["id"], text="spoiled")
    for name, value in changes.items():
        at = event
        *path, last = name.split("__")
        for each in path:
            at = at[each]
        at[last] = value
    return json.dumps(event).encode()


@pytest.mark.slow
def test_a_data_directory_in_the_folder_that_is_read_is_no_input(tmp_path: Path) -> None:
    """As where one stands in the folder of the logs and names no --data: what was filed is never read as a log."""
    (tmp_path / "logs").mkdir()
    written(tmp_path / "logs" / "one.ndjson", talk(3))
    data = tmp_path / "logs" / "archiver-data"
    for new in (3, 0):
        report = json.loads(archiver(data, "backfill", "events", str(tmp_path / "logs"), "--json"))
        assert report["accepted"] == new and not report["quarantined"]


def test_bad_input_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    data, before = tmp_path / "inner" / "data", set(tmp_path.rglob("*"))
    lines = [
        b'{"specversion": "1.0", "source": ',
        spoiled(data__message__text="caf\u00e9").replace(rb"caf\u00e9", b"caf\xe9"),
        spoiled(data__message__text="lone \ud800 surrogate"),
        spoiled(data__message__text="a NUL \u0000 here"),
        spoiled(time="-0001-01-01T00:00:00Z"),
        spoiled(data__actor__name="Eve\r\nBcc: all@example.org"),
        spoiled(data__actor__address="../../../../etc/passwd"),
        spoiled(data__message__text="x" * 10 * 1024 * 1024),
    ]
    events = tmp_path / "events.ndjson"
    events.write_bytes(b"\n".join([*lines, *ndjson(talk(20)).splitlines()]) + b"\n")
    archiver(data, "backfill", "events", str(events), status=1)
    kept = json.loads(archiver(data, "status", "--quarantine", "--json", status=1))
    reasons = {entry["position"]: (entry["reason"], entry["cleaned"]) for entry in kept}
    assert sum(not cleaned for _, cleaned in reasons.values()) >= 2, reasons
    assert sum(cleaned for _, cleaned in reasons.values()) >= 3, reasons
    assert any("1,048,576" in reason for reason, _ in reasons.values())
    got = [text for name, (_, content) in listing(data).items() if "alice" in name for _, text in said(parsed(content))]
    for n in range(20):
        assert got.count(f"message {n}") == 1
    for _, content in listing(data).values():
        assert parsed(content)["Bcc"] is None
    new = {path for path in tmp_path.rglob("*") if path not in before and data not in path.parents}
    assert new <= {data, data.parent, events}


def test_the_same_again_files_nothing_new_and_a_longer_file_only_what_is_new(tmp_path: Path) -> None:
    data = tmp_path / "data"
    short = written(tmp_path / "short.ndjson", talk(20))
    longer = written(tmp_path / "longer.ndjson", talk(20) + talk(5, 3 * HOUR))
    archiver(data, "backfill", "events", short)
    once = listing(data)
    assert "0 new, 20 known before" in archiver(data, "backfill", "events", "--reread", short)
    assert "1 document read to the end before" in archiver(data, "backfill", "events", short)
    assert listing(data) == once
    report = json.loads(archiver(data, "backfill", "events", longer, "--json"))
    assert (report["accepted"], report["duplicates"]) == (5, 20)
    again = listing(data)
    assert {name: again[name] for name in once} == once and len(again) == len(once) + 2


@pytest.mark.slow
def test_any_order_and_any_number_of_jobs_give_the_same_bytes(tmp_path: Path) -> None:
    events = [event for n in range(40) for event in talk(15, n * HOUR)]
    straight = written(tmp_path / "straight.ndjson", events)
    random.Random(3).shuffle(events)
    shuffled = written(tmp_path / "shuffled.ndjson", events)
    archiver(tmp_path / "one", "backfill", "events", straight, "--jobs", "1")
    archiver(tmp_path / "two", "backfill", "events", shuffled, "--jobs", "2")
    assert listing(tmp_path / "one") == listing(tmp_path / "two")


def test_a_conflict_is_kept_aside_and_told(tmp_path: Path) -> None:
    first, other = talk(1), [say(PEOPLE[0], "something else", 0, id="0-0", where="im", room="ab", present=PEOPLE)]
    archiver(tmp_path / "data", "backfill", "events", written(tmp_path / "a.ndjson", first))
    archiver(tmp_path / "data", "backfill", "events", written(tmp_path / "b.ndjson", other), status=1)
    (conflict,) = json.loads(archiver(tmp_path / "data", "status", "--conflicts", "--json", status=1))
    assert conflict["id"] == "0-0"


@pytest.mark.slow
def test_what_is_no_conversation_is_counted_and_a_mistake_leaves_no_dead_import(tmp_path: Path) -> None:
    data, meeting = tmp_path / "data", FIXTURES / "copyleft" / "bbb" / "events-2.5-polls.xml"
    report = json.loads(archiver(data, "backfill", "bigbluebutton", str(meeting), "--json"))
    assert sum(report["ignored"].values()) > 50
    sound = written(tmp_path / "a.ndjson", talk(3))
    archiver(data, "backfill", "irc", "--zone", "No/Where", sound, status=2)
    assert json.loads(archiver(data, "status", "--json"))["feeds"] == []
