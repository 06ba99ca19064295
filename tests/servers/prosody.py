"""A real Prosody 0.12 on loopback with the archiver's module in it, its archive in SQLite, and rooms."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servers.xmpp import XmppServer

from archiver.servers import MODULES

CONFIGURATION = """
run_as_root = true
pidfile = "{directory}/prosody.pid" data_path = "{directory}/data"
plugin_paths = {{ "{plugins}", "{directory}/plugins" }}
log = {{ info = "{directory}/prosody.log" }}
interfaces = {{ "127.0.0.1" }} c2s_ports = {{ {port} }} component_ports = {{ {component} }}
s2s_ports = {{}} s2s_direct_tls_ports = {{}} c2s_direct_tls_ports = {{}} http_ports = {{}} https_ports = {{}}
c2s_require_encryption = false allow_unencrypted_plain_auth = true
modules_enabled = {{ "roster", "saslauth", "disco", "ping", "carbons", "mam", "offline", "posix", {module} }}
modules_disabled = {{ "s2s", "tls" }}
authentication = "insecure" insecure_open_authentication = "Yes please, I know what I'm doing!"
storage = {{ archive = "{storage}"; muc_log = "{storage}" }}
sql = {{ driver = "SQLite3"; database = "{directory}/archive.sqlite" }}
archive_expires_after = "never"
archiver_url = "{scheme}://127.0.0.1:{listener}/records"
archiver_token_file = "{directory}/token"
{more}
VirtualHost "localhost"
Component "rooms.localhost" "muc"
  modules_enabled = {{ "muc_mam", {module} }}
  muc_room_locking = false muc_room_default_persistent = true muc_log_expires_after = "never"
  muc_room_default_public_jids = true
{components}
Component "bots.localhost"
  component_secret = "secret"
"""


class Prosody(XmppServer):
    name = "Prosody"
    logs = ("prosody.log", "out.log")

    def __init__(
        self,
        *arguments: Any,
        more: str = "",
        components: str = "",
        plugins: Mapping[str, str] | None = None,
        storage: str = "sql",
        **settings: Any,
    ) -> None:
        """`more` goes before the first host, `components` behind all; `plugins` are further modules by their names."""
        super().__init__(*arguments, **settings)
        self.more, self.components, self.storage = more, components, storage
        (self.directory / "plugins").mkdir(exist_ok=True)
        for name, source in (plugins or {}).items():
            (self.directory / "plugins" / f"mod_{name}.lua").write_text(source)

    @property
    def folder(self) -> Path:
        return self.directory / "data" / "archiver"

    def command(self, *, with_module: bool) -> tuple[list[str], dict[str, str] | None]:
        program = shutil.which("prosody", path=f"{os.environ['PATH']}:/usr/bin:/usr/sbin")
        assert program is not None, "needs Prosody: scripts/packages prosody lua-dbi-sqlite3"
        (self.directory / "data").mkdir(exist_ok=True)
        options = "".join(f"archiver_{name} = {value}\n" for name, value in self.options.items())
        written = CONFIGURATION.format(
            directory=self.directory,
            plugins=MODULES["prosody"].folder.parent,
            port=self.port,
            component=self.component,
            listener=self.listener,
            module='"archiver"' if with_module else "",
            more=options + self.more,
            storage=self.storage,
            scheme=self.scheme,
            components=self.components,
        )
        configuration = self.directory / "prosody.cfg.lua"
        configuration.write_text(written)
        return [program, "-F", "--config", str(configuration)], None
