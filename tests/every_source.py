"""Every kind of live source at work in one process, as the daemon runs them, each on a free port of loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import component_server
import msgspec
from component_server import ComponentServer
from prometheus_client.parser import text_string_to_metric_families
from tls_strangers import files as tls_files

from archiver.addresses import normal
from archiver.assembly import terms_of
from archiver.config import parse
from archiver.daemon.capture import Capture
from archiver.daemon.critical import Critical
from archiver.daemon.metrics import Metrics
from archiver.daemon.sources import sources_of
from archiver.sources.credentials import digest_of
from archiver.sources.matrix import registration
from archiver.spool import Spool

SECRET = "a-secret-that-nobody-guesses"
OTHER = "another-secret-that-nobody-guesses"
HERE = "127.0.0.1:0"
SMALL = "64KiB"
MATRIX = registration.Registration("archiver-t", "http://127.0.0.1:1", "a" * 64, "h" * 64, "archiver")
NAMES = (
    "smtp:mail",
    "smtp:guarded",
    "http:gateway",
    "http:neighbour",
    "webhook:slack",
    "xmpp:server",
    "xmpp-component:plain",
    "sip:proxy",
    "matrix:office",
    "janus:meeting",
)


def tables(folder: Path, components: int) -> dict[str, Any]:
    """One source of each type, a second one of mail that asks for a log-in, and a neighbour with a token of its own.

    Those called secure are under TLS, which asks for a certificate where it can.
    `components` is the port of the component's server.
    """
    secret, file = folder / "secret", folder / "matrix.yaml"
    tls = tls_files(folder)
    own = {key: tls[key] for key in ("certificate", "key")}
    secret.write_text(SECRET)
    registration.save(file, registration.written(MATRIX, "hs.test"))

    def token(own: str, *sources: str) -> list[dict[str, Any]]:
        return [{"name": "sender", "sources": list(sources), "sha256": digest_of(own).hex()}]

    def source(type_: str, name: str, **more: Any) -> dict[str, Any]:
        return {"type": type_, "name": name, "listen": HERE, **more}

    named = [{"name": "sender", "file": str(secret)}]
    matrix = {"homeserver": "http://127.0.0.1:1", "registration": str(file)}
    return {
        "smtp": {"listen": HERE, "max_size": SMALL},
        "source": [
            source("smtp", "guarded", login=named),
            source("smtp", "secure", **own),
            source("http", "secure", token=token(SECRET, "test:secure"), **tls),
            source("http", "gateway", max_size=SMALL, token=token(SECRET, "test:gateway")),
            source("http", "neighbour", token=token(OTHER, "test:neighbour")),
            source("webhook", "slack", product="slack", secret=named, max_size=SMALL),
            source("xmpp", "server", max_size=SMALL, token=token(SECRET, "xmpp:*example.org")),
            {
                "type": "xmpp-component",
                "name": "plain",
                "server": f"127.0.0.1:{components}",
                "component": component_server.NAME,
                "hosts": [component_server.HOST],
                "secret": named,
            },
            source("sip", "proxy", key=named),
            source("matrix", "office", max_size="8MiB", **matrix),
            source("janus", "meeting", secret=named),
        ],
    }


class Everything:
    def __init__(self, folder: Path) -> None:
        self.components = ComponentServer(SECRET)
        config = parse(tables(folder, self.components.port))
        self.data = folder / "data"
        self._spool = Spool.open(self.data)
        terms = terms_of(config)
        self._critical = Critical(self._spool, lambda: terms)
        self.capture = Capture(self._spool, normal, self._critical)
        self.capture.use(sources_of(config, self.data))
        assert self.capture.faults() == {}
        self._numbers = count()

    def close(self) -> None:
        self.capture.stop()
        self._spool.close()
        self.components.close()

    def source(self, name: str) -> Any:
        return next(each.source for each in self.capture.running() if each.name == name)

    def port(self, name: str) -> int:
        source = self.source(name)
        return int((source.addresses[0] if name.startswith("smtp:") else source.address).port)

    def figures(self) -> dict[tuple[str, ...], float]:
        """As Prometheus is told them: each by its name and the values of its labels, from the source on."""
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items(), reverse=True))): sample.value
            for family in text_string_to_metric_families(
                Metrics(self._spool, self.capture, self._critical).text().decode()
            )
            for sample in family.samples
        }

    def tell(self) -> float:
        """An event of the neighbour's, taken; the seconds that took."""
        number, began = next(self._numbers), time.monotonic()
        client = HTTPConnection("127.0.0.1", self.port("http:neighbour"), timeout=30)
        try:
            headers = {"Authorization": f"Bearer {OTHER}", "Content-Type": "application/cloudevents+json"}
            client.request("POST", "/events", event("test:neighbour", f"n{number}"), headers)
            reply = client.getresponse()
            assert reply.status == 200, reply.read()
        finally:
            client.close()
        return time.monotonic() - began

    @contextmanager
    def neighbour(self) -> Iterator[list[float]]:
        """Goes on telling meanwhile, one after another; the seconds that each took, -1 for one that wasn't taken."""
        took: list[float] = []
        over = threading.Event()

        def tell() -> None:
            while not over.is_set():
                try:
                    took.append(self.tell())
                except Exception:
                    took.append(-1)

        thread = threading.Thread(target=tell)
        thread.start()
        try:
            yield took
        finally:
            over.set()
            thread.join()


def event(source: str, id: str, text: str = "hello") -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "source": source,
            "id": id,
            "type": "message.sent",
            "time": "2024-03-05T15:04:10Z",
            "data": {
                "conversation": {"id": "room", "kind": "group"},
                "actor": {"address": "ann@a.example"},
                "message": {"id": id, "text": text},
            },
        }
    )
