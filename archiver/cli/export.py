"""`archiver export`: items as EML files: the local archive, Conversation History, compliance archives."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from archiver.addresses import normal
from archiver.assembly import archive_of, open_spool, store_of
from archiver.cli.app import App, reads
from archiver.cli.days import span
from archiver.cli.output import as_json, counted, say, size
from archiver.compliance import exporting
from archiver.compliance.exporting import Origin, Report, Wanted
from archiver.compliance.origins import History, LocalArchive, OwnArchives
from archiver.exceptions import UsageError
from archiver.spool import Spool

_OF: dict[str, Callable[[App, Spool], Origin]] = {
    "local": lambda app, spool: LocalArchive(spool),
    "history": lambda app, spool: History(spool, store_of(app.config(), app.data)),
    "archive": lambda app, spool: OwnArchives(spool, archive_of(app.config(), app.data)),
}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--of",
    "what",
    type=click.Choice(list(_OF)),
    multiple=True,
    default=("local",),
    show_default=True,
    help="The local archive, people's Conversation History, or their compliance archives; may stand several times.",
)
@click.option("--since", metavar="DATE", help="The first day (YYYY-MM-DD, UTC) with something said in it.")
@click.option("--until", metavar="DATE", help="The last day; it is included.")
@click.option("--address", help="Only this mailbox's, or what was archived for it; `sip:` before it does no harm.")
@click.option("--new", "fresh", is_flag=True, help="Only what was never exported.")
@reads
def export(
    app: App,
    folder: Path,
    what: tuple[str, ...],
    since: str | None,
    until: str | None,
    address: str | None,
    fresh: bool,
) -> None:
    """Writes items into FOLDER, one EML file each, and marks them as exported: what a purge may wait for.

    Those that are there already stay as they are. `archiver backfill items FOLDER` reads them back. Exit status 1 where
    an item's content is not what was archived.
    """
    wanted = _wanted(since, until, address, fresh=fresh)
    report = Report()
    with open_spool(app.config(), app.data) as spool:
        for each in dict.fromkeys(what):
            exporting.export(_OF[each](app, spool), folder, wanted, lambda: time.time_ns() // 1_000, report)
    if app.json:
        as_json(report)
    else:
        say(f"{counted(report.items, 'item')} ({size(report.bytes)}) in {folder}.")
        for name in report.damaged:
            say(f"  DAMAGED, not exported: {name}")
    if report.damaged:
        click.get_current_context().exit(1)


def _wanted(since: str | None, until: str | None, address: str | None, *, fresh: bool) -> Wanted:
    first, end = span(since, until)
    mailbox = None if address is None else normal("", address)
    if address is not None and mailbox is None:
        raise UsageError(f"--address {address}: is not an address")
    return Wanted(first, end, mailbox, fresh)
