"""`archiver status`: what is spooled, withheld, parked, quarantined, filed, and why. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import click
import msgspec

from archiver.assembly import archive_of, archiving_of, directory_of
from archiver.cli.app import App, reads
from archiver.cli.output import age, as_json, counted, say, size, table, when
from archiver.decisions import critical
from archiver.decisions.critical import Outage
from archiver.events import SECOND
from archiver.exceptions import EnvironmentFault
from archiver.filing import moving
from archiver.spool import Spool
from archiver.spool.likeness import ADDS_FILES
from archiver.spool.records import Feed, Kept, Reading
from archiver.spool.watermark import SILENCE
from archiver.store import Usage
from archiver.types import Destination, Mailbox

_MOST = 1_000
"""Rows of a list; the newest where there are more."""


@click.command()
@click.option("--mailboxes", "which", flag_value="mailboxes", help="List what every mailbox has, by state.")
@click.option("--quarantine", "which", flag_value="quarantine", help="List what could not be read, or was mended.")
@click.option("--conflicts", "which", flag_value="conflicts", help="List events that came twice, not the same.")
@click.option("--parked", "which", flag_value="parked", help="List what was set aside after failures.")
@click.option("--dropped", "which", flag_value="dropped", help="List what was dropped by command, by whom and why.")
@click.option("--strangers", "which", flag_value="strangers", help="List people who have no mailbox here.")
@reads
def status(app: App, which: str | None) -> None:
    """Counts per source, and what needs a person, with reasons. Changes nothing.

    Exit status 1 where something is quarantined, in conflict or parked. `archiver doctor` mends.
    """
    with app.reading_spool() as spool:
        (_overview if which is None else _LISTS[which])(app, spool, time.time_ns() // 1_000)
        totals = spool.totals()
        parked = spool.parked_filings() or spool.parked_places()
    if totals.quarantined or totals.conflicts or totals.parked or parked:
        click.get_current_context().exit(1)


def _overview(app: App, spool: Spool, now: int) -> None:
    if app.json:
        return as_json(_everything(app, spool, now))
    totals = spool.totals()
    say(f"Daemon: {spool.holder('daemon') or 'not running'}. Backfill: {spool.holder('backfill') or 'none'}.")
    say(
        f"{counted(totals.spooled, 'event')} in the spool, {totals.forgotten:,} filed and forgotten;"
        f" {counted(totals.waiting, 'place')} with work; {counted(totals.filed, 'item')} filed"
        f" in {counted(_with_items(spool), 'mailbox', 'mailboxes')}."
    )
    if totals.empty:
        say(f"{counted(totals.empty, 'conversation')} only of joins, leaves and topics: nothing of them to file.")
    if totals.archived or totals.unarchived:
        say(f"{counted(totals.archived, 'complete item')} archived, {totals.unarchived:,} withheld from the archive.")
    if sources := spool.sources():
        say()
        table(
            ("source", "spooled", "forgotten", "waiting", "no content", "live feed"),
            [(s.source, s.spooled, s.forgotten, s.waiting, s.empty, s.live) for s in sources],
            right=(1, 2, 3, 4),
        )
    _critical(app, spool, now)
    _overdue(app, spool, now)
    _nearly_full(app, spool)
    _search(spool, now)
    _feeds(spool, now)
    for_history, for_archive = _by_store(spool.withheld())
    _kept("Withheld by the gate; filed by itself once the answer is yes:", for_history, now)
    _kept("Withheld from the archive; archived by itself once it can be:", for_archive, now)
    _kept("Parked after failures; once mended: `archiver doctor --unpark all`:", spool.parked(), now)
    _look_into(spool)
    return None


def _with_items(spool: Spool) -> int:
    return sum(each.destination == Destination.HISTORY and each.state == "filed" for each in spool.mailboxes())


def _by_store(found: list[Kept]) -> tuple[list[Kept], list[Kept]]:
    """What waits for people's own folders, and what for the archives."""
    history = [kept for kept in found if kept.destination == Destination.HISTORY]
    return history, [kept for kept in found if kept not in history]


def _everything(app: App, spool: Spool, now: int) -> dict[str, object]:
    running = spool.holder("backfill") is not None
    feeds, readings = spool.feeds(only_open=True), spool.readings()
    return {
        "totals": spool.totals(),
        "sources": spool.sources(),
        "feeds": [
            msgspec.to_builtins(feed)
            | {"health": _health(feed, now, running=running), "reading": readings.get(feed.number)}
            for feed in feeds
        ],
        "mailboxes": spool.mailboxes(),
        "withheld": spool.withheld(),
        "parked": spool.parked(),
        "outages": [_outage(each, now) for each in _outages(app, spool)],
        "put_off": spool.put_off(),
        "overdue": _late(app, spool, now),
        "nearly_full": [{"mailbox": m, **msgspec.to_builtins(usage)} for m, usage in _filling(app, spool)],
        "search": {each.value: spool.index_backlog(each) for each in (Destination.HISTORY, Destination.ARCHIVE)},
        "dropped": spool.dropped(),
        "strangers": spool.strangers(),
        "daemon": spool.holder("daemon"),
        "backfill": spool.holder("backfill"),
    }


def _outages(app: App, spool: Spool) -> list[Outage]:
    failures = spool.failures()
    return list(critical.outages(failures, archiving_of(app.config())).values()) if failures else []


def _outage(outage: Outage, now: int) -> dict[str, object]:
    return {**msgspec.to_builtins(outage), "critical": outage.is_critical(now)}


def _critical(app: App, spool: Spool, now: int) -> None:
    """Whether archiving fails, and what was refused so far because it did."""
    for outage in _outages(app, spool):
        say(f"\n{critical.told(outage, now)}.")
    for each in spool.put_off():
        pool = f"pool {each.pool}" if each.pool else "sources in no pool"
        say(f"{counted(each.events, 'event')} of {pool} put off by critical mode so far, last {when(each.last)} UTC.")


def _late(app: App, spool: Spool, now: int) -> list[Mailbox]:
    """Mailboxes whose migration is overdue; where none is under way nobody is looked up."""
    return moving.overdue(directory_of(app.config()), now) if spool.migrations() else []


def _overdue(app: App, spool: Spool, now: int) -> None:
    if late := _late(app, spool, now):
        say(f"\n{counted(len(late), 'migration')} OVERDUE:")
        for mailbox in late:
            say(f"  {moving.told(mailbox)}.")
        say(f"  To mend it: {moving.ADVICE}.")


def _filling(app: App, spool: Spool) -> list[tuple[str, Usage]]:
    """Archives that are nearly full. Who may not look into them is told by `archiver doctor`."""
    with suppress(EnvironmentFault):
        return list(archive_of(app.config(), app.data).nearly_full(sorted(spool.heads())))
    return []


def _nearly_full(app: App, spool: Spool) -> None:
    if found := _filling(app, spool):
        say(f"\n{counted(len(found), 'archive')} NEARLY FULL:")
        for mailbox, usage in found:
            say(f"  {mailbox}: {usage}.")


def _search(spool: Spool, now: int) -> None:
    for destination, index in ((Destination.HISTORY, "Search"), (Destination.ARCHIVE, "Search in the archives")):
        backlog = spool.index_backlog(destination)
        if backlog.since is not None:
            behind = counted(backlog.entries, "item")
            since = age(backlog.since, now)
            say(f"{index} is behind by {behind}, for {since}; the daemon, or a search, takes them in.")


def _feeds(spool: Spool, now: int) -> None:
    feeds, running = spool.feeds(only_open=True), spool.holder("backfill") is not None
    if not feeds:
        return
    _live(spool, [feed for feed in feeds if feed.kind == "live"])
    say("\nOpen feeds:")
    told = [(f, _health(f, now, running=running)) for f in feeds]
    table(
        ("feed", "state", "since (UTC)", "last contact", "reads"),
        [(f.name, health, when(f.opened), when(f.contact), f.path) for f, health in told],
    )
    if any(health == "dead" for _, health in told):
        say("A dead import holds back what it brought: run the same again, or `archiver doctor --close-import FEED`.")


def _live(spool: Spool, feeds: list[Feed]) -> None:
    """What each source gave since its start, as it stood at its last sign of life."""
    readings = spool.readings()
    found = [(feed, readings[feed.number]) for feed in feeds if feed.number in readings]
    if found:
        say("\nLive sources, since the start of each:")
        table(
            ("source", "last event (UTC)", "a minute", "lag", "taken", "again", "conflicts", "bad", "refused", "lost"),
            [_live_row(feed, reading) for feed, reading in found],
            right=tuple(range(2, 10)),
        )
    for feed, reading in found:
        if reading.fault:
            say(f"{feed.name} DOES NOT RUN: {reading.fault}. It is tried again; the log says more.")
        if reading.restarts:
            say(f"{feed.name} broke and was started anew {counted(reading.restarts, 'time')}.")


def _live_row(feed: Feed, reading: Reading) -> tuple[object, ...]:
    lag = None if reading.lag is None else f"{reading.lag / SECOND:,.1f} s"
    lost = "unknown" if reading.gaps is None else f"{reading.gaps:,}"
    counts = (feed.accepted, feed.duplicates, feed.conflicts, feed.quarantined, reading.refused)
    return (feed.name, when(reading.heard), f"{reading.rate * 60:,.0f}", lag, *(f"{each:,}" for each in counts), lost)


def _health(feed: Feed, now: int, *, running: bool) -> str:
    if feed.kind == "import":
        return "running" if running else "dead"
    return "up" if now - (feed.contact or feed.opened) <= SILENCE + 10 * SECOND else "down"


def _kept(title: str, found: list[Kept], now: int) -> None:
    if found:
        say(f"\n{title}")
        table(
            ("mailbox", "items", "size", "for", "why"),
            [(k.mailbox, k.deliveries, size(k.bytes), age(k.since, now), k.reason) for k in found],
            right=(1, 2, 3),
        )


def _look_into(spool: Spool) -> None:
    totals, strangers = spool.totals(), len(spool.strangers(limit=_MOST))
    parked = len(spool.parked_filings()) + len(spool.parked_places())
    found = [
        (parked, "conversation PARKED", "conversations PARKED", "--parked"),
        (totals.quarantined, "piece of input QUARANTINED", "pieces of input QUARANTINED", "--quarantine"),
        (totals.conflicts, "event IN CONFLICT", "events IN CONFLICT", "--conflicts"),
        (totals.cleaned, "event mended", "events mended", "--quarantine"),
        (totals.dropped, "item dropped by command", "items dropped by command", "--dropped"),
        (strangers, "person without a mailbox", "people without a mailbox", "--strangers"),
    ]
    if any(count for count, *_ in found):
        say()
    for count, one, many, option in found:
        if count:
            say(f"{counted(count, one, many)}: archiver status {option}")


def _mailboxes(app: App, spool: Spool, now: int) -> None:
    found = spool.mailboxes()
    if app.json:
        return as_json(found)
    return table(
        ("mailbox", "store", "state", "items", "size"),
        [(m.mailbox, m.destination, m.state, m.deliveries, size(m.bytes)) for m in found],
        right=(3, 4),
    )


def _quarantine(app: App, spool: Spool, now: int) -> None:
    found, totals = spool.quarantined(limit=_MOST), spool.totals()
    if app.json:
        return as_json(found)
    table(
        ("when (UTC)", "", "where", "reason", "file in quarantine/"),
        [(when(q.at), "mended" if q.cleaned else "kept out", q.position, q.reason, q.file) for q in found],
    )
    return _of(len(found), totals.quarantined + totals.cleaned)


def _conflicts(app: App, spool: Spool, now: int) -> None:
    found = spool.conflicts(limit=_MOST)
    if app.json:
        return as_json([msgspec.to_builtins(c) | {"kept": _body(c.kept), "other": _body(c.other)} for c in found])
    columns = ("when (UTC)", "source", "id", "came with", "")
    table(columns, [(when(c.at), c.source, c.id, c.feed, c.why) for c in found])
    say("\nThe first stays filed, the second is kept aside; `--json` shows both.") if found else None
    for run in sorted({c.run for c in found if c.run is not None and c.why == ADDS_FILES}):
        say(f"For files that the first lacks: `archiver backfill --undo {run}`, then read the export again.")
    return _of(len(found), spool.totals().conflicts)


def _body(body: bytes | None) -> object:
    """An event as it is, in the answer's own JSON."""
    return None if body is None else msgspec.json.decode(body)


def _parked(app: App, spool: Spool, now: int) -> None:
    filings, places = spool.parked_filings(), spool.parked_places()
    if app.json:
        return as_json({"filings": filings, "places": places})
    rows = [(f"f{p.filing}", p.source, p.conversation, p.attempts, age(p.since, now), p.reason) for p in filings]
    rows += [(f"p{p.place}", p.source, p.conversation, p.attempts, age(p.since, now), p.reason) for p in places]
    table(("name", "source", "conversation", "attempts", "for", "why"), rows, right=(3, 4))
    return say("\nOnce the cause is mended: `archiver doctor --unpark NAME`, or `all`.") if rows else None


def _dropped(app: App, spool: Spool, now: int) -> None:
    found = spool.dropped(limit=_MOST)
    if app.json:
        return as_json(found)
    return table(
        ("when (UTC)", "mailbox", "conversation", "items", "size", "who", "why"),
        [
            (when(d.at), d.mailbox, d.conversation or "all", d.deliveries, size(d.bytes), d.person, d.reason)
            for d in found
        ],
        right=(3, 4),
    )


def _strangers(app: App, spool: Spool, now: int) -> None:
    found = spool.strangers(limit=_MOST)
    if app.json:
        return as_json(found)
    table(
        ("source", "address", "seen", "last (UTC)"),
        [(s.source, s.address, s.seen, when(s.last)) for s in found],
        right=(2,),
    )
    return say(f"\nThe first {_MOST:,}.") if len(found) == _MOST else None


def _of(shown: int, count: int) -> None:
    if shown < count:
        say(f"\nThe newest {shown:,} of {count:,}.")


_LISTS: dict[str, Callable[[App, Spool, int], None]] = {
    "mailboxes": _mailboxes,
    "quarantine": _quarantine,
    "conflicts": _conflicts,
    "parked": _parked,
    "dropped": _dropped,
    "strangers": _strangers,
}
