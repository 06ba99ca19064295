"""The daemon as a process: mail in, items out, signals, and the exit statuses of the command."""

from __future__ import annotations

import http.client
import json
import os
import signal
import smtplib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
from builders import say

from archiver.events import ndjson
from system.archives import ARCHIVER, ROOT, archiver, listing, parsed, said, text_of

pytestmark = pytest.mark.slow

PEOPLE = ["alice@example.org", "bob@example.org"]
PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "archiver.toml"
    path.write_text(f'[smtp]\nlisten = "127.0.0.1:{free_port()}"\n[schedule]\nevery = "1s"\n[log]\nformat = "json"\n')
    return path


SECRET = "a-secret-that-nobody-guesses"


def post(port: int, events: bytes) -> tuple[int, dict[str, int]]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {SECRET}"}
    client.request("POST", "/events", events, headers)
    reply = client.getresponse()
    return reply.status, json.loads(reply.read())["outcomes"]


def asked(port: int, path: str) -> str:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    client.request("GET", path)
    return client.getresponse().read().decode()


def test_events_come_in_over_http_beside_a_source_that_fails(tmp_path: Path, config: Path) -> None:
    """And after SIGHUP the one that failed runs too, while the other never stopped."""
    data, port = tmp_path / "data", free_port()
    table = (
        '[[source]]\ntype = "http"\nname = "{}"\nlisten = "127.0.0.1:{}"\n'
        '[[source.token]]\nname = "x"\nsources = ["*"]\nfile = "{}"\n'
    )
    (tmp_path / "token").write_text(SECRET)
    good = config.read_text() + table.format("good", port, tmp_path / "token")
    good = f'[monitor]\nlisten = "127.0.0.1:{(watch := free_port())}"\n{good}'
    config.write_text(good + table.format("bad", other := free_port(), tmp_path / "no-token"))
    pieces = [say(PEOPLE[n % 2], f"line {n}", n, where="im", room="ab", present=PEOPLE) for n in range(4)]
    with daemon(data, config) as process:
        assert b"no-token" in log_of(data)
        assert post(port, ndjson(pieces)) == (200, {"accepted": 4})
        assert post(port, ndjson(pieces)) == (200, {"duplicate": 4})
        assert 'archiver_source_events_total{outcome="duplicate",source="http:good"} 4.0' in asked(watch, "/metrics")
        assert "http:bad" in asked(watch, "/ready")
        until(lambda: len(listing(data)) == 2, "two items")
        held = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        held.request("GET", "/health")
        assert held.getresponse().read()
        config.write_text(good + table.format("bad", other, tmp_path / "token"))
        process.send_signal(signal.SIGHUP)
        until(lambda: log_of(data).count(b'"source_started"') == 3, "the other source")
        assert post(other, ndjson(pieces)) == (200, {"duplicate": 4})
        held.request("GET", "/health")  # the same connection: this one was left alone
        assert held.getresponse().read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    items = {name.split("/")[1]: parsed(content) for name, (_, content) in listing(data).items()}
    assert [text for _, text in said(items["alice"])] == [f"line {n}" for n in range(4)]
    told = json.loads(archiver(data, "--json", "status"))
    assert {feed["name"]: feed["accepted"] for feed in told["feeds"]} == {"smtp:mail": 0, "http:good": 4, "http:bad": 0}


def port_of(config: Path) -> int:
    return int(config.read_text().split("127.0.0.1:")[1].split('"')[0])


@contextmanager
def daemon(data: Path, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = data.with_suffix(".log").open("ab")
    process = subprocess.Popen(
        [*ARCHIVER, "--data", str(data), "--config", str(config), "run"], cwd=ROOT, stderr=log, stdout=log
    )
    try:
        until(lambda: b'"running"' in log_of(data) or process.poll() is not None, "the daemon")
        assert process.poll() is None, log_of(data)
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def log_of(data: Path) -> bytes:
    path = data.with_suffix(".log")
    return path.read_bytes() if path.exists() else b""


def send(config: Path, message: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", port_of(config), timeout=PATIENCE) as client:
        client.send_message(message, PEOPLE[0], ["archive@example.org"])


def carrying_events() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = PEOPLE[0], "archive@example.org", "events"
    message.set_content("see attachment")
    events = [say(PEOPLE[n % 2], f"line {n}", n, where="im", room="ab", present=PEOPLE) for n in range(4)]
    message.add_attachment(ndjson(events), maintype="application", subtype="x-ndjson", filename="events.ndjson")
    return message


def plain_transcript() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Carol <carol@example.org>", PEOPLE[1], "Lunch"
    message["Date"], message["Message-ID"] = "Fri, 12 Oct 2012 10:00:00 +0000", "<lunch@example.org>"
    message.set_content("Shall we have lunch?")
    return message


def test_mail_comes_in_and_items_come_out(tmp_path: Path, config: Path) -> None:
    data = tmp_path / "data"
    with daemon(data, config) as process:
        send(config, carrying_events())
        send(config, carrying_events())  # the same again changes nothing
        send(config, plain_transcript())
        until(lambda: len(listing(data)) == 4, "four items")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    items = {name.split("/")[1]: parsed(content) for name, (_, content) in listing(data).items() if "carol" not in name}
    assert [text for _, text in said(items["alice"])] == [f"line {n}" for n in range(4)]
    (carols,) = [content for name, (_, content) in listing(data).items() if "carol" in name]
    assert "Shall we have lunch?" in text_of(parsed(carols))


def test_a_second_daemon_refuses_and_says_who_is_there(tmp_path: Path, config: Path) -> None:
    with daemon(tmp_path / "data", config) as process:
        second = subprocess.run(
            [*ARCHIVER, "--data", str(tmp_path / "data"), "--config", str(config), "run"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=PATIENCE,
        )
        assert second.returncode == 3
        assert f"process {process.pid}" in second.stderr and "Traceback" not in second.stderr


def test_sighup_takes_up_a_good_configuration_and_keeps_the_old_for_a_bad_one(tmp_path: Path, config: Path) -> None:
    data = tmp_path / "data"
    with daemon(data, config) as process:
        sound = config.read_text()
        config.write_text("[smtp]\nlisten = 12\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: b"configuration not taken up" in log_of(data), "the refusal")
        config.write_text(sound + "\n[history]\nenabled = false\n")
        process.send_signal(signal.SIGHUP)
        until(lambda: b"configuration taken up" in log_of(data), "the new configuration")
        send(config, carrying_events())

        def withheld() -> bool:
            return bool(json.loads(archiver(data, "status", "--json", config=config))["withheld"])

        until(withheld, "what is withheld")
        assert listing(data) == {}
        config.write_text(sound)
        process.send_signal(signal.SIGHUP)
        until(lambda: len(listing(data)) == 2, "what was withheld")


HANGING_UP = """
import os, signal, sys
from pathlib import Path
from archiver import daemon
from archiver.config import parse
from archiver.daemon.service import Daemon

told = []
stop = Daemon.stop

def load():
    told.append("loaded")
    os.kill(os.getpid(), signal.SIGHUP if len(told) == 1 else signal.SIGTERM)
    return parse({"smtp": {"enabled": False}})

def hanging_up(self):
    os.kill(os.getpid(), signal.SIGHUP)
    stop(self)

Daemon.stop = hanging_up
daemon.run(load, Path(sys.argv[1]))
print(*told)
"""


def test_a_sighup_while_it_starts_waits_and_one_while_it_stops_is_passed_over(tmp_path: Path) -> None:
    command = [*ARCHIVER[:1], "-c", HANGING_UP, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE)
    assert ended.returncode == 0 and ended.stdout.endswith("\nloaded loaded\n"), (ended.stdout, ended.stderr)


def test_a_version_too_old_withholds_until_the_mailbox_is_upgraded(tmp_path: Path) -> None:
    data, config = tmp_path / "data", tmp_path / "archiver.toml"
    config.write_text('[[mailbox]]\naddress = "bob@example.org"\nversion = "Version 14.3 (Build 123.4)"\n')
    events = [say(PEOPLE[n % 2], f"line {n}", n, room="ab", present=PEOPLE) for n in range(4)]
    path = tmp_path / "events.ndjson"
    path.write_bytes(ndjson(events))
    archiver(data, "backfill", "events", str(path), config=config)
    assert len(listing(data)) == 1
    (kept,) = json.loads(archiver(data, "--json", "status", config=config))["withheld"]
    assert kept["mailbox"] == "bob@example.org" and kept["bytes"] > 0
    assert "row 6" in kept["reason"] and "2010" in kept["reason"]
    config.write_text("")
    archiver(data, "run", "--once", config=config)
    assert len(listing(data)) == 2
    assert json.loads(archiver(data, "status", "--json", config=config))["withheld"] == []


def test_exit_statuses(tmp_path: Path) -> None:
    data = tmp_path / "data"
    archiver(data, "inspect")
    archiver(data, "doctor")
    archiver(data, "backfill", "events", str(tmp_path / "nowhere"), status=2)
    archiver(data, "backfill", status=2)
    archiver(data, "nonsense", status=2)
    archiver(data, "inspect", "nobody@example.org", status=2)
    bad = tmp_path / "bad.toml"
    bad.write_text('[store]\nversoin = "15.0"\nmode = "0777"\n')
    archiver(data, "status", status=2, config=bad)
    (tmp_path / "file").write_text("no directory")
    events = tmp_path / "events.ndjson"
    events.write_bytes(ndjson([say(PEOPLE[0], "x", 0, present=PEOPLE)]))
    archiver(tmp_path / "file" / "data", "backfill", "events", str(events), status=3)
    assert os.listdir(tmp_path / "data") == [] if data.exists() else True


def test_json_and_one_item_by_its_number_name_or_message_id(tmp_path: Path) -> None:
    data, events = tmp_path / "data", tmp_path / "events.ndjson"
    events.write_bytes(ndjson([say(PEOPLE[0], "hello", 0, present=PEOPLE), say(PEOPLE[1], "hi", 5)]))
    archiver(data, "backfill", str(events))  # recognised by looking
    (alice, _) = json.loads(archiver(data, "--json", "inspect"))
    assert (alice["mailbox"], alice["items"], alice["folder"]) == ("alice@example.org", 1, "Conversation History")
    (item,) = json.loads(archiver(data, "inspect", "alice@example.org", "--json"))
    for wanted in ("1", item["name"], item["message_id"], item["message_id"].strip("<>")[:12]):
        assert "Alice: hello" in archiver(data, "inspect", "alice@example.org", wanted)
    lines = archiver(data, "inspect", "alice@example.org", "1", "--events").splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["message.sent", "message.sent"]
    assert archiver(data, "inspect", "alice@example.org", "1", "--raw").startswith("Date: ")
