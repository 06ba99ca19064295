"""What the command line prints: tables and sentences for people, JSON for machines; nothing raw from outside."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import click
import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from archiver.events import SECOND, moment
from archiver.exporting import spreadsheet
from archiver.logs import plain

_PIECE = 64
"""Rows of a table that come at a time: more than a screen shows, and few enough to come at once."""

_PROSE, _SHORT = 30, 20
"""Widths, in a table with too little room: what is wider than the first gives way first, what has at most the second
is broken at its blanks. Chosen so that a list of items, and one of mailboxes, fit 80 columns with their dates whole."""

_CELL = 400
"""Characters of a cell that a terminal shows, so that one doesn't fill the screen."""


class Unread(Exception):
    """Whoever read our output has gone, as `head` does: no fault, and nobody to tell."""


def say(text: str = "") -> None:
    _write("\n".join(plain(line.expandtabs()) for line in text.split("\n")))


def complain(text: str) -> None:
    with suppress(BrokenPipeError):
        click.echo(plain(text), err=True)


def as_json(value: Any) -> None:
    """One JSON document; bytes as base64, times as they are (microseconds)."""
    _write(_json(value))


def _json(value: Any) -> str:
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a file name, or a header, of bytes that are no text
        encoded = json.dumps(_as_text(msgspec.to_builtins(value)), ensure_ascii=False).encode()
    return _escaped(msgspec.json.format(encoded, indent=2).decode())


def _as_text(value: Any) -> Any:
    """With U+FFFD for what stands for a byte that is no text: JSON holds none."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_as_text(name): _as_text(each) for name, each in value.items()}
    return [_as_text(each) for each in value] if isinstance(value, (list, tuple)) else value


class JsonList:
    """One JSON array, written as its elements come: it may be long."""

    def __init__(self) -> None:
        self._before = "["

    def add(self, value: Any) -> None:
        _write(f"{self._before}\n{_json(value)}")
        self._before = ","

    def end(self) -> None:
        _write("[]" if self._before == "[" else "]")


def _escaped(text: str) -> str:
    """JSON in which no character can move a terminal's cursor; the same document."""
    return re.sub("[^\x00-\x7e]+", lambda found: _harmless(found[0]), text)


def _harmless(text: str) -> str:
    return text if plain(text) == text else json.dumps(text)[1:-1].replace("\x7f", "\\u007f")


def write(content: bytes) -> None:
    """Exact bytes, for a file or another program; to a terminal as text that does no harm."""
    if sys.stdout.isatty():
        return say(content.decode("utf-8", "surrogateescape").replace("\r\n", "\n").rstrip("\n"))
    stream = sys.stdout.buffer
    try:
        stream.write(content)
        stream.flush()
    except BrokenPipeError as error:
        raise Unread from error
    return None


def _write(text: str) -> None:
    try:
        click.echo(text)
    except BrokenPipeError as error:
        raise Unread from error


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    for lines in table_lines(columns, rows, right=right):
        _write(lines)


def table_lines(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()
) -> Iterator[str]:
    """Columns aligned; broken to fit the terminal where one looks on, else as wide as need be.

    Comes in pieces, as the rows do: the first of them say how wide the columns are. Without rows it says so.
    """
    wide = None if sys.stdout.isatty() else 10_000
    console = Console(file=sys.stdout, width=wide, highlight=False, markup=False, emoji=False)
    longest = _CELL if console.is_terminal else None
    cells = ([_shortened(_cell(value), longest) for value in row] for row in rows)
    first = list(islice(cells, _PIECE))
    if not first:
        yield "None."
        return
    layout = _fitting(list(zip(columns, *first, strict=True)), console.width)
    yield _piece(console, columns, first, layout, right, header=True)
    while piece := list(islice(cells, _PIECE)):
        yield _piece(console, columns, piece, layout, right, header=False)


def _shortened(text: str, longest: int | None) -> str:
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"


class _Layout(NamedTuple):
    widths: list[int]
    gap: int


def _fitting(columns: list[tuple[str, ...]], room: int) -> _Layout:
    """What is long gives way first, then what is short and breaks at a blank (a date), then whatever is widest."""
    widths = [max(map(cell_len, column)) for column in columns]
    between = len(widths) - 1
    if sum(widths) + 2 * between <= room:
        return _Layout(widths, 2)
    words = [max(cell_len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    at_blanks = [word if width <= _SHORT else width for word, width in zip(words, widths, strict=True)]
    for least in ([_PROSE] * len(widths), at_blanks, [1] * len(widths)):
        _give_way(widths, least, room - between)
    return _Layout(widths, 1)


def _give_way(widths: list[int], least: Sequence[int], room: int) -> None:
    """Takes from the widest, until all have room or none has more than its least."""
    while sum(widths) > room:
        index = max(range(len(widths)), key=lambda index: (widths[index] > least[index]) * widths[index])
        if widths[index] <= least[index]:
            return
        widths[index] -= 1


def _piece(
    console: Console,
    columns: Sequence[str],
    rows: list[list[str]],
    layout: _Layout,
    right: Sequence[int],
    *,
    header: bool,
) -> str:
    made = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        show_edge=False,
        show_header=header,
        padding=(0, layout.gap, 0, 0),
    )
    for index, (column, width) in enumerate(zip(columns, layout.widths, strict=True)):
        made.add_column(
            column,
            justify="right" if index in right else "left",
            no_wrap=not console.is_terminal,
            overflow="fold",
            min_width=width,
            max_width=width if console.is_terminal else None,
        )
    for row in rows:
        made.add_row(*row)
    with console.capture() as capture:
        console.print(made)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def paged(pieces: Iterable[str]) -> None:
    """On a terminal through $PAGER, or less, which ends by itself where one screen holds it; else as it comes."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        for piece in pieces:
            _write(piece)
        return
    os.environ.setdefault("LESS", "-FRX")
    click.echo_via_pager((f"{piece}\n" for piece in pieces), color=True)


def as_csv(record: type[msgspec.Struct], rows: Iterable[msgspec.Struct], *, times: Collection[str] = ()) -> None:
    """RFC 4180 with a line of names; `times` as RFC 3339. What a spreadsheet would take for a formula gets a `'`."""
    paged(spreadsheet.lines(record, rows, times=times))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else plain(" ".join(str(value).split()))


def when(time: int | None) -> str:
    """A time of day in UTC, to the minute; the reader's own zone is the item's business."""
    return "" if time is None else f"{moment(time):%Y-%m-%d %H:%M}"


def size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError


def age(since: int, now: int) -> str:
    seconds = max(0, (now - since) // SECOND)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
