"""`archiver export`: the local archive as EML files."""

from __future__ import annotations

import time
from pathlib import Path

import click

from archiver.addresses import normal
from archiver.assembly import open_spool
from archiver.cli.app import App, reads
from archiver.cli.days import span
from archiver.cli.output import as_json, counted, say, size
from archiver.compliance import exporting
from archiver.compliance.exporting import Wanted
from archiver.exceptions import UsageError


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--since", metavar="DATE", help="The first day (YYYY-MM-DD, UTC) with something said in it.")
@click.option("--until", metavar="DATE", help="The last day; it is included.")
@click.option("--address", help="Only what was archived for this mailbox; `sip:` before it does no harm.")
@click.option("--new", "fresh", is_flag=True, help="Only what was never exported.")
@reads
def export(app: App, folder: Path, since: str | None, until: str | None, address: str | None, fresh: bool) -> None:
    """Writes complete items of the local archive into FOLDER, one EML file each, and marks them as exported.

    Those that are there already stay as they are. `archiver backfill items FOLDER` reads them back. Exit status 1 where
    an item's content is not what was archived.
    """
    wanted = _wanted(since, until, address, fresh=fresh)
    with open_spool(app.config(), app.data) as spool:
        report = exporting.export(spool, folder, wanted, lambda: time.time_ns() // 1_000)
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
