"""`archiver hold`, `exclusion` and `audit`: what is decided for others, with who and why, through the command line."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import say
from click.testing import CliRunner, Result

from archiver import backfill as backfilling
from archiver import config as configuration
from archiver.cli import main
from archiver.decisions.holding import MOST_KEYWORDS
from archiver.events import ndjson
from archiver.importers import importer
from archiver.spool import Spool
from archiver.types import Exclusion

ALICE, BOB = "alice@example.org", "bob@example.org"
WHO = ("--by", "Legal, J. Doe", "--reason", "case 7")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    Spool.open(tmp_path / "data").close()
    return tmp_path / "data"


@pytest.fixture
def call(data: Path) -> Callable[..., Result]:
    def call(*arguments: object, status: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--data", str(data), *map(str, arguments)])
        assert result.exit_code == status, f"{result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    return call


@pytest.fixture
def told(call: Callable[..., Result]) -> Callable[..., Any]:
    return lambda *arguments, status=0: json.loads(call(*arguments, "--json", status=status).stdout)


def backfill(call: Callable[..., Result], data: Path, *rooms: str, source: str = "test:one") -> str:
    people = [ALICE, BOB]
    events = [
        say(people[n], f"{room} {n}", n, id=f"{room}-{n}", room=room, present=people, source=source)
        for room in rooms
        for n in range(2)
    ]
    path = data.parent / f"{'-'.join(rooms)}.ndjson"
    path.write_bytes(ndjson(events))
    return str(call("backfill", "events", path).stdout)


# --- holds


def test_a_hold_on_what_is_no_mailbox_stands_and_is_told(call, data, tmp_path):
    config = tmp_path / "archiver.toml"
    config.write_text('[directory]\ndomains = ["example.org"]\npeople = { "eve" = "eve@example.net" }\n')
    placed = call("--config", config, "hold", "place", "bbo@example.com", *WHO)
    assert "bbo@example.com is no mailbox" in placed.stderr
    for mailbox in (BOB, "eve@example.net"):
        assert not call("--config", config, "hold", "place", mailbox, *WHO).stderr
    findings = json.loads(call("--config", config, "doctor", "--json").stdout)
    assert [each["found"].split()[0] for each in findings if each["check"] == "held, no mailbox"] == ["bbo@example.com"]


@pytest.mark.parametrize(
    "asked",
    [
        ("explain", ALICE, "\udcff"),
        ("explain", ALICE, "room", "--source", "\udcff"),
        ("explain", "\udcff"),
        ("hold", "place", ALICE, "--query", "merger\udcff", *WHO),
        ("doctor", "--drop-withheld", ALICE, "--reason", "\udcff"),
        ("doctor", "--drop-withheld", ALICE, "--reason", "r", "--conversation", "\udcff"),
    ],
)
def test_what_is_no_text_is_the_users_mistake(call, asked):
    assert "is not text" in call(*asked, status=2).stderr


def test_a_hold_is_placed_listed_and_released(call, told):
    said = call("hold", "place", "SIP:Alice@Example.ORG", "--query", "kind:im OR merger", *WHO).stdout
    assert "Hold 1 on alice@example.org stands: kind:im OR merger." in said
    call("hold", "place", BOB, *WHO)
    (alices,) = told("hold", "list", ALICE)
    assert (alices["number"], alices["query"], alices["by"], alices["reason"], alices["released"]) == (
        *(1, "kind:im OR merger", "Legal, J. Doe", "case 7"),
        None,
    )
    listed = call("hold", "list").stdout
    assert "everything" in listed and "Legal, J. Doe" in listed and "case 7" in listed
    call("hold", "place", ALICE, *WHO)
    assert "still standing on it: 3" in call("hold", "release", "1", *WHO).stdout
    assert [each["number"] for each in told("hold", "list")] == [2, 3]
    assert [each["number"] for each in told("hold", "list", "--all")] == [1, 2, 3]
    assert "released 20" in call("hold", "list", "--all").stdout
    assert told("hold", "release", "2", *WHO)["released"]


def test_a_hold_that_is_placed_while_nobody_files_stands_at_once(call, told, data):
    backfill(call, data, "room")
    assert "1 item that lay there already kept." in call("hold", "place", ALICE, *WHO).stdout
    assert [each["taken"] for each in told("hold", "list")] == [True]
    assert "not all kept yet" not in call("hold", "list").stdout


@pytest.mark.slow
def test_a_hold_is_placed_by_a_process_that_says_only_what_was_asked(call, data):
    backfill(call, data, "room")
    command = [sys.executable, "-m", "archiver", "--data", str(data), "hold", "place", ALICE, *WHO, "--json"]
    done = subprocess.run(command, check=True, capture_output=True)
    assert json.loads(done.stdout)["kept"] == 1 and done.stderr == b""


def test_nothing_held_is_said(call):
    assert "No hold stands." in call("hold", "list").stdout
    assert "Nothing is excluded." in call("exclusion", "list").stdout


def test_too_many_words_are_told(call):
    words = " ".join(f"w{n}" for n in range(MOST_KEYWORDS // 2))
    assert "everything in it is held" not in call("hold", "place", ALICE, "--query", words, *WHO).stdout
    assert "everything in it is held" not in call("hold", "place", ALICE, "--query", words, *WHO).stdout
    assert "everything in it is held" in call("hold", "place", ALICE, "--query", "more", *WHO).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hold", "place", ALICE, "--reason", "x"], "Missing option '--by'"),
        (["hold", "place", ALICE, "--by", "x"], "Missing option '--reason'"),
        (["hold", "place", ALICE, "--by", " ", "--reason", "x"], "'--by': is empty"),
        (["hold", "place", "no/address", *WHO], "not a mailbox address"),
        (["hold", "place", ALICE, "--query", "a OR", *WHO], "at character 3: OR stands between"),
        (["hold", "release", "7", *WHO], "there is no hold 7"),
        (["hold", "release", "0", *WHO], "not in the range"),
        (["exclusion", "add", *WHO], "name a --source"),
        (["exclusion", "add", "--room", "r", *WHO], "name a --source"),
        (["exclusion", "add", "--source", "s", "--person", ALICE, *WHO], "name a --source"),
        (["exclusion", "add", "--person", "no/address", *WHO], "not an address"),
        (["exclusion", "add", "--source", "s", "--from", "tomorrow", *WHO], "'tomorrow' is not a date"),
        (
            ["exclusion", "add", "--source", "s", "--from", "2024-01-02", "--until", "2024-01-02", *WHO],
            "--until must be after --from",
        ),
        (["exclusion", "end", "7", *WHO], "there is no exclusion 7"),
        (["exclusion", "spooled", "7"], "there is no exclusion 7"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(call, told, arguments, said):
    assert said in call(*arguments, status=2).stderr
    assert told("audit")["length"] == 0


def test_without_a_spool_nothing_is_decided(call, data):
    """A misspelt --data must not make another spool whose holds hold nothing."""
    for command in (
        ["hold", "place", ALICE, *WHO],
        ["hold", "list"],
        ["exclusion", "add", "--source", "s", *WHO],
        ["audit"],
    ):
        result = CliRunner().invoke(main, ["--data", str(data.parent / "nowhere"), *command])
        assert result.exit_code == 2 and "there is no spool" in result.stderr
    assert not (data.parent / "nowhere").exists()


def test_a_spool_of_an_older_archiver_is_told_where_it_is_only_read(call, data):
    with sqlite3.connect(data / "spool.db") as connection:
        connection.execute("DELETE FROM _sqlite_migrations WHERE name IN ('holds', 'audited_heads')")
        for name in ("hold", "audit", "chain", "exclusion"):
            connection.execute(f"DROP TABLE {name}")
    assert "earlier archiver" in call("hold", "list", status=3).stderr
    call("run", "--once")
    call("hold", "list")


def test_nothing_of_what_was_written_reaches_a_terminal_raw(call):
    evil = "evil\x1b]0;owned\x07\u202etxt"
    call("hold", "place", ALICE, "--query", f'"{evil}"', "--by", evil, "--reason", evil)
    call("exclusion", "add", "--source", evil, "--by", evil, "--reason", evil)
    for command in (["hold", "list"], ["exclusion", "list"], ["audit"]):
        for arguments in (command, [*command, "--json"]):
            assert not set(call(*arguments).stdout) & set("\x1b\x07\u202e"), arguments


def test_what_is_no_text_is_refused(call):
    assert "is not text" in call("hold", "place", ALICE, "--by", "\udcff", "--reason", "x", status=2).stderr


# --- exclusions


def test_what_is_excluded_is_counted_and_not_stored(call, told, data):
    call("exclusion", "add", "--source", "test:*", "--room", "secret", "--from", "2010-01-01", *WHO)
    assert "2 events left out" in backfill(call, data, "secret", "open")
    with Spool.open(data) as spool:
        assert [room.conversation for room in spool.rooms()] == ["open"]
    assert [each["events"] for each in told("exclusion", "list")] == [2]
    assert "secret" in call("exclusion", "list").stdout
    report = told("backfill", "events", data.parent / "secret-open.ndjson")
    assert (report["excluded"], report["duplicates"], report["ignored"]) == (2, 2, {})


def test_of_a_person_only_what_they_say_is_left_out(call, told, data):
    call("exclusion", "add", "--person", f"xmpp:{ALICE}/phone", "--from", "2010-01-01", *WHO)
    assert "1 event left out" in backfill(call, data, "room")
    assert told("status")["totals"]["spooled"] == 1


def test_what_came_before_is_listed(call, told, data):
    backfill(call, data, "room", "hall")
    said = call("exclusion", "add", "--source", "test:one", "--room", "room", "--from", "2010-01-01", *WHO).stdout
    assert "In the spool already" in said and "room" in said and "hall" not in said
    (found,) = told("exclusion", "spooled", 1)
    assert (found["source"], found["conversation"], found["events"]) == ("test:one", "room", 2)
    everything = told("exclusion", "add", "--source", "*", "--from", "2010-01-01", *WHO)
    assert [each["conversation"] for each in everything["spooled"]] == ["hall", "room"]
    alices = told("exclusion", "add", "--person", ALICE, "--from", "2010-01-01", *WHO)
    assert [each["events"] for each in alices["spooled"]] == [1, 1]
    assert "Nothing of it is in the spool." in call("exclusion", "add", "--source", "*", *WHO).stdout


def test_what_came_before_is_dropped_by_a_command(call, told, data, tmp_path):
    config = tmp_path / "archiver.toml"
    config.write_text('[store]\nversion = "14.3.123.4"\n')
    backfill(lambda *of: call("--config", config, *of), data, "room", "hall")
    call("exclusion", "add", "--source", "test:one", "--room", "room", "--from", "2010-01-01", *WHO)
    shown = call("exclusion", "drop", 1, "--dry-run").stdout
    assert "2 events would go" in shown and told("status")["totals"]["spooled"] == 4
    assert "--by and --reason" in call("exclusion", "drop", 1, status=2).stderr
    assert "there is no exclusion 7" in call("exclusion", "drop", 7, *WHO, status=2).stderr
    hold = told("hold", "place", BOB, "--query", "room", *WHO)["number"]
    assert f"all: hold {hold} covers it" in call("exclusion", "drop", 1, *WHO, status=1).stdout
    call("hold", "release", hold, *WHO)
    done = told("exclusion", "drop", 1, *WHO)
    assert done == {
        "done": True,
        "rooms": [
            {"source": "test:one", "conversation": "room", "events": 2, "filed": 0, "holds": [], "busy": False},
        ],
    }
    assert told("status")["totals"]["spooled"] == 2
    assert "0 events dropped" in call("exclusion", "drop", 1, *WHO).stdout
    assert "excluded events dropped" in call("audit").stdout


def test_an_exclusion_beside_a_hold_is_told_by_whoever_comes_second(call, told):
    call("hold", "place", BOB, *WHO)
    assert "hold 1 stands on bob@example.org" in call("exclusion", "add", "--source", "s", *WHO).stderr
    assert "hold 1 stands on" in call("exclusion", "add", "--person", BOB, *WHO).stderr
    assert not call("exclusion", "add", "--person", ALICE, *WHO).stderr
    said = call("hold", "place", ALICE, *WHO).stderr
    assert "exclusion 1 leaves out" in said and "exclusion 3 leaves out" in said and "exclusion 2" not in said
    found = [each["found"] for each in told("doctor") if each["check"] == "held, left out"]
    assert len(found) == 2 and "exclusion 2" in found[0] and "exclusion 3" in found[1]
    for number in (1, 2, 3):
        call("exclusion", "end", number, *WHO)
    assert not [each for each in told("doctor") if each["check"] == "held, left out"]


@pytest.mark.slow
def test_a_running_backfill_takes_up_an_exclusion(data):
    """From the lots on that are read after it was added; `exclusion drop` is for those before."""
    number = 30_000
    path = data.parent / "many.ndjson"
    path.write_bytes(ndjson(say(ALICE, "x", n / 1000, id=str(n), present=[ALICE, BOB]) for n in range(number)))
    added: list[Exclusion] = []

    def show(progress: backfilling.Progress) -> None:
        if not added:
            with Spool.open(data) as spool:
                added.append(spool.add_exclusion(Exclusion(0, "test:*", "", "", 0, None, "council", "agreed", 0), 0))

    request = backfilling.Request(importer("events"), (path,), jobs=1)
    report = backfilling.run(configuration.parse({"history": {"enabled": False}}), data, request, show)
    assert report.accepted + report.excluded == number
    assert number // 2 < report.excluded < number
    with Spool.open(data, readonly=True) as spool:
        assert [each.events for each in spool.exclusions()] == [report.excluded]


def test_a_pause_ends_and_what_was_said_in_it_stays_left_out(call, told, data):
    call("exclusion", "add", "--source", "*", "--from", "2010-01-01", "--until", "2013-01-01T00:00+01:00", *WHO)
    assert told("exclusion", "list") == [], "it is over"
    assert "2 events left out" in backfill(call, data, "room")
    assert "begins only at 2010-01-01" in call("exclusion", "end", 1, "--at", "2009-01-01", *WHO, status=2).stderr
    call("exclusion", "end", 1, "--at", "2010-01-01", *WHO)
    assert "left out" not in backfill(call, data, "room"), "undone"
    assert told("status")["totals"]["spooled"] == 2


def test_the_audit_log_writes_times_as_people_do(call, told):
    call("exclusion", "add", "--source", "*", "--from", "2010-01-01", "--until", "2011-02-03", *WHO)
    assert "since=2010-01-01 00:00:00 UTC until=2011-02-03 00:00:00 UTC" in call("audit").stdout
    assert told("audit")["entries"][0]["details"]["since"] == 1_262_304_000_000_000


def test_an_exclusion_ends_now_where_nothing_else_is_said(call, told):
    call("exclusion", "add", "--source", "*", *WHO)
    assert "was left out from" in call("exclusion", "end", 1, *WHO).stdout
    assert told("exclusion", "list") == []
    (ended,) = told("exclusion", "list", "--all")
    assert ended["until"] >= ended["since"]
    future = told("exclusion", "add", "--source", "*", "--from", "2099-01-01", *WHO)["exclusion"]
    assert told("exclusion", "end", 2, *WHO)["until"] == future["since"], "before it ever began"


# --- audit


def test_every_decision_is_in_the_log_with_who_and_why(call, told):
    call("hold", "place", ALICE, "--query", "merger", *WHO)
    call("hold", "release", 1, *WHO)
    call("exclusion", "add", "--source", "irc:*", *WHO)
    call("exclusion", "end", 1, *WHO)
    log = told("audit")
    assert [(each["action"], each["subject"]) for each in log["entries"]] == [
        ("hold placed", ALICE),
        ("hold released", ALICE),
        ("exclusion added", "source irc:*"),
        ("exclusion ended", "source irc:*"),
    ]
    assert {(each["by"], each["reason"]) for each in log["entries"]} == {("Legal, J. Doe", "case 7")}
    assert (log["length"], log["head"], log["damage"]) == (4, log["entries"][-1]["hash"], [])
    said = call("audit").stdout
    assert "4 entries; the last digest is " + log["head"] in said and "query=merger" in said


def test_a_log_that_was_tampered_with_is_told(call, told, data):
    for _ in range(3):
        call("hold", "place", ALICE, *WHO)
    head = told("audit")["head"]
    call("hold", "place", ALICE, *WHO)
    call("audit", "--known", head)
    with sqlite3.connect(data / "spool.db") as connection:
        connection.execute("DROP TRIGGER audit_no_delete")
        connection.execute("DELETE FROM audit WHERE n > 2")
    assert "hold 3 on" in call("audit", status=1).stderr
    said = call("audit", "--known", head, status=1)
    assert f"DAMAGED: no entry has the digest {head}" in said.stderr
    with sqlite3.connect(data / "spool.db") as connection:
        connection.execute("DELETE FROM audit WHERE n = 1")
    assert "entry 1 is missing" in call("audit", status=1).stderr
    assert "entry 1 is missing" in told("audit", status=1)["damage"][0]
