"""Before a backfill takes anything: what it would bring, and whom the directory doesn't know."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import event, say
from click.testing import Result

from archiver.directory import Directory
from archiver.events import ndjson
from archiver.people import read_people
from archiver.spool import Spool
from archiver.types import Mailbox

Call = Callable[..., Result]


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
    found = told(call, chat, status=1)
    assert (found["format"], found["events"], found["new"], found["known"]) == ("events", 5, 5, 0)
    assert found["types"] == {"message.sent": 4, "participant.joined": 1}
    assert sum(found["rejected"].values()) == 1
    assert [(room["conversation"], room["events"]) for room in found["rooms"]] == [("ab", 4), ("other", 1)]
    assert found["rooms"][0]["last"] - found["rooms"][0]["first"] == 10_000_000
    assert {each["address"]: each["mailbox"] for each in found["people"]}["bob"] == "bob@one"
    assert not data.exists()
    text = call("backfill", "--dry-run", chat, status=1).stdout
    assert "5 events: 5 new, 0 known, 0 in conflict" in text and "this was a dry run" in text
    assert not data.exists()


def test_what_is_known_and_what_contradicts_it_is_told_apart(call: Call, chat: Path, tmp_path: Path) -> None:
    call("backfill", chat, status=1)
    other = tmp_path / "other.ndjson"
    other.write_bytes(ndjson([say("bob", "changed", 5, id="2", room="ab"), say("bob", "new", 30, id="6", room="ab")]))
    assert [told(call, chat, status=1)[name] for name in ("new", "known", "conflicts")] == [0, 5, 0]
    assert [told(call, other, status=1)[name] for name in ("new", "known", "conflicts")] == [1, 0, 1]


def test_what_comes_twice_in_what_is_read_counts_once(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [say("ann@a.example", f"words {n}", n, id=str(n)) for n in range(4)]
    other = say("ann@a.example", "otherwise", 0, id="0")
    (tmp_path / "1.ndjson").write_bytes(ndjson(first))
    (tmp_path / "2.ndjson").write_bytes(ndjson([other, *first[1:], say("ann@a.example", "more", 9, id="9")]))
    paths = (tmp_path / "1.ndjson", tmp_path / "2.ndjson")
    would = told(call, *paths, status=1)
    assert [would[name] for name in ("new", "known", "conflicts", "at_most")] == [5, 3, 1, False]
    done = json.loads(call("backfill", *paths, "--json", status=1).stdout)
    assert [done[name] for name in ("accepted", "duplicates", "conflicts")] == [5, 3, 1]
    monkeypatch.setattr("archiver.preview.REMEMBERED", 2)
    (tmp_path / "3.ndjson").write_bytes(ndjson([say("ann@a.example", "x", n, id=f"x{n}") for n in range(3)]))
    assert told(call, paths[0], tmp_path / "3.ndjson")["at_most"]
    assert not told(call, tmp_path / "3.ndjson")["at_most"], "one document tells little twice"
    assert "at most" in call("backfill", "--dry-run", paths[0], tmp_path / "3.ndjson").stdout


def test_what_two_formats_tell_counts_as_in_the_run(call: Call, fixtures: Path) -> None:
    """Exports of the same posts in four forms."""
    exports = fixtures / "mattermost"
    foreseen = json.loads(call("backfill", "--dry-run", "--json", exports, status=1).stdout)["formats"]
    reports = json.loads(call("backfill", "--json", exports, status=1).stdout)
    would = [(each["new"], each["known"], each["conflicts"]) for each in foreseen]
    assert would == [(each["accepted"], each["duplicates"], each["conflicts"]) for each in reports]
    assert sum(known for _, known, _ in would) > 0


def test_unknown_authors_stop_the_run_until_the_map_is_filled_in(call: Call, chat: Path, data: Path) -> None:
    refused = call("backfill", chat, config=OURS, status=2)
    assert "or say --placeholder or --skip-unknown" in refused.output
    path = data / "people-to-map.csv"
    assert "2 people who wrote have no mailbox here" in refused.output and str(path) in refused.output
    assert not Spool.exists(data)
    header, *rows = csv.reader(path.open(newline=""))
    assert rows[1][2].startswith("'=Cmd()")
    assert header == ["address", "mailbox", "name", "messages"]
    assert [(row[0], row[3]) for row in rows] == [("bob@one", "2"), ("=cmd()|' /c'!A0\nx@one", "1")]

    empty = call("backfill", chat, config=f"{OURS}file = '{path}'\n", status=2)
    assert "write - for nobody" in empty.output
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [header, ["bob@one", "robert@example.org", *rows[0][2:]], [rows[1][0], "-", "", "1"]]
        )
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


def test_what_was_left_out_is_said_by_its_reason(call: Call, chat: Path) -> None:
    said = call("backfill", "--skip-unknown", chat, config=OURS, status=1).stdout
    assert "3 events of people the directory doesn't know, left out (--skip-unknown)" in said
    assert "say nothing" not in said


def test_a_dry_run_ends_as_the_run_would(call: Call, chat: Path, data: Path) -> None:
    for options, config in ((("--strict",), ""), ((), OURS), (("--strict",), OURS)):
        told = call("backfill", "--dry-run", *options, chat, config=config, status=2)
        assert "this was a dry run" in told.stdout
        assert "The run itself would stop: 2 people who wrote have no mailbox here" in told.stderr
        assert (
            "2 people"
            in json.loads(call("backfill", "--dry-run", "--json", *options, chat, config=config, status=2).stdout)[
                "stops"
            ]
        )
        call("backfill", *options, "--map", data.parent / "map.csv", chat, config=config, status=2)
    for options in (("--placeholder",), ("--skip-unknown",), ("--skip-unknown", "--strict")):
        assert told_to_stop(call("backfill", "--dry-run", "--json", *options, chat, config=OURS, status=1)) == ""
    assert not data.exists()


def test_a_dry_run_of_a_damaged_archive_says_so_by_its_status(call: Call, chat: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    (tmp_path / "good.ndjson").write_bytes(ndjson([say("bob", "hi", 5, id="2", room="ab")]))
    with tarfile.open(path, "w") as file:
        file.add(tmp_path / "good.ndjson", "good.ndjson")
        lost_from = file.offset
        file.add(chat, "lost.ndjson")
    path.write_bytes(path.read_bytes()[: lost_from + 100])
    for how in ((), ("--dry-run",)):
        found = json.loads(call("backfill", *how, "--json", path, status=1).stdout)
        (left,) = (found["formats"][0] if how else found)["left"]
        assert left["is_fault"] and "damaged or ends early" in left["why"] and left["such"] == [str(path)]


def told_to_stop(result: Result) -> str:
    return str(json.loads(result.stdout)["stops"])


@pytest.mark.parametrize("more", ["--strict", "--skip-unknown"])
def test_everybody_as_they_are_and_not_is_a_contradiction(call: Call, chat: Path, data: Path, more: str) -> None:
    for dry in ((), ("--dry-run",)):
        assert "contradicts" in call("backfill", "--placeholder", more, *dry, chat, config=OURS, status=2).stderr
    assert not data.exists()


def test_where_there_is_nothing_to_read_it_says_so_with_and_without_a_format(
    call: Call, data: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no format is recognised" in call("backfill", empty, status=2).stderr
    (empty / "picture.png").write_bytes(b"PNG")
    for dry in ((), ("--dry-run",)):
        assert "no file that could be of IRC" in call("backfill", "irc", *dry, empty, status=2).stderr
    assert not Spool.exists(data)


def test_strict_asks_about_everybody_whose_mailbox_is_only_derived(call: Call, chat: Path, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "map.csv"
    call("backfill", "--strict", "--map", path, chat, status=2)
    assert [row[0] for row in csv.reader(path.open(newline=""))][1:] == ["bob@one", "=cmd()|' /c'!A0\nx@one"]
    call("backfill", "--strict", "--map", "/dev/null/x", chat, status=3)


def test_nobodys_is_known_and_no_mailbox() -> None:
    rows = read_people(["address,mailbox,name,messages\n", "u1,-,Bot,5\n", "u2,ann@example.org,Ann,2\n"], "p.csv")
    directory = Directory(Mailbox("", "15.2.2562.17", "en", "UTC"), rows=rows)
    assert [directory.mailbox_of("s:x", each) for each in ("u1", "u2", "u3")] == [None, "ann@example.org", None]
    assert [directory.is_nobodys("s:x", each) for each in ("u1", "u2", "u3")] == [True, False, False]
    assert [directory.is_stated("s:x", each) for each in ("u1", "u2", "u3")] == [True, True, False]
    assert directory.named() == ("ann@example.org",)


# --- the people file as it is asked for --------------------------------------------------------------------------


def log(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"2024-05-01T10:0{n}:00 {line}\n" for n, line in enumerate(lines)))
    return path


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.open(newline="")))[1:]


CORP = "[directory]\ndomains = ['corp.org']\n"


def test_a_nick_is_asked_for_with_its_network_and_mapped_there_alone(call: Call, data: Path, tmp_path: Path) -> None:
    work, other = log(tmp_path / "#work.log", "<john> hello"), log(tmp_path / "#other.log", "<john> hi", "<zed> secret")
    call("backfill", "irc", "--network", "libera", work, config=CORP, status=2)
    asked = data / "people-to-map.csv"
    assert rows(asked) == [["john@libera", "", "john", "1"]]
    asked.write_text(asked.read_text().replace("john@libera,", "john@libera,john@corp.org"))
    filled = f"{CORP}file = '{asked}'\n"
    call("backfill", "irc", "--network", "libera", work, config=filled)
    assert mailboxes(data) == {"john@corp.org"}
    refused = call("backfill", "irc", "--network", "oftc", other, config=filled, status=2)
    assert "2 people who wrote have no mailbox here" in refused.output
    assert [row[0] for row in rows(asked)] == ["john@libera", "john@oftc", "zed@oftc"]
    one = f"{CORP}people = {{'john@libera' = 'john@corp.org'}}\n"
    call("backfill", "irc", "--network", "oftc", "--placeholder", other, config=one)
    assert "secret" not in "".join(each.read_text() for each in data.glob("mail/corp.org/john/.*/*/*"))


def test_people_of_one_nick_in_two_sources_have_a_row_each(call: Call, data: Path, tmp_path: Path) -> None:
    folder = log(tmp_path / "both" / "#work.log", "<john> hello", "<ann> hi").parent
    (folder / "WhatsApp Chat with Bob.txt").write_text(
        "12/24/23, 10:00 - john: hello\n12/24/23, 10:01 - Ann B: well\n12/24/23, 10:02 - Ann B: then\n"
    )
    call("backfill", folder, config=CORP, status=2)
    named = {row[0]: row[3] for row in rows(data / "people-to-map.csv")}
    assert named["john@whatsapp"] == "1" and named["Ann B@whatsapp"] == "2" and len(named) == 4
    people = 'people = {"Ann B@whatsapp" = "ann@corp.org"}\n'
    call("backfill", "--placeholder", folder, config=CORP + people)
    assert mailboxes(data) == {"ann@corp.org"}


def test_a_bare_nick_holds_until_it_comes_from_a_second_place(call: Call, data: Path, tmp_path: Path) -> None:
    work, other = log(tmp_path / "#work.log", "<john> hello"), log(tmp_path / "#other.log", "<john> hi", "<zed> secret")
    bare = f"{CORP}people = {{john = 'john@corp.org', zed = 'zed@corp.org'}}\n"
    call("backfill", "irc", "--network", "libera", work, config=bare)
    call("backfill", "irc", "--network", "libera", "--reread", work, config=bare)
    for more in ((), ("--placeholder",), ("--skip-unknown",)):
        refused = call("backfill", "irc", "--network", "oftc", *more, other, config=bare, status=2)
        assert "maybe of several people (john@oftc …)" in refused.output
        assert "or say --placeholder" not in refused.output, "that helps nothing here"
    assert [row[0] for row in rows(data / "people-to-map.csv")] == ["john@oftc"]
    told_apart = bare.replace("people = {", "people = {'john@oftc' = 'other@corp.org', ")
    call("backfill", "irc", "--network", "oftc", other, config=told_apart)
    assert mailboxes(data) == {"john@corp.org", "other@corp.org", "zed@corp.org"}
    assert "secret" not in "".join(each.read_text() for each in data.glob("mail/corp.org/john/.*/*/*"))


def test_one_run_over_two_places_asks_about_a_bare_nick_too(call: Call, data: Path, tmp_path: Path) -> None:
    said = [say("john", "hi", 0, id="1"), say("john", "there", 5, id="2"), say("ann", "x", 9, id="3")]
    (tmp_path / "1.ndjson").write_bytes(ndjson(said).replace(b'"test:one"', b'"test:two"', 1))
    bare = f"{CORP}people = {{john = 'john@corp.org', ann = 'ann@corp.org'}}\n"
    call("backfill", tmp_path / "1.ndjson", config=bare, status=2)
    assert [row[0] for row in rows(data / "people-to-map.csv")] == ["john@two", "john@one"]


def mailboxes(data: Path) -> set[str]:
    with Spool.open(data) as spool:
        return {each.mailbox for each in spool.mailboxes()}


def test_a_people_file_is_completed_and_never_written_over(call: Call, data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.ndjson", tmp_path / "2.ndjson"
    first.write_bytes(ndjson([say("U1", "hi", 0, id="1"), say("U2", "well", 5, id="2")]))
    second.write_bytes(ndjson([say("U1", "hi", 60, id="3"), say("U3", "new", 65, id="4")]))
    call("backfill", first, config=OURS, status=2)
    path = data / "people-to-map.csv"
    filled = "\ufeffMailbox,address,zone\r\nann@example.org,U1@one,Asia/Taipei\r\n-,U2@one,"
    path.write_bytes(filled.encode())
    path.chmod(0o640)
    named = f"{OURS}file = '{path}'\n"
    call("backfill", first, config=named)
    call("backfill", second, config=named, status=2)
    assert path.read_bytes().decode() == f"{filled}\r\n,U3@one,\r\n" and path.stat().st_mode & 0o777 == 0o640
    assert not [each.name for each in data.iterdir() if each.name.startswith(".")]
    assert "write - for nobody" in call("backfill", second, config=named, status=2).output
    call("backfill", second, config=OURS, status=2)
    assert path.read_bytes().decode().count("U3") == 1, "whoever has a row is not asked for twice"
    path.write_text(path.read_text("utf-8-sig").replace(",U3", "cara@example.org,U3"))
    call("backfill", second, config=named)
    assert mailboxes(data) == {"ann@example.org", "cara@example.org"}


@pytest.mark.parametrize(
    "content", [b"precious words\n", b"name,phone\nann,5\n", b'address,mailbox\n"open', b"\xff\xfe\x00", b"address\n"]
)
def test_what_is_no_people_file_is_left_alone(call: Call, chat: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "precious.txt"
    path.write_bytes(content)
    refused = call("backfill", "--map", path, chat, config=OURS, status=2)
    assert f"{path} is there, and is no people file" in refused.output and "--map" in refused.output
    assert path.read_bytes() == content


def test_a_people_file_goes_to_no_folder_and_no_device(call: Call, chat: Path, tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        assert "is no people file" in call("backfill", "--map", path, chat, config=OURS, status=2).output
    assert not Path("/dev/null").is_file() and tmp_path.is_dir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    (tmp_path / "real.csv").touch()
    call("backfill", "--map", tmp_path / "link.csv", chat, config=OURS, status=2)
    assert len(rows(tmp_path / "real.csv")) == 2 and (tmp_path / "link.csv").is_symlink()
