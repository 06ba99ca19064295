"""Which items somebody asks for: by when, with whom, where and what. Pure; reads no folder.

What the header tells is asked first, what only the body tells last: most items are never read whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from archiver.inspection.item import ItemSummary


class Wanted(Struct, frozen=True):
    """All that is set must hold. Times in microseconds: said something from `since` on, and before `until`.

    `person` is part of a name or an address, `room` of a conversation's key or topic, `text` of what was said.
    """

    since: int | None = None
    until: int | None = None
    person: str = ""
    kind: str = ""
    room: str = ""
    source: str = ""
    missed: bool = False
    has_file: bool = False
    guessed: bool = False
    text: str = ""

    @property
    def asks_body(self) -> bool:
        return self.has_file or bool(self.text)


def by_header(item: ItemSummary, wanted: Wanted) -> bool:
    return (
        (wanted.since is None or item.last >= wanted.since)
        and (wanted.until is None or item.date < wanted.until)
        and (not wanted.missed or item.missed)
        and (not wanted.guessed or bool(item.guessed))
        and wanted.kind in ("", item.kind)
        and _within(wanted.source, (item.source,))
        and _within(wanted.room, (item.room, item.subject))
        and _within(wanted.person, (item.sender, item.recipients))
    )


def by_body(item: ItemSummary, text: Callable[[], str], wanted: Wanted) -> bool:
    if wanted.has_file and not item.files:
        return False
    return not wanted.text or _within(wanted.text, (item.subject,)) or _within(wanted.text, (text(),))


def _within(wanted: str, texts: tuple[str, ...]) -> bool:
    return not wanted or any(wanted.casefold() in text.casefold() for text in texts)
