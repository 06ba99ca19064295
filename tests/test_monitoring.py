"""What the daemon tells a monitoring system, and `status` of live sources."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import say
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from archiver import config as configuration
from archiver.addresses import normal
from archiver.assembly import terms_of
from archiver.cli import main
from archiver.daemon.capture import Capture
from archiver.daemon.critical import Critical
from archiver.daemon.metrics import CONTENT_TYPE, Metrics, of_critical_mode
from archiver.daemon.monitor import Monitor
from archiver.decisions.critical import Outage
from archiver.events import SECOND, Rejected
from archiver.exceptions import EnvironmentFault, TryLater
from archiver.sources.listening import Address
from archiver.sources.protocol import Signs
from archiver.spool import Spool
from archiver.spool.records import PutOff


class Quiet:
    """A source by hand."""

    blocking = False
    up = True
    fault = ""

    def __init__(self, name: str, signs: Signs | None = None, fault: Exception | None = None) -> None:
        self.name = name
        self.told = signs or Signs()
        self.fault = fault

    def probe(self) -> None:
        pass

    def start(self, accept: Any) -> None:
        if self.fault is not None:
            raise self.fault
        self.accept = accept

    def stop(self) -> None:
        pass

    def describe(self) -> str:
        return self.name

    def signs(self) -> Signs:
        return self.told


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def capture(spool: Spool) -> Iterator[Capture]:
    terms = terms_of(configuration.parse({}))
    made = Capture(spool, normal, Critical(spool, lambda: terms))
    yield made
    made.stop()


def figures(text: bytes) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, from the source on."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items(), reverse=True))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def critical_of(spool: Spool) -> Critical:
    terms = terms_of(configuration.parse({}))
    return Critical(spool, lambda: terms)


def test_each_source_has_its_figures(spool: Spool, capture: Capture) -> None:
    lossy = Quiet("hep:sip", Signs({"bad": 2}, gaps=7))
    capture.use(
        {
            "hep:sip": lambda: lossy,
            "http:chat": lambda: Quiet("http:chat"),
            "x:broken": lambda: Quiet("x", fault=OSError()),
        }
    )
    lossy.accept([say("ann@a.example", "one", 0, id="1"), Rejected(b"x", "p", "why")])
    lossy.accept([say("ann@a.example", "one", 0, id="1")])
    found = figures(Metrics(spool, capture, critical_of(spool)).text())
    assert [found["archiver_source_up", name] for name in ("hep:sip", "http:chat", "x:broken")] == [1, 1, 0]
    assert found["archiver_source_events_total", "hep:sip", "accepted"] == 1
    assert found["archiver_source_events_total", "hep:sip", "duplicate"] == 1
    assert found["archiver_source_events_total", "hep:sip", "quarantined"] == 1
    assert found["archiver_source_refused_total", "hep:sip", "bad"] == 2
    assert found["archiver_source_gaps_total", "hep:sip"] == 7
    assert ("archiver_source_gaps_total", "http:chat") not in found
    assert found["archiver_source_append_seconds_count", "hep:sip"] == 2
    assert found["archiver_source_append_seconds_bucket", "hep:sip", "+Inf"] == 2
    assert found["archiver_source_lag_seconds", "hep:sip"] > 1_000
    assert ("archiver_source_lag_seconds", "http:chat") not in found
    assert (found["archiver_spooled",], found["archiver_quarantined",]) == (1, 1)


def test_a_source_that_breaks_where_it_is_asked_hides_nothing(spool: Spool, capture: Capture) -> None:
    class Breaking(Quiet):
        @property
        def up(self) -> bool:  # type: ignore[override]
            raise ZeroDivisionError

    capture.use({"a": lambda: Breaking("a"), "b": lambda: Quiet("b")})
    found = figures(Metrics(spool, capture, critical_of(spool)).text())
    assert (found["archiver_source_up", "a"], found["archiver_source_up", "b"]) == (0, 1)


def test_critical_mode_is_told_by_pool() -> None:
    outages = {"chat": Outage("chat", 5 * SECOND, 3, "full", 10 * SECOND), "": Outage("", 9 * SECOND, 1, "full", None)}
    metrics = list(of_critical_mode(outages, [PutOff("chat", 4, 1)], 20 * SECOND))
    told = {(sample.name, *sample.labels.values()): sample.value for each in metrics for sample in each.samples}
    assert told == {
        ("archiver_critical_mode", "chat"): 1,
        ("archiver_critical_mode", ""): 0,
        ("archiver_unarchived_since_timestamp_seconds", "chat"): 5,
        ("archiver_unarchived_since_timestamp_seconds", ""): 9,
        ("archiver_put_off_events_total", "chat"): 4,
    }


class TestMonitor:
    @pytest.fixture
    def faults(self) -> dict[str, str]:
        return {}

    @pytest.fixture
    def monitor(self, faults: dict[str, str]) -> Iterator[Monitor]:
        def text() -> bytes:
            if "spool" in faults:
                raise TryLater("locked: /var/secret")
            return b"one 1\n"

        made = Monitor(Address(), text, lambda: dict(faults))
        made.start()
        yield made
        made.stop()
        made.stop()

    def ask(self, monitor: Monitor, path: str) -> tuple[int, str | None, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", monitor.address.port, timeout=20)
        client.request("GET", path)
        reply = client.getresponse()
        answer = reply.status, reply.headers["Content-Type"], reply.read()
        client.close()
        return answer

    def test_it_answers(self, monitor: Monitor, faults: dict[str, str]) -> None:
        assert self.ask(monitor, "/health")[0] == 200
        assert self.ask(monitor, "/ready")[0] == 200
        assert self.ask(monitor, "/metrics") == (200, CONTENT_TYPE, b"one 1\n")
        assert self.ask(monitor, "/events")[0] == 404
        faults["http:chat"] = "can't read /var/secret"
        status, _, body = self.ask(monitor, "/ready")
        assert (status, json.loads(body)["failing"]) == (503, ["http:chat"])
        assert b"secret" not in body and self.ask(monitor, "/health")[0] == 200

    def test_a_spool_that_can_not_be_read_is_told(self, monitor: Monitor, faults: dict[str, str]) -> None:
        faults["spool"] = ""
        status, _, body = self.ask(monitor, "/metrics")
        assert status == 503 and b"secret" not in body

    def test_a_place_that_is_taken_is_the_environments_fault(self, monitor: Monitor) -> None:
        with pytest.raises(EnvironmentFault):
            Monitor(Address(port=monitor.address.port), lambda: b"", dict).start()


def test_status_shows_how_live_sources_stand(spool: Spool, capture: Capture) -> None:
    source = Quiet("hep:sip", Signs({"bad": 2}, gaps=7))
    capture.use({"hep:sip": lambda: source})
    source.accept([say("ann@a.example", "one", 0, id="1"), say("ann@a.example", "two", 0, id="1")])
    capture.contact()
    shown = CliRunner().invoke(main, ["--data", str(spool.data), "status"]).output
    (line,) = (line for line in shown.splitlines() if line.startswith("hep:sip") and line.split()[-1] == "7")
    assert line.split()[-7:-6] != [] and line.split()[-5:] == ["0", "1", "0", "2", "7"]
    told = json.loads(CliRunner().invoke(main, ["--data", str(spool.data), "status", "--json"]).output)
    (feed,) = told["feeds"]
    assert feed["reading"]["gaps"] == 7 and feed["reading"]["refused"] == 2 and feed["reading"]["rate"] == 2 / 60
