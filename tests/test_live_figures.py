"""The seven figures of every kind of live source, wherever they are told; and that one whose loop is stuck stops none.

Last event, rate, lag, gaps, duplicates, conflicts, quarantined: in `status`, in its JSON, and for Prometheus.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from component_server import forwarded, said
from contracts.source import eventually
from every_source import NAMES, Everything, event
from janus_builder import group, textroom
from janus_builder import posted as in_textroom
from sip_builder import answer, hep, request
from test_bad_input import FLUENT, KEY, by_datagram, by_mail, posted, to_gateway, to_janus, to_slack, to_xmpp
from test_sources_matrix import CREATED
from test_sources_matrix import event as happened
from xmpp_builder import body, in_room

from archiver.cli import main
from archiver.config.sources import SOURCES
from archiver.daemon.supervision import BEHIND
from archiver.sources import looping
from archiver.sources.sip import tracking

SLACK = Path(__file__).parent.parent / "fixtures" / "webhooks" / "slack" / "message.json"
LINES = "application/x-ndjson"


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[Everything]:
    made = Everything(tmp_path)
    yield made
    made.close()


def mail(text: str, number: int = 1) -> str:
    head = f"From: ann@a.example\r\nTo: bob@b.example\r\nMessage-ID: <{number}@a.example>\r\n"
    return f"{head}Date: Tue, 05 Mar 2024 15:04:10 +0000\r\n{text}\r\n."


def mailed(text: str) -> Any:
    return by_mail("smtp:mail", "MAIL FROM:<ann@a.example>", "RCPT TO:<j@x.example>", "DATA", text)


def in_transaction(number: int, *events: Any) -> Any:
    content = json.dumps({"events": events}).encode()
    path = f"/_matrix/app/v1/transactions/{number}"
    return lambda at: posted(at, "matrix:office", path, content, "PUT", "h" * 64)


def packets(*said: bytes) -> Any:
    return by_datagram(*(hep(each, key=KEY) for each in said))


def to_component(text: str) -> Any:
    return lambda at: at.components.say(text)


class Told(NamedTuple):
    """What a source is sent, and then: taken, again, conflicts, quarantined; and what it knows to be lost, if it can.

    SIP, Janus and the component tell nothing twice that they know themselves, so nothing of theirs comes again.
    """

    sent: tuple[Any, ...]
    counts: tuple[int, int, int, int]
    lost: int | None = None


ONE, OTHER = event("test:gateway", "1"), event("test:gateway", "1", "something else")
DELIVERY = SLACK.read_bytes()
IN_ROOM = in_room(body("x"), id="m1")
IN_MATRIX = happened("m.room.message", event_id="$one", content={"msgtype": "m.text", "body": "one"})
SEALED = 'Content-Type: application/ms-tnef; name="winmail.dat"\r\nContent-Transfer-Encoding: base64\r\n\r\neJ8+IgAA'
JOIN = group(textroom("join"))

TOLD = {
    "http:gateway": Told(
        (to_gateway(ONE), to_gateway(ONE), to_gateway(OTHER), to_gateway(b'{"a":1}\n', media_type=LINES)), (1, 1, 1, 1)
    ),
    "smtp:mail": Told(
        (mailed(mail("\r\none")), mailed(mail("\r\none")), mailed(mail("\r\nother")), mailed(mail(SEALED, 2))),
        (1, 1, 1, 1),
    ),
    "webhook:slack": Told(
        (to_slack(DELIVERY), to_slack(DELIVERY), to_slack(DELIVERY.replace(b"Hello", b"Hallo")), to_slack(b"{")),
        (1, 1, 1, 1),
    ),
    "xmpp:server": Told(
        (
            to_xmpp(IN_ROOM),
            to_xmpp(IN_ROOM),
            to_xmpp(IN_ROOM | {"stanza": IN_ROOM["stanza"].replace("x</body>", "y</body>")}),
            to_xmpp({"id": "no more"}),
        ),
        (1, 1, 1, 1),
    ),
    "xmpp-component:plain": Told(
        (to_component(forwarded(said("one")) * 3), to_component(forwarded(""))), (1, 0, 0, 1), 0
    ),
    "matrix:office": Told(
        (
            in_transaction(1, CREATED, IN_MATRIX),
            in_transaction(2, IN_MATRIX),
            in_transaction(3, IN_MATRIX | {"content": {"msgtype": "m.text", "body": "other"}}),
            in_transaction(4, 7),
        ),
        (2, 1, 1, 1),
        0,
    ),
    "sip:proxy": Told((packets(request(), answer(), answer(call="never seen")), packets(b"nonsense")), (1, 0, 0, 1), 1),
    "janus:meeting": Told(
        (
            to_janus("/events", group(textroom("join"))),
            to_janus("/textroom", in_textroom("hello")),
            to_janus("/events", b"{"),
        ),
        (3, 0, 0, 1),
        0,
    ),
}
COLUMNS = ("source", "last event", "a minute", "lag", "taken", "again", "conflicts", "bad", "refused", "lost")


def test_every_type_of_source_is_looked_at() -> None:
    assert {name.partition(":")[0] for name in TOLD} == set(SOURCES) == {name.partition(":")[0] for name in NAMES}


@pytest.mark.parametrize("name", TOLD)
def test_all_seven_figures_are_told_in_three_places(
    everything: Everything, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(tracking, "SETTLE", 0.1)
    told, before = TOLD[name], time.time()
    for send in told.sent:
        send(everything)
    assert eventually(lambda: counts(everything, name) == told.counts), counts(everything, name)
    assert eventually(lambda: everything.source(name).signs().gaps == told.lost)
    everything.capture.contact()
    figures = everything.figures()
    lag, heard = (
        figures["archiver_source_lag_seconds", name],
        figures["archiver_source_last_event_timestamp_seconds", name],
    )
    assert figures["archiver_source_events_per_second", name] == pytest.approx(sum(told.counts) / 60)
    assert before <= heard <= time.time() and lag > 0
    assert figures.get(("archiver_source_gaps_total", name)) == told.lost

    feed = in_json(everything, name)
    reading = feed["reading"]
    assert (feed["accepted"], feed["duplicates"], feed["conflicts"], feed["quarantined"]) == told.counts
    assert (reading["gaps"], reading["refused"]) == (told.lost, 0)
    assert reading["rate"] == pytest.approx(sum(told.counts) / 60)
    assert (reading["heard"] / 1e6, reading["lag"] / 1e6) == (pytest.approx(heard), pytest.approx(lag))

    row = in_text(everything, name)
    lost = "unknown" if told.lost is None else str(told.lost)
    assert row[-6:] == [*map(str, told.counts), "0", lost]
    assert row[-7] == "s" and float(row[-8].replace(",", "")) == pytest.approx(lag, abs=0.06)
    assert row[-9] == f"{sum(told.counts):,}"
    assert row[1] == time.strftime("%Y-%m-%d", time.gmtime(heard))


def counts(everything: Everything, name: str) -> tuple[float, ...]:
    figures = everything.figures()
    outcomes = ("accepted", "duplicate", "conflict", "quarantined")
    return tuple(figures["archiver_source_events_total", name, each] for each in outcomes)


def in_json(everything: Everything, name: str) -> dict[str, Any]:
    shown = json.loads(CliRunner().invoke(main, ["--data", str(everything.data), "--json", "status"]).output)
    return next(feed for feed in shown["feeds"] if feed["name"] == name)


def in_text(everything: Everything, name: str) -> list[str]:
    shown = CliRunner().invoke(main, ["--data", str(everything.data), "status"]).output
    head, _, rest = shown.partition("Live sources")[2].partition("\n")[2].partition("\n")
    assert [column for column in COLUMNS if column not in head] == []
    return next(line.split() for line in rest.splitlines() if line.startswith(name))


# --- One that is stuck: its loop turns no more, and its thread lives


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "http:neighbour"])
def test_a_source_whose_loop_is_stuck_stops_no_other(
    everything: Everything, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(looping, "LOOK", 0.2)
    monkeypatch.setattr(looping, "LOOKS", 5)
    gate, stuck = threading.Event(), everything.source(name)
    stuck._loop._loop.call_soon_threadsafe(gate.wait, 60)
    try:
        with everything.neighbour() as took:
            assert eventually(lambda: everything.capture.faults().keys() == {name})
            assert everything.capture.faults()[name] == "it doesn't answer"
            everything.capture.watch(time.monotonic())
            assert eventually(lambda: everything.capture.faults() == {}), "another takes its place"
            assert everything.source(name) is not stuck
            everything.capture.contact()
        assert len(took) > 3 and min(took) > 0 and max(took) < FLUENT
        row = in_json(everything, name)
        assert row["reading"]["restarts"] == 1 and row["reading"]["fault"] in ("", BEHIND)
    finally:
        gate.set()
