"""One item as `archiver inspect` shows it: its transcript, in colour on a terminal, and what the journal says of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from archiver.cli.app import App
from archiver.cli.output import as_json, paged, table_lines, when
from archiver.exceptions import UsageError
from archiver.inspection import ItemSummary, Shown
from archiver.inspection.lines import line_of
from archiver.logs import plain

if TYPE_CHECKING:
    from archiver.spool.records import Traced

_MOST = 1_000
"""Versions of a history, the newest; a room's place can have any number."""


def print_item(app: App, shown: Shown) -> None:
    if app.json:
        return as_json({"item": shown.summary, "headers": shown.headers, "text": shown.text})
    return paged(_lines(shown, coloured=sys.stdout.isatty()))


def _lines(shown: Shown, *, coloured: bool) -> Iterator[str]:
    for line in map(plain, shown.head):
        yield click.style(line, dim=True) if coloured else line
    yield ""
    for line in shown.lines:
        safe = plain(line.expandtabs())
        yield _coloured(safe) if coloured else safe


def _coloured(line: str) -> str:
    """Of a line that is safe already: when, who, what; and days in bold."""
    found = line_of(line)
    if found.who:
        return f"{click.style(found.time, dim=True)} {click.style(found.who, fg='cyan', bold=True)}: {found.text}"
    return click.style(line, bold=True) if found.is_day else line


def print_history(app: App, item: ItemSummary) -> None:
    """Every version of its conversation that the journal has for this mailbox, the newest first."""
    from archiver.cli.explain import became

    versions = _versions(app, item)
    if app.json:
        return as_json(versions)
    lines = table_lines(
        ("filing", "conversation from", "until (UTC)", "to", "state", "at (UTC)", "why", "name"),
        [
            (v.filing, when(v.started), when(v.ended), *became(v), v.delivery.name if v.delivery else "")
            for v in versions
        ],
    )
    return paged(lines)


def _versions(app: App, item: ItemSummary) -> list[Traced]:
    from archiver.spool import Spool

    if not item.room:
        raise UsageError("this message was not made by the archiver: it has no history here")
    if not Spool.exists(app.data):
        raise UsageError(f"there is no spool in {app.data}, and so no journal", hint="name the data with --data")
    with app.reading_spool() as spool:
        traced = [
            version
            for place in spool.placed(item.room, item.source)
            for version in spool.traced(place.place, item.mailbox, limit=_MOST)
        ]
    return [each for each in traced if each.delivery and each.started <= item.last and item.date <= each.ended]
