"""The scheduled job and the capture over a real spool and real folders: faults, bad places, stopping, waking."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from builders import HOUR, say
from contracts.source import eventually

from archiver import config as configuration
from archiver.addresses import normal
from archiver.assembly import terms_of
from archiver.daemon import service
from archiver.daemon.capture import Capture
from archiver.daemon.critical import Critical
from archiver.daemon.job import Job
from archiver.daemon.metering import Meter
from archiver.daemon.sources import Maker, sources_of
from archiver.daemon.supervision import BEHIND, STEADY
from archiver.events import SECOND, Outcome
from archiver.exceptions import ConfigError, EnvironmentFault, TryLater
from archiver.filing.gathering import ATTEMPTS
from archiver.filing.pipeline import Filer
from archiver.sources.protocol import Signs
from archiver.spool import Spool, places
from archiver.types import Exclusion

PEOPLE = ["alice@example.org", "bob@example.org"]
OLD = "Version 14.3 (Build 123.4)"
"""Its Conversation History of chats is closed, by row 6."""
VALUES = re.compile(r"[xX]?'(?:[^']|'')*'|\bNULL\b|-?\b\d+\b")
"""Literals of SQL, which a statement's trace has for its parameters."""


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.open(tmp_path / "data") as opened:
        yield opened


def bring(spool: Spool, *rooms: str, more: int = 0) -> None:
    """One conversation a room, long over."""
    feed = spool.open_feed("import:x", "import").number
    for room in rooms:
        events = [
            say(PEOPLE[n % 2], f"{room} {n}", more * HOUR + n, id=f"{room}-{more}-{n}", room=room, present=PEOPLE)
            for n in range(3)
        ]
        spool.append(events, feed)
    spool.close_feed(feed, 1)


def job_of(spool: Spool, stopping: Callable[[], bool] = lambda: False, **raw: Any) -> Job:
    return Job(spool, configuration.parse(raw), spool.data, stopping)


def filed(spool: Spool) -> list[str]:
    mail = spool.data / "mail"
    return sorted(str(p.relative_to(mail)) for p in mail.rglob("*") if p.parent.name in ("cur", "new"))


def make_due(spool: Spool) -> None:
    """As if the pause after a failure were over."""
    with spool._connections.writing() as transaction:
        transaction.connection.execute("UPDATE place SET due_at = 1 WHERE due_at IS NOT NULL")


# --- filing


def test_what_is_due_is_filed_and_then_nothing_is_left_to_do(spool):
    bring(spool, "a", "b")
    job = job_of(spool)
    assert job.file().copies == 4
    assert len(filed(spool)) == 4
    assert job.file().conversations == 0


def failing(monkeypatch: pytest.MonkeyPatch, bad: Callable[[str], BaseException | None]) -> None:
    run = Filer.run

    def run_or_fail(self: Filer, leases: Any, now: int) -> Any:
        leases = list(leases)
        for lease in leases:
            error = bad(lease.conversation)
            if error is not None:
                raise error
        return run(self, leases, now)

    monkeypatch.setattr(Filer, "run", run_or_fail)


def test_a_bad_place_is_found_tried_again_and_parked_while_its_neighbours_are_filed(spool, monkeypatch):
    rooms = [f"room{n}" for n in range(8)]
    bring(spool, *rooms)
    failing(monkeypatch, lambda room: ZeroDivisionError("bug") if room == "room3" else None)
    job = job_of(spool)
    assert (tally := job.file()).failed == 1 and tally.copies == 14
    for _ in range(ATTEMPTS - 1):
        assert not spool.parked_places()
        make_due(spool)
        assert job.file().failed == 1
    (parked,) = spool.parked_places()
    assert parked.conversation == "room3" and parked.reason == "ZeroDivisionError: bug"
    make_due(spool)
    assert job.file().failed == 0
    monkeypatch.undo()
    spool.unpark(places=[parked.place], now=1)
    assert job.file().copies == 2 and len(filed(spool)) == 16


def test_a_fault_of_the_machine_gives_leases_back_and_blames_nobody(spool, monkeypatch):
    bring(spool, "a", "b")
    failing(monkeypatch, lambda room: EnvironmentFault("the disk is full"))
    job = job_of(spool)
    for _ in range(ATTEMPTS + 2):
        with pytest.raises(EnvironmentFault):
            job.file()
    monkeypatch.undo()
    assert job.file().copies == 4  # at once: no pause, no attempt on record
    assert not spool.parked_places()


def test_leases_that_a_full_spool_took_not_back_are_given_back_as_soon_as_it_does(spool, monkeypatch):
    bring(spool, "a", "b")
    failing(monkeypatch, lambda room: EnvironmentFault("the disk is full"))
    monkeypatch.setattr(places, "release", failed)
    job = job_of(spool)
    for fault in (EnvironmentFault, TryLater, TryLater):
        with pytest.raises(fault):
            job.file()
    monkeypatch.undo()
    assert job.file().copies == 4


def failed(*arguments: object) -> None:
    raise TryLater("the disk is full")


def die_with(spool: Spool, *, places: int) -> None:
    """A process claims, and ends without a word."""
    with Spool.open(spool.data) as other:
        assert len(other.claim(2**61, places, only_due=False)) == places
    spool.reap(1)
    make_due(spool)


def test_what_may_have_killed_the_process_is_filed_alone_and_only_it_is_parked(spool, monkeypatch):
    bring(spool, "a", "killer", "z")
    for _ in range(3):
        die_with(spool, places=3)

    class Killed(BaseException):
        pass

    together: list[list[str]] = []
    run = Filer.run

    def run_or_die(self: Filer, leases: Any, now: int) -> Any:
        leases = list(leases)
        together.append([lease.conversation for lease in leases])
        if any(lease.conversation == "killer" for lease in leases):
            raise Killed
        return run(self, leases, now)

    monkeypatch.setattr(Filer, "run", run_or_die)
    for _ in range(ATTEMPTS + 1):
        # A process of its own each time: the lease of the one killed is lost with it.
        with Spool.open(spool.data) as life, suppress(Killed):
            Job(life, configuration.parse({}), spool.data).file()
        spool.reap(1)
        make_due(spool)
    assert [place.conversation for place in spool.parked_places()] == ["killer"]
    assert len(filed(spool)) == 4
    assert all(len(each) == 1 for each in together)


# --- stopping


def test_a_stop_begins_no_further_attempt_and_gives_back_what_is_leased(spool, monkeypatch):
    bring(spool, *(f"room{n}" for n in range(6)))
    asked: list[int] = []

    def stopping() -> bool:
        asked.append(1)
        return len(asked) > 10

    job_of(spool, stopping).file()
    done = len(filed(spool))
    assert done < 12
    with Spool.open(spool.data) as other:  # nothing is leased any more: another process finds it due at once
        Job(other, configuration.parse({}), spool.data).file()
    assert len(filed(spool)) == 12
    assert all(not place.attempts for place in spool.parked_places())


def test_a_stop_before_the_first_look_does_nothing(spool):
    bring(spool, "a")
    job = job_of(spool, lambda: True)
    assert job.file().conversations == 0
    job.keep_house()
    assert filed(spool) == []


# --- withheld


def test_what_is_withheld_waits_until_the_gate_says_yes_and_is_not_worked_on_meanwhile(spool, monkeypatch):
    bring(spool, "a")
    tables = [{"address": PEOPLE[1], "version": OLD}]
    job = job_of(spool, mailbox=tables)
    tally = job.file()
    assert (tally.copies, tally.withheld) == (1, 1)
    job.file()
    assert job.file().conversations == 0  # nothing of the gate's reasons has changed
    job.use(configuration.parse({"mailbox": tables, "transcript": {"locale": "zh-TW"}}))
    assert job.file().conversations == 0
    job.use(configuration.parse({}))
    assert job.file().copies == 1
    assert spool.withheld() == [] and len(filed(spool)) == 2


def test_another_reason_to_withhold_is_looked_at_once(spool):
    bring(spool, "a")
    job_of(spool, history={"enabled": False}).file()
    job = job_of(spool, store={"version": OLD})  # another no
    job.file()
    assert job.file().conversations == 0
    assert sum(kept.deliveries for kept in spool.withheld()) == 2
    assert job_of(spool).file().copies == 2


def test_a_bad_configuration_leaves_the_old_one_at_work(spool):
    bring(spool, "a")
    job = job_of(spool)
    before = job.config
    with pytest.raises(ConfigError):
        job.use(configuration.parse({"store": {"owner": "no-such-user"}}))
    assert job.config is before and job.file().copies == 2


# --- housekeeping


def test_housekeeping_forgets_what_can_be_continued_no_more_and_is_due_now_and_then(spool):
    bring(spool, "a")
    job = job_of(spool, conversations={"continuation": "0s"})
    assert job.house_is_due
    job.file()
    job.keep_house()
    assert not job.house_is_due
    assert (spool.totals().spooled, spool.totals().forgotten) == (0, 3)
    bring(spool, "a")  # read again: known
    assert job.file().conversations == 0
    bring(spool, "a", more=5)
    assert job.file().copies == 2 and len(filed(spool)) == 4


def test_housekeeping_keeps_what_can_still_be_continued(spool):
    bring(spool, "a")
    job = job_of(spool)
    job.file()
    job.keep_house()
    assert spool.totals().spooled == 3


# --- capture


class Fake:
    """A source that is told when it fails and whether it is up."""

    name = "fake"
    blocking = False
    fault = ""
    gaps: int | None = None

    def __init__(self) -> None:
        self.up = False
        self.accept: Any = None
        self.fails = False

    def start(self, accept: Any) -> None:
        if self.fails:
            raise EnvironmentFault("the port is taken")
        self.accept, self.up = accept, True

    def stop(self) -> None:
        self.up = False

    def describe(self) -> str:
        return "a fake"

    def signs(self) -> Signs:
        return Signs({"too big": 2}, self.gaps)


def capture_of(spool: Spool) -> Capture:
    terms = terms_of(configuration.parse({}))
    return Capture(spool, normal, Critical(spool, lambda: terms))


def feed_named(spool: Spool, name: str) -> Any:
    return next(feed for feed in spool.feeds() if feed.name == name)


def test_what_a_source_gives_is_in_the_spool_when_accept_returns(spool):
    source, capture = Fake(), capture_of(spool)
    capture.use({"fake": lambda: source})
    source.accept([say(PEOPLE[0], "x", 0)])
    assert spool.totals().spooled == 1
    assert feed_named(spool, "fake").kind == "live"
    capture.stop()
    assert not source.up


def test_what_is_excluded_is_counted_from_now_on_and_not_stored(spool):
    """Also where the exclusion comes while the daemon runs; the source is told that it was taken."""
    source, capture = Fake(), capture_of(spool)
    capture.use({"fake": lambda: source})
    source.accept([say(PEOPLE[0], "before", 0)])
    spool.add_exclusion(Exclusion(0, "", "", PEOPLE[0], 0, None, "council", "agreed", 0), 0)
    source.accept([say(PEOPLE[0], "left out", 1), say(PEOPLE[1], "taken", 2)])
    source.accept([say(PEOPLE[0], "left out", 3)])
    assert spool.totals().spooled == 2
    assert [each.events for each in spool.exclusions()] == [2]
    assert feed_named(spool, "fake").accepted == 2


def test_only_a_source_that_is_up_says_so(spool):
    source, capture = Fake(), capture_of(spool)
    capture.use({"fake": lambda: source})
    source.up = False
    capture.contact()
    assert feed_named(spool, "fake").contact is None
    source.up = True
    capture.contact()
    assert feed_named(spool, "fake").contact is not None


def test_a_source_that_could_not_be_started_is_tried_again(spool):
    source, capture = Fake(), capture_of(spool)
    source.fails = True
    with pytest.raises(EnvironmentFault):
        capture.use({"fake": lambda: source})
    now = time.monotonic()
    capture.watch(now)
    assert capture.faults() == {"fake": "the port is taken"}
    source.fails = False
    capture.watch(now)
    assert not source.up  # it is not tried again at once
    capture.watch(now + 30)
    assert source.up and capture.faults() == {}
    capture.stop()
    capture.watch(now + 60)
    assert not source.up  # stopped is stopped


class Broken(Fake):
    """Breaks wherever one can."""

    def start(self, accept: Any) -> None:
        raise ZeroDivisionError("a bug")


class Breaking(Fake):
    @property
    def up(self) -> bool:
        raise ZeroDivisionError("a bug")

    @up.setter
    def up(self, value: bool) -> None:
        pass


def test_a_source_that_breaks_never_stops_another(spool):
    """Whether it can't be made, can't be started, breaks later, or can't be stopped."""
    sound, capture = Fake(), capture_of(spool)

    def unmade() -> Any:
        raise ZeroDivisionError("a bug")

    capture.use({"broken": Broken, "breaking": Breaking, "unmade": unmade, "sound": lambda: sound})
    assert sound.up
    capture.contact()
    capture.watch(time.monotonic())
    assert set(capture.faults()) == {"broken", "breaking", "unmade"}
    assert feed_named(spool, "sound").contact is not None
    assert sound.accept([say(PEOPLE[0], "x", 0)]) == (Outcome.ACCEPTED,)
    capture.stop()
    assert not sound.up


def breaking_ones(capture: Capture, more: int = 100) -> list[Fake]:
    """A source that is wanted, in all its lives."""
    lives: list[Fake] = []

    def make() -> Fake:
        if len(lives) > more:
            raise EnvironmentFault("the port is taken", hint="free it")
        lives.append(Fake())
        lives[-1].gaps = 2
        return lives[-1]

    capture.use({"fake": make})
    return lives


def test_a_source_that_breaks_after_its_start_is_told_and_started_anew_with_the_same_feed_and_figures(spool, caplog):
    capture, now = capture_of(spool), time.monotonic()
    lives = breaking_ones(capture)
    lives[0].accept([say(PEOPLE[0], "x", 0)])
    capture.contact()
    feed = feed_named(spool, "fake")
    lives[0].fault, lives[0].up = "its thread has ended", False
    assert capture.faults() == {"fake": "its thread has ended"}
    capture.contact()
    assert spool.readings()[feed.number].fault == "its thread has ended"
    assert feed_named(spool, "fake").contact == feed.contact  # its watermark stands
    capture.watch(now)
    assert len(lives) == 2 and lives[1].up and capture.faults() == {}
    lives[1].accept([say(PEOPLE[0], "y", 1)])
    capture.contact()
    (standing,) = capture.standings()
    assert standing.counts.outcomes == {Outcome.ACCEPTED: 2}
    assert (standing.signs.gaps, standing.signs.refused) == (4, {"too big": 4})
    reading = spool.readings()[feed.number]
    assert (reading.fault, reading.restarts) == ("", 1)
    assert feed_named(spool, "fake").accepted == 2


def test_one_that_breaks_again_and_again_is_tried_less_and_less_often_and_after_a_good_time_at_once(spool):
    capture, now = capture_of(spool), time.monotonic()
    lives = breaking_ones(capture)
    tries = []
    for second in range(200):
        lives[-1].fault = "broken"
        before = len(lives)
        capture.watch(now + second)
        if len(lives) > before:
            tries.append(second)
    pauses = [b - a for a, b in pairwise(tries)]
    assert tries[0] == 0 and pauses == sorted(pauses) and pauses[-1] == 31 and len(tries) < 15
    capture.watch(now + 1_000)
    before = len(lives)
    lives[-1].fault = "broken"
    capture.watch(now + 1_000 + STEADY + 1)
    assert len(lives) == before + 1


def test_one_that_can_not_be_started_anew_is_told_until_it_can(spool):
    capture, now = capture_of(spool), time.monotonic()
    lives = breaking_ones(capture, more=0)
    lives[0].fault = "its socket is gone"
    capture.watch(now)
    assert capture.faults() == {"fake": "the port is taken"} and not lives[0].up
    lives.clear()
    capture.watch(now + 60)
    assert capture.faults() == {} and lives[0].up


class Hanging(Fake):
    """Never comes back from a start or a stop, until it is let go."""

    def __init__(self, where: str, gate: threading.Event) -> None:
        super().__init__()
        self.where, self.gate = where, gate

    def start(self, accept: Any) -> None:
        if self.where == "start":
            self.gate.wait(60)
        super().start(accept)

    def stop(self) -> None:
        if self.where == "stop":
            self.gate.wait(60)
        super().stop()


@pytest.mark.parametrize("where", ["start", "stop"])
def test_a_source_that_hangs_never_stops_another(spool, monkeypatch, where):
    for name in ("STARTING", "MENDING", "STOPPING"):
        monkeypatch.setattr(f"archiver.daemon.capture.{name}", 0.05)
    gate, sound, capture = threading.Event(), Fake(), capture_of(spool)
    hanging, others = Hanging(where, gate), set(threading.enumerate())
    capture.use({"hanging": lambda: hanging, "sound": lambda: sound})
    hanging.fault = "broken"
    for second in range(3):
        capture.watch(time.monotonic() + second)
    assert eventually(lambda: list(capture.faults()) == ["hanging"])
    capture.contact()
    assert feed_named(spool, "sound").contact is not None
    assert sound.accept([say(PEOPLE[0], "x", 0)]) == (Outcome.ACCEPTED,)
    capture.stop()
    assert not sound.up
    gate.set()
    for late in set(threading.enumerate()) - others:
        late.join(20)  # SQLite forbids closing the spool under one that writes


def test_what_could_not_be_started_is_tried_at_once_when_the_configuration_is_read_anew(spool):
    source, sound, capture = Fake(), Fake(), capture_of(spool)
    source.fails = True
    wanted = {"fake": lambda: source, "sound": lambda: sound}
    capture.use(wanted)
    source.fails = False
    capture.use(wanted)
    assert source.up and capture.faults() == {}


def test_one_that_is_not_connected_is_named_and_left_alone(spool):
    source, capture = Fake(), capture_of(spool)
    capture.use({"fake": lambda: source})
    source.up = False
    capture.watch(time.monotonic())
    assert capture.standings()[0].reading.fault == BEHIND and capture.faults() == {}
    source.up = True
    assert capture.faults() == {} and capture.standings()[0].reading.restarts == 0


def test_only_a_source_whose_settings_changed_is_started_anew(spool):
    def wanted(other: str) -> Any:
        return {"same": Maker(lambda_same, ("settings",)), "other": Maker(lambda_same, (other,))}

    def lambda_same(settings: str) -> Any:
        return Fake()

    capture = capture_of(spool)
    capture.use(wanted("old"))
    before = {each.name: each.source for each in capture.running()}
    capture.use(wanted("new"))
    after = {each.name: each.source for each in capture.running()}
    assert after["same"] is before["same"] and after["same"].up
    assert after["other"] is not before["other"] and not before["other"].up
    capture.use({})
    assert not after["same"].up


def test_status_can_tell_how_a_source_stands(spool):
    source, capture = Fake(), capture_of(spool)
    source.gaps = 3
    capture.use({"fake": lambda: source})
    source.accept([say(PEOPLE[0], "x", 0), say(PEOPLE[0], "y", 1)])
    source.accept([say(PEOPLE[0], "x", 0)])
    capture.contact()
    reading = spool.readings()[feed_named(spool, "fake").number]
    assert reading.rate == 3 / 60 and reading.heard is not None and reading.lag is not None and reading.lag > 0
    assert (reading.gaps, reading.refused) == (3, 2)
    feed = feed_named(spool, "fake")
    assert (feed.accepted, feed.duplicates) == (2, 1)


def test_a_rate_looks_back_a_minute_whatever_the_clock_does():
    meter = Meter()
    for second, count in ((0, 60), (30, 60), (25, 30)):
        meter.note([say(PEOPLE[0], "x", 0)] * count, [Outcome.ACCEPTED] * count, second * SECOND, 0.1)
    rates = [meter.reading(second * SECOND, 0, None).rate for second in (31, 59, 60, 89, 90, 200)]
    assert rates == [2.5, 2.5, 1.5, 1.5, 0, 0]


def test_nothing_waits_for_a_source_that_is_configured_no_longer(spool):
    capture = capture_of(spool)
    capture.use({"fake": Fake})
    capture.use({})
    assert feed_named(spool, "fake").state == "closed"
    capture.use({"fake": Fake})
    capture.contact()
    assert feed_named(spool, "fake").state == "open"


def test_an_import_that_runs_beside_is_none_of_its_business(spool):
    spool.open_feed("import:x", "import")
    capture_of(spool).use({})
    assert feed_named(spool, "import:x").state == "open"


def test_sources_are_those_configured():
    assert sources_of(configuration.parse({"smtp": {"enabled": False}}), Path()) == {}
    (make,) = sources_of(configuration.parse({"smtp": {"lmtp": "/run/archiver/lmtp"}}), Path()).values()
    told = make().describe()
    assert "127.0.0.1:8025" in told and "/run/archiver/lmtp" in told


# --- signals


def test_a_single_run_hears_the_signal_to_stop(spool):
    with service._told() as stopping:
        assert not stopping()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping()


def test_systemd_is_told_only_where_it_asks(data_dir, monkeypatch):
    service._notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(data_dir / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(data_dir / "notify"))
        service._notify("READY=1")
        assert listening.recv(100) == b"READY=1"
    service._notify("READY=1")  # nobody listens any more


# --- memory


def test_freed_memory_is_given_back_while_filing_comes_to_no_end(spool, monkeypatch):
    """Most of it is freed just then."""
    given, filing = threading.Event(), threading.Event()
    monkeypatch.setattr(service, "TRIMMING", 0.1)
    monkeypatch.setattr(service.heap, "give_back", given.set)
    monkeypatch.setattr(Job, "file", lambda _: filing.wait(60))
    config = configuration.parse({"smtp": {"enabled": False}})
    daemon = service.Daemon(spool, config, spool.data, lambda: config)
    try:
        daemon.start()
        assert given.wait(30)
    finally:
        filing.set()
        daemon.stop()


def test_filing_for_many_needs_no_other_statements_than_for_few(spool):
    """Each connection keeps 256 of them prepared: one for every number of people would fill memory for hours."""
    asked: list[str] = []
    spool._connections.db.conn.set_trace_callback(asked.append)

    def statements(people: int) -> set[str]:
        asked.clear()
        present = [f"person{n}@example.org" for n in range(people)]
        events = [
            say(person, "hello", n, id=f"{people}-{n}", room=f"room {people}", present=present)
            for n, person in enumerate(present)
        ]
        feed = spool.open_feed(f"import:{people}", "import").number
        spool.append(events, feed)
        assert spool.append(events, feed).duplicates == people
        spool.close_feed(feed, 1)
        assert job_of(spool).file().copies == people
        return {VALUES.sub("?", each) for each in asked}

    few = statements(3)
    assert few
    assert statements(7) <= few


def test_each_thread_keeps_few_pages_of_a_spool_however_large_it_is(tmp_path, monkeypatch):
    kept: list[int] = []

    class Looking(service.Daemon):
        def start(self) -> None:
            with self._spool._connections.reading() as connection:
                kept.append(connection.execute("PRAGMA cache_size").fetchone()[0])

        def wait(self) -> None: ...

    monkeypatch.setattr(service, "Daemon", Looking)
    monkeypatch.setattr(service, "_second_one_ends", lambda: None)
    service.run(lambda: configuration.parse({}), tmp_path / "data")
    (cache,) = kept
    assert -8 * 1024 <= cache < 0, "in KiB: a positive number counts pages of any size"
