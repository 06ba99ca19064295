"""`archiver purge`: what retention lets go."""

from __future__ import annotations

import time

import click

from archiver.assembly import (
    archive_of,
    archiving_of,
    directory_of,
    retention_of,
    rules_of,
    searchers_of,
    store_of,
    terms_of,
)
from archiver.cli.app import App, reads
from archiver.cli.decision import Text
from archiver.cli.output import as_json, counted, say, size, table
from archiver.compliance.erasure import Erasure
from archiver.compliance.erasure import Report as Erased
from archiver.compliance.preserving import Keeper
from archiver.compliance.purging import Purge, Report
from archiver.filing import sifting
from archiver.logs import plain


@click.command()
@click.argument("address", required=False)
@click.option("--dry-run", is_flag=True, help="Show what would go, and what only a hold or a label keeps.")
@click.option("--by", type=Text(), metavar="NAME", help="Who decides this.")
@click.option("--reason", type=Text(), help="Why: a case, a request, an agreement.")
@click.option("--erase", type=Text(), metavar="ADDRESS", help="Instead: erase what this person said, everywhere.")
@click.option("--peer", type=Text(), metavar="ADDRESS", help="With --erase: only in conversations with this one.")
@reads
def purge(
    app: App,
    address: str | None,
    dry_run: bool,
    by: str | None,
    reason: str | None,
    erase: str | None,
    peer: str | None,
) -> None:
    """Takes out what is older than [[retention]] and [archiving] say, of all mailboxes or that of ADDRESS.

    The daemon does this by itself, each rule at its hour; here all are asked. What a standing hold covers stays,
    and what a hold's words would have to be looked up for stays too.

    --erase takes one person's words and name out of everybody's items, the archives and the spool, and their own items
    with them; the daemon must be stopped for it. It is refused while a hold stands on any mailbox concerned.
    """
    if erase is None and peer is not None:
        raise click.UsageError("--peer goes with --erase")
    if erase is not None and (address is not None or dry_run):
        raise click.UsageError("--erase names whom it is about: it takes no other ADDRESS, and no --dry-run")
    if not dry_run and (by is None or reason is None):
        raise click.UsageError("--by and --reason say who decides this and why; --dry-run only shows what would go")
    if erase is not None:
        return _erase(app, erase, peer, by or "", reason or "")
    config, now = app.config(), time.time_ns() // 1_000
    mailbox = None if address is None else app.mailbox(address)
    app.log(config, quiet=True)
    with app.spool() as spool:
        archive = archive_of(config, app.data)
        purging = Purge(
            spool,
            store_of(config, app.data),
            archive,
            Keeper(archive, spool, spool, directory_of(config).mailbox_of),
            retention_of(config),
            archiving_of(config),
            mailbox=mailbox,
        )
        report = purging.plan(now) if dry_run else purging.run(now, by or "", reason or "")
    if app.json:
        as_json({"done": not dry_run, "failed": report.failed, "counts": _rows(report)})
    else:
        _tell(report, done=not dry_run)
    return click.get_current_context().exit(1) if report.failed else None


def _erase(app: App, address: str, peer: str | None, by: str, reason: str) -> None:
    config, now = app.config(), time.time_ns() // 1_000
    if peer is not None and app.mailbox(peer) == app.mailbox(address):
        raise click.UsageError("--peer names somebody else than --erase")
    with app.spool() as spool:
        erasure = Erasure(
            spool,
            store_of(config, app.data),
            archive_of(config, app.data),
            rules_of(config),
            terms_of(config).limits,
            sifting.whose_of(config),
            app.mailbox(address),
            None if peer is None else app.mailbox(peer),
            [searcher.scrub for searcher in searchers_of(config, app.data, spool)],
        )
        report = erasure.run(now, by, reason)
    if app.json:
        as_json(report)
    else:
        _tell_erasure(report)
    return click.get_current_context().exit(1) if report.failed else None


def _tell_erasure(report: Erased) -> None:
    for count, what, more in (
        (report.removed, "item", "of their own taken out"),
        (report.replaced, "item", "of others replaced"),
        (report.archived, "item", "of compliance archives replaced or taken out"),
        (report.local, "item", "of the local archive replaced or taken out"),
        (report.events, "event", "in the spool"),
        (report.withheld, "item", "that waited for their mailbox given up"),
        (report.conflicts, "conflict", ""),
        (report.quarantined, "piece", "of quarantined input"),
        (report.blobs, "file", "that nobody else shares"),
    ):
        if count:
            say(f"{counted(count, what)} {more}".rstrip())
    if report.guessed:
        say(
            f"In {counted(report.guessed, 'item')} several people are hidden who can't be told apart any more: "
            "what all of them said went."
        )
    for moved in report.moved:
        say(plain(f"NOT touched, its owner moved it: {moved.mailbox}: {moved.folder}/{moved.name}"))
    for failed in report.failed:
        say(plain(f"NOT erased: {failed}"))
    if not (any(report.counts().values()) or report.moved or report.failed):
        say("Nothing of theirs was found.")
    elif report.failed or report.moved:
        say("What is named above is still there; the rest of what was found is gone.")
    else:
        say("All that was found is gone.")


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
