"""`archiver export`: whole archives, a mailbox, a conversation or a search as EML files, mbox, zip, RSMF or pages."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress, TextColumn

from archiver import inspection
from archiver.addresses import normal
from archiver.assembly import archive_of, open_spool, store_of
from archiver.cli import Named, listing
from archiver.cli.app import App, reads
from archiver.cli.output import as_json, complain, counted, say, size
from archiver.cli.searching import searcher_with
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.exporting import exporting, files, folders, pages, records, rsmf
from archiver.exporting.exporting import Show
from archiver.exporting.origins import History, LocalArchive, OwnArchives
from archiver.exporting.records import Form, Origin, Report
from archiver.exporting.selecting import Chosen
from archiver.inspection import Wanted
from archiver.spool import Spool
from archiver.store.protocol import Folders, Stamped, Where
from archiver.types import Destination

if TYPE_CHECKING:
    from archiver.search import Hit

_OF: dict[str, Callable[[App, Spool], Origin]] = {
    "local": lambda app, spool: LocalArchive(spool),
    "history": lambda app, spool: History(spool, store_of(app.config(), app.data)),
    "archive": lambda app, spool: OwnArchives(spool, archive_of(app.config(), app.data)),
}
_FORMS: dict[str, Callable[[Path], Form]] = {
    "eml": folders.eml,
    "mbox": files.mbox,
    "zip": files.zipped,
    "rsmf": rsmf.rsmf,
    "html": pages.html,
}
_A_PAGE, _PATIENCE = 1_000, 3_600.0
"""Hits that are asked for at a time; seconds that an export waits for the index."""


@click.command()
@click.argument("target", type=Named(readable=False, path_type=Path))
@click.argument("address", required=False)
@click.argument("item", required=False)
@click.option(
    "--as",
    "form",
    type=click.Choice(list(_FORMS)),
    default="eml",
    show_default=True,
    help="A folder of EML files, RSMF 2.0 files or pages; one mbox, one zip with EML files.",
)
@click.option("--search", "query", metavar="QUERY", help="What a search finds in all mailboxes, or in ADDRESS's.")
@click.option("--archive", is_flag=True, help="With ADDRESS or --search: in the compliance archives instead.")
@click.option(
    "--of",
    "what",
    type=click.Choice(list(_OF)),
    multiple=True,
    help="Without ADDRESS and --search, and several times: the local archive (so it is without --of too), what was "
    "filed in people's Conversation History, their compliance archives.",
)
@click.option("--address", "whose", help="With --of: only this mailbox's, or what was archived for it.")
@click.option("--new", "fresh", is_flag=True, help="With --of: only what was never exported.")
@listing.filters
@reads
def export(
    app: App,
    target: Path,
    address: str | None,
    item: str | None,
    form: str,
    query: str | None,
    archive: bool,
    what: tuple[str, ...],
    whose: str | None,
    fresh: bool,
    wanted: Wanted,
) -> None:
    """Writes items to TARGET, with a manifest of SHA-256 digests, and marks them as exported: a purge may ask.

    With ADDRESS what lies in that mailbox, or what the filters leave of it; with ITEM (its number, Message-ID, name, or
    the conversation's id) that conversation; with --search what is found. Without these whole archives.

    What is there already stays. After an interruption the same command goes on. `archiver backfill items TARGET` reads
    all but RSMF back. Exit status 1 where an item's content is not what was archived, or its owner blocked a folder.
    """
    report, behind = Report(), 0
    with ExitStack() as stack:
        if address is not None or query is not None:
            if what or whose is not None or fresh:
                raise click.UsageError("--of, --address and --new are for whole archives: they go without ADDRESS")
            spool, every = _writable(app, stack), records.Wanted()
            kind = Destination.ARCHIVE if archive else Destination.HISTORY
            store: Stamped = (archive_of if archive else store_of)(app.config(), app.data)
            mailbox = inspection.mailbox_of(store, normal("", address) or address) if address else None
            chosen, behind = _chosen(app, store, kind, mailbox, item, query, wanted)
            origins: Iterable[Origin] = [Chosen(spool, store, kind, chosen, mailbox)]
        else:
            if archive or wanted != Wanted(since=wanted.since, until=wanted.until):
                raise click.UsageError("--archive and filters go with an ADDRESS or with --search")
            spool = stack.enter_context(open_spool(app.config(), app.data))
            every = records.Wanted(wanted.since, wanted.until, _mailbox(whose), fresh)
            origins = [_OF[each](app, spool) for each in dict.fromkeys(what or ("local",))]
        show = stack.enter_context(_progress())
        made = _FORMS[form](target)
        exporting.export(origins, made, target, every, lambda: time.time_ns() // 1_000, report, show)
    _tell(app, report, target, behind, is_file=made.whole)


def _mailbox(whose: str | None) -> str | None:
    mailbox = None if whose is None else normal("", whose)
    if whose is not None and mailbox is None:
        raise UsageError(f"--address {whose}: is not an address")
    return mailbox


def _writable(app: App, stack: ExitStack) -> Spool | None:
    """Where there is none, or it may only be read, nothing counts as exported: nothing is purged for it."""
    try:
        return stack.enter_context(open_spool(app.config(), app.data)) if Spool.exists(app.data) else None
    except EnvironmentFault:
        return None


def _chosen(
    app: App,
    store: Folders,
    kind: Destination,
    mailbox: str | None,
    item: str | None,
    query: str | None,
    wanted: Wanted,
) -> tuple[Iterable[Where], int]:
    """And how many items could not be searched."""
    if query is not None:
        if item is not None or wanted != Wanted():
            raise click.UsageError("with --search say it in the query: from: with: in: before: after: kind: has:file")
        return _found(app, kind, mailbox, query)
    assert mailbox is not None
    if item is not None:
        if wanted != Wanted():
            raise click.UsageError("filters go with an ADDRESS alone")
        return inspection.find_all(store, mailbox, item), 0
    if wanted == Wanted():
        return (each.where for each in inspection.numbered(store, mailbox)), 0
    found = inspection.items(store, mailbox, wanted)
    return (Where(each.mailbox, each.folder, each.name) for each in found), 0


def _found(app: App, kind: Destination, mailbox: str | None, query: str) -> tuple[list[Where], int]:
    """Every hit: an export is no first page."""
    hits: list[Hit] = []
    with ExitStack() as stack:
        searcher = searcher_with(app, kind, stack)
        results = searcher.search(query, mailbox, limit=_A_PAGE, patience=_PATIENCE)
        hits += results.hits
        behind = results.behind
        while results.more is not None:
            results = searcher.search(query, mailbox, limit=_A_PAGE, offset=results.more)
            hits += results.hits
    return [Where(hit.mailbox, hit.folder, hit.name) for hit in hits], behind


@contextmanager
def _progress() -> Iterator[Show]:
    """While a terminal looks on."""
    if not sys.stderr.isatty():
        yield exporting.silent
        return
    with Progress(TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("reading", total=None)
        yield lambda report: shown.update(
            task, description=f"{counted(report.items, 'item')} ({size(report.bytes)}) written"
        )


def _tell(app: App, report: Report, target: Path, behind: int, *, is_file: bool) -> None:
    if behind:
        complain(f"{counted(behind, 'item')} could not be searched just now: run it again when nobody else does.")
    if app.json:
        as_json(report)
    else:
        say(f"{counted(report.items, 'item')} ({size(report.bytes)}) in {target}.")
        say(f"SHA-256 of {'it' if is_file else 'its manifest.ndjson'}: {report.sha256}")
        if report.left_out:
            say(f"  {counted(report.left_out, 'message')} left out: this form holds only what the archiver made.")
        for name in report.damaged:
            say(f"  DAMAGED, not exported: {name}")
        for blocked in report.blocked:
            say(f"  BLOCKED by its owner, nothing of it exported: {blocked}")
    if report.damaged or report.blocked or behind:
        click.get_current_context().exit(1)
