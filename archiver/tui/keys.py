"""Every key of the whole, once: what the footer shows and what the help tells."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from archiver.tui.lines import SIGNS

KEYS = (
    Binding("slash", "search", "Search", key_display="/"),
    Binding("escape", "leave", "Back", key_display="esc"),
    Binding("tab", "pane(1)", "Pane", priority=True),
    Binding("shift+tab", "pane(-1)", "Pane before", show=False, priority=True, key_display="shift+tab"),
    Binding("s", "sort", "Sort"),
    Binding("S", "turn", "Other way round", show=False, key_display="S"),
    Binding("n", "next(1)", "Next conversation", show=False),
    Binding("p", "next(-1)", "Previous one", show=False),
    Binding("e", "events", "Events"),
    Binding("r", "raw", "Raw"),
    Binding("c", "copy", "Copy Message-ID", show=False),
    Binding("d", "dark", "Dark or light", show=False),
    Binding("f5", "again", "Read the folders again", show=False, key_display="F5"),
    Binding("question_mark", "help", "Help", key_display="?"),
    Binding("q", "quit", "Quit"),
    Binding("ctrl+c", "quit", "Quit", show=False, priority=True, key_display="ctrl+c"),
)

_MOVES = (
    ("↑ ↓  k j", "Up and down"),
    ("PgUp PgDn  b space", "A page up or down"),
    ("Home End  g G", "First and last"),
    ("⏎", "Open: on to the next pane"),
)
_WIDTH = 20


def help_text() -> str:
    told = [(binding.key_display or binding.key, binding.description) for binding in KEYS]
    keys = [f"{key:<{_WIDTH}}{what}" for key, what in (*_MOVES, *told)]
    signs = [f"{sign:<{_WIDTH}}{word}" for word, sign in SIGNS.items()]
    search = 'Search takes words, "phrases", -not, OR, from: with: in: before: after: kind: has:file'
    return "\n".join([*keys, "", *signs, "", search])


class Help(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "Close", key_display="esc")
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = "Keys"
            yield Static(Content(help_text()))
