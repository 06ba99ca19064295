"""`archiver inspect --tui` by keyboard, through Textual's own pilot: what it shows is what `archiver inspect` shows."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import FIXTURES
from hypothesis import given
from hypothesis import strategies as st
from panes import ALICE, BOB, EXPECTED, HISTORY, Sitting, filled, pictures, sit, store_in
from rich.cells import cell_len
from test_terminal import COMMAND, Terminal, harmful
from textual import events
from textual.color import Color

from archiver.cli import main
from archiver.cli import tui as command
from archiver.events import SECOND
from archiver.exceptions import EnvironmentFault
from archiver.inspection import ORDERS
from archiver.search import Query, Results
from archiver.store import MaildirStore, Put
from archiver.store.protocol import Found, Where
from archiver.tui.app import DARK, LIGHT
from archiver.tui.conversations import Conversations, as_typed
from archiver.tui.keys import KEYS, help_text
from archiver.tui.lines import MOST, bounded, in_width, raw
from archiver.tui.piece import Piece, cell, folded, joined, safe, text_of
from archiver.types import Item

pytestmark = pytest.mark.slow

SIZES = [(120, 40), (80, 24), (40, 12)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tui")
    filled(path)
    return path


def call(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["--data", str(data), *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


# What it shows


@pytest.mark.parametrize("name", [path.stem for path in sorted(EXPECTED.glob("*.txt"))])
def test_the_screen_is_as_it_was(seen: dict[str, str], name: str) -> None:
    assert seen[name] + "\n" == (EXPECTED / f"{name}.txt").read_text("utf-8"), "scripts/refresh_fixtures, and look"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return pictures(tmp_path_factory.mktemp("pictures"))


def test_every_picture_is_compared(seen: dict[str, str]) -> None:
    assert sorted(seen) == sorted(path.stem for path in EXPECTED.glob("*.txt"))


def test_transcripts_are_those_of_the_command_line(data: Path) -> None:
    async def read(sitting: Sitting) -> list[str]:
        await sitting.press("enter")
        found = []
        for _ in range(14):
            await sitting.settled()
            found.append(joined(sitting.transcript.lines))
            await sitting.press("n")
        return found

    found = sit(store_in(data), read)
    assert len(set(found)) == 14
    for number, transcript in enumerate(reversed(found), 1):
        assert transcript == call(data, "inspect", ALICE, str(number)).rstrip("\n")


def test_events_and_bytes_are_those_of_the_command_line(data: Path) -> None:
    async def read(sitting: Sitting) -> list[str]:
        await sitting.press("enter", "enter")
        found = []
        for key in ("e", "r", "escape", "r", "r", "escape"):
            await sitting.press(key)
            await sitting.settled()
            found.append(joined(sitting.transcript.lines))
        return found

    events, content, transcript, again, back, _ = sit(store_in(data), read)
    assert transcript == back == call(data, "inspect", ALICE, "14").rstrip("\n")
    assert events == call(data, "inspect", ALICE, "14", "--events").rstrip("\n")
    assert content == again == call(data, "inspect", ALICE, "14", "--raw").rstrip("\n")


def test_orders_are_those_of_the_command_line(data: Path) -> None:
    async def sorted_by_keys(sitting: Sitting) -> dict[str, list[int]]:
        await sitting.press("enter")
        found = {}
        for order in ORDERS:
            await sitting.settled()
            found[order] = [each.number for each in sitting.conversations._found]
            if order == "size":
                await sitting.press("S")
                assert [each.number for each in sitting.conversations._found] == found[order][::-1]
            await sitting.press("s")
        return found

    for order, numbers in sit(store_in(data), sorted_by_keys).items():
        told = json.loads(call(data, "inspect", ALICE, "--sort", order, "--json"))
        assert numbers == [item["number"] for item in told], order


def test_folders_are_listed_apart(data: Path) -> None:
    async def down(sitting: Sitting) -> str:
        await sitting.press("end")
        await sitting.settled()
        await sitting.press("end")
        await sitting.settled()
        return sitting.screen

    shown = sit(store_in(data), down)
    assert "Kept" in shown and "1 item" in shown


def test_a_message_id_is_copied_on_one_line(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, b"Message-ID: =?utf-8?q?<a=0Arm_-rf=1B[2J@x>?=\n\nx")

    async def copy(sitting: Sitting) -> str:
        await sitting.press("enter", "c")
        return sitting.app.clipboard

    copied = sit(store, copy)
    assert copied and "\n" not in copied and not harmful(copied)


# Search


def test_search_as_you_type(data: Path) -> None:
    async def search(sitting: Sitting) -> None:
        await sitting.press("slash")
        await sitting.write("relea")
        await sitting.until(lambda: "1 found" in sitting.conversations.told)
        assert "Release <planning> & more" in sitting.screen
        await sitting.write('se "half')
        await sitting.until(lambda: "found" not in sitting.conversations.told)
        assert "Release <planning>" in sitting.screen, "what is not a query yet takes nothing away"
        await sitting.write('" OR summary')
        await sitting.press("enter", "enter")
        await sitting.settled()
        await sitting.press("escape")
        assert sitting.app.focused is sitting.conversations.rows
        await sitting.press("escape")
        await sitting.settled()
        assert sitting.conversations.told == "14 items" and not sitting.conversations.input.value
        await sitting.press("escape")
        assert sitting.app.focused is sitting.mailboxes

    sit(store_in(data), search, data=data)


def test_a_search_in_all_mailboxes_leads_to_the_item(data: Path) -> None:
    async def search(sitting: Sitting) -> None:
        await sitting.press("home")
        await sitting.settled()
        assert "search them all" in sitting.conversations.told
        await sitting.press("slash")
        await sitting.write("from:alice")
        await sitting.until(lambda: "found" in sitting.conversations.told)
        assert BOB in sitting.screen or ALICE in sitting.screen.split("Transcript")[0]
        await sitting.press("enter", "enter")
        await sitting.settled()
        assert "Alice" in joined(sitting.transcript.lines)

    sit(store_in(data), search, data=data)


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("lun", "lun*"),
        ("from:al", "from:al*"),
        ("交談", "交談*"),
        ("a -b", "a -b*"),
        ("lunch ", "lunch "),
        ('"two wor', '"two wor'),
        ("kind:im", "kind:im"),
        ("before:2024", "before:2024"),
        ("a OR", "a OR"),
        ("lun*", "lun*"),
        ("(a", "(a"),
    ],
)
def test_the_last_word_is_a_beginning(typed: str, asked: str) -> None:
    assert as_typed(typed) == asked


class Gate:
    """A search that answers when it is let, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()

    def __call__(self, query: Query, mailbox: str | None, **more: object) -> Results:
        self.asked.append(query.text)
        assert self.open.wait(20)
        return Results((), None)


def test_a_slow_search_stops_no_key_and_the_last_one_wins(data: Path) -> None:
    gate = Gate()

    async def search(sitting: Sitting) -> None:
        await sitting.press("slash")
        await sitting.write("one")
        await sitting.until(lambda: gate.asked)
        for word in ("two", "three", "four"):
            await sitting.write(word)
            await asyncio.sleep(0.3)
        await sitting.press("enter", "down", "down")
        assert sitting.conversations.rows.cursor == 2, "keys are heard while the index is asked"
        gate.open.set()
        await sitting.until(lambda: "0 found" in sitting.conversations.told)

    sit(store_in(data), search, search=gate)
    assert gate.asked == ["one*", "onetwothreefour*"]


def test_what_the_index_refuses_is_told(data: Path) -> None:
    def refuse(*args: object, **named: object) -> Results:
        raise EnvironmentFault("no index here\x1b[2J")

    async def search(sitting: Sitting) -> None:
        await sitting.press("slash", "a")
        await sitting.until(lambda: "no index here" in sitting.screen)
        assert not harmful(sitting.screen) and "Release" in sitting.screen

    sit(store_in(data), search, search=refuse)


def test_what_is_pasted_is_harmless(data: Path) -> None:
    async def paste(sitting: Sitting) -> None:
        await sitting.press("slash")
        sitting.app.post_message(events.Paste("a\x1b]0;x\x07\u202e\x9b2J"))
        await sitting.until(lambda: sitting.conversations.input.value)
        harmless(sitting)

    sit(store_in(data), paste, data=data)


# Large mailboxes


class Large:
    """A mailbox of this many items, each the same message; counts what is read."""

    def __init__(self, items: int) -> None:
        self._names = [f"{1_400_000_000 + n}.K{n:032x}.conversation-archiver" for n in range(items)]
        self.read_items = 0
        self.slow = threading.Event()

    def mailboxes(self) -> Iterable[str]:
        return [ALICE]

    def folders(self, mailbox: str) -> Iterable[str]:
        return [HISTORY]

    def names(self, mailbox: str, folder: str) -> list[str]:
        return self._names

    def read_all(self, wanted: Iterable[Where], limit: int = -1) -> Iterator[tuple[Found, bytes] | None]:
        for where in wanted:
            self.read_items += 1
            if self.read_items > 2_000:
                assert self.slow.wait(20)
            yield Found(where.name, "S", False, 20, 0), f"Subject: {where.name[:10]}\n\nx".encode()


def test_of_100_000_items_no_more_is_read_than_is_seen() -> None:
    store = Large(100_000)

    async def look(sitting: Sitting) -> None:
        assert "100,000 items" in sitting.screen and "1400099999" in sitting.screen
        await sitting.press("enter", "end")
        await sitting.settled()
        assert "1400000000" in sitting.screen and store.read_items < 200
        await sitting.press("s")
        await sitting.until(lambda: store.read_items > 2_000)
        assert "sorting" in sitting.conversations.told
        await sitting.press("home", "down")
        assert sitting.conversations.rows.cursor == 1, "keys are heard while it sorts"
        await sitting.press("escape")
        store.slow.set()
        await sitting.settled()
        assert sitting.conversations.told == "100,000 items" and store.read_items < 10_000

    sit(store, look)  # type: ignore[arg-type]


def test_what_is_read_has_an_end() -> None:
    lines = bounded(raw(b"x" * 99 + b"\n" + b"y" * 2 * MOST), is_whole=True)
    assert len(joined(lines)) < MOST + 200 and "left out" in text_of(lines[-1])


# Panes


@pytest.mark.parametrize("size", SIZES)
def test_all_of_it_by_keyboard_alone_in_any_size(data: Path, size: tuple[int, int]) -> None:
    async def walk(sitting: Sitting) -> None:
        panes = [sitting.mailboxes, sitting.conversations.rows, sitting.transcript]
        for pane in [*panes, panes[0]]:
            assert sitting.app.focused is pane and pane.display and pane.region.height > 2
            await sitting.press("tab")
        await sitting.press("shift+tab", "shift+tab", "enter", "enter")
        assert sitting.app.focused is panes[2]
        await sitting.press("escape", "escape")
        assert sitting.app.focused is panes[0]
        await sitting.press("question_mark")
        await sitting.pilot.pause()
        assert "Keys" in sitting.screen
        await sitting.press("escape")
        await sitting.pilot.resize_terminal(160, 50)
        await sitting.until(lambda: all(pane.region.width > 20 for pane in panes))
        await sitting.pilot.resize_terminal(60, 20)
        await sitting.until(lambda: [pane for pane in panes if pane.region] == [panes[0]])
        await sitting.press("q")
        await sitting.pilot.pause()
        assert not sitting.app.is_running

    sit(store_in(data), walk, data=data, size=size)


def test_the_help_tells_every_key_and_the_footer_fits_a_narrow_terminal(seen: dict[str, str]) -> None:
    for key in KEYS:
        assert any(line.startswith(f"{key.key_display or key.key} ") for line in help_text().splitlines()), key
    assert seen["narrow-conversations"].splitlines()[-1].endswith("Quit")


def test_what_goes_meanwhile_is_told_and_f5_lists_anew(tmp_path: Path) -> None:
    store = filled(tmp_path)

    async def look(sitting: Sitting) -> None:
        await sitting.press("enter")
        name = sitting.conversations._found[3].where.name
        assert store.remove(ALICE, HISTORY, name)
        await sitting.press("down", "down", "down")
        await sitting.until(lambda: "gone meanwhile" in sitting.screen)
        await sitting.press("f5")
        await sitting.until(lambda: sitting.conversations.told == "13 items")

    sit(store, look)


def test_a_count_of_a_mailbox_that_went_meanwhile_changes_nothing(tmp_path: Path) -> None:
    async def look(sitting: Sitting) -> None:
        shelves = list(sitting.mailboxes.shelves)
        sitting.app.post_message(Conversations.Counted("gone@example.com", {HISTORY: 1}))
        await sitting.settled()
        assert sitting.mailboxes.shelves == shelves

    sit(filled(tmp_path), look)


def test_what_is_counted_while_it_closes_is_nobody_s(tmp_path: Path) -> None:
    async def look(sitting: Sitting) -> None:
        await sitting.app.query("#panes").remove()
        sitting.app.post_message(Conversations.Counted(ALICE, {HISTORY: 1}))
        await sitting.pilot.pause()

    sit(filled(tmp_path), look)


class Closed(MaildirStore):
    """Bob's mailbox can't be looked into."""

    def names(self, mailbox: str, folder: str) -> list[str]:
        if mailbox == BOB:
            raise PermissionError(13, "Permission denied\x1b[2J", mailbox)
        return super().names(mailbox, folder)


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(data: Path) -> None:
    async def look(sitting: Sitting) -> None:
        await sitting.press("end")
        await sitting.until(lambda: "Permission denied" in sitting.screen)
        harmless(sitting)
        assert sitting.conversations.rows.count == 0
        await sitting.press("up", "up")
        await sitting.until(lambda: sitting.conversations.told == "14 items")

    sit(Closed("{data}/mail/{domain}/{local}", data=data), look)


def test_nothing_filed_is_said(tmp_path: Path) -> None:
    async def look(sitting: Sitting) -> str:
        await sitting.press("enter", "tab", "s", "e", "n", "c", "slash", "escape", "f5")
        return sitting.screen

    assert "Nothing is filed yet." in sit(store_in(tmp_path), look)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in Color.parse(color).normalized
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_colours_can_be_read(theme) -> None:
    for color in (theme.primary, theme.secondary, theme.accent, theme.success, theme.error, theme.variables["quiet"]):
        assert contrast(color, theme.background) >= 4.5, color


def test_dark_or_light(data: Path) -> None:
    async def turn(sitting: Sitting) -> list[str]:
        found = [sitting.app.theme]
        for _ in range(2):
            await sitting.press("d")
            found.append(sitting.app.theme)
        return found

    assert sit(store_in(data), turn) == [DARK.name, LIGHT.name, DARK.name]


# Hostile content

MARKUP = [
    "[bold red]x[/]",
    "[@click=app.quit]x[/]",
    "[link=https://e.example]x[/link]",
    "[/]",
    "\\[x",
    "$text [$error]",
]
CONTROLS = [
    "\x1b]8;;https://e.example\x07x\x1b]8;;\x07",
    "\x9b2J",
    "\u202egnp.exe",
    "\x1b[2J\x1b[H",
    "a\tb\rc\x0bd",
    "\u2066\U000e0041",
]


def put(store: MaildirStore, content: bytes, at: int = 100, folder: str = HISTORY) -> None:
    item = Item("", f"{at}.K{at:032x}", f"<{at}@x>", "", at * SECOND, at * SECOND, True, content)
    assert store.put([Put(ALICE, folder, item)]) == [None]


def encoded(text: str) -> bytes:
    from base64 import b64encode

    return b"=?utf-8?b?" + b64encode(text.encode("utf-8", "surrogatepass")) + b"?="


def hostile(text: str) -> bytes:
    """By somebody of that name, on that subject, who said that."""
    said = "\n".join([text, f"10:00:00 {text}: {text}", f"10:00:00 * {text}"])
    headers = b"Subject: %s\nFrom: %s <a@b>\nMessage-ID: %s\n" % ((encoded(text),) * 3)
    return headers + b"Content-Type: text/plain; charset=utf-8\n\n" + said.encode("utf-8", "surrogatepass")


def naughty() -> list[str]:
    found = json.loads((FIXTURES / "naughty" / "blns.json").read_text("utf-8"))
    return [*MARKUP, *CONTROLS, *map(str, found)]


def harmless(sitting: Sitting) -> None:
    strips = sitting.app.screen._compositor.render_strips()
    for strip in strips:
        assert not harmful(strip.text), strip.text
        assert cell_len(strip.text) == sitting.app.size.width
        for segment in strip:
            assert segment.style is None or (segment.style.link is None and not {"@click"} & set(segment.style.meta))


@pytest.mark.slow
def test_no_naughty_string_does_the_screen_harm(tmp_path: Path) -> None:
    """All of them as name, subject and folder; on every page of the list, and of one item that has them all."""
    store, texts = store_in(tmp_path), naughty()
    items = [
        Item("", f"{at}.K{at:032x}", f"<{at}@x>", "", at * SECOND, at * SECOND, True, hostile(text))
        for at, text in enumerate(texts, 100)
    ]
    assert set(store.put([Put(ALICE, HISTORY, item) for item in items])) == {None}
    put(store, hostile("\n".join(texts)), at=99_999)
    for at, text in enumerate(text for text in MARKUP if "/" not in text):
        put(store, hostile(text), at=50_000 + at, folder=f"folder {text}")

    async def look(sitting: Sitting) -> None:
        harmless(sitting)
        await sitting.press("enter")
        while True:
            await sitting.settled()
            harmless(sitting)
            if sitting.conversations.rows.cursor == sitting.conversations.rows.count - 1:
                break
            await sitting.press("pagedown")
        await sitting.settled()
        assert "[bold red]x[/]" in sitting.screen
        await sitting.press("home", "enter")
        await sitting.settled()
        for view in ("", "r"):
            await sitting.press(*([view] if view else ["home"]))
            await sitting.settled()
            while sitting.transcript.scroll_offset.y < sitting.transcript.max_scroll_y:
                await sitting.press("pagedown")
                harmless(sitting)

    sit(store, look, size=(120, 60))


def test_markup_in_what_is_found_is_text(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    for at, text in enumerate([*MARKUP, *CONTROLS], 100):
        put(store, hostile(f"{text} findme"), at=at)

    async def look(sitting: Sitting) -> None:
        await sitting.press("slash")
        await sitting.write("findm")
        await sitting.until(lambda: f"{len(MARKUP + CONTROLS)} found" in sitting.conversations.told)
        harmless(sitting)
        assert "[bold red]x[/] findme" in sitting.screen

    sit(store, look, data=tmp_path, size=(120, 60))


texts = st.text(st.characters(codec=None), max_size=120)


@given(texts, st.integers(0, 60), st.booleans())
def test_a_cell_is_as_wide_as_it_is_told_and_harmless(text: str, width: int, right: bool) -> None:
    made = cell(text, width, right=right).text
    assert cell_len(made) == width and not harmful(made)


@given(st.lists(texts, max_size=3), st.integers(2, 60), st.integers(0, 12))
def test_folding_loses_no_character_and_fits(parts: Sequence[str], width: int, indent: int) -> None:
    line = tuple(safe(part, "strong") for part in parts)
    lines = folded(line, width, indent)
    started = [each[1:] if at else each for at, each in enumerate(lines)]
    assert "".join(map(text_of, started)) == text_of(line)
    assert all(each[0] == Piece(" " * (indent if indent < width // 2 else 0)) for each in lines[1:])
    assert all(cell_len(text_of(each)) <= width for each in lines)


def test_what_was_said_goes_on_below_its_beginning() -> None:
    line = (Piece("10:00:00 ", "quiet"), Piece("Bob", "speaker1"), Piece(": one two three four"))
    assert [text_of(each) for each in in_width([line], 24)] == ["10:00:00 Bob: one two ", "         three four"]


# The command


def test_without_a_terminal_it_says_so(data: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(data), "inspect", "--tui"])
    assert result.exit_code == 2 and "needs a terminal" in result.output


def test_without_its_extra_it_names_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "textual" else find_spec(name))
    result = CliRunner().invoke(main, ["--data", str(data), "inspect", "--tui"])
    assert result.exit_code == 3 and "pip install 'conversation-archiver[tui]'" in result.output


@pytest.mark.parametrize(
    "more", [[ALICE, "1"], ["--json"], ["--csv"], ["--search", "x"], ["--web"], ["--missed", ALICE]]
)
def test_with_another_view_it_is_a_mistake(data: Path, more: list[str]) -> None:
    assert CliRunner().invoke(main, ["--data", str(data), "inspect", "--tui", *more]).exit_code == 2


@pytest.mark.slow
def test_on_a_real_terminal_without_colour(data: Path) -> None:
    run = [*COMMAND, "--data", str(data), "inspect", "--tui", "ali"]
    with Terminal(run, rows=24, columns=80, environment={"NO_COLOR": "1"}) as terminal:
        while b"Conversation History" not in terminal.shown and terminal._read(30):
            pass
        terminal.send(b"\r")
        terminal.send(b"q")
        assert terminal.end() == 0
    assert b"Conversation History" in terminal.shown
    assert not [code for code in (b"38;2", b"48;2", b"38;5", b"48;5") if code in terminal.shown]
