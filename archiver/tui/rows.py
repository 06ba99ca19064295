"""A list of any length: only the lines that are seen are asked for. Knows no mailbox and no item."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from archiver.tui.piece import ROLES, Line

Draw = Callable[[int, int], Line]
"""The line of this number, for this width."""


class Rows(ScrollView, can_focus=True):
    """`draw` gives the lines; `has_cursor` is whether one of them is chosen, or the whole is only read."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,b", "page(-1)", "Page up", show=False),
        Binding("pagedown,space", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Open", key_display="⏎"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor", *(f"rows--{role}" for role in ROLES)}

    cursor = reactive(0)

    class Told(Message):
        """Something about these rows."""

        def __init__(self, rows: Rows) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> Rows:
            return self.rows

    class Moved(Told):
        """Another line is chosen, or the lines are others."""

    class Chosen(Told):
        """The chosen line is to be opened."""

    class Looked(Told):
        """Other lines are seen."""

    class Resized(Told):
        """Lines are seen in another width."""

    def __init__(self, draw: Draw, *, has_cursor: bool = True, id: str | None = None) -> None:
        super().__init__(id=id)
        self._draw = draw
        self._has_cursor = has_cursor
        self.count = 0

    @property
    def room(self) -> int:
        """Cells that a line has."""
        return self.scrollable_content_region.width

    @property
    def rows_seen(self) -> range:
        top = self.scroll_offset.y
        return range(min(top, self.count), min(top + max(self.size.height, 1), self.count))

    def hold(self, count: int, cursor: int = 0) -> None:
        """From now on there are so many lines, all of them other ones; `cursor` is the chosen one."""
        self.count = count
        self.virtual_size = Size(0, count)
        self.set_reactive(Rows.cursor, self.validate_cursor(cursor))
        if self._has_cursor:
            self._reveal(self.cursor)
        self.refresh()
        self.post_message(self.Looked(self))
        self.post_message(self.Moved(self))

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.count - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        self.refresh_line(old)
        self.refresh_line(new)
        self._reveal(new)
        if old != new:
            self.post_message(self.Moved(self))

    def _reveal(self, row: int) -> None:
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if row < top or self.count <= height:
            self.begin_at(row if self.count > height else 0)
        elif row >= top + height:
            self.begin_at(row - height + 1)

    def begin_at(self, row: int) -> None:
        """The first line that is seen, as far as there are lines to fill the rest."""
        # Forced: a scrollbar that is not shown yet would forbid it.
        self.scroll_to(y=max(0, min(row, self.count - self.size.height)), animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Looked(self))

    def on_resize(self, event: events.Resize) -> None:
        if self._has_cursor:
            self._reveal(self.cursor)
        self.post_message(self.Looked(self))
        self.post_message(self.Resized(self))

    def render_line(self, y: int) -> Strip:
        row = self.scroll_offset.y + y
        base, width = self.rich_style, self.size.width
        if row >= self.count:
            return Strip.blank(width, base)
        if self._has_cursor and row == self.cursor:
            base = base + self.get_component_rich_style("rows--cursor")
        segments = [Segment(piece.text, self._style(base, piece.role)) for piece in self._draw(row, self.room)]
        return Strip(segments).adjust_cell_length(width, base)

    def _style(self, base: Style, role: str) -> Style:
        return base + self.get_component_rich_style(f"rows--{role}", partial=True) if role else base

    def on_click(self, event: events.Click) -> None:
        row = self.scroll_offset.y + event.get_content_offset_capture(self).y
        if self._has_cursor and row < self.count:
            self.cursor = row
            if event.chain > 1:
                self.action_choose()

    def action_move(self, by: int) -> None:
        if self._has_cursor:
            self.cursor += by
        else:
            self.begin_at(self.scroll_offset.y + by)

    def action_page(self, by: int) -> None:
        self.action_move(by * max(self.size.height - 1, 1))

    def action_edge(self, end: int) -> None:
        if self._has_cursor:
            self.cursor = end * self.count
        else:
            self.begin_at(end * self.count)

    def action_choose(self) -> None:
        if self._has_cursor and self.count:
            self.post_message(self.Chosen(self))
