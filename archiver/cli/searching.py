"""`archiver inspect --search` and `--reindex`: what is found, with the words marked; JSON, CSV."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from archiver.assembly import open_spool, searcher_of
from archiver.cli.app import App
from archiver.cli.listing import RELEVANCE, Asked
from archiver.cli.output import as_csv, as_json, complain, counted, paged, say, when
from archiver.exceptions import EnvironmentFault
from archiver.logs import plain
from archiver.types import Destination

if TYPE_CHECKING:
    from archiver.search import Hit, Marked, Order, Query, Results, Searcher


class Sought(Struct, frozen=True):
    """What somebody looks for, and where: `query` is None where they don't."""

    query: str | None
    limit: int
    archive: bool
    reindex: bool

    @property
    def is_asked(self) -> bool:
        return self.query is not None or self.reindex


_OPTIONS = (
    click.option("--search", "query", metavar="QUERY", help="Look for words in all mailboxes, or in ADDRESS's."),
    click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="With --search: so many at most."),
    click.option("--archive", is_flag=True, help="With --search or --reindex: in the compliance archives instead."),
    click.option("--reindex", is_flag=True, help="Make what --search looks into anew from the folders."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets them as `sought`."""

    @wraps(command)
    def wrapped(*args: Any, query: str | None, limit: int, archive: bool, reindex: bool, **others: Any) -> Any:
        sought = Sought(query, limit, archive, reindex)
        if archive and not sought.is_asked:
            raise click.UsageError("--archive belongs to --search and --reindex")
        return command(*args, sought=sought, **others)

    decorated: Callable[..., Any] = wrapped
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def run(app: App, mailbox: str | None, sought: Sought, asked: Asked) -> None:
    if asked.has_filter and not asked.is_only(RELEVANCE):
        raise click.UsageError("say it in the query: from: with: in: before: after: kind: has:file; --sort relevance")
    app.log(app.config(), quiet=True)
    with ExitStack() as stack:
        searcher = searcher_with(app, Destination.ARCHIVE if sought.archive else Destination.HISTORY, stack)
        if sought.reindex:
            count = searcher.rebuild(mailbox)
            complain(f"Indexed {counted(count, 'different item')}.")
        if sought.query is not None:
            _print(app, _found(searcher, sought, mailbox, asked), asked)


def searcher_with(app: App, destination: Destination, stack: ExitStack) -> Searcher:
    """With the spool's queue where there is a spool that may be written."""
    from archiver.spool import Spool

    config = app.config()
    try:
        spool = stack.enter_context(open_spool(config, app.data)) if Spool.exists(app.data) else None
    except EnvironmentFault:
        spool = None
    return searcher_of(config, app.data, spool, destination)


class Look:
    """Asks the search index, with what changed taken in first; from any thread. `patience`: seconds, None: as ever."""

    def __init__(self, app: App, patience: float | None = None) -> None:
        self._app = app
        self._patience = patience

    def __call__(self, query: Query, mailbox: str | None, *, order: Order, limit: int, offset: int) -> Results:
        from archiver.search import PATIENCE

        patience = PATIENCE if self._patience is None else self._patience
        with ExitStack() as stack:
            searcher = searcher_with(self._app, Destination.HISTORY, stack)
            return searcher.search(query, mailbox, order=order, limit=limit, offset=offset, patience=patience)


def _found(searcher: Searcher, sought: Sought, mailbox: str | None, asked: Asked) -> Results:
    from archiver.search import Order

    order = Order.RELEVANCE if asked.order == RELEVANCE else Order.NEWEST
    return searcher.search(sought.query or "", mailbox, order=order, limit=sought.limit)


class Line(Struct, frozen=True):
    """One item found, as CSV has it."""

    mailbox: str
    folder: str
    name: str
    others: int
    date: int
    last: int
    kind: str
    subject: str
    excerpt: str


def _line(hit: Hit) -> Line:
    facts = (hit.mailbox, hit.folder, hit.name, hit.others, hit.date, hit.last, hit.kind)
    return Line(*facts, hit.subject.text, hit.excerpt.text)


def _print(app: App, results: Results, asked: Asked) -> None:
    if results.made:
        complain(f"The index was made anew: {results.made}.")
    if results.behind:
        complain(f"{counted(results.behind, 'item')} not searched yet: `archiver inspect --reindex`, or the daemon.")
    if asked.csv:
        return as_csv(Line, map(_line, results.hits), times=("date", "last"))
    if app.json:
        return as_json(results)
    if not results.hits:
        return say("Nothing found.")
    return paged(_told(results))


def _told(results: Results) -> Iterator[str]:
    for hit in results.hits:
        where = f"{hit.mailbox}" + (f" and {hit.others} more" if hit.others else "")
        yield f"{plain(when(hit.date))}  {_shown(hit.subject)}  {plain(where)}"
        yield f"    {_shown(hit.excerpt)}"
        yield plain(f"    archiver inspect {quote(hit.mailbox)} {quote(hit.name)}")
    if results.more is not None:
        yield "\nThere are more: --limit, or another word."


def _shown(marked: Marked) -> str:
    """Neutralised piece by piece, so that the marks alone are sequences that a terminal obeys."""
    styled = sys.stdout.isatty()
    parts, at = [], 0
    for start, end in (*marked.marks, (len(marked.text), len(marked.text))):
        parts.append(_plain(marked.text[at:start]))
        found = _plain(marked.text[start:end])
        parts.append(click.style(found, bold=True, fg="yellow") if styled and found else found)
        at = end
    return "".join(parts)


def _plain(text: str) -> str:
    return plain("".join(" " if character.isspace() else character for character in text))
