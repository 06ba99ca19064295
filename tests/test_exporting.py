"""The local archive as EML files, and back: the same events, each item once, nothing damaged passed on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import BASE, HOUR, event, retract, say
from click.testing import CliRunner, Result

from archiver.cli import main
from archiver.events import moment, ndjson
from archiver.importers import Options, Reading, importer
from archiver.importers.recognising import document_at
from archiver.spool import Spool

ALICE, BOB = "alice@example.org", "bob@example.org"
ROOM = {"present": [ALICE, BOB]}
CONFIG = '[archiving]\narchive = "im+conference"\n[policy]\ninternal = true\n[directory]\ndomains = ["example.org"]\n'
DAYS = 24 * HOUR

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    (tmp_path / "config.toml").write_text(CONFIG)

    def call(*arguments: object, data: str = "data", status: int = 0) -> Result:
        fixed = ["--data", str(tmp_path / data), "--config", str(tmp_path / "config.toml")]
        result = CliRunner().invoke(main, [*fixed, *map(str, arguments)])
        assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
        return result

    return call


@pytest.fixture
def events(tmp_path: Path, call: Call) -> list[bytes]:
    """Three conversations on three days, archived; their events."""
    said = [
        say(ALICE, "one", 0, id="1", **ROOM),
        say(BOB, "psst", 1, id="2", to=[ALICE], **ROOM),
        retract(BOB, "2", 2, **ROOM),
        event("file.shared", DAYS, BOB, id="f", attachments=[{"name": "a.txt", "content": "YQ=="}], **ROOM),
        say(ALICE, "three", 2 * DAYS, id="3", room="other", present=[ALICE, BOB, "eve@example.org"]),
    ]
    (tmp_path / "events.ndjson").write_bytes(ndjson(said))
    call("backfill", "--jobs", 1, "events", tmp_path / "events.ndjson")
    return bodies(tmp_path / "data")


def bodies(data: Path) -> list[bytes]:
    with Spool.open(data, readonly=True) as spool:
        rows = spool._connections.db.execute("SELECT body FROM event")
        return sorted(row[0] for row in rows)


def files(folder: Path) -> list[Path]:
    """But for the manifest."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)


def test_the_backfill_of_an_export_gives_the_same_events(tmp_path: Path, call: Call, events: list[bytes]) -> None:
    told = json.loads(call("export", tmp_path / "out", "--json").output)
    assert (told["items"], told["damaged"]) == (3, [])
    call("backfill", "--jobs", 1, "items", tmp_path / "out", data="again")
    assert bodies(tmp_path / "again") == events
    with Spool.open(tmp_path / "again", readonly=True) as spool:
        digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
        assert spool.blob(digest) == b"a"
    first = files(tmp_path / "out")
    call("export", tmp_path / "second", data="again")
    assert [path.read_bytes() for path in files(tmp_path / "second")] == [path.read_bytes() for path in first]


def test_the_folder_guesses_itself(tmp_path: Path, call: Call, events: list[bytes]) -> None:
    call("export", tmp_path / "out")
    call("backfill", "--jobs", 1, tmp_path / "out", data="again")
    assert bodies(tmp_path / "again") == events


def test_bounds_people_and_what_is_new(tmp_path: Path, call: Call, events: list[bytes]) -> None:
    days = [f"{moment((BASE + n * DAYS) * 1_000_000):%Y-%m-%d}" for n in range(3)]

    def exported(*options: str) -> list[str]:
        folder = tmp_path / "-".join(["out", *options]).replace("/", "")
        call("export", folder, *options)
        return [path.parent.name for path in files(folder)]

    assert exported("--since", days[1]) == days[1:]
    assert exported("--until", days[1]) == days[:2]
    assert exported("--since", days[1], "--until", days[1]) == [days[1]]
    assert exported("--address", "sip:Eve@example.org") == [days[2]]
    assert exported("--new") == []
    call("export", tmp_path / "x", "--since", days[1], "--until", days[0], status=2)
    call("export", tmp_path / "x", "--since", "yesterday", status=2)
    call("export", tmp_path / "x", "--address", "", status=2)


def test_mailboxes_are_exported_too_and_read_back(tmp_path: Path, call: Call, events: list[bytes]) -> None:
    told = json.loads(call("export", tmp_path / "out", "--of", "history", "--of", "local", "--json").output)
    assert told["items"] == 3 + len(files(tmp_path / "out" / "example.org"))
    some = json.loads(call("export", tmp_path / "bobs", "--of", "history", "--address", BOB, "--json").output)
    assert some["items"] == 3 == len(files(tmp_path / "bobs" / "example.org" / "bob" / "history"))
    call("backfill", "--jobs", 1, "items", tmp_path / "bobs", data="again")
    assert len(bodies(tmp_path / "again")) == len(events)
    assert json.loads(call("export", tmp_path / "none", "--of", "archive", "--json").output)["items"] == 0


def test_again_it_writes_nothing_and_overwrites_nothing(tmp_path: Path, call: Call, events: list[bytes]) -> None:
    call("export", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path / "out")}
    call("export", tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in files(tmp_path / "out")} == before
    next(iter(before)).write_bytes(b"something else")
    assert "not the same" in call("export", tmp_path / "out", status=2).output


def test_what_was_changed_in_the_database_is_told_and_not_passed_on(
    tmp_path: Path, call: Call, events: list[bytes]
) -> None:
    with Spool.open(tmp_path / "data") as spool, spool._connections.writing() as transaction:
        transaction.connection.execute("UPDATE local_archive SET content = CAST(content || ' ' AS BLOB) WHERE n = 2")
    assert "DAMAGED" in call("export", tmp_path / "out", status=1).output
    assert len(files(tmp_path / "out")) == 2
    with Spool.open(tmp_path / "data", readonly=True) as spool:
        assert [item.exported is None for item in spool.local_items()] == [False, True, False]


def test_an_exported_item_is_one_of_ours(tmp_path: Path, call: Call, events: list[bytes]) -> None:
    call("export", tmp_path / "out")
    for path in files(tmp_path / "out"):
        assert importer("items").sniff(document_at(path), path.read_bytes()[:4096])
        assert list(importer("items").read(document_at(path), Options(), Reading(2_000_000_000_000_000)))
