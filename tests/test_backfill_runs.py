"""Backfills by number: their list and reports, what is skipped the next time, where an interrupted one goes on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import say
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mishaps import on_a_small_disk

from archiver import backfill
from archiver.backfill import reading
from archiver.backfill.appending import Writer
from archiver.backfill.parts import End, Part, Read, part_read
from archiver.backfill.reporting import MOST, Findings, Report
from archiver.config import load
from archiver.events import Captured, Outcome, ndjson
from archiver.filing.gathering import Tally
from archiver.filing.workers import Lot, Passage
from archiver.importers import Document, importer
from archiver.importers.folder import Folder
from archiver.importers.ndjson import Events
from archiver.selection import Selection
from archiver.spool import Spool, seal
from archiver.spool.runs import Far, Run, State

Call = Callable[..., Result]


def talk(count: int, room: str = "ab", first: int = 0) -> list[Captured]:
    names = ("alice@example.org", "bob@example.org")
    return [say(names[n % 2], f"words {n}", n, id=f"{room}{n}", room=room) for n in range(first, first + count)]


def written(path: Path, *events: Captured, broken: int = 0) -> Path:
    path.write_bytes(ndjson(events) + b"{broken\n" * broken)
    return path


def report(call: Call, *arguments: object, **more: Any) -> dict[str, Any]:
    return dict(json.loads(call("backfill", "--json", *arguments, **more).stdout))


# --- runs and reports


def test_every_backfill_has_a_number_and_a_report_that_is_shown_again(call: Call, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    written(logs / "a.ndjson", *talk(4), broken=2)
    written(logs / "b.ndjson", *talk(3), *talk(2, "other"))
    first = report(call, logs, status=1)
    assert first["run"] == 1 and (first["accepted"], first["duplicates"], first["quarantined"]) == (6, 3, 2)
    a, b = first["documents"]
    assert (a["read"], a["new"], a["duplicate"], a["quarantined"]) == (6, 4, 0, 2) and sum(a["reasons"].values()) == 2
    assert (b["read"], b["new"], b["duplicate"], b["quarantined"]) == (5, 2, 3, 0)
    rooms = {each["conversation"]: each for each in first["conversations"]}
    assert (rooms["ab"]["new"], rooms["ab"]["duplicate"], rooms["ab"]["filed"]) == (4, 3, 2)
    assert (rooms["other"]["new"], rooms["other"]["filed"]) == (2, 2)
    assert report(call, "--report", 1) == first
    said = call("backfill", "--report", 1).stdout
    assert "2 pieces of input QUARANTINED" in said and "a.ndjson" in said and "other" in said
    runs = json.loads(call("backfill", "--runs", "--json").stdout)
    assert [(each["number"], each["format"], each["state"], each["accepted"]) for each in runs] == [
        (1, "events", "done", 6)
    ]
    assert "events" in call("backfill", "--runs").stdout
    assert "there is no backfill 7" in call("backfill", "--report", 7, status=2).stderr


def test_what_is_withheld_is_told_with_its_reason(call: Call, tmp_path: Path) -> None:
    closed = "[store]\nversion = '14.3.123.4'\n"
    found = report(call, written(tmp_path / "a.ndjson", *talk(2)), config=closed)
    (room,) = found["conversations"]
    assert room["withheld"] == 2 and room["filed"] == 0 and sum(room["reasons"].values()) == 2


def test_what_is_told_one_by_one_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST > 1_000
    monkeypatch.setattr("archiver.backfill.reporting.MOST", 3)
    findings = Findings()
    for n in range(9):
        pieces = [seal(say("a", "t", n, room=f"r{n}"))]
        findings.add(part_read([Read(f"/logs/{n}", pieces, [Outcome.ACCEPTED], End(f"/logs/{n}", ignored={"x": 1}))]))
    run = Run(1, 1, "events", (), "{}", 0, None, State.DONE, 9, 0, 0, 0, 0)
    found = findings.report(run, Tally(), 0.0)
    assert [each.new for each in found.documents] == [1, 1, 1, 6]
    assert [each.ignored for each in found.documents] == [{"x": 1}, {"x": 1}, {"x": 1}, {"x": 6}]
    assert found.ignored == {"x": 9}
    assert sorted(each.new for each in found.conversations) == [1, 1, 1, 6]


# --- again


def test_what_was_read_to_its_end_is_not_read_again(call: Call, tmp_path: Path, monkeypatch: Any) -> None:
    path = written(tmp_path / "a.ndjson", *talk(5))
    call("backfill", path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Events, "read", _never)
        again = report(call, path)
    assert (again["run"], again["skipped"], again["accepted"], again["duplicates"]) == (2, 1, 0, 0)
    assert again["documents"][0]["whole"] and again["documents"][0]["skipped"] == 5
    assert "1 document read to the end before" in call("backfill", path).stdout
    assert report(call, "--reread", path)["duplicates"] == 5


def test_another_content_name_or_manner_is_read(call: Call, tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", *talk(5))
    call("backfill", path)
    assert report(call, "--charset", "latin-1", path)["duplicates"] == 5
    written(path, *talk(6))
    longer = report(call, path)
    assert (longer["accepted"], longer["duplicates"], longer["skipped"]) == (1, 5, 0)
    other = tmp_path / "b.ndjson"
    other.write_bytes(path.read_bytes())
    assert report(call, other)["duplicates"] == 6


def test_of_an_archive_its_own_content_tells(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.ndjson", ndjson(talk(2)))
        archive.writestr("b.ndjson", ndjson(talk(2, "other")))
    assert report(call, path)["accepted"] == 4
    assert report(call, path)["skipped"] == 2
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("c.ndjson", ndjson(talk(2, "third")))
    found = report(call, path)
    assert (found["accepted"], found["duplicates"], found["skipped"]) == (2, 4, 0)


def test_of_an_export_all_that_lies_below_it_tells(tmp_path: Path) -> None:
    for name, content in (("users.json", "[]"), ("general/2020-01-01.json", "[]")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    request = backfill.Request(importer("slack"), (tmp_path,))

    def key() -> bytes:
        return reading.Keys(request).of(Document(Folder(tmp_path), "users.json"))

    first = key()
    assert key() == first
    (tmp_path / "general/2020-01-01.json").write_text("[ ]")
    assert key() != first


def test_what_was_left_out_is_looked_at_again(call: Call, tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", *talk(4))
    ours = "[directory]\npeople = {'alice@example.org' = 'alice@example.org'}\n"
    first = report(call, "--skip-unknown", path, config=ours)
    assert (first["accepted"], sum(first["ignored"].values())) == (2, 2)
    assert report(call, path)["accepted"] == 2


# --- interrupted


class _Interrupted(Exception):
    pass


def _never(*_: object) -> Iterator[Captured]:
    raise AssertionError("it was read again")


def _append_until(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Dies after so many appends are durable, as a killed process does: nothing more is recorded."""
    made = Spool.append
    done = iter(range(batches))

    def append(self: Spool, *arguments: Any, **more: Any) -> Any:
        if next(done, None) is None:
            raise _Interrupted
        return made(self, *arguments, **more)

    monkeypatch.setattr(Spool, "append", append)
    monkeypatch.setattr("archiver.backfill.appending.Pace", _Tens)


class _Tens:
    """Batches of ten pieces."""

    rows = 10

    def __init__(self, *, alone: bool) -> None: ...

    def weight(self, size: int) -> int:
        return 1

    def measured(self, rows: int, held: float) -> None: ...


def _finish_until(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Dies after so many batches of filings are recorded, of one conversation each."""
    made = Spool.finish
    done = iter(range(batches))

    def finish(self: Spool, *arguments: Any, **more: Any) -> None:
        if next(done, None) is None:
            raise _Interrupted
        made(self, *arguments, **more)

    monkeypatch.setattr(Spool, "finish", finish)
    monkeypatch.setattr("archiver.filing.gathering.BATCH_ITEMS", 1)


INTERRUPTIONS = [(_append_until, 0), (_append_until, 1), (_append_until, 2), (_append_until, 4), (_append_until, 6)]
INTERRUPTIONS += [(_finish_until, 0), (_finish_until, 1), (_finish_until, 3)]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Lines of the system, an unreadable one, a day from a name, and rooms enough to be filed in several batches."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(4):
        said = [f"10:{minute:02} <ann> words {minute}" for minute in range(15)]
        lines = [*said[:7], "10:06 -!- mode/#c [+o ann] by bob", *said[7:], *["10:40 <bob>"] * (number == 2), "what?"]
        (logs / f"#room{number}.2020-02-20.log").write_text("\n".join(lines) + "\n")
    return logs


def _told(found: Report) -> dict[str, Any]:
    """All that doesn't tell how the run went."""
    told: dict[str, Any] = msgspec.to_builtins(found)
    for name in ("seconds", "resumed"):
        told.pop(name)
    for name in ("items", "renderings"):
        told["tally"].pop(name)
    return told


@pytest.mark.parametrize(("interrupt", "batches"), INTERRUPTIONS)
def test_an_interrupted_run_goes_on_and_tells_as_if_it_never_had_been(
    interrupt: Callable[[pytest.MonkeyPatch, int], None],
    batches: int,
    data: Path,
    logs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = backfill.Request(importer("irc"), (logs,), jobs=1)
    whole = backfill.run(load(), tmp_path / "another", request)
    assert whole.accepted == 61 and whole.quarantined == 4 and sum(whole.ignored.values()) == 4 and whole.guessed
    with monkeypatch.context() as patched:
        interrupt(patched, batches)
        with pytest.raises(_Interrupted):
            backfill.run(load(), data, request)
    with Spool.open(data) as spool:
        (interrupted,) = spool.backfills()
    assert interrupted.state is (State.READING if interrupt is _append_until else State.FILING)
    found = backfill.run(load(), data, request)
    assert found.run == interrupted.number == 1
    assert found.resumed == interrupted.accepted
    assert _told(found) == _told(whole)
    assert len(list(data.glob("mail/*/*/.*/cur/*"))) == whole.tally.copies == 5
    with Spool.open(data) as spool:
        assert not list(spool.parts_of_run(1)), "they are in the report now"


def test_where_something_else_is_wanted_another_run_begins(
    data: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that each can be taken back by itself, and tells of what it was asked for."""
    ones, others = (backfill.Request(importer("irc"), (logs,), selection=Selection((each,))) for each in ("*0", "*1"))
    with monkeypatch.context() as patched:
        _append_until(patched, 1)
        with pytest.raises(_Interrupted):
            backfill.run(load(), data, ones)
    found = backfill.run(load(), data, others)
    assert (found.run, found.accepted, found.resumed) == (2, 15, 0)
    assert {each.conversation: each.new for each in found.conversations} == {"#room1": 15, "#room0": 0}
    with Spool.open(data) as spool:
        assert [(each.number, each.state) for each in spool.backfills()] == [(2, State.DONE), (1, State.STOPPED)]
        assert ["*1" in each.options for each in spool.backfills()] == [True, False]
        (_, first) = spool.backfills()
    assert first.accepted + backfill.run(load(), data, ones).accepted == 15


def test_of_a_document_that_is_read_again_its_last_end_counts() -> None:
    """What was left out of it makes it be read again after an interruption."""
    before = Part(ends=[End("/a", excluded={"1": 2}, ignored={"x": 1}), End("/b", guessed={"y": 3})])
    findings = Findings([before], resumed=7)
    findings.add(Part(ends=[End("/a", excluded={"1": 2, "3": 1}, ignored={"x": 2}), End("/b", skipped=5, whole=1)]))
    assert findings.left_out == {1: 2, 3: 1}
    found = findings.report(Run(1, 1, "events", (), "{}", 0, None, State.DONE, 9, 0, 0, 0, 0), Tally(), 0.0)
    assert (found.excluded, found.ignored, found.guessed, found.skipped, found.resumed) == (3, {"x": 2}, {"y": 3}, 0, 7)
    assert [(each.place, each.whole) for each in found.documents] == [("/a", False), ("/b", False)]


def test_what_another_run_had_of_a_document_is_said(data: Path, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files, told to be read otherwise than in the run that was interrupted."""
    with monkeypatch.context() as patched:
        _append_until(patched, 2)
        with pytest.raises(_Interrupted):
            backfill.run(load(), data, backfill.Request(importer("irc"), (logs,), jobs=1))
    one = logs / "#room0.2020-02-20.log"
    found = backfill.run(load(), data, backfill.Request(importer("irc"), (one,), jobs=1))
    assert (found.run, found.skipped, found.resumed) == (2, 1, 0)
    assert [(each.whole, each.read, each.skipped) for each in found.documents] == [(True, 0, 16)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 25), max_size=4),
    lot=st.integers(1, 12),
    died=st.integers(0, 60),
    hidden=st.sets(st.integers(0, 60)),
)
def test_whatever_was_durable_when_it_died_everything_is_in_once(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], lot: int, died: int, hidden: set[int]
) -> None:
    """`hidden` pieces are left out the first time, and the lots that have them say so."""
    documents = [[seal(each) for each in talk(size, f"room{n}")] for n, size in enumerate(sizes)]
    with Spool.open(tmp_path_factory.mktemp("spool") / "data") as spool:
        feed = spool.open_feed("f", "import").number
        run = spool.begin_run(feed, "events", [], "{}", 0).number
        writer = Writer(spool, feed, run, Findings())
        for each in list(_lots(documents, {}, lot, hidden))[:died]:
            writer.add(each)
        if died % 2:
            writer.flush()
        far = spool.inputs()
        for number, document in enumerate(documents):
            had = far.get(bytes([number]), Far(b"", 0, whole=False))
            assert not (had.whole and had.pieces < len(document))
        again, findings = spool.begin_run(feed, "events", [], "{}", 1), Findings()
        assert again.number == run
        writer = Writer(spool, feed, run, findings)
        for each in _lots(documents, far, lot, set()):
            writer.add(each)
        writer.flush()
        done = spool.backfill(run)[0]
        assert done.accepted == sum(sizes)
        assert all(far.whole for far in spool.inputs().values()) and len(spool.inputs()) == len(sizes)


def _lots(documents: list[list[Any]], had: dict[bytes, Far], size: int, hidden: set[int]) -> Iterator[Lot]:
    """As the reading process sends them."""
    for number, pieces in enumerate(documents):
        key = bytes([number])
        far = had.get(key, Far(key, 0, whole=False))
        passage = Passage(f"/{number}", key, skipped=far.pieces, whole=far.whole)
        left = [] if far.whole else pieces[far.pieces :]
        starts = range(0, len(left), size) or range(1)
        for start in starts:
            some = left[start : start + size]
            shown = [piece for k, piece in enumerate(some) if far.pieces + start + k not in hidden]
            passage.complete = passage.complete and len(shown) == len(some)
            copied = Passage(passage.place, key, complete=passage.complete, skipped=far.pieces, whole=far.whole)
            yield Lot(copied, far.pieces + start, shown, ended=start == starts[-1])


def test_a_run_told_otherwise_is_another_one(data: Path) -> None:
    with Spool.open(data) as spool:
        feed = spool.open_feed("f", "import").number
        first = spool.begin_run(feed, "irc", ["/x"], "UTC", 0).number
        assert spool.begin_run(feed, "irc", ["/x"], "UTC", 1).number == first
        second = spool.begin_run(feed, "irc", ["/x"], "Asia/Taipei", 2).number
        assert second != first and spool.backfill(first)[0].state is State.STOPPED
        spool.note_run(second, State.DONE, 3, b"{}")
        assert spool.begin_run(feed, "irc", ["/x"], "Asia/Taipei", 4).number not in (first, second)


FULL = """
import json, os, subprocess, sys
from pathlib import Path
from builders import say
from archiver.events import ndjson

os.chdir(sys.argv[1])
Path("a.ndjson").write_bytes(ndjson([say("ann@example.org", f"{n} " + "x" * 500, n, id=str(n)) for n in range(12_000)]))
command = [sys.executable, "-m", "archiver", "--data", "data", "backfill", "--force", "--json", "a.ndjson"]
first = subprocess.run(command, capture_output=True, text=True)
assert first.returncode == 3 and "full" in first.stderr, first
assert "what was read is kept" in first.stderr and "the same command goes on" in first.stderr, first.stderr
assert "nothing was changed" not in first.stderr
subprocess.run(["mount", "-o", "remount,size=400m", "data"], check=True)
report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
assert (report["run"], report["accepted"]) == (1, 12_000) and report["resumed"] > 0, report
"""


@pytest.mark.slow
def test_on_a_full_disk_it_says_that_the_same_command_goes_on() -> None:
    on_a_small_disk(FULL, "mkdir data && mount -t tmpfs -o size=6m none data")
