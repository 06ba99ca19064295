"""Processes and what they hear: signals, listeners, locks, pipes, terminals; each with its exit status."""

from __future__ import annotations

import json
import os
import pty
import signal
import smtplib
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from builders import HOUR, say

from archiver.events import ndjson
from archiver.exceptions import ArchiverError
from archiver.spool import Feed, Spool
from system.archives import ARCHIVER, ROOT, archiver, listing

pytestmark = pytest.mark.slow

PEOPLE = ["alice@example.org", "bob@example.org"]
PATIENCE = 30.0
MIB = 1024 * 1024


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


class Running:
    """A process of the command, and what it has said so far."""

    def __init__(self, data: Path, *arguments: str, config: Path | None = None, **environment: str) -> None:
        self._log = data.parent / f"{'-'.join(arguments).replace('/', '_')[:60]}.{time.monotonic_ns()}.log"
        named = [] if config is None else ["--config", str(config)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*ARCHIVER, "--data", str(data), *named, *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def says(self, text: str) -> None:
        until(lambda: text in self.said or self.process.poll() is not None, text)
        assert text in self.said, self.said

    def ends(self, status: int) -> str:
        assert self.process.wait(PATIENCE) == status, self.said
        return self.said


@contextmanager
def running(data: Path, *arguments: str, config: Path | None = None, **environment: str) -> Iterator[Running]:
    made = Running(data, *arguments, config=config, **environment)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def written(path: Path, port: int, more: str = "") -> Path:
    path.write_text(f'[smtp]\nlisten = "127.0.0.1:{port}"\n[schedule]\nevery = "1s"\n[log]\nformat = "json"\n{more}')
    return path


@pytest.fixture
def config(tmp_path: Path, free_port: Callable[[], int]) -> Path:
    return written(tmp_path / "archiver.toml", free_port())


def answers(port: int) -> bool:
    """Soon: a client that comes in the moment of closing is dropped without a word."""
    with suppress(OSError), smtplib.SMTP("127.0.0.1", port, timeout=1) as client:
        return client.noop()[0] == 250
    return False


def events(path: Path, rooms: int = 1, lines: int = 4) -> str:
    path.write_bytes(
        ndjson(
            say(PEOPLE[n % 2], f"line {n}", room * HOUR + n, id=f"{room}-{n}", room=f"r{room}", present=PEOPLE)
            for room in range(rooms)
            for n in range(lines)
        )
    )
    return str(path)


# --- the daemon


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_to_stop_ends_with_0_and_frees_everything(tmp_path, config, number):
    data = tmp_path / "data"
    with running(data, "run", config=config) as daemon:
        daemon.says('"running"')
        daemon.process.send_signal(number)
        assert '"stopped"' in daemon.ends(0)
        assert "Traceback" not in daemon.said
    archiver(data, "run", "--once", config=config)


def test_all_threads_share_one_arena(tmp_path, config):
    """glibc reserves 64 MiB for each further one (malloc's `HEAP_MAX_SIZE`), and keeps in it what its thread frees."""
    with running(tmp_path / "data", "run", config=config) as daemon:
        daemon.says("running")
        process = Path(f"/proc/{daemon.process.pid}")
        assert len(list((process / "task").iterdir())) > 3
        assert not [line for line in (process / "maps").read_text().splitlines() if reserved(line) > 32 * MIB]


def reserved(line: str) -> int:
    """Bytes of a mapping without name that nobody may use yet (proc_pid_maps(5))."""
    span, permissions, *_, inode = line.split()[:5]
    first, last = (int(each, 16) for each in span.split("-"))
    return last - first if permissions == "---p" and inode == "0" else 0


def test_a_mail_in_the_middle_of_coming_in_is_taken_before_the_end(tmp_path, config, free_port):
    port = free_port()
    written(config, port)
    with running(tmp_path / "data", "run", config=config) as daemon:
        daemon.says('"running"')
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo()
            client.mail("alice@example.org")
            client.rcpt("archive@example.org")
            assert client.docmd("DATA")[0] == 354
            client.send(b"From: alice@example.org\r\nTo: bob@example.org\r\nMessage-ID: <1@example.org>\r\n")
            daemon.process.send_signal(signal.SIGTERM)
            until(lambda: not answers(port), "the listener to close")
            client.send(b"Subject: late\r\n\r\nhello\r\n.\r\n")
            assert client.getreply()[0] == 250
        daemon.ends(0)
    with Spool.open(tmp_path / "data") as spool:
        assert spool.totals().spooled == 1


def test_what_is_spooled_is_filed_at_the_start_not_only_after_the_first_interval(tmp_path, config):
    data = tmp_path / "data"
    with Spool.open(data) as spool:
        feed = spool.open_feed("import:x", "import").number
        spool.append([say(PEOPLE[0], "hello", 0, present=PEOPLE)], feed)
        spool.close_feed(feed, 1)
    config.write_text(config.read_text().replace('"1s"', '"1h"'))
    with running(data, "run", config=config):
        until(lambda: len(listing(data)) == 2, "two items")


def test_a_daemon_killed_in_the_middle_leaves_nothing_stuck(tmp_path, config):
    data = tmp_path / "data"
    with Spool.open(data) as spool:
        feed = spool.open_feed("import:x", "import").number
        spool.append([say(PEOPLE[0], "hello", n, id=str(n), room=f"r{n}", present=PEOPLE) for n in range(300)], feed)
        spool.close_feed(feed, 1)
    with running(data, "run", config=config) as daemon:
        until(lambda: listing(data), "the first item")
        daemon.process.kill()
    archiver(data, "run", "--once", config=config)
    assert json.loads(archiver(data, "status", "--json"))["totals"]["waiting"] == 0
    assert len(listing(data)) == 600


def test_a_second_instance_of_either_kind_is_refused_and_told_who_is_there(tmp_path, config):
    data = tmp_path / "data"
    with running(data, "run", config=config) as daemon:
        daemon.says('"running"')
        for arguments in (["run"], ["run", "--once"]):
            with running(data, *arguments, config=config) as second:
                said = second.ends(3)
            assert f"process {daemon.process.pid}" in said and "Traceback" not in said
        assert daemon.process.poll() is None
        archiver(
            data, "backfill", "events", events(tmp_path / "e.ndjson"), config=config
        )  # beside it, at the same time
        assert len(listing(data)) == 2


def test_a_port_in_use_is_the_machines_fault_and_says_so(tmp_path, config):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        written(config, taken.getsockname()[1])
        with running(tmp_path / "data", "run", config=config) as daemon:
            said = daemon.ends(3)
    assert "can't listen on" in said and "choose another address" in said and "Traceback" not in said


def test_sighup_moves_the_listener_and_the_level_of_the_log(tmp_path, config, free_port):
    first, second = free_port(), free_port()
    written(config, first)
    with running(tmp_path / "data", "run", config=config) as daemon:
        until(lambda: answers(first), "the first port")
        written(config, second, 'level = "debug"\n')
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: answers(second), "the second port")
        assert not answers(first)
        daemon.says('"level": "debug"')
        assert daemon.process.poll() is None


def test_sighup_to_a_port_in_use_keeps_the_daemon_and_a_further_one_mends_it(tmp_path, config, free_port):
    first = free_port()
    written(config, first)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        running(tmp_path / "data", "run", config=config) as daemon,
    ):
        until(lambda: answers(first), "the first port")
        written(config, taken.getsockname()[1])
        daemon.process.send_signal(signal.SIGHUP)
        daemon.says("not capturing")
        written(config, first)
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: answers(first), "the first port again")


def test_a_bad_configuration_at_sighup_is_told_whole(tmp_path, config):
    with running(tmp_path / "data", "run", config=config) as daemon:
        daemon.says('"running"')
        config.write_text('[smtp]\nlisten = 12\n[schedule]\nevery = "never"\n')
        daemon.process.send_signal(signal.SIGHUP)
        daemon.says("configuration not taken up")
        until(lambda: "schedule.every" in daemon.said and "smtp.listen" in daemon.said, "both problems")
        assert daemon.process.poll() is None


def test_systemd_hears_when_it_is_ready_and_when_it_stops(tmp_path, config, data_dir):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(data_dir / "notify"))
        listening.settimeout(PATIENCE)
        with running(tmp_path / "data", "run", config=config, NOTIFY_SOCKET=str(data_dir / "notify")) as daemon:
            assert listening.recv(100) == b"READY=1"
            daemon.process.send_signal(signal.SIGTERM)
            assert listening.recv(100) == b"STOPPING=1"
            daemon.ends(0)


# --- backfill


def test_a_second_backfill_waits_says_who_is_first_and_goes_on_by_itself(tmp_path):
    data, path = tmp_path / "data", events(tmp_path / "e.ndjson")
    with Spool.open(data) as spool:
        lock = spool.hold("backfill", "the first one (process 1)")
        with running(data, "backfill", "events", path) as waiting:
            waiting.says("Waiting: first comes the first one (process 1)")
            assert spool.totals().spooled == 0 and waiting.process.poll() is None
            lock.release()
            assert "4 new" in waiting.ends(0)


def feeds_of(data: Path) -> list[Feed]:
    with suppress(ArchiverError, sqlite3.OperationalError), Spool.open(data, readonly=True) as spool:
        return spool.feeds()
    return []  # it isn't made yet, or only half


def test_an_interrupted_backfill_says_that_it_goes_on_and_does(tmp_path):
    data, long = tmp_path / "data", tmp_path / "long.ndjson"
    events(long, lines=100_000)  # some seconds to read: the signal comes long before its end
    with running(data, "backfill", "events", str(long)) as reading:
        until(lambda: feeds_of(data), "its feed")
        reading.process.send_signal(signal.SIGINT)
        said = reading.ends(130)
    assert "run the same command again" in said and "Traceback" not in said
    assert '"dead"' in archiver(data, "status", "--json")
    events(long)
    assert "Read 4 events" in archiver(data, "backfill", "events", str(long))
    assert '"dead"' not in archiver(data, "status", "--json")


# --- pipes and terminals


@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "--json"], ["inspect", PEOPLE[0], "1", "--raw"]])
def test_a_reader_that_goes_away_is_no_fault(tmp_path, arguments):
    data = tmp_path / "data"
    archiver(data, "backfill", "events", events(tmp_path / "e.ndjson", lines=900))
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*ARCHIVER, "--data", str(data), *arguments], cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE, timeout=PATIENCE
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_without_unicode_gets_escapes(tmp_path):
    data, path = tmp_path / "data", tmp_path / "e.ndjson"
    path.write_bytes(ndjson([say(PEOPLE[0], "交談", 0, present=PEOPLE)]))
    archiver(data, "backfill", "events", str(path))
    done = subprocess.run(
        [*ARCHIVER, "--data", str(data), "inspect", PEOPLE[0], "1"],
        cwd=ROOT,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        timeout=PATIENCE,
    )
    assert done.returncode == 0 and rb"\u4ea4\u8ac7" in done.stdout


def on_a_terminal(data: Path, *arguments: str) -> bytes:
    """Run with a terminal for output and errors; what it showed."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [*ARCHIVER, "--data", str(data), *arguments], cwd=ROOT, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # EIO: the other side has closed it
        while more := os.read(ours, 65_536):
            shown += more
    os.close(ours)
    assert process.wait(PATIENCE) == 0, shown
    return shown


def test_a_terminal_sees_progress_and_a_pipe_does_not(tmp_path):
    path = events(tmp_path / "e.ndjson", rooms=50)
    shown = on_a_terminal(tmp_path / "one", "backfill", "events", path)
    assert b"reading e.ndjson" in shown and b"200 new" in shown
    assert "reading" not in archiver(tmp_path / "two", "backfill", "events", path)


def test_raw_bytes_do_a_terminal_no_harm(tmp_path):
    data, path = tmp_path / "data", tmp_path / "e.ndjson"
    path.write_bytes(ndjson([say(PEOPLE[0], "evil \x9b2J \u202e", 0, present=PEOPLE)]))
    archiver(data, "backfill", "events", str(path))
    for option in ("--raw", "--events"):
        shown = on_a_terminal(data, "inspect", PEOPLE[0], "1", option).decode()
        assert not set(shown) & set("\x9b\u202e\x1b")
