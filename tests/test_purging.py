"""Purging, with real folders, archives and the spool: what goes, what stays, and that it may end anywhere."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_builder import FOLDER, Archive
from builders import BASE, DAY, edit, say
from click.testing import CliRunner

from archiver import config as configuration
from archiver.assembly import archiving_of, directory_of, retention_of
from archiver.cli import main
from archiver.compliance import purging
from archiver.compliance.preserving import Keeper
from archiver.compliance.purging import Purge, Report
from archiver.config import Config
from archiver.daemon import job as daemon_job
from archiver.daemon.job import Job
from archiver.events import SECOND, Captured
from archiver.exporting import records
from archiver.exporting.exporting import export
from archiver.exporting.folders import eml
from archiver.exporting.origins import History, OwnArchives
from archiver.store import PURGES

ALICE, BOB = "alice@example.org", "bob@example.org"
NOW = BASE + 100 * DAY
KEEP = {"keyword": "Keep", "days": 0}


def config(*retention: dict[str, Any], **more: Any) -> Config:
    return configuration.parse(
        {
            "archiving": {"archive": "im+conference", "to_mailbox": True, "purge": True, "keep_days": 50},
            "policy": {"internal": True},
            "mailbox": [{"address": ALICE, "exchange_archiving": "mailbox"}],
            "retention": list(retention),
            **more,
        }
    )


BOTH = ({"folder": "history", "days": 30}, {"folder": "archive", "days": 60})


def talk(day: int, text: str = "") -> list[Captured]:
    at = day * DAY
    return [
        say(who, text or f"on day {day}", at + n, id=f"{day}-{n}", present=[ALICE, BOB])
        for n, who in enumerate((ALICE, BOB))
    ]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Conversations on days 0, 45 and 90, purged on day 100; Alice has an archive, Bob is archived locally."""
    made = Archive(tmp_path, config(*BOTH))
    made.take([*talk(0), *talk(45), *talk(90)], 91 * DAY)
    yield made
    made.spool.close()


def purge(archive: Archive, **more: Any) -> Purge:
    rules, archiving = retention_of(archive.config), archiving_of(archive.config)
    keeper = Keeper(archive.archive, archive.spool, archive.spool, directory_of(archive.config).mailbox_of)
    return Purge(archive.spool, archive.store, archive.archive, keeper, rules, archiving, **more)


def run(archive: Archive, **more: Any) -> Report:
    return purge(archive, **more).run(NOW * SECOND, "Ann", "as configured")


def left(archive: Archive) -> tuple[int, int, int, int]:
    """Items of Alice's history, of Bob's, of Alice's archive, of the local archive."""
    alices, bobs = [len(list(archive.store.items(who, FOLDER))) for who in (ALICE, BOB)]
    return alices, bobs, len(list(archive.archive.items(ALICE, PURGES))), len(list(archive.spool.local_items()))


def states(archive: Archive) -> dict[tuple[str, str, str], int]:
    return {
        (c.mailbox.partition("@")[0], c.destination, c.state): c.deliveries
        for c in archive.spool.mailboxes()
        if c.deliveries
    }


def test_each_folder_keeps_as_long_as_its_rule_says(archive: Archive) -> None:
    assert left(archive) == (3, 3, 3, 3)
    report = run(archive)
    assert left(archive) == (1, 1, 2, 1)
    assert report.gone.items == 2 + 2 + 1 + 2
    assert states(archive)["alice", "history", "purged"] == 2
    assert states(archive)["alice", "archive", "purged"] == 1
    assert list(archive.archive.verify(ALICE, archive.spool.heads().values())) == []
    assert [entry.action for entry in archive.spool.audits()] == ["purge begun", "purge ended"]
    assert list(archive.spool.audits())[-1].details["items"] == 7


def test_a_plan_changes_nothing_and_is_what_is_done(archive: Archive) -> None:
    planned = purge(archive).plan(NOW * SECOND)
    assert left(archive) == (3, 3, 3, 3)
    assert list(archive.spool.audits()) == []
    assert planned.counts == run(archive).counts


def test_a_purge_and_its_plan_read_no_item(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner in (type(archive.store), type(archive.archive)):
        for name in ("read", "read_all", "messages_in"):
            monkeypatch.setattr(owner, name, lambda *_: pytest.fail("an item was read"))
    monkeypatch.setattr(type(archive.spool), "local_content", lambda *_: pytest.fail("an item was read"))
    hold = archive.spool.place_hold(BOB, by="counsel", reason="case", query="merger", now=NOW * SECOND)
    purge(archive).plan(NOW * SECOND)
    archive.spool.release_hold(hold.number, by="counsel", reason="over", now=NOW * SECOND)
    run(archive)
    assert left(archive) == (1, 1, 2, 1)


EXPORTED = tuple(rule | {"exported_only": True} for rule in BOTH)


def exported(archive: Archive, folder: Path, **more: Any) -> int:
    report = records.Report()
    origins = (History(archive.spool, archive.store), OwnArchives(archive.spool, archive.archive))
    export(origins, eml(folder), folder, records.Wanted(**more), lambda: NOW * SECOND, report)
    assert not report.damaged
    return report.items


def test_where_a_rule_says_so_only_what_was_exported_goes(archive: Archive, tmp_path: Path) -> None:
    archive.use(config(*EXPORTED))
    report = run(archive)
    assert left(archive) == (3, 3, 3, 1), "the local archive has a switch of its own"
    assert report.counts[ALICE, "history", "waits for its export"].items == 2
    assert report.counts[ALICE, "archive", "waits for its export"].items == 1
    exported(archive, tmp_path / "out", until=(BASE + DAY) * SECOND)
    assert run(archive).gone.items == 3
    assert left(archive) == (2, 2, 2, 1)
    exported(archive, tmp_path / "out")
    assert run(archive).gone.items == 2
    assert left(archive) == (1, 1, 2, 1)


def test_copies_that_holds_left_wait_for_their_export_too(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(*EXPORTED, mailbox=[], policy={}, archiving={}))
    hold = archive.spool.place_hold(BOB, by="counsel", reason="case", now=BASE * SECOND)
    archive.take(talk(0), DAY)
    archive.spool.release_hold(hold.number, by="counsel", reason="over", now=(BASE + DAY) * SECOND)
    assert run(archive).counts[BOB, "archive", "waits for its export"].items == 1
    exported(archive, tmp_path / "out")
    run(archive)
    assert list(archive.archive.items(BOB, PURGES)) == []
    archive.spool.close()


def test_copies_go_lot_by_lot_and_none_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "_AT_ONCE", 7)
    archive = Archive(tmp_path, config(*BOTH, mailbox=[], policy={}, archiving={}))
    hold = archive.spool.place_hold(BOB, by="counsel", reason="case", now=BASE * SECOND)
    archive.take([each for day in range(40) for each in talk(day)], 41 * DAY)
    archive.spool.release_hold(hold.number, by="counsel", reason="over", now=(BASE + DAY) * SECOND)
    lots: list[int] = []

    def stopping() -> bool:
        lots.append(1)
        return len(lots) == 15

    assert not run(archive, stopping=stopping).whole
    assert 0 < len(list(archive.archive.items(BOB, PURGES))) < 40
    run(archive)
    assert list(archive.archive.items(BOB, PURGES)) == []
    assert list(archive.archive.verify(BOB, archive.spool.heads().values())) == []
    archive.spool.close()


def test_an_export_of_mailboxes_is_resumed_and_knows_what_is_new(archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert exported(archive, out) == 9
    written = sorted(path.relative_to(out).parts[:3] for path in out.rglob("*.eml"))
    folders = (("alice", "archive"), ("alice", "history"), ("bob", "history"))
    assert written == sorted([("example.org", *each) for each in folders] * 3)
    assert exported(archive, out) == 9, "what is there already is counted, and written no more"
    assert exported(archive, tmp_path / "more", fresh=True) == 0
    archive.take(talk(95), 96 * DAY)
    assert exported(archive, tmp_path / "more", fresh=True, mailbox=ALICE) == 2


def test_what_a_manifest_does_not_know_as_it_is_is_not_exported(archive: Archive, tmp_path: Path) -> None:
    first, *_ = archive.archive.root.rglob("cur/*")
    first.chmod(0o600)
    first.write_bytes(first.read_bytes() + b"?")
    (first.parent / "1.planted:2,S").write_bytes(b"Subject: planted\n\n")
    report = records.Report()
    origin = OwnArchives(archive.spool, archive.archive)
    export([origin], eml(tmp_path / "out"), tmp_path / "out", records.Wanted(), lambda: NOW * SECOND, report)
    assert sorted(report.damaged) == sorted(["1.planted", first.name.partition(":")[0]])
    assert report.items == 2 == len(list((tmp_path / "out").rglob("*.eml")))


def test_what_was_written_and_not_noted_counts_as_not_exported(archive: Archive, tmp_path: Path) -> None:
    """Killed in between, an export is made once more; a purge doesn't go ahead of it."""

    def killed() -> int:
        raise RuntimeError("killed")

    origin, out = History(archive.spool, archive.store), tmp_path / "out"
    with pytest.raises(RuntimeError):
        export([origin], eml(out), out, records.Wanted(), killed, records.Report())
    archive.use(config(*EXPORTED))
    assert run(archive).counts[ALICE, "history", "waits for its export"].items == 2
    assert exported(archive, out) == 9


def test_again_it_finds_nothing_to_do(archive: Archive) -> None:
    run(archive)
    assert run(archive).counts == {}
    assert len(list(archive.spool.audits())) == 2


def test_what_was_purged_is_not_filed_again(archive: Archive) -> None:
    run(archive)
    archive.take([*talk(0), *talk(45)], 101 * DAY)
    archive.take([say(BOB, "late", 10, id="late", present=[ALICE, BOB])], 102 * DAY)
    texts = "".join(archive.texts(ALICE))
    assert "on day 0" not in texts
    assert "late" in texts


def test_what_a_hold_covers_only_by_a_later_edit_stays_too(tmp_path: Path) -> None:
    """An edit belongs to its message's conversation, and is no less said on the day it was made."""
    made = Archive(tmp_path, config(*BOTH))
    made.take([*talk(0), edit(ALICE, talk(0)[0].event.id, "changed", 2 * DAY, present=[ALICE, BOB])], 3 * DAY)
    before = made.items(ALICE), made.archived(ALICE)
    made.spool.place_hold(ALICE, by="Legal", reason="case 7", query="after:2012-10-13", now=(BASE + 4 * DAY) * SECOND)
    assert {verdict for (of, _, verdict) in run(made).counts if of == ALICE} == {"held"}
    assert (made.items(ALICE), made.archived(ALICE)) == before
    made.spool.close()


@pytest.mark.parametrize("query", ["", '"on day"', "after:2000-01-01"])
@pytest.mark.parametrize(("who", "stay"), [(ALICE, (3, 1, 3, 1)), (BOB, (1, 3, 2, 3))])
def test_what_a_hold_covers_stays_everywhere(
    archive: Archive, query: str, who: str, stay: tuple[int, int, int, int]
) -> None:
    hold = archive.spool.place_hold(who, by="counsel", reason="case", query=query, now=NOW * SECOND)
    report = run(archive)
    assert left(archive) == stay
    assert report.counts[who, "history", "held"].items == 2
    archive.spool.release_hold(hold.number, by="counsel", reason="over", now=NOW * SECOND)
    run(archive)
    assert left(archive) == (1, 1, 2, 1)


@pytest.mark.parametrize("who", [ALICE, BOB])
def test_a_hold_that_is_placed_while_it_goes_on_keeps_what_is_still_there(
    archive: Archive, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the judging of a lot and its taking out: in the archives nothing else would keep it."""
    before, begin = left(archive), Purge._begin

    def meanwhile(self: Purge, *arguments: Any) -> None:
        if not archive.spool.holds():
            archive.spool.place_hold(who, by="counsel", reason="case", now=NOW * SECOND)
        begin(self, *arguments)

    monkeypatch.setattr(Purge, "_begin", meanwhile)
    report = run(archive)
    after = left(archive)
    if who == ALICE:
        assert report.failed == 1 and after[2] >= before[2]
    else:
        assert len(archive.archived(BOB)) == before[1] - after[1] > 0 and after[3] == before[3]


def test_a_copy_that_a_hold_left_in_the_archive_goes_by_the_archives_rule(tmp_path: Path) -> None:
    made = Archive(tmp_path, config(*BOTH))
    hold = made.spool.place_hold(BOB, by="counsel", reason="case", query="", now=(BASE - DAY) * SECOND)
    made.use(config(*BOTH, archiving={"archive": "none"}))
    made.take([*talk(0), *talk(90)], 91 * DAY)
    assert len(made.archived(BOB)) == 2
    run(made)
    assert len(made.archived(BOB)) == 2
    made.spool.release_hold(hold.number, by="counsel", reason="over", now=NOW * SECOND)
    run(made)
    assert len(made.archived(BOB)) == 1
    assert list(made.archive.verify(BOB, made.spool.heads().values())) == []
    made.spool.close()


def label(archive: Archive, mailbox: str, letter: str, *keywords: str) -> None:
    """As Dovecot keeps keywords: on every item of the folder."""
    folder = archive.spool.data / "mail" / "example.org" / mailbox.partition("@")[0] / f".{FOLDER}"
    (folder / "dovecot-keywords").write_text("".join(f"{n} {name}\n" for n, name in enumerate(keywords)))
    for path in (folder / "cur").iterdir():
        path.rename(path.with_name(path.name + letter))


def test_a_label_keeps_an_item_in_its_owners_folder(archive: Archive) -> None:
    archive.use(config(*BOTH, retention_label=[KEEP]))
    label(archive, ALICE, "b", "other", "keep")
    label(archive, BOB, "a", "other", "keep")
    report = run(archive)
    assert left(archive) == (3, 1, 2, 1)
    assert report.counts[ALICE, "history", "kept by its label"].items == 2


def test_a_label_shortens(archive: Archive) -> None:
    archive.use(config(*BOTH, retention_label=[{"keyword": "soon", "days": 5}]))
    label(archive, ALICE, "a", "soon")
    run(archive)
    assert left(archive)[:2] == (0, 1)


def test_what_its_owner_moved_is_not_touched(archive: Archive) -> None:
    root = archive.spool.data / "mail" / "example.org" / "alice"
    (root / ".Mine" / "cur").mkdir(parents=True)
    moved = sorted((root / f".{FOLDER}" / "cur").iterdir())[0]
    moved.rename(root / ".Mine" / "cur" / moved.name)
    run(archive)
    assert len(list((root / ".Mine" / "cur").iterdir())) == 1


def test_one_mailbox_alone(archive: Archive) -> None:
    run(archive, mailbox=BOB)
    assert left(archive) == (3, 1, 3, 1)


def test_only_what_was_exported_goes_from_the_local_archive(archive: Archive) -> None:
    how = {"archive": "im+conference", "to_mailbox": True, "purge": True, "keep_days": 5, "purge_exported_only": True}
    archive.use(config(archiving=how))
    first = next(iter(archive.spool.local_items()))
    archive.spool.mark_exported([first.number], NOW * SECOND)
    run(archive)
    assert left(archive)[3] == 2
    assert first.number not in [each.number for each in archive.spool.local_items()]


def test_the_journal_tells_that_items_of_the_local_archive_went(archive: Archive) -> None:
    run(archive)
    counts = {c.state: c.deliveries for c in archive.spool.mailboxes() if c.destination == "local"}
    assert counts == {"filed": 1, "purged": 2}


def test_without_rules_nothing_ever_goes(archive: Archive) -> None:
    archive.use(configuration.parse({}))
    assert run(archive).counts == {}
    assert left(archive) == (3, 3, 3, 3)


def test_it_stops_when_told_and_goes_on(archive: Archive) -> None:
    told = iter([False, True, *[True] * 9])
    report = run(archive, stopping=lambda: next(told))
    assert not report.whole
    assert list(archive.spool.audits())[-1].details["stopped"] is True
    run(archive)
    assert left(archive) == (1, 1, 2, 1)


def test_a_mailbox_that_cant_be_written_stops_no_other(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = os.unlink  # root, as which tests may run, is refused nothing: so the refusal is made here

    def refusing(path: str, *, dir_fd: int) -> None:
        if "alice" in os.readlink(f"/proc/self/fd/{dir_fd}"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)
    assert run(archive).failed == 3
    assert left(archive) == (3, 1, 3, 1)
    monkeypatch.undo()
    assert run(archive).failed == 0
    assert left(archive) == (1, 1, 2, 1)


def test_a_directory_under_an_items_name_stops_nothing(archive: Archive) -> None:
    folder = archive.spool.data / "mail" / "example.org" / "alice" / f".{FOLDER}" / "cur"
    planted = min(folder.iterdir())
    planted.unlink()
    planted.mkdir()
    assert run(archive).failed == 0
    assert planted.is_dir()


def test_the_daemon_purges_at_its_hour(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(archive.spool, archive.config, archive.spool.data)
    at = NOW // DAY * DAY * SECOND
    stamp = archive.spool.data / "run" / "purging"
    monkeypatch.setattr(daemon_job, "clock", lambda: at + 3600 * SECOND)
    job.purge()
    assert left(archive) == (3, 3, 3, 3)
    os.utime(stamp, ns=((at + 3600 * SECOND) * 1000,) * 2)
    monkeypatch.setattr(daemon_job, "clock", lambda: at + 5 * 3600 * SECOND)
    job.purge()
    assert left(archive) == (1, 1, 2, 1)
    assert next(archive.spool.audits()).details == {"hours": [2, 3, 4, 5]}


def test_the_command_shows_the_plan_then_does_it(archive: Archive, tmp_path: Path) -> None:
    file = tmp_path / "archiver.toml"
    file.write_text('[[retention]]\nfolder = "history"\ndays = 1\n')

    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["--data", str(tmp_path), "--config", str(file), "purge", *arguments])
        return result.exit_code, result.output

    assert call()[0] == 2
    status, said = call(ALICE, "--dry-run")
    assert status == 0 and "3 items would go" in said
    assert left(archive)[0] == 3
    status, said = call(ALICE, "--by", "Ann", "--reason", "case 7")
    assert status == 0 and "3 items taken out" in said
    assert left(archive) == (0, 3, 3, 3)
    entry = next(archive.spool.audits())
    assert (entry.subject, entry.by, entry.reason) == (ALICE, "Ann", "case 7")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_purging as t
from archive_builder import Archive
archive = Archive(Path(sys.argv[2]), t.config(*t.BOTH))
steps = int(sys.argv[3])
def after(owner, name):
    real = getattr(owner, name)
    def wrapped(*a, **k):
        global steps
        result = real(*a, **k)
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, wrapped)
for owner, names in ((type(archive.spool), ("audit", "purged", "note_heads", "drop_local")),
                     (type(archive.store), ("remove_all",)), (type(archive.archive), ("purge",))):
    for name in names:
        after(owner, name)
t.run(archive)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", range(1, 8))
def test_killed_after_any_step_it_ends_the_same(archive: Archive, step: int) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(archive.spool.data), str(step)]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    archive.spool.reap(NOW * SECOND)
    run(archive)
    assert left(archive) == (1, 1, 2, 1)
    assert states(archive)["alice", "history", "purged"] == 2
    assert list(archive.archive.verify(ALICE, archive.spool.heads().values())) == []
    assert list(archive.archive.verify(ALICE)) == []
    assert len(list(archive.archive.items(ALICE, PURGES))) == 2


@pytest.mark.slow
def test_twenty_thousand_items_go_in_time(tmp_path: Path) -> None:
    """The plan looks at all of them, and the purge syncs by the lot: neither grows with the size of items."""
    made = Archive(tmp_path, config({"folder": "history", "days": 30}, archiving={"archive": "none"}))
    for start in range(0, 10_000, 1_000):
        rooms = range(start, start + 1_000)
        made.take([say(ALICE, "hello", n, id=f"{n}", room=f"room {n}", present=[ALICE, BOB]) for n in rooms], 2 * DAY)
    assert left(made)[:2] == (10_000, 10_000)
    began = time.monotonic()
    assert purge(made).plan(NOW * SECOND).gone.items == 20_000
    planned = time.monotonic()
    assert run(made).gone.items == 20_000
    assert left(made)[:2] == (0, 0)
    assert planned - began < 10
    assert time.monotonic() - planned < 60
    made.spool.close()
