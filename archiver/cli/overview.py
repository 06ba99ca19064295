"""All mailboxes as `archiver inspect` lists them: folders, archives, and what is kept back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click

from archiver.assembly import archive_of
from archiver.cli.app import App
from archiver.cli.listing import Asked
from archiver.cli.output import as_csv, as_json, complain, counted, paged, say, size, table_lines, when
from archiver.exceptions import EnvironmentFault
from archiver.inspection import Share, State, overview
from archiver.store import Store

if TYPE_CHECKING:
    from archiver.spool.records import MailboxCount


def print_overview(app: App, store: Store, asked: Asked) -> None:
    if asked.has_filter:
        raise click.UsageError("filters and --sort list the items of one mailbox: name its ADDRESS")
    found = _found(app, store)
    if asked.csv:
        return as_csv(Share, found, times=("first", "last"))
    if app.json:
        return as_json(found)
    if not found:
        return say(f"Nothing is filed in {app.data} yet.")
    paged([*_table(found), f"\n{_sum(found)}."])
    return None


def _found(app: App, store: Store) -> list[Share]:
    archive = archive_of(app.config(), app.data)
    others = (lambda: overview.lying(archive, State.ARCHIVED), lambda: overview.counted(_counts(app)))
    return overview.in_order(
        [*overview.lying(store, State.FILED), *(share for look in others for share in _seen(look))]
    )


def _seen(look: Callable[[], Iterable[Share]]) -> list[Share]:
    """What only the archiver's user may look into is told and left out: others see their folders all the same."""
    try:
        return list(look())
    except EnvironmentFault as fault:
        complain(f"left out: {fault}")
        return []


def _counts(app: App) -> list[MailboxCount]:
    from archiver.spool import Spool

    if not Spool.exists(app.data):
        return []
    with app.reading_spool() as spool:
        return spool.mailboxes()


def _table(found: list[Share]) -> Iterator[str]:
    return table_lines(
        ("mailbox", "folder", "state", "items", "unread", "size", "first (UTC)", "last (UTC)"),
        [(f.mailbox, f.folder, f.state, f.items, f.unseen, size(f.bytes), when(f.first), when(f.last)) for f in found],
        right=(3, 4, 5),
    )


def _sum(found: list[Share]) -> str:
    items = {state: sum(share.items for share in found if share.state is state) for state in State}
    told = [counted(len({share.mailbox for share in found}), "mailbox", "mailboxes")]
    told.append(counted(items.pop(State.FILED), "item"))
    return ", ".join([*told, *(f"{number:,} {state}" for state, number in items.items() if number)])
