"""A real Synapse on loopback with an application service, and people who talk by plain HTTP.

In a virtual environment of its own (scripts/setup test), as it pins what the archiver doesn't. Where it doesn't
start, the test fails with what it logged.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

PATIENCE = 90.0
PYTHON = Path(__file__).parents[2] / ".venv-synapse" / "bin" / "python"
SERVER = "hs.test"
SECRET = "reg-secret"  # of a server that lives as long as a test

CONFIGURATION = """
server_name: {server}
listeners: [{{ port: {port}, bind_addresses: [127.0.0.1], type: http, resources: [{{ names: [client] }}] }}]
database: {{ name: sqlite3, args: {{ database: {directory}/hs.sqlite }} }}
log_config: {directory}/log.yaml
media_store_path: {directory}/media
signing_key_path: {directory}/signing.key
registration_shared_secret: {secret}
macaroon_secret_key: mac-secret
form_secret: form-secret
bcrypt_rounds: 4
report_stats: false
trusted_key_servers: []
federation_domain_whitelist: []
app_service_config_files: [{services}]
rc_message: &fast {{ per_second: 10000, burst_count: 10000 }}
rc_registration: *fast
rc_room_creation: *fast
rc_login: {{ address: *fast, account: *fast }}
rc_joins: {{ local: *fast }}
rc_joins_per_room: *fast
rc_invites: {{ per_room: *fast, per_user: *fast, per_issuer: *fast }}
"""
LOGGING = """
version: 1
disable_existing_loggers: false
formatters: {{ f: {{ format: '%(asctime)s %(levelname)s %(name)s %(message)s' }} }}
handlers: {{ f: {{ class: logging.FileHandler, formatter: f, filename: {directory}/hs.log }} }}
root: {{ level: INFO, handlers: [f] }}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Synapse:
    """Start, stop and start again: what it knows stays in its directory."""

    def __init__(self, directory: Path, port: int) -> None:
        assert PYTHON.exists(), "needs Synapse: scripts/setup test"
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *services: Path) -> None:
        """With the registrations of these application services."""
        configuration = self.directory / "hs.yaml"
        values = {"directory": self.directory, "port": self._port, "server": SERVER, "secret": SECRET}
        configuration.write_text(CONFIGURATION.format(services=", ".join(map(str, services)), **values))
        (self.directory / "log.yaml").write_text(LOGGING.format(directory=self.directory))
        command = [str(PYTHON), "-m", "synapse.app.homeserver", "-c", str(configuration)]
        if not (self.directory / "signing.key").exists():
            subprocess.run([*command, "--generate-keys"], cwd=self.directory, check=True, capture_output=True)
        with (self.directory / "out.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if httpx2.get(f"{self.url}/health", timeout=1).is_success:
                    return
            except httpx2.HTTPError:
                time.sleep(0.1)
        logged = [path.read_text("utf-8", "replace")[-3000:] for path in self.directory.glob("*.log")]
        raise AssertionError("Synapse didn't start:\n" + "\n".join(logged))

    def has_told(self) -> None:
        """Wait until its services were told of everything: told after a restart, it would be nothing from before."""
        end = time.monotonic() + PATIENCE
        while not self.is_taken_up():
            assert time.monotonic() < end, "Synapse doesn't tell its services"
            time.sleep(0.05)

    def is_taken_up(self) -> bool:
        """Whether its services have everything, and have said so."""
        told = "SELECT max(stream_ordering) <= (SELECT stream_ordering FROM appservice_stream_position) FROM events"
        with closing(sqlite3.connect(f"file:{self.directory}/hs.sqlite?mode=ro", uri=True)) as database:
            waiting = database.execute("SELECT count(*) FROM application_services_txns").fetchone()[0]
            return bool(database.execute(told).fetchone()[0]) and not waiting

    def events(self) -> set[str]:
        """The ids of all there are."""
        with closing(sqlite3.connect(f"file:{self.directory}/hs.sqlite?mode=ro", uri=True)) as database:
            return {identity for (identity,) in database.execute("SELECT event_id FROM events")}

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._process = None

    def person(self, name: str, shown: str | None = None, *, rank: str = "notadmin") -> Person:
        """A new account."""
        path = f"{self.url}/_synapse/admin/v1/register"
        nonce = httpx2.get(path, timeout=30).json()["nonce"]
        digest = hmac.new(SECRET.encode(), f"{nonce}\0{name}\0pass-{name}\0{rank}".encode(), hashlib.sha1)
        body: dict[str, Any] = {"nonce": nonce, "username": name, "password": f"pass-{name}", "mac": digest.hexdigest()}
        body["admin"] = rank == "admin"
        answer = httpx2.post(path, json=body, timeout=30)
        assert answer.is_success, answer.text
        made = Person(self.url, answer.json()["user_id"], answer.json()["access_token"])
        if shown is not None:
            made.asks("PUT", f"/profile/{quote(made.id)}/displayname", {"displayname": shown})
        return made


class Person:
    """Somebody with a client of their own. `asks` raises where the homeserver says no."""

    def __init__(self, url: str, identity: str, token: str) -> None:
        self.id = identity
        self.token = token
        self._client = httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        self._count = time.monotonic_ns()

    def asks(self, method: str, path: str, body: Any = None, *, root: str = "/_matrix/client/v3") -> Any:
        answer = self._client.request(method, f"{root}{path}", json=body if body is not None else {})
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def room(self, **more: Any) -> str:
        return str(self.asks("POST", "/createRoom", {"preset": "private_chat", **more})["room_id"])

    def direct(self, other: Person) -> str:
        """A room of two as clients make one."""
        return self.room(preset="trusted_private_chat", is_direct=True, invite=[other.id])

    def send(self, room: str, content: Any, type_: str = "m.room.message") -> str:
        self._count += 1
        path = f"/rooms/{quote(room)}/send/{type_}/{self._count}"
        return str(self.asks("PUT", path, content)["event_id"])

    def says(self, room: str, text: str, **more: Any) -> str:
        return self.send(room, {"msgtype": "m.text", "body": text, **more})

    def edits(self, room: str, event: str, text: str) -> str:
        new = {"msgtype": "m.text", "body": text}
        return self.says(
            room, f"* {text}", **{"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": event}}
        )

    def reacts(self, room: str, event: str, key: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": event, "key": key}
        return self.send(room, {"m.relates_to": relation}, "m.reaction")

    def redacts(self, room: str, event: str, reason: str = "") -> str:
        self._count += 1
        path = f"/rooms/{quote(room)}/redact/{quote(event)}/{self._count}"
        return str(self.asks("PUT", path, {"reason": reason} if reason else {})["event_id"])

    def state(self, room: str, type_: str, content: Any) -> str:
        return str(self.asks("PUT", f"/rooms/{quote(room)}/state/{type_}/", content)["event_id"])

    def uploads(self, content: bytes, name: str, kind: str = "application/octet-stream") -> str:
        answer = self._client.post(
            "/_matrix/media/v3/upload", params={"filename": name}, content=content, headers={"Content-Type": kind}
        )
        assert answer.is_success, answer.text
        return str(answer.json()["content_uri"])

    def shares(self, room: str, content: bytes, name: str, kind: str = "application/octet-stream") -> str:
        info = {"mimetype": kind, "size": len(content)}
        url = self.uploads(content, name, kind)
        return self.send(room, {"msgtype": "m.file", "body": name, "url": url, "info": info})

    def invites(self, room: str, other: Person) -> None:
        self.asks("POST", f"/rooms/{quote(room)}/invite", {"user_id": other.id})

    def joins(self, room: str) -> None:
        self.asks("POST", f"/join/{quote(room)}")

    def shows(self, room: str, name: str) -> None:
        """By which name, in this room."""
        path = f"/rooms/{quote(room)}/state/m.room.member/{quote(self.id)}"
        self.asks("PUT", path, {"membership": "join", "displayname": name})

    def leaves(self, room: str, reason: str = "") -> None:
        self.asks("POST", f"/rooms/{quote(room)}/leave", {"reason": reason} if reason else {})

    def sends_away(self, room: str, other: Person, reason: str = "", *, how: str = "kick") -> None:
        self.asks("POST", f"/rooms/{quote(room)}/{how}", {"user_id": other.id, "reason": reason})

    def upgrades(self, room: str, version: str) -> str:
        return str(self.asks("POST", f"/rooms/{quote(room)}/upgrade", {"new_version": version})["replacement_room"])


@contextmanager
def synapse(directory: Path, port: int, *services: Path) -> Iterator[Synapse]:
    made = Synapse(directory, port)
    try:
        made.start(*services)
        yield made
    finally:
        made.stop()
