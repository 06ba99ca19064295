"""Subscriptions of Microsoft Graph, against a small server that keeps them as the published API says."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from archiver.cli import main

URL = "https://archive.example.org/webhook"
STATE, SECRET = "the-client-state-of-all-subscriptions", "the-secret-of-the-application"
BOTH = ["teams/getAllMessages", "chats/getAllMessages"]


class Cloud:
    """Log-in and subscriptions of one tenant; two subscriptions a page."""

    def __init__(self) -> None:
        self.subscriptions: list[dict[str, Any]] = []
        self.refusing = self.foreign = False
        self.calls: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.cloud = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Cloud]:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        yield self
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, query: str, body: bytes, authorization: str) -> tuple[int, Any]:
        self.calls.append(f"{method} {path}")
        if path == "/contoso/oauth2/v2.0/token":
            asked = parse_qs(body.decode())
            assert asked["grant_type"] == ["client_credentials"] and asked["scope"] == [f"{self.url}/.default"]
            if asked["client_secret"] != [SECRET]:
                return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}
            return 200, {"access_token": "a-token", "expires_in": 3599}
        if not path.startswith("/v1.0/subscriptions"):
            return 404, {}
        assert authorization == "Bearer a-token"
        if self.refusing:
            return 403, {"error": {"code": "ExtensionError", "message": "Operation: Create; Missing role permissions"}}
        if method == "POST":
            made = json.loads(body) | {"id": f"s{len(self.calls)}"}
            self.subscriptions.append(made)
            return 201, made
        if method == "GET":
            start = int(parse_qs(query).get("skip", ["0"])[0])
            page: dict[str, Any] = {"value": self.subscriptions[start : start + 2]}
            host = "https://elsewhere.example.net" if self.foreign else self.url
            more = {"@odata.nextLink": f"{host}/v1.0/subscriptions?skip={start + 2}"}
            return 200, page | (more if len(self.subscriptions) > start + 2 or self.foreign else {})
        found = [each for each in self.subscriptions if path.endswith(f"/{each['id']}")]
        if not found:
            return 404, {"error": {"code": "ResourceNotFound"}}
        if method == "DELETE":
            self.subscriptions.remove(found[0])
            return 204, None
        found[0].update(json.loads(body))
        return 200, found[0]


class _Handler(BaseHTTPRequestHandler):
    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        cloud: Cloud = self.server.cloud  # type: ignore[attr-defined]
        status, content = cloud.answer(self.command, path, query, body, self.headers.get("Authorization", ""))
        answer = json.dumps(content).encode() if content is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = do_DELETE = _any

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud().running() as made:
        yield made


class Tool:
    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self._folder, self._cloud = folder, cloud
        self.new_key()
        (folder / "state").write_text(STATE)
        (folder / "secret").write_text(SECRET)
        self.configure(URL)

    def configure(self, url: str) -> None:
        (self._folder / "archiver.toml").write_text(
            f'[[source]]\ntype = "webhook"\nname = "teams"\nproduct = "graph"\nurl = "{url}"\n'
            f'decryption_key = "{self._folder / "graph.pem"}"\n'
            f'[[source.secret]]\nname = "graph"\nfile = "{self._folder / "state"}"\n'
        )

    def new_key(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        form = serialization.PrivateFormat.PKCS8
        content = self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        (self._folder / "graph.pem").write_bytes(content)

    def subscribe(self, *more: str, source: str = "teams", status: int = 0) -> Result:
        call = ["--config", str(self._folder / "archiver.toml"), "--json", "graph", "subscribe", source]
        call += ["--tenant", "contoso", "--client", "app", "--secret-file", str(self._folder / "secret")]
        result = CliRunner().invoke(main, [*call, "--graph", self._cloud.url, "--login", self._cloud.url, *more])
        assert result.exit_code == status, result.output
        return result

    def told(self, *more: str) -> list[tuple[str, bool]]:
        return [(each["resource"], each["made"]) for each in json.loads(self.subscribe(*more).stdout)]


@pytest.fixture
def tool(tmp_path: Path, cloud: Cloud) -> Tool:
    return Tool(tmp_path, cloud)


def test_it_is_made_as_graph_wants_it(tool: Tool, cloud: Cloud) -> None:
    assert tool.told() == [(each, True) for each in BOTH]
    first, second = cloud.subscriptions
    assert [first["resource"], second["resource"]] == BOTH
    assert first["notificationUrl"] == first["lifecycleNotificationUrl"] == URL
    assert first["includeResourceData"] is True and first["clientState"] == STATE
    certificate = x509.load_der_x509_certificate(base64.b64decode(first["encryptionCertificate"]))
    assert certificate.public_key() == tool.key.public_key()
    life = datetime.fromisoformat(first["expirationDateTime"]) - datetime.now(UTC)
    assert timedelta(days=2) < life <= timedelta(minutes=4_320), "no longer than messages' may live"


def test_run_again_it_renews_and_makes_nothing_twice(tool: Tool, cloud: Cloud) -> None:
    others = [
        {"id": f"o{n}", "resource": BOTH[0], "notificationUrl": f"https://other{n}.example.net"} for n in range(3)
    ]
    cloud.subscriptions += others
    tool.subscribe()
    for each in cloud.subscriptions:
        each["expirationDateTime"] = "2020-01-01T00:00:00Z"
    assert tool.told() == [(each, False) for each in BOTH]
    assert len(cloud.subscriptions) == 5 and cloud.subscriptions[:3] == others
    assert all(each["expirationDateTime"] > "2026" for each in cloud.subscriptions[3:])


def test_one_that_was_removed_is_made_anew_and_said_to_be(tool: Tool, cloud: Cloud) -> None:
    tool.subscribe()
    del cloud.subscriptions[0]
    assert tool.told() == [(BOTH[0], True), (BOTH[1], False)]


def test_one_for_another_key_is_made_anew(tool: Tool, cloud: Cloud) -> None:
    tool.subscribe()
    before = {each["id"] for each in cloud.subscriptions}
    tool.new_key()
    assert tool.told() == [(each, True) for each in BOTH]
    assert len(cloud.subscriptions) == 2 and not before & {each["id"] for each in cloud.subscriptions}


def test_less_than_all_is_subscribed_to(tool: Tool, cloud: Cloud) -> None:
    assert tool.told("--resource", "chats/19:a@thread.v2/messages") == [("chats/19:a@thread.v2/messages", True)]


def test_a_wrong_secret_and_missing_rights_are_told_in_graph_s_words(tool: Tool, cloud: Cloud, tmp_path: Path) -> None:
    cloud.refusing = True
    refused = tool.subscribe(status=3)
    assert "Missing role permissions" in refused.stderr and "ChannelMessage.Read.All" in refused.stderr
    (tmp_path / "secret").write_text("another-secret-than-the-application-has")
    refused = tool.subscribe(status=3)
    assert "AADSTS7000215" in refused.stderr and "another-secret" not in refused.output


def test_its_token_goes_nowhere_else(tool: Tool, cloud: Cloud) -> None:
    cloud.foreign = True
    assert "another server" in tool.subscribe(status=3).stderr


def test_nobody_there_and_nonsense_are_the_environment_s_faults(tool: Tool, cloud: Cloud) -> None:
    assert "isn't reached" in tool.subscribe("--login", "http://127.0.0.1:9", status=3).stderr
    assert "can't be read" in tool.subscribe("--login", f"{cloud.url}/nowhere", status=3).stderr


def test_what_the_configuration_lacks_is_said(tool: Tool) -> None:
    assert "there are: teams" in tool.subscribe(source="other", status=2).stderr
    tool.configure("http://archive.example.org/webhook")
    assert "https://" in tool.subscribe(status=2).stderr
