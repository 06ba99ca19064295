"""Before a backfill takes anything: what it would bring, and whom the directory doesn't know."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import event, say
from click.testing import CliRunner, Result

from archiver.cli import main
from archiver.directory import Directory, read_people
from archiver.events import ndjson
from archiver.spool import Spool
from archiver.types import Mailbox

Call = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def call(data: Path, tmp_path: Path) -> Call:
    def call(*arguments: object, status: int = 0, config: str = "") -> Result:
        path = tmp_path / "archiver.toml"
        path.write_text(config)
        result = CliRunner().invoke(main, ["--data", str(data), "--config", str(path), *map(str, arguments)])
        assert result.exit_code == status, f"{result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    return call


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "chat.ndjson"
    said = [
        say("alice@example.org", "hello", 0, id="1", room="ab"),
        say("bob", "hi", 5, id="2", room="ab"),
        say("bob", "there", 9, id="3", room="ab"),
        event("participant.joined", 10, "lurker", id="4", room="ab"),
        say("=cmd()|' /c'!A0\nx", "calc", 20, id="5", room="other"),
    ]
    path.write_bytes(ndjson(said) + b"{broken\n")
    return path


OURS = "[directory]\ndomains = ['example.org']\n"


def told(call: Call, *arguments: object, **more: Any) -> dict[str, Any]:
    (found,) = json.loads(call("backfill", "--dry-run", "--json", *arguments, **more).stdout)["formats"]
    return dict(found)


def test_a_dry_run_says_what_would_come_and_takes_nothing(call: Call, chat: Path, data: Path) -> None:
    found = told(call, chat)
    assert (found["format"], found["events"], found["new"], found["known"]) == ("events", 5, 5, 0)
    assert found["types"] == {"message.sent": 4, "participant.joined": 1}
    assert sum(found["rejected"].values()) == 1
    assert [(room["conversation"], room["events"]) for room in found["rooms"]] == [("ab", 4), ("other", 1)]
    assert found["rooms"][0]["last"] - found["rooms"][0]["first"] == 10_000_000
    assert {each["address"]: each["mailbox"] for each in found["people"]}["bob"] == "bob@one"
    assert not data.exists()
    text = call("backfill", "--dry-run", chat).stdout
    assert "5 events: 5 new, 0 known, 0 in conflict" in text and "this was a dry run" in text
    assert not data.exists()


def test_what_is_known_and_what_contradicts_it_is_told_apart(call: Call, chat: Path, tmp_path: Path) -> None:
    call("backfill", chat, status=1)
    other = tmp_path / "other.ndjson"
    other.write_bytes(ndjson([say("bob", "changed", 5, id="2", room="ab"), say("bob", "new", 30, id="6", room="ab")]))
    assert [told(call, chat)[name] for name in ("new", "known", "conflicts")] == [0, 5, 0]
    assert [told(call, other)[name] for name in ("new", "known", "conflicts")] == [1, 0, 1]


def test_what_comes_twice_in_what_is_read_counts_once(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [say("ann@a.example", f"words {n}", n, id=str(n)) for n in range(4)]
    other = say("ann@a.example", "otherwise", 0, id="0")
    (tmp_path / "1.ndjson").write_bytes(ndjson(first))
    (tmp_path / "2.ndjson").write_bytes(ndjson([other, *first[1:], say("ann@a.example", "more", 9, id="9")]))
    paths = (tmp_path / "1.ndjson", tmp_path / "2.ndjson")
    would = told(call, *paths)
    assert [would[name] for name in ("new", "known", "conflicts", "at_most")] == [5, 3, 1, False]
    done = json.loads(call("backfill", *paths, "--json", status=1).stdout)
    assert [done[name] for name in ("accepted", "duplicates", "conflicts")] == [5, 3, 1]
    monkeypatch.setattr("archiver.preview.REMEMBERED", 2)
    (tmp_path / "3.ndjson").write_bytes(ndjson([say("ann@a.example", "x", n, id=f"x{n}") for n in range(3)]))
    assert told(call, paths[0], tmp_path / "3.ndjson")["at_most"]
    assert not told(call, tmp_path / "3.ndjson")["at_most"], "one document tells little twice"
    assert "at most" in call("backfill", "--dry-run", paths[0], tmp_path / "3.ndjson").stdout


def test_unknown_authors_stop_the_run_until_the_map_is_filled_in(call: Call, chat: Path, data: Path) -> None:
    refused = call("backfill", chat, config=OURS, status=2)
    path = data / "people-to-map.csv"
    assert "2 people who wrote have no mailbox here" in refused.output and str(path) in refused.output
    assert not Spool.exists(data)
    header, *rows = csv.reader(path.open(newline=""))
    assert rows[1][2].startswith("'=Cmd()")
    assert header == ["address", "mailbox", "name", "messages"]
    assert [(row[0], row[3]) for row in rows] == [("bob", "2"), ("=cmd()|' /c'!A0\nx", "1")]

    empty = call("backfill", chat, config=f"{OURS}file = '{path}'\n", status=2)
    assert "write - for nobody" in empty.output
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, ["bob", "robert@example.org", *rows[0][2:]], [rows[1][0], "-", "", "1"]])
    call("backfill", chat, config=f"{OURS}file = '{path}'\n", status=1)
    with Spool.open(data) as spool:
        assert {each.mailbox for each in spool.mailboxes()} == {"alice@example.org", "robert@example.org"}


def test_placeholders_are_taken_and_the_unknown_can_be_left_out(call: Call, chat: Path, data: Path) -> None:
    call("backfill", "--skip-unknown", chat, config=OURS, status=1)
    with Spool.open(data) as spool:
        rooms = {room.conversation: len(list(spool.events(room.place, 2**62))) for room in spool.rooms()}
    assert rooms == {"ab": 2}, "a lurker stays, for nobody asks about one"
    call("backfill", "--placeholder", chat, config=OURS, status=1)
    with Spool.open(data) as spool:
        assert sum(len(list(spool.events(room.place, 2**62))) for room in spool.rooms()) == 5


def test_strict_asks_about_everybody_whose_mailbox_is_only_derived(call: Call, chat: Path, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "map.csv"
    call("backfill", "--strict", "--map", path, chat, status=2)
    assert [row[0] for row in csv.reader(path.open(newline=""))][1:] == ["bob", "=cmd()|' /c'!A0\nx"]
    call("backfill", "--strict", "--map", "/dev/null/x", chat, status=3)


def test_nobodys_is_known_and_no_mailbox() -> None:
    rows = read_people(["address,mailbox,name,messages\n", "u1,-,Bot,5\n", "u2,ann@example.org,Ann,2\n"], "p.csv")
    directory = Directory(Mailbox("", "15.2.2562.17", "en", "UTC"), rows=rows)
    assert [directory.mailbox_of("s:x", each) for each in ("u1", "u2", "u3")] == [None, "ann@example.org", None]
    assert [directory.is_nobodys("s:x", each) for each in ("u1", "u2", "u3")] == [True, False, False]
    assert [directory.is_stated("s:x", each) for each in ("u1", "u2", "u3")] == [True, True, False]
    assert directory.named() == ("ann@example.org",)
