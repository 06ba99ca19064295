"""Search over what was filed: through the command, as its queue, its index and the folders change."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest
from builders import HOUR, event, retract, say
from click.testing import CliRunner, Result

from archiver.assembly import open_spool, searcher_of, store_of
from archiver.cli import main
from archiver.config import load
from archiver.events import Captured, ndjson
from archiver.search import Searcher
from archiver.search.index import VERSION, Index
from archiver.spool import Spool
from archiver.types import Destination

ALICE, BOB, EVE = "alice@example.org", "bob@example.org", "eve@example.org"
ALL = {"present": [ALICE, BOB, EVE]}
CONFIG = """
[directory]
domains = ["example.org"]
[archiving]
archive = "im+conference"
to_mailbox = true
[policy]
internal = true
[[mailbox]]
address = "eve@example.org"
exchange_archiving = "mailbox"
"""
HISTORY = "Conversation History"

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    (tmp_path / "config.toml").write_text(CONFIG)

    def call(*arguments: object, status: int = 0) -> Result:
        fixed = ["--data", str(tmp_path / "data"), "--config", str(tmp_path / "config.toml")]
        result = CliRunner().invoke(main, [*fixed, *map(str, arguments)])
        assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
        return result

    return call


@pytest.fixture
def file(tmp_path: Path, call: Call) -> Callable[..., None]:
    def file(*events: Captured) -> None:
        path = tmp_path / "events.ndjson"
        path.write_bytes(ndjson(events))
        call("backfill", "--jobs", 1, "events", path)

    return file


@pytest.fixture
def find(call: Call) -> Callable[..., list[tuple[str, str]]]:
    """Mailbox and excerpt of each hit."""

    def find(query: str, *where: str) -> list[tuple[str, str]]:
        found = json.loads(call("inspect", *where, "--search", query, "--json").stdout)
        return [(hit["mailbox"], hit["excerpt"]["text"]) for hit in found["hits"]]

    return find


@pytest.fixture
def filed(file) -> None:
    file(
        say(ALICE, "the budget is fine", 0, id="1", **ALL),
        say(BOB, "psst, 東京 is closed", 1, id="2", to=[ALICE], **ALL),
        event("file.shared", 2, BOB, id="f", attachments=[{"name": "plan.pdf", "content": "YQ=="}], **ALL),
        say(EVE, "lunch?", 3 * HOUR, id="3", room="other", present=[EVE, BOB]),
    )


def test_each_finds_in_their_own_mailbox_what_they_saw(filed, find):
    assert [mailbox for mailbox, _ in find("東京", ALICE)] == [ALICE]
    assert find("東京", EVE) == []
    assert find("from:bob psst", EVE) == []
    assert find("lunch", ALICE) == []
    assert [text for _, text in find("lunch", BOB)] == ["Eve: lunch?"]


def test_everywhere_equal_items_are_found_once(filed, call):
    (hit,) = json.loads(call("inspect", "--search", "budget -psst", "--json").stdout)["hits"]
    assert (hit["mailbox"], hit["others"], hit["has_file"]) == (EVE, 0, True)
    (one, other) = json.loads(call("inspect", "--search", "has:file budget", "--json").stdout)["hits"]
    assert sorted([(one["mailbox"], one["others"]), (other["mailbox"], other["others"])]) == [(ALICE, 1), (EVE, 0)]


def test_the_command_shows_hits_as_text_and_csv(filed, call):
    shown = call("inspect", ALICE, "--search", "plan.pdf budget").output
    assert "the budget is fine" in shown and f"archiver inspect {ALICE} " in shown
    assert call("inspect", ALICE, "--search", "nowhere").output == "Nothing found.\n"
    header, line = call("inspect", ALICE, "--search", "budget", "--sort", "relevance", "--csv").output.splitlines()[:2]
    assert header.startswith("mailbox,folder,name") and line.startswith(f"{ALICE},{HISTORY},")


def test_mistakes_are_told(filed, call):
    assert "at character 9: a word is missing" in call("inspect", "--search", "lunch OR", status=2).output
    for wrong in (["--archive"], ["--search", "x", "--since", "2024-01-01"], [ALICE, "--sort", "relevance"]):
        call("inspect", *wrong, status=2)
    call("inspect", ALICE, "1", "--search", "x", status=2)
    for asked in (["--search", "x"], ["--reindex"]):
        assert "no mailbox" in call("inspect", "nobody@example.org", *asked, status=2).output
        assert "not a mailbox" in call("inspect", "nobody", *asked, status=2).output


def test_nothing_from_outside_moves_the_terminal(file, call):
    file(say(ALICE, "lure \x1b]0;title\x07 \u202egnp.exe", 0, room="\x1b[2J\u202e", topic="\x1b[31m", **ALL))
    shown = call("inspect", "--search", "lure").output
    assert "lure" in shown
    assert not set(shown) & set("\x1b\x07\u202e")


def test_what_was_retracted_is_found_no_more(file, find):
    file(say(ALICE, "my secret", 0, id="1", **ALL), say(ALICE, "fine", 1, id="2", **ALL))
    assert len(find("secret")) == 1
    file(retract(ALICE, "1", 2, **ALL))
    assert find("secret") == find("secret", ALICE) == []
    assert len(find("fine", ALICE)) == 1


def test_what_its_owner_took_away_is_found_no_more_and_what_they_moved_is(filed, find, tmp_path):
    assert len(find("budget", ALICE)) == 1
    folder = tmp_path / "data/mail/example.org/alice" / f".{HISTORY}" / "cur"
    (item,) = folder.iterdir()
    for kind in ("cur", "new", "tmp"):
        (tmp_path / "data/mail/example.org/alice/.Kept" / kind).mkdir(parents=True)
    moved = item.rename(folder.parent.parent / ".Kept/cur/1700000000.M1.mail:2,S")
    assert len(find("budget", ALICE)) == 1
    moved = moved.rename(moved.with_name("1700000000.M1.mail:2,ST"))
    assert find("budget", ALICE) == []
    moved.unlink()
    assert find("budget", ALICE) == []


def test_the_archive_is_another_scope(filed, find):
    assert [mailbox for mailbox, _ in find("東京", EVE)] == []
    assert len(find("東京", EVE, "--archive")) == 1


# The queue and the index


@pytest.fixture
def searcher(tmp_path: Path, call: Call):
    config, data = load(tmp_path / "config.toml"), tmp_path / "data"
    with open_spool(config, data) as spool:
        yield searcher_of(config, data, spool)


def backlog(tmp_path: Path) -> int:
    with Spool.open(tmp_path / "data", readonly=True) as spool:
        return spool.index_backlog(Destination.HISTORY).entries


def test_what_is_filed_waits_in_the_queue_until_it_is_indexed(filed, searcher, tmp_path):
    assert backlog(tmp_path) == 5
    assert searcher.search("budget", patience=0).behind >= 5
    assert searcher.keep_up(60) == 0
    assert backlog(tmp_path) == 0
    assert searcher.search("budget", patience=0).behind == 0


def test_an_item_in_the_queue_that_has_gone_is_no_fault(filed, searcher, tmp_path):
    store = store_of(load(None), tmp_path / "data")
    (name,) = store.names(ALICE, HISTORY)
    store.remove(ALICE, HISTORY, name)
    assert searcher.keep_up(60) == 0
    assert not searcher.search("budget", ALICE).hits


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(b"no index at all" * 1_000), "damaged"),
        (lambda path: _poke(path), "damaged"),
        (lambda path: _set_version(path, VERSION + 1), "another version"),
        (lambda path: path.unlink(), ""),
        (lambda path: _make_other(path), "something else"),
    ],
)
def test_an_index_that_cannot_be_used_is_made_anew_and_that_is_said(filed, searcher, damage, why):
    assert len(searcher.search("budget").hits) == 2
    damage(searcher.path)
    found = searcher.search("budget")
    assert (len(found.hits), found.behind) == (2, 0)
    assert why in found.made


def _poke(path: Path) -> None:
    with Index.open(path) as index:
        index.scrub()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def _make_other(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE document (n)")
    other.close()


def _set_version(path: Path, version: int) -> None:
    with Index.open(path) as index:
        index._connection.execute(f"PRAGMA user_version = {version}")


def test_an_index_keeps_few_pages_however_large_it_is(tmp_path):
    """A daemon opens it again and again: what it may fill with a larger one, its memory grows by."""
    with Index.open(tmp_path / "index" / "history.db") as index:
        (cache,) = index._connection.execute("PRAGMA cache_size").fetchone()
    assert -4 * 1024 <= cache < 0, "in KiB: a positive number counts pages of any size"


NASTY = sorted(path for path in (Path(__file__).parent.parent / "fixtures/mime").rglob("*") if path.is_file())


def test_mail_of_others_however_broken_is_indexed(filed, searcher, tmp_path):
    """And what is planted: events that unpack to more than anybody wrote, header fields without end."""
    folder = tmp_path / "data/mail/example.org/alice" / f".{HISTORY}" / "cur"
    for number, path in enumerate(NASTY):
        (folder / f"{number}.nasty:2,").write_bytes(path.read_bytes())
    (folder / "1.html:2,").write_bytes(b"Content-Type: text/html\n\n<b>mar<i>k</i></b><script>evil</script> &amp; up")
    (folder / "1.plain:2,S").write_bytes(b"From: =?utf-8?q?J=C3=B6rg?= <j@x>\nSubject: \xff\n\nhowever")
    assert searcher.search("budget", ALICE).behind == 0
    assert [hit.name for hit in searcher.search("mark up -evil kind:mail", ALICE).hits] == ["1.html"]
    assert [hit.name for hit in searcher.search("from:jorg however", ALICE).hits] == ["1.plain"]


NAMES = [b"1700000000.M1P2.host,S=15,W=16:2,S", b"1700000000.\x1b[31m\xff\n\xe2\x80\xae:2,S", b"1 2", b"a" * 250]


@pytest.mark.parametrize("name", NAMES)
def test_what_servers_and_owners_name_as_they_like_is_found(filed, call, tmp_path, name):
    folder = tmp_path / "data/mail/example.org/alice" / f".{HISTORY}" / "cur"
    with open(os.fsencode(folder) + b"/" + name, "wb") as file:
        file.write(b"Subject: unusual\n\nx")
    assert len(json.loads(call("inspect", "--search", "unusual", "--json").stdout)["hits"]) == 1
    assert "unusual" in call("inspect", "--search", "unusual").stdout
    assert "unusual" in call("inspect", "--search", "unusual", "--csv").stdout
    listed = json.loads(call("inspect", ALICE, "--json").stdout)
    (number,) = [item["number"] for item in listed if item["subject"] == "unusual"]
    assert json.loads(call("inspect", ALICE, number, "--json").stdout)["item"]["subject"] == "unusual"


def test_reindexing_needs_no_spool(filed, call, tmp_path):
    for left in (tmp_path / "data").glob("spool.db*"):
        left.unlink()
    assert "Indexed 3 different items" in call("inspect", "--reindex", "--search", "budget").output


def test_a_scrubbed_index_has_no_trace_of_what_has_gone(filed, searcher: Searcher, tmp_path):
    assert len(searcher.search("東京").hits) == 1
    with Index.open(searcher.path) as index:
        index.scrub()
    assert "東京".encode() in _bytes(searcher.path)
    store = store_of(load(None), tmp_path / "data")
    for mailbox in (ALICE, BOB):
        for name in store.names(mailbox, HISTORY):
            store.remove(mailbox, HISTORY, name)
    searcher.scrub()
    assert "東京".encode() not in _bytes(searcher.path)
    assert len(searcher.search("lunch").hits) == 1


def _bytes(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.glob(path.name + "*"))


def test_the_daemon_indexes_what_it_files(filed, call, tmp_path):
    assert backlog(tmp_path) == 5
    assert "Search is behind by 5 items" in call("status").output
    call("run", "--once")
    assert backlog(tmp_path) == 0
    assert "behind" not in call("status").output


def test_where_there_is_no_index_and_none_can_be_made_it_is_said_what_to_do(filed, call, tmp_path):
    rmtree(tmp_path / "data" / "index", ignore_errors=True)
    (tmp_path / "data" / "index").write_bytes(b"")  # so that root can't make it either
    told = call("inspect", "--search", "budget", status=3)
    assert "there is no search index yet, and none can be made here: " in told.stderr
    assert "search once as the archiver's own user" in told.stderr


def test_a_file_that_was_never_fetched_is_found_by_search_and_filter_alike(file, find, call):
    link = {"name": "plan.pdf", "url": "https://files.example.org/plan.pdf"}
    held = {"name": "notes.txt", "content": "YQ=="}
    file(
        event("file.shared", 0, ALICE, id="1", room="link", attachments=[link], **ALL),
        event("file.shared", 0, ALICE, id="2", room="held", attachments=[held], **ALL),
        say(ALICE, "nothing shared", 0, room="none", **ALL),
    )
    filtered = json.loads(call("inspect", ALICE, "--has-file", "--json").stdout)
    found = json.loads(call("inspect", ALICE, "--search", "has:file", "--json").stdout)["hits"]
    assert {each["room"] for each in filtered} == {"link", "held"} and len(found) == 2
    assert {each["name"] for each in filtered} == {each["name"] for each in found}
