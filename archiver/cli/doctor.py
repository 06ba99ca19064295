"""`archiver doctor`: checks, and the few things a person must be able to mend."""

from __future__ import annotations

import os
import pwd
import time

import click

from archiver import doctor as examining
from archiver.addresses import normal
from archiver.cli.app import App, reads
from archiver.cli.decision import Text
from archiver.cli.output import as_json, counted, say
from archiver.doctor import Verdict
from archiver.exceptions import UsageError


@click.command()
@click.option("--close-import", metavar="FEED", help="End an import that died: what it brought so far is filed.")
@click.option("--unpark", metavar="NAME", multiple=True, help="Try once more what was set aside: its name, or `all`.")
@click.option("--drop-withheld", metavar="ADDRESS", help="Give up for good what the gate withholds for a mailbox.")
@click.option(
    "--conversation",
    type=Text(may_be_empty=True),
    metavar="ID",
    help="With --drop-withheld: only of this conversation.",
)
@click.option(
    "--reason", type=Text(may_be_empty=True), metavar="TEXT", help="With --drop-withheld: why, for the record."
)
@reads
def doctor(
    app: App,
    close_import: str | None,
    unpark: tuple[str, ...],
    drop_withheld: str | None,
    conversation: str | None,
    reason: str | None,
) -> None:
    """Checks configuration, directories, versions and the spool; says what to mend. Without options, changes nothing.

    `archiver status` lists dead imports and what is withheld, `archiver status --parked` what was set aside. What is
    taken up again is filed by the daemon, or by `archiver run --once`; what is dropped never is.
    """
    if drop_withheld is None and (conversation is not None or reason is not None):
        raise UsageError("--conversation and --reason go with --drop-withheld ADDRESS")
    now = time.time_ns() // 1_000
    if close_import is not None:
        _close_import(app, close_import, now)
    if unpark:
        _unpark(app, unpark, now)
    if drop_withheld is not None:
        _drop(app, drop_withheld, conversation or "", (reason or "").strip(), now)
    if close_import is None and not unpark and drop_withheld is None:
        _examine(app, now)


def _examine(app: App, now: int) -> None:
    findings = examining.examine(app.config(), app.data, now)
    if app.json:
        as_json(findings)
    else:
        for each in findings:
            say(f"{each.verdict:<5} {each.check}: {each.found}")
            if each.advice:
                say(f"      {each.advice}")
    if any(each.verdict is Verdict.BAD for each in findings):
        click.get_current_context().exit(1)


def _close_import(app: App, name: str, now: int) -> None:
    with app.spool() as spool, spool.hold("backfill", "archiver doctor --close-import"):
        found = [feed for feed in spool.feeds(only_open=True) if feed.name == name and feed.kind == "import"]
        if not found:
            raise UsageError(f"no import of that name is open: {name}", hint="`archiver status` lists those that are")
        spool.close_feed(found[0].number, now)
    say(f"{name} is closed; `archiver run` files what it brought.")


def _unpark(app: App, names: tuple[str, ...], now: int) -> None:
    with app.spool() as spool:
        parked = {f"f{each.filing}": each.filing for each in spool.parked_filings()}
        places = {f"p{each.place}": each.place for each in spool.parked_places()}
        known = {*parked, *places}
        wanted = known if "all" in names else set(names)
        if unknown := sorted(wanted - known):
            raise UsageError(f"not parked: {', '.join(unknown)}", hint="`archiver status --parked` lists what is")
        count = spool.unpark(
            filings=sorted(parked[name] for name in wanted & parked.keys()),
            places=sorted(places[name] for name in wanted & places.keys()),
            now=now,
        )
    say(f"{counted(count, 'conversation')} taken up again; `archiver run` files them.")


def _drop(app: App, address: str, conversation: str, reason: str, now: int) -> None:
    if not reason:
        raise UsageError("dropping needs a reason, which stays on record", hint="say why with --reason TEXT")
    mailbox = normal("", address) or address
    with app.spool() as spool:
        count = spool.drop_withheld(mailbox, person=_person(), reason=reason, now=now, conversation=conversation)
    if not count:
        which = f" of {conversation}" if conversation else ""
        raise UsageError(f"nothing{which} is withheld for {mailbox}", hint="`archiver status` lists what is")
    say(f"{counted(count, 'item')} of {mailbox} dropped; `archiver status --dropped` keeps the record.")


def _person() -> str:
    """Who gives the command, as the machine knows them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
