"""`archiver xmpp`: what an XMPP source needs from people: its module in the server."""

from __future__ import annotations

from pathlib import Path

import click

from archiver.cli.app import App
from archiver.cli.output import as_json, say
from archiver.config import Config
from archiver.config.sources import XmppTable
from archiver.exceptions import UsageError
from archiver.servers import MODULES, copy

_PROSODY = """\
In prosody.cfg.lua, before the first VirtualHost:
  plugin_paths = {{ "{folder}" }}           -- added to what is there
  modules_enabled = {{ …; "archiver" }}     -- added to what is there: for every host with users
  archiver_url = "{url}"
  archiver_token_file = "/etc/prosody/archiver.token"   -- the token, readable for Prosody's user
And under each Component "…" "muc", whose rooms are to be captured:
  modules_enabled = {{ "muc_mam"; "archiver" }}
Restart Prosody; its log says of each host that everything said there is handed to the archiver, and
`archiver doctor` whether it was heard."""

STEPS = {"prosody": _PROSODY}
"""What remains to be done by hand, by server."""


@click.group()
def xmpp() -> None:
    """Sets up an XMPP source."""


@xmpp.command()
@click.argument("server", type=click.Choice(sorted(MODULES)))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--source", metavar="NAME", help="Of several xmpp sources, the one it is to post to.")
@click.pass_obj
def install(app: App, server: str, folder: Path, source: str | None) -> None:
    """Copies the module for SERVER into FOLDER, where the server looks for modules, and says what to configure.

    A newer version is installed in the same way, over the older one.
    """
    url = _url(table_of(app.config(), source))
    files = copy(MODULES[server], folder)
    version = MODULES[server].version
    if app.json:
        return as_json({"files": [str(each) for each in files], "version": version, "url": url})
    say(f"Version {version} is in {files[0].parent}.")
    return say(STEPS[server].format(folder=folder.resolve(), url=url))


def table_of(config: Config, name: str | None) -> XmppTable:
    found = [each for each in config.source if isinstance(each, XmppTable) and name in (None, each.name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"no xmpp source is called {name}" if name else "there is no xmpp source",
            hint='add [[source]] type = "xmpp" to the configuration, and name that with --config',
        )
    raise UsageError("there are several xmpp sources", hint=f"--source {' or '.join(each.name for each in found)}")


def _url(table: XmppTable) -> str:
    host = f"[{table.listen.host}]" if ":" in table.listen.host else table.listen.host
    place = "HOST:PORT" if table.listen.path else f"{host}:{table.listen.port}"
    return f"{'https' if table.certificate else 'http'}://{place}/records"
