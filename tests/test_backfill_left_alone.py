"""What a backfill doesn't read, and says so: links, special files, files of no format, and files that can't be read."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from builders import say
from click.testing import CliRunner, Result

from archiver.backfill import reading
from archiver.cli import main
from archiver.events import ndjson
from archiver.importers import IMPORTERS
from archiver.importers.folder import Folder
from archiver.importers.leaving import (
    CHAT_S_OWN,
    EXPECTED,
    MEDIA,
    NAMED,
    NO_FORMAT,
    REASONS,
    SENT,
    SERVERS_OWN,
    Leavings,
)

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    def call(*arguments: object, status: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--data", str(tmp_path / "data"), *map(str, arguments)])
        assert result.exit_code == status, f"{result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One event file, in a folder of its own."""
    (tmp_path / "in").mkdir()
    talk(tmp_path / "in" / "a.ndjson", "a")
    return tmp_path / "in"


def talk(path: Path, room: str, count: int = 3) -> Path:
    path.write_bytes(ndjson([say("alice@example.org", f"{n}", n, id=f"{room}{n}", room=room) for n in range(count)]))
    return path


def read(call: Call, path: Path, status: int = 0, *more: object) -> dict[str, Any]:
    return dict(json.loads(call("backfill", "--json", *more, path, status=status).stdout))


def left(report: dict[str, Any]) -> dict[str, tuple[int, list[str]]]:
    return {each["why"]: (each["count"], [Path(name).name for name in each["such"]]) for each in report["left"]}


def test_links_out_of_a_folder_are_left_alone(call: Call, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "hr").mkdir()
    talk(tmp_path / "hr" / "private.ndjson", "secret")
    (folder / "chat.ndjson").symlink_to("../hr/private.ndjson")
    (folder / "hr").symlink_to("../hr")
    (folder / "loop.ndjson").symlink_to("loop.ndjson")
    (folder / "gone.ndjson").symlink_to("nothing")
    (folder / "again.ndjson").symlink_to("a.ndjson")
    report = read(call, folder)
    assert {each["conversation"] for each in report["conversations"]} == {"a"}
    assert (report["accepted"], report["duplicates"]) == (3, 3)  # a link to a file in the folder is a file
    assert left(report) == {
        "links that lead out of the folder": (1, ["chat.ndjson"]),
        "links to folders": (1, ["hr"]),
        "links to nothing": (2, ["gone.ndjson", "loop.ndjson"]),
    }


def test_what_is_named_may_itself_be_a_link(call: Call, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "link.ndjson").symlink_to(talk(tmp_path / "b.ndjson", "b"))
    for path in (tmp_path / "link", tmp_path / "link.ndjson"):
        report = read(call, path)
        assert (report["accepted"], report["left"]) == (3, [])


def test_what_is_no_export_is_told_and_kept(call: Call, folder: Path) -> None:
    (folder / "evil.db").write_bytes(bytes(range(256)))
    (folder / "x.ndjson").touch()
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    os.mkfifo(folder / "pipe.ndjson")
    os.mknod(folder / "socket.ndjson", stat.S_IFSOCK | 0o600)  # no `bind`: an address has room for 107 bytes only
    said = call("backfill", "--json", folder)
    report = json.loads(said.stdout)
    assert left(report) == {
        NO_FORMAT: (2, ["evil.db", "x.ndjson"]),
        "neither files nor folders": (2, ["pipe.ndjson", "socket.ndjson"]),
        MEDIA: (1, ["photo.jpg"]),
    }
    assert json.loads(call("backfill", "--report", 1, "--json").stdout)["left"] == report["left"]
    assert "2 files (of no known format" in call("backfill", "--report", 1).stdout
    assert "Left alone: 2 files (of no known format" in said.stderr and "photo" not in said.stderr
    assert "Left alone: 2 files (of no known format" in call("backfill", folder).stdout
    assert "Left alone: 2 files (of no known format" in call("backfill", "--dry-run", folder).stdout


def test_what_is_left_alone_is_told_by_the_first_of_several_runs(call: Call, folder: Path) -> None:
    (folder / "evil.db").write_bytes(bytes(range(256)))
    (folder / "b.log").write_text("2020-01-01 10:00:00\tann\thi\n2020-01-01 10:00:01\tbob\tho\n")
    first, second = json.loads(call("backfill", "--json", "--channel", "#x", folder).stdout)
    assert left(first) == {NO_FORMAT: (1, ["evil.db"])} and not second["left"]


FIXTURES = Path(__file__).parent.parent / "fixtures"
WITH_FILES = {
    "whatsapp": FIXTURES / "copyleft" / "whatsapp" / "ios-export",
    "imessage": FIXTURES / "copyleft" / "imessage" / "macos",
    "mattermost": FIXTURES / "mattermost" / "direct",
    "googlechat": FIXTURES / "googlechat" / "Groups" / "DM AbC",
}


@pytest.mark.parametrize("name", WITH_FILES)
def test_what_came_with_an_export_is_not_left_alone_on_any_night(name: str, call: Call, tmp_path: Path) -> None:
    root = tmp_path / "Groups"
    shutil.copytree(WITH_FILES[name], root / "DM AbC")
    kept = {"imessage": "Attachments", "mattermost": "data"}.get(name, "")
    (root / "DM AbC" / kept).mkdir(exist_ok=True)
    if name != "whatsapp":
        (root / "DM AbC" / kept / "plan.pdf").write_bytes(b"%PDF-1.4\n")
        (root / "DM AbC" / kept / "forwarded.eml").write_bytes(b"From: a@example.org\nSubject: x\n\ny\n")
    (root / "stray.pdf").write_bytes(b"%PDF-1.4\n")
    for night in range(2):
        report = read(call, root)
        sent = {SENT: (1, ["forwarded.eml"])} if name != "whatsapp" else {}
        assert left(report) == {NO_FORMAT: (1, ["stray.pdf"]), **sent}
        assert SENT in EXPECTED and report["skipped"] == night


def test_what_mail_servers_keep_is_told_apart_and_to_nobody_at_night(call: Call, tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "mail", tmp_path / "in", ignore=shutil.ignore_patterns("ORIGIN.md"))
    said = call("backfill", "--json", tmp_path / "in")
    assert left(json.loads(said.stdout)) == {SERVERS_OWN: (1, ["dovecot-uidlist"])}
    assert "alone" not in said.stderr


def test_what_an_event_file_names_is_not_left_alone(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "files").mkdir(parents=True)
    for name in ("files/plan.pdf", "files/other.pdf", "näh.pdf"):
        (folder / name).write_bytes(b"%PDF-1.4\n")
    shared = ("./files/plan.pdf", "n\u00e4h.pdf", "../in/files/other.pdf")
    events = [say("a@x.org", "see", n, id=f"{n}", attachments=[{"path": path}]) for n, path in enumerate(shared)]
    (folder / "a.ndjson").write_bytes(ndjson(events) + b'{"path": "bad \\u"}\n')
    assert left(read(call, folder, 1)) == {NO_FORMAT: (1, ["other.pdf"])}


def test_what_tells_when_a_meeting_began_is_not_left_alone(call: Call, tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "meetings", tmp_path / "in")
    told = [name for _, names in left(read(call, tmp_path / "in" / "graph")).values() for name in names]
    assert "callTranscript.json" not in told and "content.vtt" not in told


def test_a_chat_tells_of_its_own_files_alone(call: Call, tmp_path: Path) -> None:
    """A file that nobody names is told, though it lies beside; an export that somebody sent is told and not read."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "WhatsApp Chat with Eve.txt").write_text(
        "25/06/20, 10:00 - Eve: plan.pdf (file attached)\n25/06/20, 10:01 - Eve: ann.ndjson (file attached)\n"
        "25/06/20, 10:02 - Eve: DOC-20200625-WA0001.eml (file attached)\n"
    )
    (folder / "DOC-20200625-WA0001.eml").write_bytes(b"From: a@example.org\nSubject: x\n\ny\n")
    for name in ("plan.pdf", "other.pdf"):
        (folder / name).write_bytes(b"%PDF-1.4\n")
    talk(folder / "ann.ndjson", "ann")
    talk(folder / "bob.ndjson", "bob")
    said = call("backfill", "--json", folder)
    reports = json.loads(said.stdout)
    assert {each["documents"][0]["place"].rpartition("/")[2] for each in reports} == {
        "bob.ndjson",
        "WhatsApp Chat with Eve.txt",
    }
    assert left(reports[0]) == {
        NO_FORMAT: (1, ["other.pdf"]),
        CHAT_S_OWN: (1, ["ann.ndjson"]),
        SENT: (1, ["DOC-20200625-WA0001.eml"]),
    }
    assert CHAT_S_OWN in said.stderr


@pytest.mark.parametrize("named", [(), ("events",)])
def test_a_broken_archive_does_not_stop_the_rest(named: tuple[str, ...], call: Call, folder: Path) -> None:
    path = Path(shutil.make_archive(str(folder / "broken"), "zip", folder))
    path.write_bytes(path.read_bytes()[:-40])
    report = json.loads(call("backfill", "--json", *named, folder, status=1).stdout)
    assert report["accepted"] == 3 and report["conversations"][0]["filed"] == 1
    ((why, told),) = left(report).items()
    assert why.startswith("can't be read as an archive") and told == (1, ["broken.zip"])
    said = call("backfill", *named, folder, status=1).stdout
    assert "LEFT alone: 1 file (can't be read as an archive" in said
    assert "can't be read as an archive" in call("backfill", path, status=2).stderr  # it is all that was asked for


@pytest.mark.parametrize("named", [(), *((name,) for name in sorted(IMPORTERS))])
def test_an_encrypted_archive_says_so_and_what_to_do(named: tuple[str, ...], call: Call, tmp_path: Path) -> None:
    path = tmp_path / "locked.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("users.json", "[]")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # APPNOTE 4.4.4: encrypted
    path.write_bytes(content)
    said = call("backfill", *named, path, status=2).stderr
    assert f"{path}: in archives: encrypted; unpack them with the password, and name the folder" in said


@pytest.mark.parametrize("named", [(), ("events",)])
def test_a_file_that_vanishes_does_not_stop_the_rest(
    named: tuple[str, ...], call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = talk(folder / "b.ndjson", "b")
    talk(folder / "c.ndjson", "c")
    real = reading.Keys.of

    def of(keys: reading.Keys, document: Any) -> bytes:
        second.unlink(missing_ok=True)
        return real(keys, document)

    monkeypatch.setattr(reading.Keys, "of", of)
    report = json.loads(call("backfill", "--json", *named, folder, status=1).stdout)
    assert {each["conversation"]: each["filed"] for each in report["conversations"]} == {"a": 1, "c": 1}
    assert left(report) == {"can't be read: No such file or directory": (1, ["b.ndjson"])}
    talk(second, "b")  # it is back, and is read the next time
    monkeypatch.undo()
    assert read(call, folder)["accepted"] == 3


class Failing(io.BytesIO):
    """The disk gives no more after some bytes."""

    def read1(self, size: int | None = -1) -> bytes:
        if self.tell() > 400_000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read1(size)


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """The file gives what a look at it asks for, and fails when it is read further."""
    real = Folder.open

    def opened(folder: Folder, within: str) -> BinaryIO:
        stream = real(folder, within)
        return cast(BinaryIO, Failing(stream.read())) if within == name else stream

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "open", opened)
        patched.setattr(reading.Keys, "_content", lambda keys, document: document.within.encode())
        yield


def test_of_a_file_that_fails_what_was_read_counts(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(folder / "b.ndjson", "b", count=4_000)
    talk(folder / "c.ndjson", "c")
    with failing(monkeypatch, "b.ndjson"):
        report = read(call, folder, 1)
    found = {each["conversation"]: each["read"] for each in report["conversations"]}
    assert found["a"] == found["c"] == 3 and 0 < found["b"] < 4_000
    assert left(report) == {"can't be read: Input/output error": (1, ["b.ndjson"])}
    assert [each["broke_off"] for each in report["documents"]] == ["", "can't be read: Input/output error", ""]
    assert read(call, folder, 0)["accepted"] == 4_000 - found["b"]


def test_what_may_not_be_read_is_told(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system refuses it to anybody but root, who may read everything."""
    talk(folder / "b.ndjson", "b")
    (folder / "locked").mkdir()
    real_open, real_scan = Path.open, os.scandir

    def refuse(path: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def opened(path: Path, *more: Any, **named: Any) -> Any:
        return refuse(path) if path.name == "b.ndjson" else real_open(path, *more, **named)

    def scanned(path: Any = ".") -> Any:
        return refuse(path) if str(path).endswith("locked") else real_scan(path)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(os, "scandir", scanned)
    assert left(read(call, folder, 1)) == {"can't be read: Permission denied": (2, ["locked", "b.ndjson"])}


def test_what_is_named_and_may_not_be_read_is_the_machines_fault(
    call: Call, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = talk(tmp_path / "b.ndjson", "b")
    monkeypatch.setattr(os, "access", lambda path, how, **more: path != second)
    assert f"{second}: Permission denied" in call("backfill", folder, second, status=3).stderr
    assert not (tmp_path / "data").exists()


def test_a_path_that_is_not_there_is_a_mistake_before_anything_begins(call: Call, folder: Path, tmp_path: Path) -> None:
    assert "no such file" in call("backfill", folder, tmp_path / "nowhere", status=2).stderr
    assert not (tmp_path / "data").exists()


def test_what_is_left_alone_has_bounds() -> None:
    leavings = Leavings()
    for n in range(1_000):
        leavings(f"{n}", "links")
        leavings(f"{n}", f"reason {n}", is_fault=n == 999)
    assert len(leavings.told) == REASONS + 1 and sum(each.count for each in leavings.told) == 2_000
    assert max(len(each.such) for each in leavings.told) == NAMED
    assert leavings.told[0].is_fault
    assert [each.count for each in Leavings(leavings.told).told] == [each.count for each in leavings.told]


def spoil(path: Path, name: str) -> Path:
    """A member of a zip loses the mark of its header (APPNOTE 4.3.7)."""
    with zipfile.ZipFile(path) as file:
        at = file.getinfo(name).header_offset
    raw = bytearray(path.read_bytes())
    raw[at : at + 4] = b"XXXX"
    path.write_bytes(raw)
    return path


def test_a_spoilt_member_does_not_stop_the_rest_of_its_archive(call: Call, folder: Path, tmp_path: Path) -> None:
    talk(folder / "b.ndjson", "b")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as file:
        for each in sorted(folder.iterdir()):
            file.write(each, each.name)
    path = spoil(tmp_path / "some.zip", "b.ndjson")
    report = read(call, path, 1)
    assert report["accepted"] == 3 and list(left(report).values()) == [(1, ["b.ndjson"])]
    assert "Bad magic number" in report["left"][0]["why"]


@pytest.mark.parametrize("name", sorted(IMPORTERS))
def test_no_format_is_stopped_by_a_spoilt_member(name: str, call: Call, tmp_path: Path) -> None:
    marks = sorted(IMPORTERS[name].marks) or ["a.txt"]
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as file:
        file.writestr("first", "\0")
        file.writestr(marks[0], "[]")
    path = spoil(tmp_path / "some.zip", marks[0])
    found = CliRunner().invoke(main, ["--data", str(tmp_path / "data"), "backfill", name, str(path)])
    assert found.exit_code == (2 if IMPORTERS[name].marks and f"no {IMPORTERS[name].title} here" in found.stderr else 1)
    assert found.exception is None or isinstance(found.exception, SystemExit)


def test_a_spoilt_day_does_not_stop_the_rest_of_its_export(call: Call, tmp_path: Path) -> None:
    export = Path(__file__).parent.parent / "fixtures" / "slack" / "plan8"
    path = Path(shutil.make_archive(str(tmp_path / "slack"), "zip", export))
    spoil(path, "random/2018-01-20.json")
    report = read(call, path, 1)
    (document,) = report["documents"]
    assert document["new"] > 10 and document["quarantined"] == 1
    assert any(why.startswith("damaged: ") for why in document["reasons"])
