"""The panes of `archiver inspect --tui` without a terminal: a store of golden items, keys, and the screen as text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from conversation_builder import FIXTURES
from golden import BROWSED, golden_item
from textual.pilot import Pilot

from archiver.search import Searcher
from archiver.store import MaildirStore, Put
from archiver.store.protocol import Folders
from archiver.tui.app import Browser
from archiver.tui.conversations import Conversations
from archiver.tui.library import Library, Search
from archiver.tui.mailboxes import Mailboxes
from archiver.tui.transcript import Transcript

ALICE, BOB = "alice@example.org", "bob@example.org"
HISTORY = "Conversation History"
EXPECTED = FIXTURES / "expected" / "tui"
_Answer = TypeVar("_Answer")


def store_in(data: Path) -> MaildirStore:
    return MaildirStore("{data}/mail/{domain}/{local}", data=data)


def filled(data: Path) -> MaildirStore:
    """Every golden item for Alice, the first two unread; one of them for Bob in a folder of his own."""
    store = store_in(data)
    items = [golden_item(name, owner, *rest) for name, owner, *rest in BROWSED]
    puts = [Put(ALICE, HISTORY, item, "" if at < 2 else "S") for at, item in enumerate(items)]
    assert set(store.put([*puts, Put(BOB, "Kept", items[3])])) == {None}
    return store


class Sitting:
    """Somebody at the keyboard."""

    def __init__(self, app: Browser, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def mailboxes(self) -> Mailboxes:
        return self.app.query_one(Mailboxes)

    @property
    def conversations(self) -> Conversations:
        return self.app.query_one(Conversations)

    @property
    def transcript(self) -> Transcript:
        return self.app.query_one(Transcript)

    @property
    def screen(self) -> str:
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def write(self, text: str) -> None:
        """As typed, letter by letter."""
        for letter in text:
            self.conversations.input.insert_text_at_cursor(letter)
            await self.pilot.pause()

    async def until(self, is_so: Callable[[], object], within: float = 20) -> None:
        end = time.monotonic() + within
        while not is_so():
            assert time.monotonic() < end, self.screen
            await self.pilot.pause(0.01)

    async def settled(self) -> None:
        """What was asked of folders and index is answered and shown."""
        quiet = 0
        while quiet < 3:
            await self.pilot.pause(0.02)
            quiet = quiet + 1 if not list(self.app.workers) else 0


def sit(
    store: Folders,
    use: Callable[[Sitting], Awaitable[_Answer]],
    *,
    data: Path | None = None,
    search: Search | None = None,
    size: tuple[int, int] = (120, 40),
    start: str = "",
) -> _Answer:
    """Opens it, waits for the first screen and lets `use` sit there."""
    if search is None:
        search = Searcher(data, store).search if data else _no_search  # type: ignore[arg-type]

    async def run() -> _Answer:
        app = Browser(Library(store, search), start=start)
        async with app.run_test(size=size) as pilot:
            sitting = Sitting(app, pilot)
            await sitting.settled()
            return await use(sitting)

    return asyncio.run(run())


def _no_search(*args: object, **named: object) -> None:
    raise AssertionError("nobody asked for that")


def pictures(data: Path) -> dict[str, str]:
    """What a wide and a narrow terminal show, by name: of each view one."""
    store = filled(data)

    async def wide(sitting: Sitting) -> dict[str, str]:
        found = {"mailboxes": sitting.screen}
        await sitting.press("enter", "down", "down", "enter")
        await sitting.settled()
        found["transcript"] = sitting.screen
        await sitting.press("slash", *"release")
        await sitting.settled()
        return {**found, "search": sitting.screen}

    async def narrow(sitting: Sitting) -> dict[str, str]:
        found = {}
        for name in ("narrow-mailboxes", "narrow-conversations", "narrow-transcript"):
            await sitting.settled()
            found[name] = sitting.screen
            await sitting.press("enter")
        await sitting.press("question_mark")
        await sitting.pilot.pause()
        return {**found, "narrow-help": sitting.screen}

    return sit(store, wide, data=data) | sit(store, narrow, data=data, size=(80, 24))
