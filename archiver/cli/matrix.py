"""`archiver matrix`: what a Matrix source needs from people: its registration, and the history before it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from archiver.cli.app import App
from archiver.cli.output import as_json, complain, counted, say
from archiver.config import Config
from archiver.config.sources.servers import MatrixTable
from archiver.daemon.sources import ledger_of
from archiver.exceptions import UsageError
from archiver.logs import plain

if TYPE_CHECKING:
    from archiver.sources.matrix.history import Show, Tally

_STEPS = """\
{path} is written. It holds secrets, and nobody but you can read it; the archiver has to.
Next:
1. Copy it to the homeserver's machine, where only the homeserver's user can read it.
2. Name the copy in homeserver.yaml, and restart the homeserver:
     app_service_config_files:
       - /etc/matrix-synapse/{name}
3. Start the archiver, or send it SIGHUP. The homeserver sends to {url}
4. `archiver doctor` tries both ways.
5. What was said before then: archiver matrix history {source} FOLDER"""


@click.group()
def matrix() -> None:
    """Sets up a Matrix source, and saves what was said before it."""


@matrix.command()
@click.argument("source")
@click.option("--server", required=True, metavar="NAME", help="The homeserver's name: as in @alice:NAME.")
@click.option(
    "--url", metavar="URL", help="Where the homeserver reaches the archiver; as the source listens, if left out."
)
@click.pass_obj
def register(app: App, source: str, server: str, url: str | None) -> None:
    """Makes the registration of the source called SOURCE, with new tokens, where the configuration says."""
    from archiver.sources.matrix import registration

    table = table_of(app.config(), source)
    made = registration.make(source, url or _url(table))
    path = Path(table.registration)
    registration.save(path, registration.written(made, server))
    if app.json:
        return as_json({"registration": str(path), "id": made.id, "url": made.url})
    return say(_STEPS.format(path=path, name=path.name, url=made.url, source=source))


@matrix.command()
@click.argument("source")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--user", "users", multiple=True, metavar="@NAME:SERVER", help="Also the rooms that this person is in.")
@click.option("--room", "rooms", multiple=True, metavar="ID", help="Only these rooms.")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Nothing older than this day, UTC."
)
@click.option(
    "--rate", type=click.FloatRange(0.1, 1000), default=10, show_default=True, help="Requests a second, at most."
)
@click.option(
    "--admin-token",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File with an administrator's token: all rooms of a Synapse.",
)
@click.pass_obj
def history(
    app: App,
    source: str,
    folder: Path,
    users: tuple[str, ...],
    rooms: tuple[str, ...],
    since: datetime | None,
    rate: float,
    admin_token: Path | None,
) -> None:
    """Saves what was said in the rooms of the source called SOURCE into FOLDER, for `archiver backfill matrix FOLDER`.

    All rooms that the source ever met, unless others are named. Run again, it goes on where it stood, or fetches what
    is new. The daemon may run meanwhile.
    """
    from archiver.sources.matrix import saving

    config = app.config()
    table = table_of(config, source)
    wanted = saving.Wanted(
        table.homeserver,
        Path(table.registration),
        ledger_of(table, app.data),
        folder,
        frozenset(rooms),
        users,
        admin_token,
        since.replace(tzinfo=UTC).timestamp() * 1000 if since else 0,
        rate,
        table.max_file,
    )
    with _progress() as show:
        tally = saving.save(wanted, show)
    _tell(app, tally, folder)


def _tell(app: App, tally: Tally, folder: Path) -> None:
    if app.json:
        as_json(tally)
    else:
        found = (
            f"{counted(tally.rooms, 'room')}, {counted(tally.events, 'new event')}, {counted(tally.files, 'new file')}"
        )
        say(f"{found} in {folder}. Next: archiver backfill matrix {folder}")
    for room in tally.refused:
        complain(f"archiver: nobody may be asked for {plain(room)}: name somebody who is in it with --user")
    if tally.refused:
        click.get_current_context().exit(1)


@contextmanager
def _progress() -> Iterator[Show]:
    """One line while a terminal looks on, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda room, tally: None
        return
    with Console(stderr=True).status("asking") as status:

        def show(room: str, tally: Tally) -> None:
            said = f"{tally.rooms:,} rooms done, {tally.events:,} events, {tally.files:,} files; now {plain(room)}"
            status.update(said.replace("[", "\\["))

        yield show


def table_of(config: Config, name: str) -> MatrixTable:
    found = [each for each in config.source if isinstance(each, MatrixTable)]
    for each in found:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in found) or "none"
    raise UsageError(f"no matrix source is called {name}", hint=f'add [[source]] type = "matrix"; there are: {known}')


def _url(table: MatrixTable) -> str:
    if table.listen.path:
        raise UsageError("the source listens on a socket file", hint="say with --url where a proxy hands requests on")
    host = f"[{table.listen.host}]" if ":" in table.listen.host else table.listen.host
    if host in ("0.0.0.0", "[::]", ""):  # noqa: S104
        raise UsageError(f"the source listens on {host}", hint="say with --url where the homeserver reaches it")
    return f"{'https' if table.certificate else 'http'}://{host}:{table.listen.port}"
