"""The pane of conversations: those of a mailbox or folder, in an order; or those that a search finds, as it is typed.

shelf ─► contents ─► order ─┬► rows, summaries read as they are seen
typed ─► search ────────────┘
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import var
from textual.widgets import Input, Static

from archiver.inspection import ORDERS, ItemSummary
from archiver.inspection.listing import Numbered
from archiver.logs import plain
from archiver.search import Hit, Order, Results
from archiver.store.protocol import Where
from archiver.tui.library import HITS, Library
from archiver.tui.lines import heading, hit_heading, hit_line, item_line
from archiver.tui.mailboxes import Shelf
from archiver.tui.piece import Line, text_of
from archiver.tui.rows import Rows
from archiver.tui.work import Work, begin

PAUSE = 0.2
"""Seconds without a key, after which what was typed is searched for."""
_STAY = 0.08
"""Seconds that somebody stays at a mailbox before it is read."""
_AHEAD = 20
"""Lines read before and after those that are seen."""
_REMEMBERED = 2_000

_TYPING = re.compile(r"(?:.*\s)?-?(?:(?:from|with|in|subject|text|file):)?\w+", re.DOTALL)
"""Where the last word may go on; of dates, kinds and phrases nothing is left open."""


def as_typed(text: str) -> str:
    """What is searched for while somebody still types: the last word is a beginning."""
    is_open = _TYPING.fullmatch(text) and text.count('"') % 2 == 0 and not text.endswith(("AND", "OR", "NOT"))
    return f"{text}*" if is_open else text


class Typed(Input):
    """What is pasted is harmless too: it may come from where somebody read."""

    def replace(self, text: str, start: int, end: int) -> None:
        super().replace(plain(text), start, end)


class Conversations(Vertical):
    """Posts `Chosen` when another one is to be shown, and `Opened` when it is to be read."""

    class About(Message):
        """`where` is None where there is none."""

        def __init__(self, where: Where | None, number: int) -> None:
            super().__init__()
            self.where = where
            self.number = number

    class Chosen(About):
        """Another one is chosen."""

    class Opened(About):
        """The chosen one is to be read."""

    class Counted(Message):
        """A mailbox was read: how many items its folders have."""

        def __init__(self, mailbox: str, folders: dict[str, int]) -> None:
            super().__init__()
            self.mailbox = mailbox
            self.folders = folders

    told: var[str] = var("")

    def __init__(self, library: Library, id: str) -> None:
        super().__init__(id=id)
        self.input = Typed(
            placeholder="/ search: words, from: with: in: before: after: kind: has:", compact=True, id="search"
        )
        self._told = Static(id="told")
        self._heading = Static(id="heading")
        self.rows = Rows(self._line, id="items")
        self._library = library
        self._shelf = Shelf()
        self._contents: list[Numbered] = []
        self._found: list[Numbered] = []
        self._hits: tuple[Hit, ...] | None = None
        self._known: dict[Where, ItemSummary] = {}
        self._order, self._reverse = "date", False
        self._by = Order.NEWEST
        self._is_sorting = False

    def compose(self) -> ComposeResult:
        yield Horizontal(self.input, self._told, id="asked")
        yield self._heading
        yield self.rows

    def watch_told(self, told: str) -> None:
        self._told.update(Content(plain(told)))

    # What is listed

    def open(self, shelf: Shelf) -> None:
        """List what lies there; or search there, where something is searched for."""
        self._shelf = shelf
        self._begin("open", lambda: self._opened(shelf))

    async def _opened(self, shelf: Shelf) -> None:
        await asyncio.sleep(_STAY)
        if not shelf.mailbox:
            self._contents = []
        else:
            self._contents, self._known = [], {}
            self._list([])  # where it can't be read, nothing of another one stands there
            self.told = "reading …"
            self._contents = await self._library.contents(shelf.mailbox)
            folders = Counter(each.where.folder for each in self._contents)
            self.post_message(self.Counted(shelf.mailbox, dict(sorted(folders.items()))))
        self._known = {}
        self._arrange()
        if self.input.value:
            self._search()

    def _arrange(self) -> None:
        """In the order asked for: by date at once, by what only the items tell when they are read."""
        self.workers.cancel_group(self, "sort")
        self._is_sorting = False
        here = [each for each in self._contents if self._shelf.folder in ("", each.where.folder)]
        self._hits = None if not self.input.value else self._hits
        if self._order == "date":
            self._list(here[::-1] if self._reverse else here)
        else:
            self._list(here)
            self._is_sorting = True
            self._begin("sort", lambda: self._sorted(here))

    async def _sorted(self, here: Sequence[Numbered]) -> None:
        def tell(count: int) -> None:
            self.told = f"sorting {count:,} of {len(here):,} …"

        found = await self._library.ordered(here, self._order, tell)
        self._is_sorting = False
        self._list(found[::-1] if self._reverse else found)

    def _list(self, found: list[Numbered]) -> None:
        self._found = found
        if self._hits is None:
            self._show(len(found))

    def _show(self, count: int) -> None:
        self._head()
        self.told = self._count()
        self.rows.hold(count)

    def _count(self) -> str:
        if self._hits is None:
            here = f"{len(self._found):,} items" if len(self._found) != 1 else "1 item"
            return here if self._shelf.mailbox else "type / to search them all"
        return f"{len(self._hits):,} found" if len(self._hits) < HITS else f"the first {HITS:,}"

    def _head(self) -> None:
        if self._hits is None:
            line = heading(self.rows.room, self._order, reverse=self._reverse)
        else:
            line = hit_heading(self.rows.room, everywhere=not self._shelf.mailbox)
        self._heading.update(Content(text_of(line)))

    def _line(self, row: int, room: int) -> Line:
        if self._hits is not None:
            return hit_line(self._hits[row], room, everywhere=not self._shelf.mailbox)
        each = self._found[row]
        return item_line(each, self._known.get(each.where), room)

    # Search as you type

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value.strip():
            self._search(PAUSE)
        else:
            self.workers.cancel_group(self, "search")
            if self._hits is not None:
                self._hits = None
                self._show(len(self._found))
            else:
                self._head()
                self.told = self._count()

    def _search(self, pause: float = 0) -> None:
        text = self.input.value
        self._begin("search", lambda: self._sought(text, pause))

    async def _sought(self, text: str, pause: float) -> None:
        """Asks on while the index takes in what it doesn't know yet."""
        await asyncio.sleep(pause)
        self.told = "searching …"
        behind = None
        while True:
            results = await self._library.found(as_typed(text.strip()), self._shelf.mailbox or None, self._by)
            self._find(results)
            if not results.behind or (behind is not None and results.behind >= behind):
                return
            behind = results.behind

    def _find(self, results: Results) -> None:
        hits = tuple(hit for hit in results.hits if self._shelf.folder in ("", hit.folder))
        if hits != self._hits:
            self._hits = hits
            self._show(len(hits))
        self._head()
        self.told = self._count() + (f", {results.behind:,} not searched yet" if results.behind else "")

    def clear(self) -> bool:
        """Search and sort no more; whether there was anything to leave."""
        if self._is_sorting:
            self._order = "date"
            self._arrange()
            return True
        was_searching = self._hits is not None or bool(self.input.value)
        self.input.value = ""
        return was_searching

    # What was asked for by key

    def sort(self) -> None:
        """By the next order."""
        if self._hits is not None:
            self._by = Order.RELEVANCE if self._by is Order.NEWEST else Order.NEWEST
            self._search()
            self.notify(f"Found ones by {'relevance' if self._by is Order.RELEVANCE else 'date'}", timeout=2)
            return
        orders = list(ORDERS)
        self._order = orders[(orders.index(self._order) + 1) % len(orders)]
        self._arrange()

    def turn(self) -> None:
        """The other way round."""
        if self._hits is None:
            self._reverse = not self._reverse
            self._list(self._found[::-1])

    def choose(self, by: int) -> None:
        """The next or the one before."""
        self.rows.cursor += by

    # What rows tell

    @on(Rows.Looked)
    def _looked(self, event: Rows.Looked) -> None:
        event.stop()
        self._begin("look", self._read)

    async def _read(self) -> None:
        if self._hits is not None:
            return
        seen = self.rows.rows_seen
        near = self._found[max(seen.start - _AHEAD, 0) : seen.stop + _AHEAD]
        unknown = [each for each in near if each.where not in self._known]
        if not unknown:
            return
        await asyncio.sleep(0.02)
        if len(self._known) > _REMEMBERED:
            self._known = {}
        self._known |= await self._library.summaries(unknown)
        self.rows.refresh()

    @on(Rows.Resized)
    def _resized(self, event: Rows.Resized) -> None:
        event.stop()
        self._head()

    @on(Rows.Moved)
    def _moved(self, event: Rows.Moved) -> None:
        event.stop()
        self.post_message(self.Chosen(*self._current()))

    @on(Rows.Chosen)
    def _chosen(self, event: Rows.Chosen) -> None:
        event.stop()
        self.post_message(self.Opened(*self._current()))

    def _current(self) -> tuple[Where | None, int]:
        row = self.rows.cursor
        if row >= self.rows.count:
            return None, 0
        if self._hits is not None:
            hit = self._hits[row]
            return Where(hit.mailbox, hit.folder, hit.name), 0
        return self._found[row].where, self._found[row].number

    def _begin(self, group: str, work: Work) -> None:
        begin(self, group, work, self._fail)

    def _fail(self, why: str) -> None:
        """Told where there is a line's room for it, until something else is listed."""
        self.told = ""
        self._heading.update(Content(plain(why)))
