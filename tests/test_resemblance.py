"""The same chat from two tools is said to be there twice, and never less than twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from builders import say
from click.testing import CliRunner

from archiver.cli import main
from archiver.events import Captured, ndjson
from archiver.spool import Spool

ALICE, BOB = "alice@example.org", "bob@example.org"
Load = Callable[[str, Sequence[Captured]], dict[str, Any]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(name: str, events: Sequence[Captured]) -> dict[str, Any]:
        path = tmp_path / f"{name}.ndjson"
        path.write_bytes(ndjson(events))
        return run(tmp_path, path)

    return load


def run(tmp_path: Path, *arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["--data", str(tmp_path / "data"), "backfill", "--json", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def talk(tool: str, texts: Sequence[str], shift: float = 0, first: int = 0) -> list[Captured]:
    return [
        say((ALICE, BOB)[n % 2], text, n * 60 + shift, id=f"{tool}{n + first}", room=f"room of {tool}")
        for n, text in enumerate(texts)
    ]


WORDS = ["hello there", "hi alice", "shall we?", "yes", "then", "well"]


def test_the_same_chat_by_another_tool_is_said(load: Load, tmp_path: Path) -> None:
    assert load("one", talk("one", WORDS))["resembling"] == []
    found = load("two", talk("two", [*WORDS, "more"], shift=20))
    (told,) = found["resembling"]
    assert (told["conversation"], told["other_conversation"]) == ("room of two", "room of one")
    assert (told["alike"], told["compared"]) == (6, 7)
    with Spool.open(tmp_path / "data") as spool:
        assert sum(len(list(spool.events(room.place, 2**62))) for room in spool.rooms()) == 13, "nothing is dropped"
    shown = CliRunner().invoke(main, ["--data", str(tmp_path / "data"), "backfill", "--report", "2"]).stdout
    assert "LOOKS LIKE the same chat from another tool: room of two of test:one, and room of one of test:one" in shown
    assert "6 of 7 messages have people, minute and text in common, under other ids" in shown


@pytest.mark.parametrize(
    "other",
    [
        talk("two", ["ok", *WORDS[1:2], "else", "what", "other", "so"]),
        talk("two", WORDS, shift=3600),
        talk("two", WORDS[::-1]),
        [say("carol@example.org", text, n * 60, id=f"c{n}", room="two") for n, text in enumerate(WORDS)],
    ],
    ids=["other words", "another time", "another order", "other people"],
)
def test_chats_that_only_have_something_in_common_are_not(load: Load, other: Sequence[Captured]) -> None:
    load("one", talk("one", WORDS))
    assert load("two", other)["resembling"] == []


def test_only_what_a_run_brought_counts(load: Load) -> None:
    load("one", talk("one", WORDS))
    load("two", talk("two", WORDS))
    again = load("longer", [*talk("two", WORDS), *talk("two", ["new"] * 3, shift=400, first=6)])
    assert (again["accepted"], again["duplicates"], again["resembling"]) == (3, 6, [])


def test_in_one_run_a_pair_is_said_once(load: Load) -> None:
    assert len(load("both", [*talk("one", WORDS), *talk("two", WORDS)])["resembling"]) == 1


def test_mattermosts_two_exports_of_one_channel(tmp_path: Path) -> None:
    """The bulk export has no ids of posts, so those of the compliance export can't be the same."""
    people = [{"type": "user", "user": {"username": name, "email": f"{name}@example.org"}} for name in ("ann", "bob")]
    posts = [("ann", 1709632810000, "hello there"), ("bob", 1709632820000, "hi ann")]
    bulk = [{"type": "version", "version": 1}, *people]
    bulk += [
        {"type": "post", "post": {"team": "t", "channel": "town", "user": who, "message": text, "create_at": at}}
        for who, at, text in posts
    ]
    (tmp_path / "export.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bulk))
    columns = (
        "Post Creation Time,Channel Id,Channel Name,Channel Type,User Email,Username,Post Id,Post Message,Post Type"
    )
    rows = [f"{at},c1,town,public,{who}@example.org,{who},p{n},{text}," for n, (who, at, text) in enumerate(posts)]
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "posts.csv").write_text("\n".join([columns, *rows, ""]))
    assert run(tmp_path, tmp_path / "export.jsonl")["resembling"] == []
    (told,) = run(tmp_path, tmp_path / "csv")["resembling"]
    assert (told["conversation"], told["other_conversation"], told["alike"]) == ("c1", "t/town", 2)
