"""The items of one mailbox as `archiver inspect` lists them: filters, order, table, JSON, CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from itertools import chain
from shlex import quote
from typing import Any, get_args

import click
from msgspec import Struct

from archiver import inspection
from archiver.cli.app import App
from archiver.cli.days import span
from archiver.cli.output import as_csv, as_json, paged, size, table_lines, when
from archiver.events import Kind
from archiver.inspection import ORDERS, ItemSummary, Wanted
from archiver.logs import plain
from archiver.store import Store

RELEVANCE = "relevance"
"""An order of what is searched for, not of what is listed."""


class Asked(Struct, frozen=True):
    """What somebody wants listed, and how."""

    wanted: Wanted
    order: str
    reverse: bool
    csv: bool

    @property
    def has_filter(self) -> bool:
        return self.wanted != Wanted() or self.order != "date" or self.reverse

    def is_only(self, order: str) -> bool:
        return self.wanted == Wanted() and self.order == order and not self.reverse

    def refuse(self, why: str) -> None:
        if self.has_filter or self.csv:
            raise click.UsageError(why)


_FILTERS = (
    click.option("--since", metavar="DATE", help="Only with something said on this day (YYYY-MM-DD, UTC) or later."),
    click.option("--until", metavar="DATE", help="Only begun on this day or before."),
    click.option("--with", "person", metavar="PERSON", default="", help="Only with this in a name or an address."),
    click.option("--kind", type=click.Choice([*get_args(Kind), "mail"]), help="Only of this kind."),
    click.option("--room", metavar="ROOM", default="", help="Only with this in the conversation's id or the subject."),
    click.option("--source", metavar="SOURCE", default="", help="Only with this in the source's name."),
    click.option("--missed", is_flag=True, help="Only missed ones."),
    click.option("--guessed", is_flag=True, help="Only where times, people or text had to be guessed."),
    click.option("--has-file", is_flag=True, help="Only with files."),
    click.option("--text", metavar="TEXT", default="", help="Only with this in subject or text, in any case."),
)
_ORDER = (
    click.option(
        "--sort", "order", type=click.Choice([*ORDERS, RELEVANCE]), default="date", help="Newest, most, largest first."
    ),
    click.option("--reverse", is_flag=True, help="The other way round."),
    click.option("--csv", is_flag=True, help="Print CSV."),
)


_FIELDS = ("person", "kind", "room", "source", "text")


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which items of a mailbox: the command gets them as `wanted`."""

    @wraps(command)
    def wrapped(*args: Any, since: str | None, until: str | None, **others: Any) -> Any:
        first, end = span(since, until)
        chosen: dict[str, Any] = {name: others.pop(name) or "" for name in _FIELDS}
        chosen |= {name: others.pop(name) for name in ("missed", "guessed", "has_file")}
        return command(*args, wanted=Wanted(since=first, until=end, **chosen), **others)

    return _with(wrapped, _FILTERS)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The filters of a listing and its order: the command gets them as `asked`."""

    @wraps(command)
    def wrapped(*args: Any, wanted: Wanted, order: str, reverse: bool, csv: bool, **others: Any) -> Any:
        return command(*args, asked=Asked(wanted, order, reverse, csv), **others)

    return filters(_with(wrapped, _ORDER))


def _with(command: Callable[..., Any], options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def print_items(app: App, store: Store, mailbox: str, asked: Asked) -> None:
    if asked.order == RELEVANCE:
        raise click.UsageError("--sort relevance is for what --search finds")
    found = _in_order(inspection.items(store, mailbox, asked.wanted), asked)
    if asked.csv:
        return as_csv(ItemSummary, found, times=("date", "last"))
    if app.json:
        return as_json(list(found))
    return paged(_lines(found, mailbox))


def _in_order(found: Iterator[ItemSummary], asked: Asked) -> Iterable[ItemSummary]:
    """As they come where that is the order asked for: then the first are there at once."""
    if asked.order == "date" and not asked.reverse:
        return found
    return sorted(found, key=ORDERS[asked.order], reverse=asked.reverse)


_COLUMNS = ("#", "date (UTC)", "kind", "subject", "people", "messages", "minutes", "size", "flags", "folder")


def _lines(found: Iterable[ItemSummary], mailbox: str) -> Iterator[str]:
    items = iter(found)
    first = next(items, None)
    if first is None:
        yield plain(f"{mailbox} has no such item.")
        return
    yield from table_lines(_COLUMNS, (_row(item) for item in chain([first], items)), right=(0, 4, 5, 6, 7))
    yield "\n" + plain(f"One of them as text: archiver inspect {quote(mailbox)} NUMBER")


def _row(item: ItemSummary) -> tuple[object, ...]:
    return (
        item.number,
        when(item.date),
        item.kind,
        item.subject,
        item.people,
        item.messages,
        item.minutes,
        size(item.size),
        ", ".join(item.marks),
        item.folder,
    )
