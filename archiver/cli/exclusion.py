"""`archiver exclusion`: sources, rooms and people that are left out, or paused."""

from __future__ import annotations

import time

import click

from archiver.addresses import normal
from archiver.assembly import directory_of
from archiver.cli.app import App, reads
from archiver.cli.decision import Moment, Text, decides, exactly, in_order
from archiver.cli.output import as_json, complain, counted, say, table
from archiver.decisions import excluding, holding
from archiver.exceptions import UsageError
from archiver.filing import sifting
from archiver.filing.weeding import Weeded, Weeding
from archiver.types import Exclusion, Hold

_NAMED = 5
"""Holds that are told one by one."""


@click.group()
def exclusion() -> None:
    """Leaves out what is not to be recorded: a source, a room, what a person says; for good, or for a time.

    The time at which something is said counts, not when it comes: what was left out once isn't brought back by reading
    an old export. What is left out is counted, and never stored.
    """


@exclusion.command()
@click.option("--source", type=Text(), help="A source, or many, by * and ?: 'irc:libera/#ubuntu', 'irc:*'.")
@click.option("--room", type=Text(), help="One room of the source, by the source's own id.")
@click.option("--person", type=Text(), metavar="ADDRESS", help="What this person says and does.")
@click.option("--from", "since", type=Moment(), help="From when on, UTC; now, if left out.")
@click.option("--until", type=Moment(), help="A pause: taken again from then on.")
@decides
@reads
def add(
    app: App,
    source: str | None,
    room: str | None,
    person: str | None,
    since: int | None,
    until: int | None,
    by: str,
    reason: str,
) -> None:
    """Leaves out a --source, a --room of a --source, or a --person."""
    now = time.time_ns() // 1_000
    if (person is None) == (source is None) or (room is not None and source is None):
        raise click.UsageError("name a --source, a --source and its --room, or a --person")
    since = now if since is None else since
    in_order(since, until)
    who = "" if person is None else _person(app, person)
    wanted = Exclusion(0, source or "", room or "", who, since, until, by, reason, now)
    with app.spool() as spool:
        added = spool.add_exclusion(wanted, now)
        held = [hold for hold in holding.standing(spool.holds()) if excluding.beside([added], hold.mailbox, now)]
        found = sifting.spooled(spool, added, sifting.whose_of(app.config()))
    if held:
        complain(f"archiver: {_holds(held)}; what is left out is not there to be held")
    if app.json:
        return as_json({"exclusion": added, "spooled": found})
    say(f"Exclusion {added.number}: {added.title} is left out {_when(added)} (UTC).")
    return _spooled(found)


@exclusion.command("list")
@click.option("--all", "all_", is_flag=True, help="Those that are over too.")
@reads
def list_(app: App, all_: bool) -> None:
    """Lists the exclusions, and how many events were left out under each."""
    now = time.time_ns() // 1_000
    with app.reading_spool() as spool:
        found = [each for each in spool.exclusions() if all_ or each.until is None or each.until > now]
    if app.json:
        return as_json(found)
    if not found:
        return say("Nothing is excluded.")
    return table(
        ("#", "left out", "when (UTC)", "events", "by", "reason"),
        [(e.number, e.title, _when(e), e.events, e.by, e.reason) for e in found],
        right=(0, 3),
    )


@exclusion.command()
@click.argument("number", type=click.IntRange(1))
@reads
def spooled(app: App, number: int) -> None:
    """Lists what is in the spool that an exclusion would have left out: it came before."""
    with app.reading_spool() as spool:
        found = sifting.spooled(spool, _one(spool.exclusions(), number), sifting.whose_of(app.config()))
    if app.json:
        return as_json(found)
    return _spooled(found)


@exclusion.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--dry-run", is_flag=True, help="Show what would be dropped, and what stays and why.")
@click.option("--by", type=Text(), metavar="NAME", help="Who decides this.")
@click.option("--reason", type=Text(), help="Why: a case, a request, an agreement.")
@reads
def drop(app: App, number: int, dry_run: bool, by: str | None, reason: str | None) -> None:
    """Drops what is in the spool that an exclusion would have left out, unless an item has it already.

    For good: the same input read again brings nothing back. What a hold covers stays. What was filed stays where it is;
    `archiver purge --erase` takes out what a person said. Exit status 1 where something stays that would go.
    """
    if not dry_run and (by is None or reason is None):
        raise click.UsageError("--by and --reason say who decides this and why; --dry-run only shows what would go")
    now = time.time_ns() // 1_000
    with app.spool() as spool:
        found = _one(spool.exclusions(), number)
        whose = sifting.whose_of(app.config())
        weeded = list(Weeding(spool, found, whose, by or "", reason or "", dry=dry_run).run(now))
    if app.json:
        as_json({"done": not dry_run, "rooms": weeded})
    else:
        _weeded(weeded, done=not dry_run)
    return click.get_current_context().exit(1) if any(each.holds or each.busy for each in weeded) else None


@exclusion.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--at", "until", type=Moment(), help="When it ends or ended, UTC; now, if left out.")
@decides
@reads
def end(app: App, number: int, until: int | None, by: str, reason: str) -> None:
    """Ends an exclusion. What was said until then stays left out; --at its beginning undoes it."""
    now = time.time_ns() // 1_000
    with app.spool() as spool:
        found = _one(spool.exclusions(), number)
        at = max(found.since, now) if until is None else until
        if at < found.since:
            raise UsageError(f"exclusion {number} begins only at {exactly(found.since)} UTC", hint="end it no earlier")
        ended = spool.end_exclusion(number, at, by=by, reason=reason, now=now)
    if app.json:
        return as_json(ended)
    return say(
        f"Exclusion {number}: {ended.title} was left out {_when(ended)} (UTC), {counted(ended.events, 'event')}."
    )


def _holds(held: list[Hold]) -> str:
    shown = [f"hold {hold.number} stands on {hold.mailbox}" for hold in held[:_NAMED]]
    return ", ".join(shown) + (f" and {len(held) - _NAMED:,} more" if len(held) > _NAMED else "")


def _one(exclusions: list[Exclusion], number: int) -> Exclusion:
    found = next((each for each in exclusions if each.number == number), None)
    if found is None:
        raise UsageError(f"there is no exclusion {number}", hint="`archiver exclusion list --all` lists them")
    return found


def _person(app: App, address: str) -> str:
    person = directory_of(app.config()).mailbox_of("", address) or normal("", address)
    if person is None:
        raise UsageError(f"{address}: not an address", hint="write it as alice@example.org")
    return person


def _when(of: Exclusion) -> str:
    return f"from {exactly(of.since)}" + ("" if of.until is None else f" until {exactly(of.until)}")


def _weeded(found: list[Weeded], *, done: bool) -> None:
    if found:
        table(
            ("source", "room", "dropped" if done else "would go", "in items", "stays"),
            [(w.source, w.conversation, w.events, w.filed, _stays(w)) for w in found],
            right=(2, 3),
        )
        say()
    events = counted(sum(each.events for each in found), "event")
    say(f"{events} {'dropped' if done else 'would go'}; what is in items stays there.")


def _stays(of: Weeded) -> str:
    if of.busy:
        return "it is just being filed: try again"
    return f"all: hold {', '.join(map(str, of.holds))} covers it" if of.holds else ""


def _spooled(found: list[sifting.Spooled]) -> None:
    if not found:
        return say("Nothing of it is in the spool.")
    say("In the spool already, and filed as all else, unless `archiver exclusion drop` drops it:")
    return table(
        ("source", "room", "events", "first (UTC)", "last (UTC)"),
        [(s.source, s.conversation, s.events, exactly(s.first), exactly(s.last)) for s in found],
        right=(2,),
    )
