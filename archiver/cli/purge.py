"""`archiver purge`: what retention lets go."""

from __future__ import annotations

import time

import click

from archiver.assembly import archive_of, archiving_of, retention_of, store_of
from archiver.cli.app import App, reads
from archiver.cli.decision import Text
from archiver.cli.output import as_json, counted, say, size, table
from archiver.purging import Purge, Report


@click.command()
@click.argument("address", required=False)
@click.option("--dry-run", is_flag=True, help="Show what would go, and what only a hold or a label keeps.")
@click.option("--by", type=Text(), metavar="NAME", help="Who decides this.")
@click.option("--reason", type=Text(), help="Why: a case, a request, an agreement.")
@reads
def purge(app: App, address: str | None, dry_run: bool, by: str | None, reason: str | None) -> None:
    """Takes out what is older than [[retention]] and [archiving] say, of all mailboxes or that of ADDRESS.

    The daemon does this by itself, each rule at its hour; here all are asked. What a standing hold covers stays,
    and what a hold's words would have to be looked up for stays too.
    """
    if not dry_run and (by is None or reason is None):
        raise click.UsageError("--by and --reason say who decides this and why; --dry-run only shows what would go")
    config, now = app.config(), time.time_ns() // 1_000
    mailbox = None if address is None else app.mailbox(address)
    with app.spool() as spool:
        purging = Purge(
            spool,
            store_of(config, app.data),
            archive_of(config, app.data),
            retention_of(config),
            archiving_of(config),
            mailbox=mailbox,
        )
        report = purging.plan(now) if dry_run else purging.run(now, by or "", reason or "")
    if app.json:
        as_json({"done": not dry_run, "failed": report.failed, "counts": _rows(report)})
    else:
        _tell(report, done=not dry_run)
    if report.failed:
        click.get_current_context().exit(1)


def _rows(report: Report) -> list[dict[str, object]]:
    return [
        {"of": of, "folder": folder, "verdict": verdict, "items": count.items, "bytes": count.bytes}
        for (of, folder, verdict), count in sorted(report.counts.items())
    ]


def _tell(report: Report, *, done: bool) -> None:
    if report.counts:
        table(
            ("mailbox or source", "folder", "", "items", "size"),
            [(*key, count.items, size(count.bytes)) for key, count in sorted(report.counts.items())],
            right=(3, 4),
        )
        say()
    gone = report.gone
    failed = f"; {counted(report.failed, 'item')} could NOT be taken out, see the log" if report.failed else ""
    went = gone.items - report.failed if done else gone.items
    say(f"{counted(went, 'item')} {'taken out' if done else 'would go'} ({size(gone.bytes)}){failed}.")
