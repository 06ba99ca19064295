"""`archiver xmpp`: what an XMPP source needs from people: its module in the server."""

from __future__ import annotations

from pathlib import Path

import click

from archiver.cli.app import App
from archiver.cli.output import as_json, say
from archiver.config import Config
from archiver.config.sources.posted import XmppTable
from archiver.exceptions import UsageError
from archiver.servers import MODULES, compiled, copy

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

_EJABBERD = """\
In ejabberd.yml, under `modules` (with host_config for some hosts only):
  mod_archiver:
    url: "{url}"
    token_file: "/etc/ejabberd/archiver.token"   # the token, readable for ejabberd's user
  mod_mam:                                       # what this module misses is read from its archive later
    db_type: sql
    default: always
    clear_archive_on_room_destroy: false
  mod_muc:
    default_room_options: {{ mam: true }}
Where {folder} isn't .ejabberd-modules in the home of ejabberd's user (Debian: /var/lib/ejabberd), name it
in CONTRIB_MODULES_PATH in ejabberdctl.cfg. Restart ejabberd; its log says of each host that everything said there is
handed to the archiver, and `archiver doctor` whether it was heard."""

STEPS = {"prosody": _PROSODY, "ejabberd": _EJABBERD}
"""What remains to be done by hand, by server."""


@click.group()
def xmpp() -> None:
    """Sets up an XMPP source."""


@xmpp.command()
@click.argument("server", type=click.Choice(sorted(MODULES)))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--source", metavar="NAME", help="Of several xmpp sources, the one it is to post to.")
@click.option(
    "--libraries",
    multiple=True,
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Where ejabberd and its Erlang libraries are, if not where packages put them; may be given again.",
)
@click.pass_obj
def install(app: App, server: str, folder: Path, source: str | None, libraries: tuple[Path, ...]) -> None:
    """Copies the module for SERVER into FOLDER, where the server looks for modules, and says what to configure.

    For ejabberd it is compiled: with erlc, for the ejabberd of this machine. A newer version is installed in the same
    way, over the older one; where ejabberd itself was upgraded, too.
    """
    url = _url(table_of(app.config(), source))
    if server != "ejabberd" and libraries:
        raise UsageError("--libraries is for ejabberd", hint=f"leave it out for {server}")
    files = compiled(MODULES[server], folder, libraries) if server == "ejabberd" else copy(MODULES[server], folder)
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
