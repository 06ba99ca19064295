"""`archiver status`: what is spooled, withheld, parked, quarantined, filed, and why. Changes nothing."""

from __future__ import annotations

import time

import click

from archiver.assembly import open_spool
from archiver.cli.app import App, reads
from archiver.cli.output import age, as_json, counted, say, size, table, when
from archiver.spool import Spool


@click.command()
@click.option("--quarantine", is_flag=True, help="List what could not be read, or was mended, with the reasons.")
@click.option("--conflicts", is_flag=True, help="List events that came twice with different content.")
@click.option("--strangers", is_flag=True, help="List people who have no mailbox here.")
@click.option("--parked", is_flag=True, help="List what was set aside after failures.")
@reads
def status(app: App, quarantine: bool, conflicts: bool, strangers: bool, parked: bool) -> None:
    """Counts per source and mailbox. Exit status 1 where a person should look."""
    with open_spool(app.config(), app.data, readonly=True) as spool:
        now = time.time_ns() // 1_000
        if quarantine:
            _quarantine(app, spool)
        elif conflicts:
            _conflicts(app, spool)
        elif strangers:
            _strangers(app, spool)
        elif parked:
            _parked(app, spool, now)
        else:
            _overview(app, spool, now)
        totals = spool.totals()
    if totals.quarantined or totals.conflicts or totals.parked:
        click.get_current_context().exit(1)


def _overview(app: App, spool: Spool, now: int) -> None:
    totals, sources, feeds = spool.totals(), spool.sources(), spool.feeds(only_open=True)
    withheld, mailboxes, strangers = spool.withheld(), spool.mailboxes(), spool.strangers()
    if app.json:
        return as_json(
            {
                "totals": totals,
                "sources": sources,
                "feeds": feeds,
                "mailboxes": mailboxes,
                "withheld": withheld,
                "parked": spool.parked(),
                "strangers": strangers,
                "daemon": spool.holder("daemon"),
                "backfill": spool.holder("backfill"),
            }
        )
    say(f"Daemon: {spool.holder('daemon') or 'not running'}. Backfill: {spool.holder('backfill') or 'none'}.")
    say(
        f"{counted(totals.spooled, 'event')} in the spool, {totals.forgotten:,} filed and forgotten;"
        f" {counted(totals.waiting, 'place')} with work; {counted(totals.filed, 'item')} filed."
    )
    if sources:
        say()
        table(
            ("source", "spooled", "forgotten", "waiting", "live feed"),
            [(s.source, s.spooled, s.forgotten, s.waiting, s.live) for s in sources],
            right=(1, 2, 3),
        )
    if feeds:
        say("\nOpen feeds (an import that died ends by being run again, or by `archiver doctor --close-import NAME`):")
        table(
            ("feed", "kind", "since (UTC)", "last contact"),
            [(f.name, f.kind, when(f.opened), when(f.contact)) for f in feeds],
        )
    if withheld:
        say("\nWithheld by the gate; filed by itself once the answer is yes:")
        table(
            ("mailbox", "items", "size", "for", "why"),
            [(k.mailbox, k.deliveries, size(k.bytes), age(k.since, now), k.reason) for k in withheld],
            right=(1, 2, 3),
        )
    for count, sentence in (
        (totals.parked, "items parked: --parked"),
        (totals.quarantined, "pieces of input quarantined: --quarantine"),
        (totals.cleaned, "events mended: --quarantine"),
        (totals.conflicts, "events in conflict: --conflicts"),
        (len(strangers), "people without a mailbox: --strangers"),
    ):
        if count:
            say(f"{count:,} {sentence}")
    return None


def _quarantine(app: App, spool: Spool) -> None:
    found = spool.quarantined()
    if app.json:
        return as_json(found)
    return table(
        ("when (UTC)", "", "where", "reason", "file in quarantine/"),
        [(when(q.at), "mended" if q.cleaned else "kept out", q.position, q.reason, q.file) for q in found],
    )


def _conflicts(app: App, spool: Spool) -> None:
    found = spool.conflicts()
    if app.json:
        return as_json(found)
    return table(("when (UTC)", "source", "id", "from"), [(when(c.at), c.source, c.id, c.feed) for c in found])


def _strangers(app: App, spool: Spool) -> None:
    found = spool.strangers()
    if app.json:
        return as_json(found)
    return table(
        ("source", "address", "seen", "last (UTC)"),
        [(s.source, s.address, s.seen, when(s.last)) for s in found],
        right=(2,),
    )


def _parked(app: App, spool: Spool, now: int) -> None:
    filings, places = spool.parked_filings(), spool.parked_places()
    if app.json:
        return as_json({"filings": filings, "places": places})
    rows = [("filing", p.filing, p.source, p.conversation, p.attempts, age(p.since, now), p.reason) for p in filings]
    rows += [("place", p.place, p.source, p.conversation, p.attempts, age(p.since, now), p.reason) for p in places]
    table(("", "number", "source", "conversation", "attempts", "for", "why"), rows, right=(1, 4, 5))
    return say("\nOnce the cause is mended: `archiver doctor --unpark`.") if rows else None
