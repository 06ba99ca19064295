"""A real Prosody 0.12 on loopback with the archiver's module in it, its archive in SQLite, and rooms.

Anybody logs in with any password. Where it isn't there or doesn't start, the test fails with what it logged.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archiver.servers import MODULES

HOST, ROOMS = "localhost", "rooms.localhost"
PATIENCE = 20.0

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


class Prosody:
    """Started anew as often as need be, on the same port and data."""

    def __init__(
        self,
        directory: Path,
        listener: int,
        token: str,
        more: str = "",
        components: str = "",
        plugins: dict[str, str] | None = None,
        storage: str = "sql",
        scheme: str = "http",
    ) -> None:
        """`more` goes before the first host, `components` behind all; `plugins` are further modules by their names."""
        self.directory = directory
        self.port, self.component = free_port(), free_port()
        self.listener = listener
        self.more, self.components, self.storage, self.scheme = more, components, storage, scheme
        (directory / "plugins").mkdir(exist_ok=True)
        for name, source in (plugins or {}).items():
            (directory / "plugins" / f"mod_{name}.lua").write_text(source)
        (directory / "token").write_text(token + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def queue(self) -> Path:
        return self.directory / "data" / "archiver"

    @property
    def archive(self) -> Path:
        return self.directory / "archive.sqlite"

    def start(self, *, with_module: bool = True) -> None:
        program = shutil.which("prosody", path=f"{os.environ['PATH']}:/usr/bin:/usr/sbin")
        assert program is not None, "needs Prosody: scripts/packages prosody lua-dbi-sqlite3"
        (self.directory / "data").mkdir(exist_ok=True)
        written = CONFIGURATION.format(
            directory=self.directory,
            plugins=MODULES["prosody"].folder.parent,
            port=self.port,
            component=self.component,
            listener=self.listener,
            module='"archiver"' if with_module else "",
            more=self.more,
            storage=self.storage,
            scheme=self.scheme,
            components=self.components,
        )
        configuration = self.directory / "prosody.cfg.lua"
        configuration.write_text(written)
        with (self.directory / "out.log").open("ab") as out:
            self._process = subprocess.Popen([program, "-F", "--config", str(configuration)], stdout=out, stderr=out)
        wait(lambda: is_open(self.port), self.logged)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def is_drained(self) -> bool:
        """Whether all that the module has in its queue was acknowledged."""
        place = self.queue / "position"
        segment, offset = map(int, place.read_text().split()) if place.exists() else (1, 0)
        rest = [each for each in self.queue.glob("*.ndjson") if each.stem.isdecimal() and int(each.stem) >= segment]
        return sum(each.stat().st_size for each in rest) == (offset if rest else 0)

    def logged(self) -> str:
        logs = [self.directory / name for name in ("prosody.log", "out.log")]
        return "\n".join(log.read_text("utf-8", "replace")[-20_000:] for log in logs if log.exists())


@contextmanager
def prosody(directory: Path, listener: int, token: str, **settings: Any) -> Iterator[Prosody]:
    server = Prosody(directory, listener, token, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(until: object, told: object = lambda: "", seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not until():  # type: ignore[operator]
        assert time.monotonic() < end, f"it didn't come about: {told()}"  # type: ignore[operator]
        time.sleep(0.02)
