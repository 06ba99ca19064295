"""The pane of one item: its transcript, its exact events or its raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from enum import StrEnum

from archiver.inspection.listing import shown
from archiver.store.protocol import Where
from archiver.tui.library import Library, Opened
from archiver.tui.lines import bounded, events, in_width, raw, transcript
from archiver.tui.piece import Line, safe
from archiver.tui.rows import Rows
from archiver.tui.work import begin

PAUSE = 0.08
"""Seconds that somebody stays at an item before it is read."""


class View(StrEnum):
    TRANSCRIPT = "Transcript"
    EVENTS = "Events"
    RAW = "Raw"


_MADE: dict[View, Callable[[Opened], Iterator[Line]]] = {
    View.TRANSCRIPT: lambda opened: transcript(shown(opened.summary, opened.content)),
    View.EVENTS: lambda opened: events(opened.content),
    View.RAW: lambda opened: raw(opened.content),
}


class Transcript(Rows):
    def __init__(self, library: Library, id: str) -> None:
        super().__init__(self._drawn, has_cursor=False, id=id)
        self._library = library
        self._where: Where | None = None
        self._opened: Opened | None = None
        self._folded: list[Line] = []
        self.lines: list[Line] = []
        self.view = View.TRANSCRIPT

    def on_mount(self) -> None:
        self.border_title = self.view

    @property
    def message_id(self) -> str:
        """Empty where there is none."""
        return self._opened.summary.message_id if self._opened else ""

    def show(self, where: Where | None, number: int) -> None:
        if where != self._where:
            self._where = where
            self._begin(number)

    def look(self, view: View) -> None:
        """Another view of it; the same once more is the transcript."""
        self.view = View.TRANSCRIPT if view is self.view else view
        self.border_title = self.view
        begin(self, "show", self._made, self._fail)

    def _begin(self, number: int) -> None:
        begin(self, "show", lambda: self._read(number), self._fail)

    async def _read(self, number: int) -> None:
        await asyncio.sleep(PAUSE)
        self._opened = await self._library.opened(self._where, number) if self._where else None
        if self._where and self._opened is None:
            self._fail("It has gone meanwhile: F5 lists them again.")
        else:
            await self._made()

    async def _made(self) -> None:
        if self._opened is None:
            return self._put([], [])
        return self._put(*await asyncio.to_thread(_laid_out, self._opened, self.view, self.room))

    def _put(self, lines: list[Line], folded: list[Line]) -> None:
        self.lines, self._folded = lines, folded
        self._hold()
        self.begin_at(self._text_begins)

    def _hold(self) -> None:
        """With as many empty lines as let the text begin at the top."""
        self.hold(max(len(self._folded), self._text_begins + self.size.height))

    @property
    def _text_begins(self) -> int:
        """The list has told most of the header: what was said is seen at once, the header by scrolling up."""
        return self._folded.index(()) + 1 if self.view is View.TRANSCRIPT and () in self._folded else 0

    def _fail(self, why: str) -> None:
        self._opened = None
        self._put([], in_width([(safe(why, "alert"),)], self.room))

    def on_rows_resized(self) -> None:
        begin(self, "fold", self._refold, self._fail)

    async def _refold(self) -> None:
        """Where it is read from stays about where it was."""
        lines, row = self.lines, self.scroll_offset.y
        at_text, part = row == self._text_begins, row / max(self.count, 1)
        folded = await asyncio.to_thread(in_width, lines, self.room)
        if lines is self.lines and lines:
            self._folded = folded
            self._hold()
            self.begin_at(self._text_begins if at_text else round(part * self.count))

    def _drawn(self, row: int, room: int) -> Line:
        return self._folded[row] if row < len(self._folded) else ()


def _laid_out(opened: Opened, view: View, room: int) -> tuple[list[Line], list[Line]]:
    lines = bounded(_MADE[view](opened), is_whole=opened.is_whole)
    return lines, in_width(lines, room)
