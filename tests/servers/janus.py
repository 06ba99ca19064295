"""A real Janus 1.1 on loopback with VideoRoom and TextRoom, which tells what happens by its event handler plugin.

Its HTTP API is plain, its rooms are made by whoever asks. Where it isn't there or doesn't start, the test fails with
what it logged.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from servers.xmpp import free_port, wait

PATIENCE = 20.0
LINGER = 5.0
USER = "janus"

FILES = {
    "janus.jcfg": """
general: {{
    server_name = "conference"
    debug_level = 4
    session_timeout = 0
    protected_folders = []
}}
nat: {{ ice_enforce_list = "127.0.0.1"; ignore_mdns = true }}
plugins: {{ disable = "{others}" }}
transports: {{ disable = "{transports}" }}
events: {{ broadcast = true; disable = "{handlers}" }}
""",
    "janus.transport.http.jcfg": """
general: {{ json = "compact"; base_path = "/janus"; http = true; port = {port}; interface = "lo"; ip = "127.0.0.1" }}
admin: {{ admin_http = false }}
""",
    "janus.eventhandler.sampleevh.jcfg": """
general: {{
    enabled = true
    events = "handles,plugins,core"
    grouping = true
    json = "compact"
    backend = "http://127.0.0.1:{events}/events"
    backend_user = "{user}"
    backend_pwd = "{secret}"
    max_retransmissions = {retransmissions}
    retransmissions_backoff = 50
}}
""",
    "janus.plugin.videoroom.jcfg": "general: {{ string_ids = {strings} }}\n",
    "janus.plugin.textroom.jcfg": 'general: {{ json = "compact"; string_ids = {strings} }}\n',
}
FOLDER = next(Path("/usr/lib").glob("*/janus"), Path("/usr/lib/janus"))
"""Where Debian's package has the plugins."""
WANTED = ("libjanus_videoroom.so", "libjanus_textroom.so", "libjanus_http.so", "libjanus_sampleevh.so")


class Janus:
    """Started anew as often as need be, on the same ports."""

    def __init__(
        self, directory: Path, events: int, secret: str, *, strings: bool = False, retransmissions: int = 14
    ) -> None:
        """`events` is the port by which it reaches the archiver; `strings`: whether rooms have names, not numbers."""
        self.directory = directory
        self.events, self.secret = events, secret
        self.port = free_port()
        self.strings, self.retransmissions = strings, retransmissions
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/janus"

    @property
    def post(self) -> str:
        """What a TextRoom room's `post` is to be."""
        return f"http://{USER}:{self.secret}@127.0.0.1:{self.events}/textroom"

    def start(self) -> None:
        program = shutil.which("janus")
        assert program is not None, "needs Janus: scripts/packages janus"
        settings = {
            "port": self.port,
            "events": self.events,
            "user": USER,
            "secret": self.secret,
            "retransmissions": self.retransmissions,
            "strings": "true" if self.strings else "false",
            "others": _all_but_wanted("plugins"),
            "transports": _all_but_wanted("transports"),
            "handlers": _all_but_wanted("events"),
        }
        for name, content in FILES.items():
            (self.directory / name).write_text(content.format(**settings))
        with (self.directory / "janus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, f"--configs-folder={self.directory}", "--disable-colors"], stdout=log, stderr=log
            )
        wait(self.info, self.logged)

    def info(self) -> dict[str, Any] | None:
        """What it says of itself; None while it doesn't answer."""
        assert self._process is not None and self._process.poll() is None, self.logged()
        with suppress(OSError), urlopen(f"{self.api}/info", timeout=5) as reply:
            told: dict[str, Any] = json.load(reply)
            return told
        return None

    def ask(self, path: str, **body: object) -> dict[str, Any]:
        """One request of the HTTP API, below its root."""
        sent = json.dumps({"transaction": "t", **body}).encode()
        request = Request(f"{self.api}{path}", sent, {"Content-Type": "application/json"})
        with urlopen(request, timeout=PATIENCE) as reply:
            told: dict[str, Any] = json.load(reply)
        assert told["janus"] in ("success", "ack", "event"), told
        return told

    def event(self, session: int) -> dict[str, Any]:
        """What it has for a session next; after a while nothing, to be asked again."""
        with urlopen(f"{self.api}/{session}?maxev=1", timeout=2 * PATIENCE) as reply:
            told: dict[str, Any] = json.load(reply)
        return told

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(number)
            try:
                process.wait(LINGER)
            except subprocess.TimeoutExpired:  # it logs in its signal's handler, and may then wait for itself
                process.kill()
                process.wait(PATIENCE)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def logged(self) -> str:
        path = self.directory / "janus.log"
        return path.read_text("utf-8", "replace")[-200_000:] if path.exists() else ""


@contextmanager
def janus(directory: Path, events: int, secret: str, **settings: Any) -> Iterator[Janus]:
    server = Janus(directory, events, secret, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _all_but_wanted(kind: str) -> str:
    return ",".join(sorted(each.name for each in (FOLDER / kind).glob("*.so") if each.name not in WANTED))
