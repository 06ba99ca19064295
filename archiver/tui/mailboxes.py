"""The pane of mailboxes, with the folders of those that were opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec import Struct
from textual.binding import BindingType

from archiver.tui.lines import shelf_line
from archiver.tui.piece import Line
from archiver.tui.rows import Rows

EVERYWHERE = "All mailboxes"


class Shelf(Struct, frozen=True):
    """A mailbox, all its folders or one; without mailbox it stands for all of them."""

    mailbox: str = ""
    folder: str = ""


class Mailboxes(Rows):
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, id: str) -> None:
        super().__init__(self._line, id=id)
        self.shelves: list[Shelf] = [Shelf()]
        self._counts: dict[Shelf, int] = {}

    @property
    def chosen(self) -> Shelf:
        return self.shelves[self.cursor]

    def fill(self, mailboxes: Sequence[str], chosen: Shelf) -> None:
        """All that there are. Where a folder was chosen, its mailbox is."""
        self._counts = {}
        self.shelves = [Shelf(), *map(Shelf, mailboxes)]
        wanted = Shelf(chosen.mailbox)
        self.hold(len(self.shelves), self.shelves.index(wanted) if wanted in self.shelves else 0)

    def unfold(self, mailbox: str, folders: Mapping[str, int]) -> None:
        """Show these folders below it, with how many items each has; nothing of a mailbox that has gone meanwhile."""
        if Shelf(mailbox) not in self.shelves:
            return
        chosen, at = self.chosen, self.shelves.index(Shelf(mailbox))
        others = [each for each in self.shelves[at + 1 :] if each.mailbox != mailbox]
        shelves = [*self.shelves[: at + 1], *(Shelf(mailbox, folder) for folder in folders), *others]
        self._counts |= {Shelf(mailbox, folder): count for folder, count in folders.items()}
        if shelves != self.shelves:
            self.shelves = shelves
            self.hold(len(shelves), shelves.index(chosen) if chosen in shelves else at)
        self.refresh()

    def _line(self, row: int, room: int) -> Line:
        shelf = self.shelves[row]
        name = shelf.mailbox or EVERYWHERE
        return shelf_line(name, shelf.folder, self._counts.get(shelf), room, is_open=shelf == self.chosen)
