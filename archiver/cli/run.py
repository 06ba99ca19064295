"""`archiver run`: the daemon."""

from __future__ import annotations

import click

from archiver import daemon
from archiver.cli.app import App, reads
from archiver.cli.output import as_json, counted, say


@click.command()
@click.option("--once", is_flag=True, help="One scheduled run, then exit; listens to nothing.")
@reads
def run(app: App, once: bool) -> None:
    """Takes in mail and what the configured sources give, and files what is ripe on a schedule.

    SIGTERM finishes what is in hand and exits; SIGHUP reads the configuration anew.
    """
    config = app.config()
    app.log(config)
    if not once:
        daemon.run(app.config, app.data)
        return None
    tally = daemon.run_once(config, app.data)
    if app.json:
        as_json(tally)
    else:
        say(f"Filed {counted(tally.copies, 'item')} of {counted(tally.conversations, 'conversation')}.")
    return click.get_current_context().exit(1) if tally.failed or tally.parked else None
