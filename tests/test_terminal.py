"""`archiver inspect` on a real terminal (a pty): pager, colour, width; and what a stranger wrote moves no cursor."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from builders import HOUR, say
from click.testing import CliRunner
from conftest import FIXTURES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from archiver import inspection  # noqa: E402
from archiver.cli import main, transcript  # noqa: E402
from archiver.events import ndjson  # noqa: E402
from archiver.store import MaildirStore  # noqa: E402
from bench.terminal import Terminal  # noqa: E402

ALICE, BOB = "alice@example.org", "bob@example.org"
COMMAND = [sys.executable, "-m", "archiver"]
MARKING = f'{sys.executable} -c "import sys; [print(chr(187) + line, end=str()) for line in sys.stdin]"'
IMPATIENT = f'{sys.executable} -c "import sys; print(sys.stdin.readline())"'


def call(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["--data", str(data), *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty items for each of two people."""
    path = tmp_path_factory.mktemp("terminal")
    talk = [say((ALICE, BOB)[n % 2], f"text {n}", n * HOUR, id=str(n), present=[ALICE, BOB]) for n in range(60)]
    (path / "events.ndjson").write_bytes(ndjson(talk))
    call(path / "data", "backfill", "events", str(path / "events.ndjson"))
    return path / "data"


def on_terminal(data: Path, *arguments: str, pager: str = "cat", columns: int = 140) -> tuple[int, str]:
    command = [*COMMAND, "--data", str(data), "inspect", *arguments]
    with Terminal(command, columns=columns, environment={"PAGER": pager}) as terminal:
        status = terminal.end()
    return status, terminal.shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("arguments", [["--csv"], [ALICE], [ALICE, "1", "--history"], [ALICE, "--csv"]], ids=" ".join)
def test_all_that_may_be_long_goes_through_the_pager(data: Path, arguments: list[str]) -> None:
    status, shown = on_terminal(data, *arguments, pager=MARKING)
    assert status == 0 and all(line.startswith("»") for line in shown.splitlines()) and "2012-10" in shown


def test_a_pager_left_early_is_no_fault(data: Path) -> None:
    status, shown = on_terminal(data, ALICE, pager=IMPATIENT)
    assert status == 0 and "subject" in shown and "Traceback" not in shown and shown.count("text") == 0


def test_less_shows_a_screen_and_waits(data: Path) -> None:
    command = [*COMMAND, "--data", str(data), "inspect", ALICE]
    with Terminal(command, rows=20, environment={"PAGER": "less"}) as terminal:
        terminal.lines(19)
        assert b"60  2012-" in terminal.shown and b"40  2012-" not in terminal.shown
        terminal.send(b"q")
        assert terminal.end() == 0


def test_what_fits_on_one_screen_needs_no_key(data: Path) -> None:
    status, shown = on_terminal(data, ALICE, "1", pager="less")
    assert status == 0 and "text 0" in shown


def test_a_transcript_is_in_colour_and_a_pipe_gets_none(data: Path) -> None:
    _, shown = on_terminal(data, ALICE, "1")
    assert "\x1b[36m\x1b[1mAlice\x1b[0m: text 0" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown).rstrip() == call(data, "inspect", ALICE, "1").rstrip()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_is_no_wider_than_the_terminal(data: Path, columns: int) -> None:
    _, shown = on_terminal(data, ALICE, columns=columns)
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()[:60]) <= columns


def shown_by(rows: list[tuple[str, ...]], columns: tuple[str, ...], width: int) -> str:
    """A table as a terminal that wide shows it."""
    code = f"from archiver.cli.output import table; table({columns!r}, {rows!r})"
    with Terminal([sys.executable, "-c", code], columns=width) as terminal:
        assert terminal.end() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown.decode().replace("\r\n", "\n"))


def test_a_narrow_terminal_breaks_dates_and_folders_at_their_blanks_and_cuts_nothing(data: Path) -> None:
    _, shown = on_terminal(data, ALICE, columns=80)
    assert "…" not in shown
    assert all("Conversation" in line for line in shown.splitlines() if re.search("2012-10-[0-9]{2} ", line))
    assert len(re.findall(r"2012-10-\d\d", shown)) == 60


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_narrow_terminal_shows_a_long_reason_whole(width: int) -> None:
    reason = "nothing in the log or its name tells the channel: say it with --channel"
    shown = shown_by([("2026-11-29 16:34", "kept out", reason, 67 * "a")], ("when", "", "reason", "file"), width)
    assert "…" not in shown and shown.count("a") >= 67
    assert max(map(len, shown.splitlines())) <= width
    for word in reason.split():
        assert word in shown


def test_one_endless_cell_leaves_the_others_room() -> None:
    shown = shown_by([("room", 100_000 * "x"), ("other", "y")], ("room", "topic"), 80)
    assert len(shown.splitlines()) < 20 and "other" in shown and "…" in shown


def test_raw_and_events_do_a_terminal_no_harm(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\u202e"
    (tmp_path / "e.ndjson").write_bytes(ndjson([say(ALICE, evil, 0, present=[ALICE, BOB])]))
    data = tmp_path / "data"
    call(data, "backfill", "events", str(tmp_path / "e.ndjson"))
    for option in ("--raw", "--events"):
        _, shown = on_terminal(data, ALICE, "1", option)
        assert not harmful(shown)
    assert json.loads(call(data, "inspect", ALICE, "1", "--events").splitlines()[-1])["data"]["message"]["text"] == evil


@pytest.mark.slow
@pytest.mark.server
def test_the_picture_of_the_readme_is_made_anew_and_asks_nobody_for_anything(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "screenshots", tmp_path], check=True, cwd=ROOT)
    for page in (tmp_path / "page.png", ROOT / "docs" / "page.png"):
        assert page.read_bytes()[:4] == b"\x89PNG" and page.stat().st_size > 20_000
    picture = (tmp_path / "terminal.svg").read_text("utf-8")
    assert "08:46:00" in picture
    for path in [folder / name for folder in (tmp_path, ROOT / "docs") for name in ("terminal.svg", "tui.svg")]:
        made = path.read_text("utf-8")
        assert "ben64@libera" in made.replace("&#160;", " ")
        assert not re.search(r"url\((?!#)|href|<image|@import|<script", made)


# --- every line of the list of naughty strings, as text, name, topic and room

PREPENDED = {*map(chr, range(0x600, 0x606)), *"\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"}
"""Format characters that are seen: they stand before numbers (Unicode, Prepended_Concatenation_Mark)."""


def harmful(text: str) -> set[str]:
    return {
        each
        for each in text
        if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") and each not in PREPENDED and each != "\n"
    }


def _talk(number: int, text: str) -> bytes:
    """One message by somebody of that name, in a room of that name and topic."""
    place = f"{number} {text}"
    line = json.loads(ndjson([say(ALICE, text, number * HOUR, id=str(number), room=place, topic=text)]))
    line["data"]["actor"]["name"] = text
    return json.dumps(line).encode() + b"\n"


@pytest.fixture(scope="module")
def strings() -> list[str]:
    return [str(text) for text in json.loads((FIXTURES / "naughty" / "blns.json").read_text("utf-8"))]


@pytest.fixture(scope="module")
def naughty(tmp_path_factory: pytest.TempPathFactory, strings: list[str]) -> Path:
    path = tmp_path_factory.mktemp("naughty")
    (path / "events.ndjson").write_bytes(b"".join(_talk(number, text) for number, text in enumerate(strings)))
    call(path / "data", "backfill", "events", str(path / "events.ndjson"))
    return path / "data"


@pytest.mark.slow
def test_no_naughty_string_does_a_listing_harm(naughty: Path, strings: list[str]) -> None:
    shown = call(naughty, "inspect", ALICE)
    assert not harmful(shown)
    assert len(shown.splitlines()) == len(strings) + 3, "one line an item, whatever its subject"
    assert not harmful(call(naughty, "inspect"))


@pytest.mark.slow
def test_no_naughty_string_does_json_harm(naughty: Path, strings: list[str]) -> None:
    shown = call(naughty, "inspect", ALICE, "--json")
    assert not harmful(shown)
    assert {item["room"].split(" ")[0] for item in json.loads(shown)} == set(map(str, range(len(strings))))


@pytest.mark.slow
def test_no_naughty_string_is_a_formula_or_breaks_csv(naughty: Path, strings: list[str]) -> None:
    shown = call(naughty, "inspect", ALICE, "--csv")
    assert not harmful(shown)
    rows = list(csv.reader(io.StringIO(shown)))
    assert len(rows) == len(strings) + 1 and len({len(row) for row in rows}) == 1
    assert not [cell for row in rows for cell in row if cell.lstrip()[:1] in tuple("=+-@\t\r＝＋－＠") and cell.strip()]


@pytest.mark.slow
def test_no_naughty_string_does_a_transcript_harm(naughty: Path, strings: list[str]) -> None:
    store = MaildirStore("{data}/mail/{domain}/{local}", data=naughty)
    items = list(inspection.items(store, ALICE))
    assert len(items) == len(strings)
    for item in items:
        for line in transcript._lines(inspection.show(store, item), coloured=True):
            assert not harmful(re.sub(r"\x1b\[[0-9;]*m", "", line)), item.number
            assert set(re.findall(r"\x1b\[[0-9;]*m", line)) <= OUR_COLOURS


OUR_COLOURS = {f"\x1b[{code}m" for code in ("0", "1", "2", "36")}


@pytest.mark.slow
def test_no_naughty_string_does_a_history_harm(naughty: Path, strings: list[str]) -> None:
    for number in range(1, len(strings) + 1, 25):
        for json_ in ([], ["--json"]):
            assert not harmful(call(naughty, "inspect", ALICE, str(number), "--history", *json_))
