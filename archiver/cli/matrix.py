"""`archiver matrix`: what a Matrix source needs from people: its registration."""

from __future__ import annotations

from pathlib import Path

import click

from archiver.cli.app import App
from archiver.cli.output import as_json, say
from archiver.config import Config
from archiver.config.sources import MatrixTable
from archiver.exceptions import UsageError

_STEPS = """\
{path} is written. It holds secrets, and nobody but you can read it; the archiver has to.
Next:
1. Copy it to the homeserver's machine, where only the homeserver's user can read it.
2. Name the copy in homeserver.yaml, and restart the homeserver:
     app_service_config_files:
       - /etc/matrix-synapse/{name}
3. Start the archiver, or send it SIGHUP. The homeserver sends to {url}
4. `archiver doctor` tries both ways."""


@click.group()
def matrix() -> None:
    """Sets up a Matrix source."""


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
    return say(_STEPS.format(path=path, name=path.name, url=made.url))


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
