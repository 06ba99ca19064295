"""A real ejabberd 23.01 on loopback with the archiver's module in it, its archive in SQLite, and rooms.

Started as the Erlang that it is: without its own command, which insists on a user of its own, and without a name, so
that nothing of Erlang's distribution is left behind.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import sqlite3
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

from servers.xmpp import HOST, XmppServer, free_port

from archiver.servers import MODULES, compiled

LIBRARIES = "/usr/lib/*-linux-gnu"
SCHEMA = Path("/usr/share/ejabberd/sql/lite.sql")
SECRET = "what-the-component-says-to-be-let-in"
SERVICE_LOG = "mod_service_log: { loggers: [archiver.localhost] }"
MODULE = "mod_archiver: {{ url: '{scheme}://127.0.0.1:{listener}/records', token_file: '{directory}/token'{options} }}"

CONFIGURATION = """
hosts: {hosts}
loglevel: info
listen:
  - {{ port: {port}, ip: '127.0.0.1', module: ejabberd_c2s, access: all, shaper: none }}
  - {{ port: {component}, ip: '127.0.0.1', module: ejabberd_service, access: all, global_routes: false,
       hosts: {{ bots.{host}: {{ password: secret }}, archiver.{host}: {{ password: {secret} }} }} }}
  - {{ port: {http}, ip: '127.0.0.1', module: ejabberd_http, request_handlers: {{ /api: mod_http_api }} }}
api_permissions: {{ tests: {{ who: {{ ip: 127.0.0.0/8 }}, what: [ '*' ] }} }}
auth_method: external
extauth_program: '{anybody}'
auth_use_cache: false
sql_type: sqlite
sql_database: '{directory}/archive.sqlite'
{more}
acl: {{ admin: {{ user: [ admin@{host} ] }} }}
access_rules: {{ admins: {{ allow: admin }} }}
modules:
  mod_admin_extra: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
  mod_privacy: {{}}
  mod_blocking: {{}}
  mod_mam: {{ db_type: {storage}, default: always, clear_archive_on_room_destroy: false }}
  mod_muc:
    host: rooms.@HOST@
    # Mnesia may lose a room that was made just before a kill; and mod_mam lets none be made anew over an archive.
    db_type: sql
    access_admin: admins
    default_room_options: {{ mam: true, persistent: true, anonymous: false, allow_user_invites: true }}
  {module}
"""

# Speaks ejabberd's protocol for other people's programs: whoever is asked for is there, with that password.
ANYBODY = """#!{python}
import sys
while size := sys.stdin.buffer.read(2):
    sys.stdin.buffer.read(int.from_bytes(size, "big"))
    sys.stdout.buffer.write(bytes((0, 2, 0, 1)))
    sys.stdout.buffer.flush()
"""


@cache
def _modules() -> TemporaryDirectory[str]:
    """The module as it is installed: compiled once a run, and gone with it."""
    made = TemporaryDirectory(prefix="modules-of-ejabberd-")
    compiled(MODULES["ejabberd"], Path(made.name))
    return made


class Ejabberd(XmppServer):
    name = "ejabberd"
    logs = ("ejabberd.log", "out.log")

    def __init__(
        self,
        *arguments: Any,
        hosts: tuple[str, ...] = (HOST,),
        storage: str = "sql",
        more: str = "",
        **settings: Any,
    ) -> None:
        """`more` is for the configuration's top."""
        super().__init__(*arguments, **settings)
        self.hosts, self.storage, self.more = hosts, storage, more
        self.http = free_port()

    @property
    def folder(self) -> Path:
        return self.directory / "spool" / "archiver" / HOST

    def told(self, command: str, **arguments: str) -> None:
        """What its own interface for programs is asked."""
        asked = Request(f"http://127.0.0.1:{self.http}/api/{command}", json.dumps(arguments).encode())
        with urlopen(asked, timeout=20) as answer:
            assert answer.status == 200

    def command(self, *, with_module: bool) -> tuple[list[str], dict[str, str] | None]:
        erl = shutil.which("erl")
        assert erl is not None and SCHEMA.exists(), "needs ejabberd: scripts/packages ejabberd erlang-p1-sqlite3"
        (self.directory / "spool").mkdir(exist_ok=True)
        if not self.archive.exists():
            with sqlite3.connect(self.archive) as database:
                database.executescript(SCHEMA.read_text())
            database.close()
        anybody, configuration = self.directory / "anybody", self.directory / "ejabberd.yml"
        anybody.write_text(ANYBODY.format(python=sys.executable))
        anybody.chmod(0o755)
        configuration.write_text(self._written(anybody, with_module))
        environment = os.environ | {
            "EJABBERD_CONFIG_PATH": str(configuration),
            "EJABBERD_LOG_PATH": str(self.directory / "ejabberd.log"),
            "CONTRIB_MODULES_PATH": _modules().name,
            "ERL_LIBS": os.pathsep.join(glob.glob(LIBRARIES)),
            "ERL_CRASH_DUMP_BYTES": "0",
            "HOME": str(self.directory),
        }
        spool = f'"{self.directory / "spool"}"'
        return [erl, "-noinput", "-mnesia", "dir", spool, "-s", "ejabberd"], environment

    def _module(self) -> str:
        options = "".join(f", {name}: {value}" for name, value in self.options.items())
        return MODULE.format(scheme=self.scheme, listener=self.listener, directory=self.directory, options=options)

    def _written(self, anybody: Path, with_module: bool) -> str:
        return CONFIGURATION.format(
            host=HOST,
            hosts=json.dumps(self.hosts),
            http=self.http,
            secret=SECRET,
            port=self.port,
            component=self.component,
            directory=self.directory,
            anybody=anybody,
            storage=self.storage,
            more=self.more,
            module=self._module() if with_module else "",
        )


class ServiceLogged(Ejabberd):
    """With ejabberd's own mod_service_log in place of the archiver's module: it tells the component archiver.HOST."""

    def _module(self) -> str:
        return SERVICE_LOG
