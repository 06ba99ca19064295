"""Erasing one person: nothing they said is left in any file, others' items stay, and reading it again files nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_builder import FOLDER, Archive
from builders import BASE, DAY, edit, event, react, say
from click.testing import CliRunner
from conversation_builder import text_of

from archiver import config as configuration
from archiver.assembly import rules_of, terms_of
from archiver.cli import main
from archiver.compliance.erasure import Erasure, Report
from archiver.config import Config
from archiver.events import SECOND, Captured, Rejected
from archiver.exceptions import EnvironmentFault, InUse, UsageError
from archiver.filing import sifting
from archiver.rendering import lines_of
from archiver.store import PURGES

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
SECRET = "zebra4711"
"""In everything that Bob says."""
HIS_FILE = f"{SECRET} in a file".encode() * 9
NOW = (BASE + 20 * DAY) * SECOND


def config() -> Config:
    return configuration.parse(
        {
            "archiving": {"archive": "im+conference", "to_mailbox": True},
            "policy": {"internal": True},
            "mailbox": [{"address": ALICE, "exchange_archiving": "mailbox"}],
        }
    )


def shared(who: str, content: bytes, at: float, **more: Any) -> Captured:
    digest = hashlib.sha256(content).hexdigest()
    file = {"name": f"{who} shares.txt", "media_type": "text/plain", "sha256": digest, "size": len(content)}
    made = event("file.shared", at, who, id=f"file-{at}", attachments=[file], **more)
    return Captured(made.event, made.time, made.received, made.body, attached=((digest, content),))


def talk(room: str = "room", day: float = 0) -> list[Captured]:
    at, present = day * DAY, {"room": room, "present": [ALICE, BOB, CAROL]}
    return [
        say(ALICE, "alice says this", at, id=f"{room}1", **present),
        say(BOB, f"bob says {SECRET}", at + 1, id=f"{room}2", **present),
        edit(BOB, f"{room}2", f"bob means {SECRET}", at + 2, id=f"{room}3", **present),
        react(CAROL, f"{room}2", "+1", at + 3, id=f"{room}4", **present),
        event("strange.thing", at + 4, BOB, id=f"{room}5", extra={"deep": [SECRET]}, **present),
        shared(BOB, HIS_FILE, at + 5, **present),
        shared(ALICE, b"alice's own file", at + 6, **present),
        say(CAROL, "carol says that", at + 7, id=f"{room}6", **present),
    ]


def echo(room: str = "room", day: float = 0) -> Captured:
    """Carol's reaction repeats what Bob said."""
    message = {"id": f"{room}2", "text": f"bob says {SECRET}"}
    return event("message.reacted", day * DAY + 8, CAROL, id=f"{room}e", room=room, message=message, reaction="!")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """A conversation whose events are forgotten, and one whose events are still in the spool."""
    made = Archive(tmp_path, config())
    made.take([*talk(), echo()], DAY)
    assert made.forget(15 * DAY)
    made.take([*talk("late", 15), echo("late", 15)], 16 * DAY)
    yield made
    made.spool.close()


def erase(archive: Archive, peer: str | None = None) -> Report:
    config = archive.config
    whose, limits = sifting.whose_of(config), terms_of(config).limits
    stores = archive.store, archive.archive
    erasure = Erasure(archive.spool, *stores, rules_of(config), limits, whose, BOB, peer)
    return erasure.run(NOW, "Ann", "asked for it")


def says(content: bytes) -> bool:
    """Whether something of Bob's stands in it, packed or not."""
    spellings = [content]
    if content.startswith(b"Message-ID") or b"\nX-Archiver-" in content[:4_000]:
        spellings += [*lines_of(content), text_of(content).encode()]
    return any(SECRET.encode() in each for each in spellings) or base64.b64encode(HIS_FILE)[:60] in content


def traces(archive: Archive) -> list[str]:
    """Every file below the data directory, and every item of the local archive, in which something of Bob's stands."""
    data = archive.spool.data
    files = {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}
    local = {f"local/{i.name}": archive.spool.local_content(i.number) or b"" for i in archive.spool.local_items()}
    return sorted(name for name, content in {**files, **local}.items() if says(content))


def wal(archive: Archive) -> bytes:
    return (archive.spool.data / "spool.db-wal").read_bytes()


def packed(archive: Archive) -> list[bytes]:
    """Of every item of the local archive, a line that only its packed events have."""
    contents = [archive.spool.local_content(each.number) or b"" for each in archive.spool.local_items()]
    return [content.split(b"conversation.ndjson.gz")[-1].split(b"\n")[-8] for content in contents]


def test_the_search_for_traces_finds_what_is_there(archive: Archive) -> None:
    found = "\n".join(traces(archive))
    for where in (
        "spool.db",
        "blobs/",
        "mail/example.org/alice",
        "archive/example.org/alice",
        "mail/example.org/bob",
        "local/",
    ):
        assert where in found


def test_nothing_is_left_in_any_file(archive: Archive) -> None:
    spool = archive.spool
    feed = spool.open_feed("import:more", "import", now=NOW).number
    bad = Rejected(f"{BOB} {SECRET}".encode(), "log:1", "no JSON", "test:one")
    spool.append([say(BOB, f"other {SECRET}", 15 * DAY + 1, id="late2", room="late"), bad], feed, now=NOW)
    spool.close_feed(feed, NOW)
    assert len(spool.conflicts()) == 1
    lines = packed(archive)
    assert all(
        len(line.strip()) > 60 and line in (spool.data / "spool.db").read_bytes() + wal(archive) for line in lines
    )
    report = erase(archive)
    assert traces(archive) == []
    assert not any(line in (spool.data / "spool.db").read_bytes() for line in lines)
    assert (spool.data / "spool.db-wal").stat().st_size == 0
    assert report.failed == [] and report.moved == []
    assert (report.removed, report.replaced, report.archived, report.local) == (2, 4, 2, 2)
    assert (report.conflicts, report.quarantined, report.blobs) == (1, 1, 1)


def test_what_others_said_stays_as_it_was(archive: Archive) -> None:
    before = [archive.texts(who) for who in (ALICE, CAROL)]
    erase(archive)
    for who, old in zip((ALICE, CAROL), before, strict=True):
        for text, earlier in zip(archive.texts(who), old, strict=True):
            assert "alice says this" in text and "carol says that" in text and "bob" in text.lower()
            assert [
                line
                for line in earlier.splitlines()
                if SECRET not in line and f"{BOB} shares" not in line and line not in text
            ] == []
    assert list(archive.store.items(BOB, FOLDER)) == []
    (blob,) = [path for path in (archive.spool.data / "blobs").rglob("*") if path.is_file()]
    assert blob.read_bytes() == b"alice's own file"


def test_reading_it_again_files_nothing_and_brings_nothing_back(archive: Archive) -> None:
    erase(archive)
    lying = {who: archive.items(who).values() for who in (ALICE, BOB, CAROL)}
    before = {who: sorted(found) for who, found in lying.items()}
    tally = archive.take([*talk(), echo(), *talk("late", 15), echo("late", 15)], 21 * DAY)
    assert (tally.items, tally.copies, tally.archived) == (0, 0, 0)
    assert {who: sorted(archive.items(who).values()) for who in lying} == before
    archive.spool.sweep_blobs()
    archive.spool.checkpoint()
    assert [path for path in traces(archive) if not path.startswith("blobs")] == []


def test_the_chain_keeps_its_lines_and_says_what_was_erased(archive: Archive) -> None:
    root = archive.spool.data / "archive" / "example.org" / "alice"
    before = (root / "manifest.ndjson").read_bytes()
    erase(archive)
    after = (root / "manifest.ndjson").read_bytes()
    assert after.startswith(before)
    assert after.count(b'"kind":"erased"') == 2 and after.count(b'"instead"') == 2
    assert list(archive.archive.verify(ALICE, archive.spool.heads().values())) == []


@pytest.mark.parametrize("who", [ALICE, BOB, CAROL])
def test_it_is_refused_while_a_hold_stands_on_any_mailbox_concerned(archive: Archive, who: str) -> None:
    archive.spool.place_hold(who, by="counsel", reason="case", query="nothing of this", now=NOW)
    before = traces(archive)
    with pytest.raises(UsageError, match=f"hold 1 on {who}"):
        erase(archive)
    assert set(traces(archive)) == set(before)
    assert [each.action for each in archive.spool.audits()] == ["hold placed"]


def test_what_its_owner_moved_is_listed_and_not_touched(archive: Archive) -> None:
    root = archive.spool.data / "mail" / "example.org" / "carol"
    (root / ".Mine" / "cur").mkdir(parents=True)
    moved = min((root / f".{FOLDER}" / "cur").iterdir())
    moved.rename(root / ".Mine" / "cur" / moved.name)
    report = erase(archive)
    assert [(each.mailbox, each.folder) for each in report.moved] == [(CAROL, "Mine")]
    assert traces(archive) == [str(Path("mail/example.org/carol/.Mine/cur") / moved.name)]


def test_what_cannot_be_looked_at_is_named_before_anything_is_erased(archive: Archive) -> None:
    """A giant that its owner planted under a name of ours must not fill the memory either."""
    (planted, *_) = archive.store.root.glob("example.org/carol/.Conversation History/cur/*")
    planted.unlink()  # others' items may share its inode
    planted.touch()
    os.truncate(planted, 8 * 1024**3)
    before = len(archive.texts(ALICE)), archive.spool.totals()
    with pytest.raises(EnvironmentFault, match=planted.name.partition(":")[0]):
        erase(archive)
    assert (len(archive.texts(ALICE)), archive.spool.totals()) == before
    assert not [told for told in archive.spool.audits() if "erasure" in told.action]


def test_only_what_was_said_with_one_other(archive: Archive) -> None:
    archive.take([say(BOB, f"just us {SECRET}", 17 * DAY, id="p", room="pair", present=[BOB, CAROL])], 18 * DAY)
    erase(archive, peer=ALICE)
    assert all("mail/example.org/alice" not in path for path in traces(archive))
    assert [SECRET in text for text in archive.texts(CAROL)] == [False, False, True]


def test_flags_stay_and_the_journal_knows_the_new_item(archive: Archive) -> None:
    folder = archive.spool.data / "mail" / "example.org" / "alice" / f".{FOLDER}" / "cur"
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.replace(":2,S", ":2,FSa")))
    erase(archive)
    assert all(path.name.endswith(":2,FSa") for path in folder.iterdir())
    archive.take([say(ALICE, "one more", 15 * DAY + 20, id="more", room="late", present=[ALICE, BOB])], 22 * DAY)
    assert len(archive.texts(ALICE)) == 2
    assert traces(archive) == []


def test_the_original_of_a_mended_event_goes_by_its_id(archive: Archive) -> None:
    """In it its author may stand in another form than the address."""
    feed = archive.spool.open_feed("import:more", "import", now=NOW).number
    made = say(BOB, f"mended {SECRET}", 15 * DAY + 9, id="mended", room="late")
    mended = Captured(made.event, made.time, made.received, made.body, 0, ("odd bytes",), f"<b> {SECRET}".encode())
    archive.spool.append([mended], feed, now=NOW)
    archive.spool.close_feed(feed, NOW)
    assert any(name.startswith("quarantine") for name in traces(archive))
    erase(archive)
    assert traces(archive) == []


def test_again_it_finds_nothing(archive: Archive) -> None:
    erase(archive)
    again = erase(archive)
    assert (again.removed, again.replaced, again.archived, again.local, again.events) == (0, 0, 0, 0, 0)


def test_no_daemon_may_run(archive: Archive) -> None:
    with archive.spool.hold("daemon", "archiver run"), pytest.raises(InUse):
        erase(archive)
    assert traces(archive)


def test_the_command(archive: Archive, tmp_path: Path) -> None:
    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["--data", str(tmp_path), "purge", *arguments])
        return result.exit_code, result.output

    assert call("--erase", BOB)[0] == 2
    assert call("--peer", BOB, "--dry-run")[0] == 2
    status, said = call("--erase", BOB, "--by", "Ann", "--reason", "asked for it")
    assert status == 0, said
    assert "2 items of their own taken out" in said
    assert traces(archive) == []
    begun, ended = archive.spool.audits()
    assert (begun.action, begun.subject, begun.by, ended.action) == ("erasure begun", BOB, "Ann", "erasure ended")
    assert ended.details["replaced"] == 4
    assert len(list(archive.archive.items(ALICE, PURGES))) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_erasure as t
from archive_builder import Archive
archive = Archive(Path(sys.argv[2]), t.config())
left = int(sys.argv[4])
def after(owner, name):
    real = getattr(owner, name)
    def wrapped(*a, **k):
        global left
        result = real(*a, **k)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, wrapped)
spool, history, archived = type(archive.spool), type(archive.store), type(archive.archive)
after(dict(spool=spool, history=history, archive=archived)[sys.argv[3].split(".")[0]], sys.argv[3].split(".")[1])
t.erase(archive)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        "spool.audit",
        "spool.rewrite_events",
        "history.put",
        "history.remove",
        "archive.erase",
        "spool.rename_deliveries",
    ],
)
def test_killed_after_any_step_the_next_one_ends_it(archive: Archive, step: str) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(archive.spool.data), step, "1"]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    archive.spool.reap(NOW)
    assert erase(archive).failed == []
    assert traces(archive) == []
    assert list(archive.archive.verify(ALICE, archive.spool.heads().values())) == []
    assert [len(archive.texts(who)) for who in (ALICE, BOB, CAROL)] == [2, 0, 2]
