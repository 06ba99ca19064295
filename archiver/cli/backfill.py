"""`archiver backfill`: old events into the spool, and filed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import click
from msgspec import structs

from archiver import backfill as backfilling
from archiver.backfill import Report, Request
from archiver.cli.app import App, reads
from archiver.cli.backfills import left_lines, list_runs, refile, show_report, tell_report, undo
from archiver.cli.decision import Moment, Text, in_order
from archiver.cli.output import as_json, complain, say, table
from archiver.cli.preview import UNMAPPED, Manner, people_known, previews, tell_previews
from archiver.cli.progress import shown
from archiver.exceptions import InUse, UsageError
from archiver.importers import IMPORTERS, Options, importer
from archiver.importers.leaving import EXPECTED, NO_FORMAT, Leavings, Left
from archiver.importers.protocol import ZONE, date_option, zone_of
from archiver.importers.text import CHARSET, charset_of
from archiver.selection import EVERYTHING, Selection
from archiver.spool.locks import holder

_POLL = 0.5


@click.command()
@click.argument("what", nargs=-1, metavar="[FORMAT] PATH...")
@click.option("--list", "list_", is_flag=True, help="Name the formats.")
@click.option("--channel", help="The channel of a log that doesn't say: '#ubuntu'.")
@click.option("--network", help="The system's name: an IRC network, a host.")
@click.option("--zone", show_default=ZONE, help="The time zone of times without one.")
@click.option("--date", help="The day of a log whose name doesn't say, as YYYY-MM-DD; a meeting's with THH:MM.")
@click.option("--charset", show_default=CHARSET, help="What text is in that isn't UTF-8.")
@click.option("--source", help="The whole source of every event, in place of what the files say.")
@click.option("--owner", help="Whose export it is, where it calls them only 'you': an address.")
@click.option("--room", "rooms", type=Text(), multiple=True, help="Only this room, by its id (* and ?), or several.")
@click.option("--from", "since", type=Moment(), help="Only what happened from then on, UTC.")
@click.option("--until", type=Moment(), help="Only what happened before, UTC.")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that file.")
@click.option("--no-wait", is_flag=True, help="Fail while another backfill runs, instead of waiting for it.")
@click.option("--dry-run", is_flag=True, help="Read everything, take nothing, and say what would come of it.")
@click.option("--strict", is_flag=True, help="Stop where anybody's mailbox is only derived from a nick.")
@click.option(
    "--placeholder", is_flag=True, help="Take people the directory doesn't know as they are, without mailbox."
)
@click.option("--skip-unknown", is_flag=True, help="Leave out what people the directory doesn't know did.")
@click.option("--reread", is_flag=True, help="Read what was read to its end before once more.")
@click.option("--force", is_flag=True, help="Begin even where the disk seems to have too little room.")
@click.option("--runs", is_flag=True, help="List all backfills there were.")
@click.option("--report", "report_of", type=click.IntRange(1), metavar="RUN", help="Show the report of one again.")
@click.option("--undo", "undo_of", type=click.IntRange(1), metavar="RUN", help="Take back what one brought.")
@click.option(
    "--refile", "refile_of", type=click.IntRange(1), metavar="RUN", help="File one anew, as the directory is now."
)
@click.option("--by", type=Text(), metavar="NAME", help="With --undo and --refile: who decides this.")
@click.option("--reason", type=Text(), help="With --undo and --refile: why.")
@click.option("--map", "map_", type=click.Path(path_type=Path), help="Where to write the people file to fill in.")
@reads
def backfill(
    app: App,
    what: tuple[str, ...],
    list_: bool,
    channel: str | None,
    network: str | None,
    zone: str | None,
    date: str | None,
    charset: str | None,
    source: str | None,
    owner: str | None,
    rooms: tuple[str, ...],
    since: int | None,
    until: int | None,
    jobs: int,
    no_wait: bool,
    dry_run: bool,
    strict: bool,
    placeholder: bool,
    skip_unknown: bool,
    reread: bool,
    force: bool,
    runs: bool,
    report_of: int | None,
    undo_of: int | None,
    refile_of: int | None,
    by: str | None,
    reason: str | None,
    map_: Path | None,
) -> None:
    """Reads files of old events and files everything they hold. Reading the same again files nothing new.

    FORMAT is one of those that --list names; without it, every file is looked at. Folders and archives (zip, tar) are
    read with all they hold.
    """
    if list_:
        return _formats(app)
    if runs:
        return list_runs(app)
    if report_of is not None:
        return show_report(app, report_of)
    selection = Selection(rooms, since, until)
    if selection != EVERYTHING and (undo_of is not None or refile_of is not None):
        raise click.UsageError("--undo and --refile are for whole runs: they take no --room, --from or --until")
    if refile_of is not None:
        return refile(app, refile_of, by, reason)
    if undo_of is not None:
        return undo(app, undo_of, by, reason, dry=dry_run)
    if placeholder and (strict or skip_unknown):
        raise click.UsageError("--placeholder takes everybody: it contradicts --strict and --skip-unknown")
    options = Options(channel, network, zone, date, charset, source, owner)
    _check(options)
    in_order(since, until)
    asked = partial(Request, options=options, jobs=jobs, selection=selection, reread=reread, force=force)
    requests = _requests(what, asked)
    config = app.config()
    manner = Manner(map_ or app.data / UNMAPPED, strict, placeholder, skip_unknown)
    if dry_run:
        return tell_previews(app, config, previews(app, config, requests), manner)
    requests = people_known(app, config, requests, manner)
    app.log(config, quiet=not app.json and sys.stderr.isatty())
    reports = []
    for request in requests:
        with shown() as show:
            run = partial(backfilling.run, config, app.data, request, show)
            reports.append(_in_turn(app, run, wait=not no_wait))
    _tell_all(app, requests, reports)
    return None if all(report.clean for report in reports) else click.get_current_context().exit(1)


def _formats(app: App) -> None:
    if app.json:
        return as_json([{"name": each.name, "title": each.title} for each in IMPORTERS.values()])
    return table(("format", "reads"), [(each.name, each.title) for each in IMPORTERS.values()])


def _requests(what: tuple[str, ...], asked: Callable[..., Request]) -> list[Request]:
    """A run for each format; the first tells what is left alone. `asked` makes one, for an importer and its paths."""
    if not what:
        raise click.UsageError("name what to read: archiver backfill [FORMAT] PATH...")
    if what[0] in IMPORTERS:
        if len(what) == 1:
            raise click.UsageError(f"name the files to read: archiver backfill {what[0]} PATH...")
        return [asked(importer(what[0]), tuple(map(Path, what[1:])))]
    paths = tuple(map(Path, what))
    for path in paths:
        backfilling.require(path, hint=f"name files that exist; formats: {', '.join(sorted(IMPORTERS))}")
    leavings = Leavings()
    seen = backfilling.look(paths, leavings)
    if not seen.found:
        raise _nothing(paths, leavings.told)
    found = [asked(importer(name), paths, documents=each) for name, each in seen.found.items()]
    return [structs.replace(found[0], left=tuple(leavings.told)), *found[1:]]


def _nothing(paths: Sequence[Path], left: Sequence[Left]) -> UsageError:
    if left and left[0].is_fault:
        return UsageError(f"{left[0].such[0]}: {left[0].why}", hint="there is nothing else to read")
    if left and all(each.why not in {NO_FORMAT, *EXPECTED} for each in left):
        said = "; ".join(left_lines(left))
        return UsageError(f"{paths[0]}: nothing to read: {said}", hint="name the files themselves")
    where = next((each.such[0] for each in left if each.why == NO_FORMAT), paths[0])
    return UsageError(f"{where}: no format is recognised", hint=f"name one: {', '.join(sorted(IMPORTERS))}")


def _in_turn(app: App, run: Callable[[], Report], *, wait: bool) -> Report:
    """Backfills queue behind each other, and say who is first."""
    told = ""
    while True:
        first = _first(app)  # asked beforehand: a run that must give way has started its processes for nothing
        try:
            if first is None:
                return run()
        except InUse:
            first = _first(app)
        if not wait and first is not None:
            raise InUse(f"another backfill is first: {first}", hint="leave out --no-wait to wait for its end")
        if first is not None and first != told:
            told = first
            complain(f"Waiting: first comes {first}")
        time.sleep(_POLL)


def _first(app: App) -> str | None:
    with suppress(OSError):  # no data directory, or none that we may look into: the run itself will say so
        return holder(app.data / "run", "backfill")
    return None


def _check(options: Options) -> None:
    """Before anything is begun: an import that fails later stays open."""
    zone_of(options)
    charset_of(options)
    date_option(options)


def _tell_all(app: App, requests: list[Request], reports: list[Report]) -> None:
    if app.json:
        for report in reports:
            for line in left_lines([each for each in report.left if each.why not in EXPECTED]):
                complain(line)
        return as_json(reports if len(reports) > 1 else reports[0])
    for request, report in zip(requests, reports, strict=True):
        if len(requests) > 1:
            say(f"{request.importer.title}:")
        tell_report(report)
    return None
