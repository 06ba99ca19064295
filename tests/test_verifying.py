"""`archiver inspect --verify`: archives against their manifests and against what the spool has on record of them."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from builders import say
from click.testing import CliRunner, Result
from contracts.store import ALICE, BOB, make_item

from archiver.assembly import archive_of
from archiver.cli import main
from archiver.cli import verify as verifying
from archiver.config import load
from archiver.events import ndjson
from archiver.filing.reproducing import Proof, prove
from archiver.spool import Spool
from archiver.store import PURGES, ArchiveStore, Put

FIELDS = {"kind", "code", "mailbox", "place", "found", "advice", "mended"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def archive(data: Path) -> ArchiveStore:
    """Two archives of three items each, their heads on record."""
    archive = archive_of(load(None), data)
    puts = [Put(mailbox, PURGES, make_item(number)) for mailbox in (ALICE, BOB) for number in range(3)]
    receipt = archive.put(puts, 1)
    assert receipt.outcomes == [None] * 6
    with Spool.open(data) as spool:
        for mailbox, head in receipt.heads.items():
            spool.note_heads({mailbox: head})
    return archive


@pytest.fixture
def verify(data: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Of items that carry no events: as if those said the same as the manifest."""
    names = {each.content: each.name for each in map(make_item, range(3))}
    monkeypatch.setattr(verifying, "prove", lambda content, *_: Proof(None, name=names[content]))

    def verify(*arguments: str, status: int) -> Result:
        result = CliRunner().invoke(main, ["--data", str(data), "inspect", "--verify", *arguments])
        assert result.exit_code == status, f"{result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    return verify


def item(archive: ArchiveStore, number: int = 0) -> Path:
    return archive.root / f"example.org/alice/.Recoverable Items.Purges/cur/{make_item(number).name}:2,S"


def test_what_is_sound_is_said_to_be(archive, verify, data):
    before = {path: path.stat().st_mtime_ns for path in archive.root.rglob("*")}
    assert verify(status=0).output == "0 mailboxes and 2 archives checked, all as filed.\n"
    assert verify(ALICE, status=0).output == "0 mailboxes and 1 archive checked, all as filed.\n"
    assert json.loads(verify("--json", status=0).stdout) == []
    assert {path: path.stat().st_mtime_ns for path in archive.root.rglob("*")} == before


def test_where_nothing_is_archived_nothing_is_wrong(verify, data):
    assert verify(status=0).output == "0 mailboxes and 0 archives checked, all as filed.\n"
    assert not data.exists()


def test_a_problem_is_named_with_place_and_advice(archive, verify):
    item(archive).unlink()  # the file is Bob's too
    item(archive).write_bytes(b"changed")
    item(archive, 2).unlink()
    told = verify(ALICE, status=1).output
    assert f"item-changed {ALICE} {PURGES}/{make_item(0).name}: " in told
    assert f"item-missing {ALICE} {PURGES}/{make_item(2).name}: " in told
    assert told.count("backup") == 2 and told.endswith("0 mailboxes and 1 archive checked, 2 problems found.\n")
    problems = json.loads(verify("--json", status=1).stdout)
    assert [problem["code"] for problem in problems] == ["item-changed", "item-missing"]
    assert all(set(problem) == FIELDS for problem in problems)
    assert verify(BOB, status=0)


@pytest.mark.parametrize("written", ["Alice@Example.org", "sip:alice@example.org", "alice@example.org", "alic"])
def test_an_address_is_taken_as_people_write_it(archive, verify, written):
    item(archive).unlink()
    assert "item-missing" in verify(written, status=1).output


def test_a_beginning_that_several_have_is_a_mistake(archive, verify, data):
    puts = [Put("alicia@example.org", PURGES, make_item(0))]
    assert archive.put(puts, 1).outcomes == [None]
    assert "2 mailboxes begin with ali" in verify("ali", status=2).output


def test_the_heads_on_record_show_a_cut_tail(archive, verify):
    manifest = archive.root / "example.org/alice/manifest.ndjson"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:2]))
    item(archive, 2).unlink()
    assert "manifest-cut" in verify(status=1).output


def test_the_audit_log_shows_a_cut_that_the_spools_own_record_hides(archive, verify, data):
    with Spool.open(data) as spool:
        assert spool.audit_heads(1) == 2
        spool._connections.db.execute("DELETE FROM chain")
    test_the_heads_on_record_show_a_cut_tail(archive, verify)


def test_an_archive_that_is_gone_is_found_by_its_record(archive, verify, data):
    (archive.root / "example.org/alice").rename(data / "elsewhere")
    assert [problem["code"] for problem in json.loads(verify("--json", status=1).stdout)] == [
        "manifest-cut",
        "manifest-missing",
    ]
    assert "manifest-cut" in verify(ALICE, status=1).output


def test_a_name_that_somebody_planted_does_a_terminal_no_harm(archive, verify):
    for name in (b"\x1b[2J\nx:2,S", b"\xff\xfe:2,S"):
        Path(os.fsdecode(bytes(item(archive).parent) + b"/" + name)).write_bytes(b"x")
    told = verify(status=1).output
    assert told.count("item-unlisted") == 2 and "\x1b" not in told and "\nx" not in told
    assert "\x1b" not in verify("--json", status=1).stdout


def file(data: Path, configuration: str) -> None:
    """What two people said, one aside included, filed as ever."""
    people = [ALICE, BOB]
    config, path = data.parent / "archiver.toml", data.parent / "events.ndjson"
    config.write_text(configuration)
    talk = [say(people[n % 2], f"text {n}", n, id=str(n), present=people) for n in range(3)]
    path.write_bytes(ndjson([*talk, say(ALICE, "aside", 4, to=[BOB], present=people)]))
    result = CliRunner().invoke(main, ["--config", str(config), "--data", str(data), "backfill", "events", str(path)])
    assert result.exit_code == 0, result.output


def archived(data: Path) -> list[Path]:
    """Two people's complete transcripts in their own archives."""
    file(data, ARCHIVING)
    found = sorted((data / "archive").glob("*/*/.Recoverable Items.Purges/cur/*"))
    assert len(found) == 2 and b"X-Archiver-Transcript: complete" in found[0].read_bytes()
    return found


ARCHIVING = '[policy]\ninternal = true\n[archiving]\narchive = "im+conference"\nto_mailbox = true\n' + "".join(
    f'[[mailbox]]\naddress = "{each}"\nexchange_archiving = "mailbox"\n' for each in (ALICE, BOB)
)


def told(data: Path, status: int) -> list[dict[str, str]]:
    result = CliRunner().invoke(main, ["--json", "--data", str(data), "inspect", "--verify"])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_complete_items_are_made_again_from_their_events(data, monkeypatch):
    archived(data)
    made = []
    monkeypatch.setattr(verifying, "prove", lambda content, *rest: made.append(content) or prove(content, *rest))
    assert told(data, 0) == []
    assert sum(b"X-Archiver-Transcript: complete" in content for content in made) == 1, "the same for both"


def test_an_item_that_its_manifest_vouches_for_is_held_against_its_events(data, monkeypatch):
    """As if whoever forged it had forged the manifest and every record of its end as well."""
    (item, _) = archived(data)
    item.write_bytes(item.read_bytes().replace(b"text 1", b"text I", 1))
    (found,) = told(data, 1)
    assert found["code"] == "item-changed" and "made again" not in found["found"], "told once, by its manifest"
    monkeypatch.setattr(ArchiveStore, "verify", lambda *_: iter(()))
    (forged,) = told(data, 1)
    assert (forged["code"], forged["mailbox"]) == ("item-changed", ALICE)
    assert forged["found"] == "made again from its own events it is another" and forged["place"] == found["place"]


def test_an_archived_item_of_another_renderer_says_which_made_it(data, monkeypatch):
    (item, _) = archived(data)
    item.write_bytes(item.read_bytes().replace(b" babel/", b" babel/0.", 1))
    monkeypatch.setattr(ArchiveStore, "verify", lambda *_: iter(()))
    (other,) = told(data, 0)
    assert (other["kind"], other["code"]) == ("information", "other-renderer") and "babel/0." in other["found"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("content = ?1 WHERE ?2 <> ''", "its SHA-256 is "),
        ("content = ?1, sha256 = ?2", "made again from its own events it is another"),
    ],
)
def test_the_local_archive_is_held_against_its_rows_and_its_events(data: Path, change: str, found: str) -> None:
    file(data, '[policy]\ninternal = true\n[archiving]\narchive = "im+conference"\n')
    assert told(data, 0) == []
    with Spool.open(data) as spool:
        (row,) = spool.local_items()
        forged = (spool.local_content(row.number) or b"").replace(b"text 1", b"text I")
    with sqlite3.connect(data / "spool.db") as connection:
        connection.execute(f"UPDATE local_archive SET {change}", (forged, sha256(forged).hexdigest()))
    (damage,) = told(data, 1)
    assert (damage["code"], damage["mailbox"], damage["place"]) == ("item-changed", ALICE, f"local archive/{row.name}")
    assert damage["found"].startswith(found)
