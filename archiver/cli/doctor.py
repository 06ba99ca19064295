"""`archiver doctor`: checks, and the few things a person must be able to mend."""

from __future__ import annotations

import time

import click

from archiver import doctor as examining
from archiver.assembly import open_spool
from archiver.cli.app import App, reads
from archiver.cli.output import as_json, say
from archiver.doctor import Verdict
from archiver.exceptions import UsageError


@click.command()
@click.option("--close-import", metavar="NAME", help="End an import that died: what it brought is filed.")
@click.option("--unpark", is_flag=True, help="Try everything that was set aside once more.")
@reads
def doctor(app: App, close_import: str | None, unpark: bool) -> None:
    """Checks configuration, directories, versions and the spool; says what to mend."""
    now = time.time_ns() // 1_000
    if close_import is not None:
        return _close_import(app, close_import, now)
    if unpark:
        return _unpark(app, now)
    findings = examining.examine(app.config(), app.data, now)
    if app.json:
        as_json(findings)
    else:
        for each in findings:
            say(f"{each.verdict:<5} {each.check}: {each.found}" + (f"\n      {each.advice}" if each.advice else ""))
    return click.get_current_context().exit(1) if any(f.verdict is Verdict.BAD for f in findings) else None


def _close_import(app: App, name: str, now: int) -> None:
    with open_spool(app.config(), app.data) as spool:
        if spool.holder("backfill") is not None:
            raise UsageError(f"a backfill is running: {spool.holder('backfill')}", hint="let it end first")
        found = [feed for feed in spool.feeds(only_open=True) if feed.name == name and feed.kind == "import"]
        if not found:
            raise UsageError(f"no import of that name is open: {name}", hint="`archiver status` lists those that are")
        spool.close_feed(found[0].number, now)
    say(f"{name} is closed; `archiver run` files what it brought.")


def _unpark(app: App, now: int) -> None:
    with open_spool(app.config(), app.data) as spool:
        filings = [each.filing for each in spool.parked_filings()]
        places = [each.place for each in spool.parked_places()]
        count = spool.unpark(filings=filings, places=places, now=now)
    say(f"{count:,} set aside no longer; `archiver run` tries them again.")
