"""Put back from a backup: the spool's file, or an archive, older than what stands beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_builder import FOLDER, Archive
from builders import DAY, say
from click.testing import CliRunner

from archiver import config as configuration
from archiver.cli import main
from archiver.config import Config
from archiver.events import Captured

ALICE, BOB = "alice@example.org", "bob@example.org"


def config() -> Config:
    return configuration.parse(
        {
            "archiving": {"archive": "im+conference", "to_mailbox": True},
            "policy": {"internal": True},
            "mailbox": [{"address": ALICE, "exchange_archiving": "mailbox"}],
        }
    )


def talk(room: str, day: float, *numbers: int) -> list[Captured]:
    people = [ALICE, BOB]
    return [
        say(people[n % 2], f"{room} says {n}", day * DAY + n, id=f"{room}-{n}", room=room, present=people)
        for n in numbers
    ]


BEFORE = [*talk("old", 0, 0, 1), *talk("continued", 0, 0, 1)]
AFTER = [*talk("continued", 0, 2, 3), *talk("new", 1, 0, 1)]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """A backup of everything after the first day, and a day more."""
    data = tmp_path / "data"
    made = Archive(data, config())
    made.take(BEFORE, DAY)
    made.spool.close()
    shutil.copytree(data, tmp_path / "backup")
    made = Archive(data, config())
    made.take(AFTER, 2 * DAY)
    yield made
    made.spool.close()


def put_back(archive: Archive, name: str) -> Archive:
    """This file or tree is the backup's again, the rest as it is."""
    data = archive.spool.data
    archive.spool.close()
    for path in data.glob(f"{name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    backup = data.parent / "backup" / name
    shutil.copytree(backup, data / name) if backup.is_dir() else shutil.copy(backup, data / name)
    archive.spool = Archive(data, config()).spool
    archive.use(archive.config)
    return archive


def verified(archive: Archive, *more: str) -> str:
    toml = archive.spool.data.parent / "archiver.toml"
    toml.write_text(
        '[archiving]\narchive = "im+conference"\nto_mailbox = true\n[policy]\ninternal = true\n'
        f'[[mailbox]]\naddress = "{ALICE}"\nexchange_archiving = "mailbox"\n'
    )
    command = ["--config", str(toml), "--data", str(archive.spool.data), *(more or ("inspect", "--verify"))]
    return CliRunner().invoke(main, command).output


def lying(archive: Archive) -> dict[str, list[str]]:
    return {who: sorted(archive.texts(who)) for who in (ALICE, BOB)}


def test_an_old_spool_files_nothing_twice_and_loses_nothing(archive: Archive) -> None:
    """What was filed since is told again, by exports or by a source: everybody has what they had, as they left it."""
    folder = archive.spool.data / "mail" / "example.org" / "alice" / f".{FOLDER}" / "cur"
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.replace(":2,S", ":2,FRS")))
    before, archived = lying(archive), archive.archived(ALICE)
    archive = put_back(archive, "spool.db")
    assert "its file is older than what was filed: 16 deliveries were made, it knew 8" in verified(archive, "doctor")
    assert "the journal has no such item" in verified(archive)
    archive.take([*BEFORE, *AFTER], 3 * DAY)
    assert lying(archive) == before
    assert archive.archived(ALICE) == archived
    assert all(path.name.endswith(":2,FRS") for path in folder.iterdir())
    assert list(archive.archive.verify(ALICE, archive.spool.heads().values())) == []
    assert "all as filed" in verified(archive)


def test_after_as_many_deliveries_again_it_is_over(archive: Archive) -> None:
    archive = put_back(archive, "spool.db")
    assert archive.spool.setback() is not None
    for room in range(4):
        archive.take(talk(f"more {room}", 3 + room, 0, 1), (4 + room) * DAY)
    assert archive.spool.setback() is None
    assert "older than what was filed" not in verified(archive, "doctor")
    archive = put_back(archive, "spool.db")
    assert archive.spool.setback() is not None


def test_an_old_archive_is_named_with_what_it_lacks_and_goes_on(archive: Archive) -> None:
    """What was filed in it since is gone: that is found, and what comes now is filed all the same."""
    archive = put_back(archive, "archive")
    assert "manifest-cut alice@example.org manifest.ndjson: line 3: 4 lines are on record, 2 are there" in verified(
        archive
    )
    archive.take(talk("next", 5, 0, 1), 6 * DAY)
    assert sum(b"next says 0" in item for item in archive.archived(ALICE).values()) == 1
    found = verified(archive)
    assert "manifest-" in found and "problem" in found


def test_an_old_directory_is_nothing_strange(archive: Archive) -> None:
    """All of it put back: nothing knows of what came later."""
    data = archive.spool.data
    archive.spool.close()
    shutil.rmtree(data)
    shutil.copytree(data.parent / "backup", data)
    again = Archive(data, config())
    assert again.spool.setback() is None
    again.take([*BEFORE, *AFTER], 3 * DAY)
    assert [len(texts) for texts in lying(again).values()] == [3, 3]
    assert "all as filed" in verified(again)
    again.spool.close()
