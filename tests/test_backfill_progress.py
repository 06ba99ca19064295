"""How far a backfill is and how long it will take: what it tells of itself, and how that is shown."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from builders import say
from click.testing import CliRunner
from conftest import FIXTURES
from hypothesis import given
from hypothesis import strategies as st
from large_documents import WRITERS

from archiver import backfill
from archiver.backfill import Forecast, Progress, Stage
from archiver.backfill.progress import SPAN, Course
from archiver.cli import main, progress
from archiver.config import load
from archiver.events import ndjson
from archiver.filing.workers import Lot, Passage
from archiver.importers import Options, importer
from archiver.importers.metering import BUFFER

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from bench.terminal import Terminal  # noqa: E402

PLAIN = Options()


def talk(path: Path, count: int) -> Path:
    names = ("alice@example.org", "bob@example.org")
    said = (say(names[n % 2], f"words {n}", n * 40, id=str(n), room=f"r{n % 1_000}") for n in range(count))
    path.write_bytes(ndjson(said))
    return path


def told(data: Path, *paths: Path, form: str = "events", options: Options = PLAIN, jobs: int = 1) -> list[Progress]:
    steps: list[Progress] = []
    backfill.run(load(), data, backfill.Request(importer(form), paths, options, jobs), steps.append)
    return steps


def of(steps: list[Progress], stage: Stage) -> list[Progress]:
    return [each for each in steps if each.stage is stage]


# --- what is told


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_one_large_document_goes_on_piece_by_piece_and_so_does_its_filing(jobs: int, tmp_path: Path) -> None:
    path = talk(tmp_path / "a.ndjson", 5_000)
    steps = told(tmp_path / "data", path, jobs=jobs)
    reading, filing = of(steps, Stage.READING), of(steps, Stage.FILING)
    size = path.stat().st_size
    assert {each.total for each in reading} == {size} and {each.total for each in filing} == {5_000}
    assert (reading[-1].done, reading[-1].events) == (size, 5_000) and filing[-1].done == 5_000
    for each in (reading, filing):
        far = [step.done for step in each]
        assert far == sorted(far) and len({done for done in far if 0 < done < each[0].total}) > 2
    assert [each.position for each in reading] == [str(path)] * len(reading)


@pytest.mark.slow
def test_a_database_goes_on_by_its_rows(tmp_path: Path) -> None:
    """SQLite opens it by its path, where nobody sees what is read of it."""
    path = WRITERS["imessage"](tmp_path, 5_000)
    reading = of(told(tmp_path / "data", path, form="imessage"), Stage.READING)
    far = [each.done for each in reading]
    size = path.stat().st_size
    assert {each.total for each in reading} == {size} and far[-1] == size and far == sorted(far)
    for step in reading[:-1]:
        # The next lot, of 1,000 events, is under way.
        assert size * step.events / 5_000 - BUFFER <= step.done <= size * (step.events + 1_000) / 5_000


def test_what_was_read_before_is_passed_by(tmp_path: Path) -> None:
    path, more = talk(tmp_path / "a.ndjson", 300), talk(tmp_path / "b.ndjson", 20)
    told(tmp_path / "data", path)
    last = of(told(tmp_path / "data", path, more), Stage.READING)[-1]
    assert (last.passed, last.done) == (path.stat().st_size, path.stat().st_size + more.stat().st_size)


def test_an_export_of_many_files_counts_them_all(tmp_path: Path) -> None:
    export = FIXTURES / "slack" / "export-a"
    folders = [each for each in (FIXTURES / "slack").iterdir() if (each / "users.json").exists()]
    export = folders[0]
    steps = of(told(tmp_path / "data", export, form="slack"), Stage.READING)
    assert steps[-1].done == steps[-1].total > (export / "users.json").stat().st_size


def test_while_nothing_comes_of_it_it_says_that_it_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrix is read twice, and everything is compared with what was read before."""
    monkeypatch.setattr("archiver.backfill.reading.BEAT", 0)
    path = next(each for each in (FIXTURES / "matrix").rglob("*.json"))
    steps = told(tmp_path / "data", path, form="matrix", options=Options(channel="!r:example.org"))
    assert [each.stage for each in steps[:2]] == [Stage.LOOKING] * 2
    assert {each.total for each in of(steps, Stage.LOOKING)} == {0}
    assert of(steps, Stage.LOOKING)[-1].done == path.stat().st_size


def test_after_an_interruption_only_what_is_left_counts_as_to_be_filed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = talk(tmp_path / "a.ndjson", 50)
    with monkeypatch.context() as patched:
        patched.setattr("archiver.backfill.running._file", _killed)
        with pytest.raises(KeyboardInterrupt):
            told(tmp_path / "data", path)
    assert of(told(tmp_path / "data", path), Stage.FILING)[-1].total == 50
    assert of(told(tmp_path / "data", path), Stage.FILING) == []


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


SIZES = st.lists(st.integers(0, 1_000), min_size=1, max_size=6)


@given(SIZES, st.data())
def test_it_never_goes_back_and_ends_at_all_there_is(sizes: list[int], data: st.DataObject) -> None:
    course = Course({str(n): size for n, size in enumerate(sizes)})
    steps = []
    for n, size in enumerate(sizes):
        whole = data.draw(st.booleans())
        seen = 0
        for _ in range(0 if whole else data.draw(st.integers(0, 3))):
            seen += data.draw(st.integers(0, size + 9))  # a file may have grown meanwhile
            beat = data.draw(st.booleans())
            steps.append(course.note(Lot(Passage(str(n), count=1, seen=seen), 0, [], ended=False, beat=beat)))
        steps.append(course.note(Lot(Passage(str(n), whole=whole), 0, [], ended=True)))
    far = [each.done for each in steps]
    assert far == sorted(far) and far[-1] == sum(sizes) and all(each.passed <= each.done for each in steps)


# --- how long it will take


@given(st.floats(0.1, 20), st.integers(1, 10_000), st.integers(5, 400), st.integers(0, 10**9))
def test_at_an_even_pace_it_is_known(apart: float, speed: int, count: int, passed: int) -> None:
    forecast = Forecast()
    total = passed + speed * count * 2
    for n in range(count + 1):
        forecast.note(n * apart, Progress(Stage.READING, passed + n * speed, total, passed, n * 7))
    if count * apart < 2:
        assert forecast.rate is None and forecast.left is None
    else:
        assert forecast.rate == pytest.approx(7 / apart) and forecast.left == pytest.approx(count * apart)


def test_a_change_of_pace_is_followed_and_another_stage_begins_anew() -> None:
    forecast = Forecast()
    for n in range(500):
        forecast.note(n, Progress(Stage.READING, 100 * n, 10**6, events=100 * n))
    for n in range(500, 500 + 2 * int(SPAN)):
        forecast.note(n, Progress(Stage.READING, 50_000 + n - 500, 10**6, events=50_000 + n - 500))
    assert forecast.rate == pytest.approx(1, abs=0.1)
    forecast.note(700, Progress(Stage.FILING, 0, 100))
    assert forecast.rate is None and forecast.left is None
    forecast.note(710, Progress(Stage.FILING, 0, 100))
    assert forecast.rate == 0 and forecast.left is None, "nothing moves"
    forecast.note(720, Progress(Stage.FILING, 50, 100, events=50))
    assert forecast.left == pytest.approx(20)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (89, "89 s"), (95, "2 min"), (3_600, "60 min"), (7_500, "2 h 05 min")]
)
def test_what_remains_is_said_shortly(seconds: float, said: str) -> None:
    assert progress.remaining(seconds) == said


# --- how it is shown


def test_in_a_log_there_are_lines_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["--data", str(tmp_path / "data"), "backfill", "--reread", str(talk(tmp_path / "a.ndjson", 3_000))]

    def call() -> str:
        return CliRunner().invoke(main, command).stderr

    assert call() == "", "what is over soon says nothing"
    monkeypatch.setattr(progress, "EVERY", 0)
    lines = [json.loads(line) for line in call().splitlines()]
    read = [each for each in lines if each["event"] == "reading"]
    assert read and all(re.fullmatch(r"[\d.]+ (B|KiB) of [\d.]+ KiB", each["done"]) for each in read)
    assert read[-1]["events"] == 3_000 and read[-1]["document"].endswith("a.ndjson")


@pytest.mark.slow
def test_on_a_terminal_there_are_bars(tmp_path: Path) -> None:
    """A name from outside moves no cursor."""
    path = talk(tmp_path / "a\x1b[2Jb[red].ndjson", 60_000)
    command = [sys.executable, "-m", "archiver", "--data", str(tmp_path / "data"), "backfill", "events", str(path)]
    with Terminal(command, columns=120) as terminal:
        assert terminal.end() == 0
    shown = terminal.shown.decode()
    assert "\x1b[2J" not in shown and "a\\x1b[2Jb[red].ndjson" in shown
    assert re.search(r"reading .*\d MiB of [\d.]+ MiB", shown)
    assert re.search(r"filing .*[\d,]+ of 60,000 events", shown)
