"""`archiver hold`: legal holds on mailboxes."""

from __future__ import annotations

import os
import time

import click
from msgspec import to_builtins

from archiver.assembly import archive_of, directory_of, store_of
from archiver.cli.app import App, reads
from archiver.cli.decision import Text, decides, exactly
from archiver.cli.output import as_json, complain, counted, say, table
from archiver.compliance import preserving
from archiver.decisions import excluding, holding
from archiver.exceptions import ArchiverError
from archiver.spool import Spool
from archiver.types import Hold


@click.group()
def hold() -> None:
    """Legal holds: while one stands, nothing that it covers is lost, whoever deletes it.

    QUERY says what is covered; without one, everything. Terms side by side must all be true, OR stands between
    alternatives: words, "a phrase", begin*, after:2024-01-31, before:2024-02-29, with:ADDRESS, kind:im, kind:group,
    kind:conference. Several holds on a mailbox keep what any of them covers.
    """


@hold.command()
@click.argument("address")
@click.option("--query", type=Text(may_be_empty=True), default="", help="What is covered; everything, if left out.")
@decides
@reads
def place(app: App, address: str, query: str, by: str, reason: str) -> None:
    """Places a hold on the mailbox of ADDRESS.

    What it covers of the items that lie there already is copied into the compliance archive: at once if you are the
    user that the archiver runs as, else by the daemon's next round.
    """
    holding.parse(query)
    mailbox = app.mailbox(address)
    with app.spool() as spool:
        placed = spool.place_hold(mailbox, by=by, reason=reason, query=query, now=time.time_ns() // 1_000)
        standing = spool.standing_holds([mailbox])[mailbox]
        kept = _take(app, spool, placed)
        left_out = excluding.beside(spool.exclusions(), mailbox, placed.placed)
    if app.json:
        return as_json(to_builtins(placed) | {"kept": kept})
    say(f"Hold {placed.number} on {mailbox} stands: {query or 'everything'}.")
    say("What lies there already is kept by the daemon's next round." if kept is None else f"{_items(kept)} kept.")
    if not directory_of(app.config()).has(mailbox):
        complain(f"archiver: {mailbox} is no mailbox by this configuration: unless it was one, the hold keeps nothing")
    for exclusion in left_out:
        complain(f"archiver: exclusion {exclusion.number} leaves out {exclusion.title}: no hold keeps what is left out")
    if holding.is_all(standing):
        say(f"All holds on it together ask for more than {holding.MOST_KEYWORDS} words: everything in it is held.")
    return None


def _take(app: App, spool: Spool, placed: Hold) -> int | None:
    """Keep what lies there without waiting for the daemon. None: this user's files would be closed to it."""
    if (app.data / "spool.db").stat().st_uid != os.geteuid():
        return None
    config = app.config()
    app.log(config, quiet=True)
    keeper = preserving.Keeper(archive_of(config, app.data), spool, spool, directory_of(config).mailbox_of)
    try:
        taken = preserving.take_one(spool, placed, store_of(config, app.data), keeper, placed.placed)
        return taken.kept
    except ArchiverError as error:
        complain(f"archiver: {error}; the daemon tries again")
        return None


def _items(kept: int) -> str:
    return f"{counted(kept, 'item')} that lay there already"


@hold.command("list")
@click.argument("address", required=False)
@click.option("--all", "all_", is_flag=True, help="Released ones too.")
@reads
def list_(app: App, address: str | None, all_: bool) -> None:
    """Lists the holds that stand, of all mailboxes or that of ADDRESS."""
    mailbox = None if address is None else app.mailbox(address)
    with app.reading_spool() as spool:
        found = spool.holds(mailbox)
        untaken = {each.number for each in spool.untaken_holds()}
    shown = found if all_ else list(holding.standing(found))
    if app.json:
        return as_json([to_builtins(each) | {"taken": each.number not in untaken} for each in shown])
    if not shown:
        return say("No hold stands.")
    return table(
        ("#", "mailbox", "covers", "placed (UTC)", "by", "reason", "state"),
        [
            (h.number, h.mailbox, h.query or "everything", exactly(h.placed), h.by, h.reason, _state(h, untaken))
            for h in shown
        ],
        right=(0,),
    )


def _state(of: Hold, untaken: set[int]) -> str:
    if of.released is not None:
        return f"released {exactly(of.released)}"
    return "stands; older items not all kept yet" if of.number in untaken else "stands"


@hold.command()
@click.argument("number", type=click.IntRange(1))
@decides
@reads
def release(app: App, number: int, by: str, reason: str) -> None:
    """Releases a hold. What was kept under it stays until its own retention is over."""
    with app.spool() as spool:
        released = spool.release_hold(number, by=by, reason=reason, now=time.time_ns() // 1_000)
        left = spool.standing_holds([released.mailbox]).get(released.mailbox, ())
    if app.json:
        return as_json(released)
    more = f"; still standing on it: {', '.join(str(each.number) for each in left)}" if left else ""
    return say(f"Hold {number} on {released.mailbox} is released{more}.")
