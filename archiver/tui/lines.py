"""Mailboxes, items, hits and messages as lines of panes. Pure; what an item tells is `inspection`'s to say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

from msgspec import Struct

from archiver.cli.output import size, when
from archiver.exceptions import UsageError
from archiver.inspection import ItemSummary, Shown
from archiver.inspection.lines import line_of
from archiver.inspection.listing import Numbered
from archiver.rendering import lines_of
from archiver.search import Hit
from archiver.tui.piece import SPEAKERS, Line, Piece, cell, fitted, folded, marked, safe, text_of

SIGNS = {"missed": "!", "unread": "●", "file": "+", "flagged": "⚑", "deleted": "×", "guessed": "?"}
"""What stands out about an item, each as one character before it."""
MOST = 2_000_000
"""Characters of one item that are shown."""

_ROLES = {"missed": "alert", "unread": "strong", "deleted": "quiet"}
_GAP = Piece("  ")
_DATE = 16
_MAILBOX = 24


class Column(Struct, frozen=True):
    """`order` is also its name. Shown where a list has `needs` cells; that of width 0 takes what others leave."""

    order: str
    width: int
    needs: int = 0
    right: bool = False

    @property
    def heading(self) -> str:
        return "date (UTC)" if self.order == "date" else self.order


COLUMNS = (
    Column("", 3),
    Column("date", _DATE),
    Column("kind", 10, needs=90),
    Column("subject", 0),
    Column("people", 8, needs=80, right=True),
    Column("messages", 10, needs=60, right=True),
    Column("minutes", 9, needs=108, right=True),
    Column("size", 10, needs=72, right=True),
)


def _columns(room: int) -> list[tuple[Column, int]]:
    """Those that have room, each with its width."""
    shown = [column for column in COLUMNS if room >= column.needs]
    taken = sum(column.width for column in shown) + len(_GAP.text) * (len(shown) - 1)
    return [(column, column.width or max(room - taken, 1)) for column in shown]


def _table(columns: Iterable[tuple[Column, int]], cells: Iterable[Piece]) -> Iterator[Piece]:
    for (column, width), value in zip(columns, cells, strict=True):
        if column.order:
            yield _GAP
        yield cell(value.text, width, value.role, right=column.right)


def heading(room: int, order: str, *, reverse: bool) -> Line:
    arrow = " ▲" if reverse else " ▼"
    columns = _columns(room)
    names = (Piece(column.heading + arrow * (column.order == order)) for column, _ in columns)
    return fitted(_table(columns, names), room)


def item_line(each: Numbered, item: ItemSummary | None, room: int) -> Line:
    """`item` is None as long as it is not read: then no more is known than when it began."""
    columns = _columns(room)
    if item is None:
        known = {"date": Piece(when(each.began), "quiet"), "subject": Piece("…", "quiet")}
        return fitted(_table(columns, (known.get(column.order, Piece("")) for column, _ in columns)), room)
    role = next((_ROLES[mark] for mark in item.marks if mark in _ROLES), "")
    values = {
        "": Piece("".join(SIGNS[mark] for mark in item.marks), role or "quiet"),
        "date": Piece(when(item.date), "quiet"),
        "kind": Piece(item.kind, "quiet"),
        "subject": Piece(item.subject or "(no subject)", role),
        "people": Piece(f"{item.people:,}", "quiet"),
        "messages": Piece("" if item.messages is None else f"{item.messages:,}"),
        "minutes": Piece(f"{item.minutes:,}", "quiet"),
        "size": Piece(size(item.size), "quiet"),
    }
    return fitted(_table(columns, (values[column.order] for column, _ in columns)), room)


def hit_heading(room: int, *, everywhere: bool) -> Line:
    where = (_GAP, cell("mailbox", _MAILBOX)) if everywhere else ()
    return fitted((cell("date (UTC)", _DATE), *where, _GAP, Piece("found")), room)


def hit_line(hit: Hit, room: int, *, everywhere: bool) -> Line:
    """Its subject, and the piece of its text that was found."""
    where = (_GAP, cell(hit.mailbox, _MAILBOX, "quiet")) if everywhere else ()
    found = [cell(when(hit.date), _DATE, "quiet"), *where, _GAP, *marked(hit.subject, "strong"), _GAP]
    return fitted((*found, *marked(hit.excerpt)), room)


def shelf_line(mailbox: str, folder: str, items: int | None, room: int, *, is_open: bool) -> Line:
    """A mailbox, or a folder below it with how many items it has."""
    role = "strong" if is_open else ""
    if not folder:
        return (cell(mailbox, room, role),)
    count = "" if items is None else f"{items:,}"
    width = max(room - len(count) - 3, 1)
    return fitted((Piece("  "), cell(folder, width, role or "quiet"), Piece(f" {count}", "quiet")), room)


def transcript(shown: Shown) -> Iterator[Line]:
    """Exactly the lines that `archiver inspect ADDRESS ITEM` prints."""
    for line in shown.head:
        yield (safe(line, "quiet"),)
    yield ()
    for line in shown.lines:
        yield tuple(_coloured(safe(line.expandtabs()).text))


def _coloured(line: str) -> Iterator[Piece]:
    """Of a line that is safe already: when, who, what; and days in bold."""
    found = line_of(line)
    if found.who:
        speaker = f"speaker{crc32(found.who.encode()) % SPEAKERS}"
        yield from (Piece(f"{found.time} ", "quiet"), Piece(found.who, speaker), Piece(f": {found.text}"))
    else:
        yield Piece(line, "strong" if found.is_day else "quiet" if found.time else "")


def events(content: bytes) -> Iterator[Line]:
    """The exact events that an item carries, one a line."""
    try:
        for line in lines_of(content):
            yield (safe(line.decode("utf-8", "surrogateescape")),)
    except UsageError as error:
        yield (safe(str(error), "quiet"),)


def raw(content: bytes) -> Iterator[Line]:
    text = content[:MOST].decode("utf-8", "surrogateescape").replace("\r\n", "\n").rstrip("\n")
    for line in text.split("\n"):
        yield (safe(line.expandtabs()),)


def bounded(lines: Iterable[Line], *, is_whole: bool) -> list[Line]:
    """No more than a person reads; where something is left out, that is said."""
    found, room = [], MOST
    for line in lines:
        room -= len(text_of(line)) + 1
        if room < 0:
            break
        found.append(line)
    if room < 0 or not is_whole:
        found += [(), (Piece("The rest is left out here: `archiver inspect ADDRESS ITEM --raw` has all.", "alert"),)]
    return found


_TIME = re.compile(r"\d\d?:\d\d(?::\d\d)?\S*(?: [AP]M)? ")


def in_width(lines: Sequence[Line], width: int) -> list[Line]:
    """Folded, what somebody said below its beginning."""
    found: list[Line] = []
    for line in lines:
        began = _TIME.match(line[0].text) if line else None
        found += folded(line, max(width, 1), len(began[0]) if began else 0)
    return found
