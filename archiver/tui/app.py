"""The whole: three panes, side by side where there is room and else one at a time; and where each key leads."""

from __future__ import annotations

import os
from typing import ClassVar

from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.theme import Theme
from textual.widget import Widget
from textual.widgets import Footer, Input, Static

from archiver.logs import plain
from archiver.tui.conversations import Conversations
from archiver.tui.keys import KEYS, Help
from archiver.tui.library import Library
from archiver.tui.mailboxes import Mailboxes, Shelf
from archiver.tui.rows import Rows
from archiver.tui.transcript import Transcript, View
from archiver.tui.work import begin

NARROW = 100
"""Below so many columns, one pane at a time."""

_LETTERS = frozenset(
    binding.action.partition("(")[0] for binding in KEYS if not binding.priority and binding.key not in ("escape", "f5")
)

DARK = Theme(
    name="evening",
    primary="#8fb3d9",
    secondary="#9ec3b0",
    accent="#e0b97d",
    warning="#e0b97d",
    error="#e08a8a",
    success="#a3c585",
    foreground="#d6d9de",
    background="#16191d",
    surface="#16191d",
    panel="#22272e",
    dark=True,
    variables={"quiet": "#878e98", "frame": "#353b44", "thumb": "#454d58"},
)
LIGHT = Theme(
    name="morning",
    primary="#2f6299",
    secondary="#2f7358",
    accent="#8f5a00",
    warning="#8f5a00",
    error="#a83232",
    success="#4d6f1f",
    foreground="#23282e",
    background="#fbfaf7",
    surface="#fbfaf7",
    panel="#ebe9e3",
    dark=False,
    variables={"quiet": "#666c73", "frame": "#cfccc4", "thumb": "#bdbab2"},
)


class Browser(App[None]):
    """`start` is the mailbox that is open at first, "" for the first of all; `nothing` is told where there is none."""

    TITLE = "archiver inspect"
    CSS_PATH = "browser.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = list(KEYS)

    def __init__(self, library: Library, *, start: str = "", nothing: str = "Nothing is filed yet.") -> None:
        # With native colours Textual leaves all colours out where NO_COLOR is set; else it turns them into greys.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name
        self._library = library
        self._start = start
        # Held rather than asked for: while it closes they leave the tree before the last message has been dealt with.
        self._mailboxes = Mailboxes("mailboxes")
        self._conversations = Conversations(library, "conversations")
        self._transcript = Transcript(library, "transcript")
        self._read = Vertical(self._conversations, self._transcript, id="read")
        self._panes = Horizontal(self._mailboxes, self._read, id="panes")
        self._nothing = Static(plain(nothing), id="nothing", markup=False)
        self._pane: Widget | None = None
        self._is_narrow = False

    def compose(self) -> ComposeResult:
        yield self._panes
        yield self._nothing
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self._is_narrow = self.size.width < NARROW
        self._mailboxes.border_title = "Mailboxes"
        self._conversations.border_title = "Conversations"
        self._go(self._mailboxes)
        self.action_again()

    def on_unmount(self) -> None:
        self._library.close()

    # What lies there

    def action_again(self) -> None:
        begin(self, "fill", self._fill, self._fail)

    async def _fill(self) -> None:
        mailboxes = await self._library.mailboxes()
        self._panes.display = bool(mailboxes)
        self._nothing.display = not mailboxes
        if mailboxes:
            chosen = self._mailboxes.chosen if self._mailboxes.count else Shelf(self._start or mailboxes[0])
            self._mailboxes.fill(mailboxes, chosen)

    def _fail(self, why: str) -> None:
        self.notify(plain(why), severity="error", markup=False)

    @on(Rows.Moved, "#mailboxes")
    def _mailbox_moved(self) -> None:
        self._conversations.open(self._mailboxes.chosen)

    @on(Rows.Chosen, "#mailboxes")
    def _mailbox_chosen(self) -> None:
        self._go(self._conversations.rows)

    @on(Conversations.Counted)
    def _counted(self, event: Conversations.Counted) -> None:
        self._mailboxes.unfold(event.mailbox, event.folders)

    @on(Conversations.Chosen)
    def _chosen(self, event: Conversations.Chosen) -> None:
        self._transcript.show(event.where, event.number)

    @on(Conversations.Opened)
    def _opened(self) -> None:
        self._go(self._transcript)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._go(self._conversations.rows)

    # Panes

    def _lists(self) -> tuple[Rows, Rows, Rows]:
        return self._mailboxes, self._conversations.rows, self._transcript

    def _go(self, target: Widget) -> None:
        self._pane = target
        self._place()
        target.focus()

    def _place(self) -> None:
        """All of them, or where there is no room only the one that is used."""
        alone = self._is_narrow
        reads, lists = self._pane is self._transcript, self._pane is not self._mailboxes
        self._mailboxes.display = not alone or not lists
        self._read.display = not alone or lists
        self._conversations.display = not alone or not reads
        self._transcript.display = not alone or reads
        self.screen.set_class(alone, "-alone")

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if event.widget in self._lists() or event.widget is self._conversations.input:
            self._pane = event.widget

    def on_resize(self, event: events.Resize) -> None:
        self._is_narrow = event.size.width < NARROW
        self._place()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While something is typed, letters are letters: the footer shows what is left."""
        return action not in _LETTERS or self.focused is not self._conversations.input

    def action_pane(self, by: int) -> None:
        if self.screen.is_modal:
            return
        panes = list(self._lists())
        at = panes.index(self.focused) if self.focused in panes else 1
        self._go(panes[(at + by) % len(panes)])

    def action_search(self) -> None:
        self._go(self._conversations.input)

    def action_leave(self) -> None:
        conversations, transcript = self._conversations, self._transcript
        if self.focused is transcript and transcript.view is not View.TRANSCRIPT:
            transcript.look(View.TRANSCRIPT)
        elif self.focused is transcript:
            self._go(conversations.rows)
        elif self.focused is conversations.input:
            conversations.clear()
            self._go(conversations.rows)
        elif self.focused is conversations.rows and not conversations.clear():
            self._go(self._mailboxes)

    def action_sort(self) -> None:
        self._conversations.sort()

    def action_turn(self) -> None:
        self._conversations.turn()

    def action_next(self, by: int) -> None:
        self._conversations.choose(by)

    def action_events(self) -> None:
        self._look(View.EVENTS)

    def action_raw(self) -> None:
        self._look(View.RAW)

    def _look(self, view: View) -> None:
        self._transcript.look(view)
        self._go(self._transcript)

    def action_copy(self) -> None:
        if identity := plain(self._transcript.message_id):
            self.copy_to_clipboard(identity)
            self.notify(f"To the clipboard, if the terminal lets us: {identity}", markup=False)

    def action_dark(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def action_help(self) -> None:
        self.push_screen(Help())
