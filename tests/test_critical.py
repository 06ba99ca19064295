"""Critical mode: when it begins and ends, what it refuses, and that nothing is lost by it."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from builders import BASE, HOUR, MINUTE, say
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from mishaps import on_a_small_disk

from archiver import config as configuration
from archiver.assembly import archiving_of
from archiver.cli import main
from archiver.config import Config
from archiver.daemon import capture as capturing
from archiver.daemon import job as daemon_job
from archiver.daemon import taking
from archiver.daemon.capture import Capture
from archiver.daemon.critical import Critical
from archiver.daemon.job import Job
from archiver.decisions.critical import Met, Outage, is_refused, outages
from archiver.decisions.policy import Rules
from archiver.doctor import Verdict, examine, spooled
from archiver.events import SECOND, Captured, Outcome, Rejected
from archiver.exceptions import EnvironmentFault, TryLater
from archiver.sources.protocol import Signs
from archiver.sources.smtp import Address, MailSource
from archiver.spool import Spool
from archiver.store import ArchiveStore
from archiver.types import Failure, Hold, Mailbox

ALICE, BOB, CAROL, DAVE = (f"{name}@example.org" for name in ("alice", "bob", "carol", "dave"))
START = BASE * SECOND
MINUTES = MINUTE * SECOND


# --- the rule


def rules(**archiving: Any) -> Rules:
    how = {"archive": "im+conference", "block_on_failure": True, "failure_after": "15m", **archiving}
    return archiving_of(configuration.parse({"archiving": how, "policy": {"internal": True}}))


def failure(source: str = "test:one", since: int = 0, deliveries: int = 1) -> Failure:
    return Failure(source, since, deliveries, "the disk is full")


@pytest.mark.parametrize(
    ("how", "minutes", "critical"),
    [
        ({}, 14, False),
        ({}, 15, True),
        ({"failure_after": "0s"}, 0, True),
        ({"failure_after": "1h"}, 59, False),
        ({"failure_after": "1h"}, 60, True),
        ({"block_on_failure": False}, 600, False),
        ({}, -60, False),
    ],
    ids=["not yet", "long enough", "at once", "a longer time", "at last", "off", "a clock that jumped back"],
)
def test_when_it_begins(how: dict[str, Any], minutes: int, critical: bool) -> None:
    (outage,) = outages([failure()], rules(**how)).values()
    assert outage.is_critical(minutes * MINUTES) is critical


def test_a_pool_fails_since_its_first_failure_under_its_own_configuration() -> None:
    pool = {"name": "chat", "sources": ["chat:*"], "archive": "im", "block_on_failure": True, "failure_after": "1m"}
    found = outages([failure("chat:b", 5, 3), failure("chat:a", 7, 2), failure("test:one", 9)], rules(pool=[pool]))
    assert found == {
        "chat": Outage("chat", 5, 5, "the disk is full", 5 + MINUTES),
        "": Outage("", 9, 1, "the disk is full", 9 + 15 * MINUTES),
    }


def test_without_a_failure_nothing_is_out() -> None:
    assert outages([], rules()) == {}


MODES = {"on": {}, "off": {"block_on_failure": False}}


def met(kinds: str, *people: Mailbox, internal: bool = True, holds: Any = ()) -> Met:
    return Met("test:one", frozenset(kinds.split()), people, internal, {hold.mailbox: (hold,) for hold in holds})  # type: ignore[arg-type]


def box(address: str, **facts: Any) -> Mailbox:
    return Mailbox(address, "15.2.2562.17", "en", "UTC", **facts)


NEVER = box(ALICE, exchange_archiving="none")
QUERY = Hold(1, ALICE, "judge", "case", 0, None, "fraud")


@pytest.mark.parametrize(
    ("said", "how", "refused"),
    [
        (met("im", box(ALICE), box(BOB)), {}, True),
        (met("group", NEVER, box(BOB)), {}, True),
        (met("im", NEVER), {}, False),
        (met("im"), {}, False),
        (met("im", box(ALICE), internal=False), {}, False),
        (met("im", box(ALICE), internal=False, holds=[QUERY]), {"to_mailbox": True}, True),
        (met("im", box(ALICE)), {"archive": "none"}, False),
        (met("conference", NEVER), {}, True),
        (met("conference"), {}, True),
        (met("conference", box(ALICE)), {"archive": "im"}, False),
        (met("conference im", box(ALICE)), {"archive": "im"}, True),
        (met("conference im", NEVER), {"archive": "im"}, False),
        (met("im", box(ALICE)), {"block_on_failure": False}, False),
        (met("conference", box(ALICE)), {"block_on_failure": False}, False),
    ],
    ids=[
        "archived people",
        "one archived participant is enough",
        "nobody archived",
        "nobody of ours",
        "policy archives no external conversation",
        "under a hold that may cover it",
        "archiving off",
        "a conference, whoever is in it",
        "a conference of strangers",
        "conferences that are not archived",
        "an IM, of which one event claims to be of a conference",
        "the same, and nobody in it is archived",
        "critical mode off",
        "critical mode off for a conference",
    ],
)
def test_what_is_refused(said: Met, how: dict[str, Any], refused: bool) -> None:
    made = rules(**how)
    outage = outages([failure()], made).get("")
    assert is_refused(said, outage, made, 15 * MINUTES) is refused
    assert not is_refused(said, outage, made, 14 * MINUTES)
    assert not is_refused(said, None, made, 15 * MINUTES)


@given(
    since=st.lists(st.integers(0, 100), min_size=1, max_size=5),
    after=st.integers(0, 100),
    now=st.integers(-50, 300),
    on=st.booleans(),
)
def test_it_stands_exactly_from_the_oldest_failure_and_the_time_set(
    since: list[int], after: int, now: int, on: bool
) -> None:
    made = rules(block_on_failure=on, failure_after=f"{after}m")
    found = outages([failure(f"test:{n}", at * MINUTES) for n, at in enumerate(since)], made)
    (outage,) = found.values()
    assert outage.is_critical(now * MINUTES) is (on and now >= min(since) + after)
    assert found == outages(reversed([failure(f"test:{n}", at * MINUTES) for n, at in enumerate(since)]), made)


# --- at work: real spool, real stores, a clock that is passed in


class Source:
    """A live way in, told by hand."""

    up = True
    fault = ""

    def __init__(self, name: str, *, blocking: bool) -> None:
        self.name, self.blocking = name, blocking
        self.accept: Any = None

    def start(self, accept: Any) -> None:
        self.accept = accept

    def stop(self) -> None:
        self.up = False

    def describe(self) -> str:
        return self.name

    def takes(self, *pieces: Captured | Rejected) -> bool:
        return Outcome.BLOCKED not in self.accept(pieces)

    def signs(self) -> Signs:
        return Signs()


def config(**archiving: Any) -> Config:
    """Alice and Bob are archived where everybody is internal; the pool is what the tests break."""
    how = {"archive": "im+conference", "to_mailbox": True, "block_on_failure": True, "failure_after": "3m"}
    mailboxes = [{"address": each, "exchange_archiving": "none"} for each in (CAROL, DAVE)]
    mailboxes += [{"address": each, "exchange_archiving": "mailbox"} for each in (ALICE, BOB)]
    return configuration.parse(
        {
            "archiving": {"pool": [{"name": "chat", "sources": ["test:*"], **how, **archiving}]},
            "mailbox": mailboxes,
            "directory": {"domains": ["example.org"]},
            "conversations": {"idle": "10s", "lateness": "0s"},
        }
    )


class World:
    """A daemon without its schedule, at times that the test gives in seconds after BASE."""

    def __init__(self, data: Path, made: Config) -> None:
        self.config = made
        self.now = 0.0
        self.spool = Spool.open(data, idle=10 * SECOND, lateness=0)
        self.start()

    def start(self) -> None:
        self.job = Job(self.spool, self.config, self.spool.data)
        self.critical = Critical(self.spool, lambda: self.job.terms)
        self.capture = Capture(self.spool, self.job.whose, self.critical)
        self.mail, self.stream = Source("mail", blocking=True), Source("stream", blocking=False)
        self.capture.use({"mail": lambda: self.mail, "stream": lambda: self.stream})

    def restart(self) -> None:
        data = self.spool.data
        self.spool.close()
        self.spool = Spool.open(data, idle=10 * SECOND, lateness=0)
        self.start()

    def clock(self) -> int:
        return round((BASE + self.now) * SECOND)

    def file(self) -> None:
        """One round of the job, as the schedule makes it: a fault ends the round and nothing else."""
        self.capture.contact()
        try:
            for _ in range(3):
                self.job.file()
        except EnvironmentFault:
            pass
        self.now += 1  # what fails in a round fails a moment after its beginning
        self.critical.look(self.clock())

    @property
    def is_critical(self) -> bool:
        found = outages(self.spool.failures(), archiving_of(self.config))
        return any(outage.is_critical(self.clock()) for outage in found.values())

    def archived(self, mailbox: str) -> str:
        return self._all_of("archive", mailbox)

    def history(self, mailbox: str) -> str:
        return self._all_of("mail", mailbox)

    def _all_of(self, tree: str, mailbox: str) -> str:
        """All that lies in the folders of a mailbox."""
        root = self.spool.data / tree / "example.org" / mailbox.partition("@")[0]
        found = [*root.rglob(".*/cur/*"), *root.rglob(".*/new/*")]
        return "\n".join(sorted(path.read_text("latin-1") for path in found))


Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[World] = []

    def make(**archiving: Any) -> World:
        clocked(monkeypatch.setattr, lambda: made[0].clock() if made else START)
        made.append(World(tmp_path / "data", config(**archiving)))
        return made[0]

    yield make
    for world in made:
        world.spool.close()


def clocked(setattr: Callable[..., None], clock: Callable[[], int]) -> None:
    for module in (daemon_job, capturing, taking):
        setattr(module, "clock", clock)


def pair(one: str, other: str, text: str, at: float, **more: Any) -> Captured:
    return say(one, text, at, id=text, room=f"{one} {other}", where="im", present=[one, other], **more)


def meeting(text: str, at: float, **more: Any) -> Captured:
    return say(CAROL, text, at, id=text, room="meeting", where="conference", present=[CAROL, DAVE], **more)


def in_the_way(world: World) -> None:
    (world.spool.data / "archive").write_text("no directory")


def out_of_the_way(world: World) -> None:
    os.unlink(world.spool.data / "archive")


def ten_minutes(world: World, break_it: Callable[[World], None], mend: Callable[[World], None]) -> None:
    """A fault of ten minutes: what each source is answered meanwhile, and that nothing is missing afterwards."""
    blocks = any(pool.configuration and pool.configuration.block_on_failure for pool in world.job.terms.policy.pools)
    break_it(world)
    taken: dict[str, list[str]] = {ALICE: [], CAROL: []}
    again: list[Captured] = []

    def sends(source: Source, piece: Captured, expected: bool, *whose: str) -> None:
        assert source.takes(piece) is expected, (world.now, piece.event.id)
        for each in whose:
            taken[each].append(piece.event.id)
        if not expected:
            again.append(piece)

    for minute in range(10):
        world.now = minute * MINUTE
        # The first conversation is ripe, and fails, a minute after it began.
        critical = blocks and minute >= 4
        at = world.now
        sends(world.mail, pair(ALICE, BOB, f"archived-{minute}", at), not critical, ALICE)
        sends(world.mail, pair(CAROL, DAVE, f"others-{minute}", at), True, CAROL)
        sends(world.mail, meeting(f"meeting-{minute}", at), not critical, CAROL)
        sends(world.stream, pair(ALICE, BOB, f"stream-{minute}", at + 1), True, ALICE)
        sends(world.mail, pair(ALICE, BOB, f"elsewhere-{minute}", at, source="other:one"), True)
        assert world.mail.takes(Rejected(b"bad", f"mail:{minute}", "no event", "test:one"))
        world.now += 50
        world.file()
    assert world.is_critical is blocks
    assert all(text.rpartition("-")[0] != "archived" for text in world.archived(ALICE).split())
    mend(world)
    for _ in range(3):
        world.now += MINUTE
        world.file()
    assert not world.spool.failures()
    assert all(world.mail.takes(piece) for piece in again)
    world.now += HOUR
    world.file()
    for text in taken[ALICE]:
        assert text in world.history(ALICE) and text in world.archived(ALICE) and text in world.archived(BOB), text
    for text in taken[CAROL]:
        assert text in world.history(CAROL) and text in world.history(DAVE), text
    assert not world.spool.withheld() and not world.spool.parked_filings() and not world.spool.parked_places()
    assert sum(each.events for each in world.spool.put_off()) == len(again) == (12 if blocks else 0)


@pytest.mark.slow
@pytest.mark.parametrize("on", [True, False], ids=["critical mode on", "off"])
def test_an_archive_that_can_not_be_written_for_ten_minutes(make: Make, on: bool) -> None:
    ten_minutes(make(block_on_failure=on), in_the_way, out_of_the_way)


SMALL_DISK = """
import sys
sys.path.insert(0, sys.argv[1])
import test_critical
test_critical.{}
"""


def on_a_full_disk(directory: str, *, on: bool) -> None:
    """Run within a mount namespace: `archive` below the directory is a small file system, and the test fills it."""
    data = Path(directory)
    filler = data / "archive" / "filler"

    def fill(world: World) -> None:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass

    made: list[World] = []
    clocked(setattr, lambda: made[0].clock() if made else START)
    made.append(World(data, config(block_on_failure=on)))
    ten_minutes(made[0], fill, lambda world: filler.unlink())
    made[0].spool.close()


def on_a_disk_full_for_all(directory: str, *, on: bool) -> None:
    """Run within a mount namespace: `data` is a small file system with the spool and everybody's folders on it."""
    data = Path(directory) / "data"
    made: list[World] = []
    clocked(setattr, lambda: made[0].clock() if made else START)
    world = World(data, config(block_on_failure=on))
    made.append(world)
    assert world.mail.takes(pair(ALICE, BOB, "before", 0))
    world.now = 50
    world.file()
    filler = data / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    refused, taken = [], ["before"]
    for minute in range(1, 11):
        world.now = minute * MINUTE
        for piece in (
            pair(ALICE, BOB, f"archived-{minute}", world.now, padding="x" * 50_000),
            meeting(f"meeting-{minute}", world.now, padding="x" * 50_000),
        ):
            for source in (world.mail, world.stream):
                with suppress(TryLater):
                    assert source.takes(piece), "for a full disk nobody is refused by critical mode"
                    taken.append(piece.event.id)
            refused.append(piece)
        world.now += 50
        with suppress(TryLater):
            world.file()
    assert taken == ["before"], "nothing that can't be made durable is acknowledged"
    filler.unlink()
    world.now += MINUTE
    world.file()
    assert all(world.mail.takes(piece) for piece in refused)
    world.now += HOUR
    world.file()
    for text in ("before", *(f"archived-{minute}" for minute in range(1, 11))):
        assert text in world.history(ALICE) and text in world.archived(ALICE) and text in world.archived(BOB), text
    assert all(f"meeting-{minute}" in world.history(CAROL) for minute in range(1, 11))
    assert not world.spool.withheld() and not world.spool.parked_filings() and not world.spool.parked_places()
    world.spool.close()


@pytest.mark.slow
@pytest.mark.parametrize("on", [True, False], ids=["critical mode on", "off"])
def test_an_archive_on_a_full_disk_for_ten_minutes(on: bool) -> None:
    script = SMALL_DISK.format(f"on_a_full_disk(sys.argv[1], on={on})")
    on_a_small_disk(script, "mkdir archive && mount -t tmpfs -o size=1m,mode=700 none archive")


@pytest.mark.slow
@pytest.mark.parametrize("on", [True, False], ids=["critical mode on", "off"])
def test_a_disk_that_is_full_for_all_for_ten_minutes(on: bool) -> None:
    script = SMALL_DISK.format(f"on_a_disk_full_for_all(sys.argv[1], on={on})")
    on_a_small_disk(script, "mkdir data && mount -t tmpfs -o size=24m,mode=700 none data")


@pytest.mark.slow
@pytest.mark.parametrize("on", [True, False], ids=["critical mode on", "off"])
def test_an_archive_over_its_hard_limit_for_ten_minutes(make: Make, monkeypatch: pytest.MonkeyPatch, on: bool) -> None:
    """Everybody's is: the limit is too small for a single item."""
    archive_of = daemon_job.archive_of

    def limit(world: World, size: int) -> None:
        def limited(config: Config, data: Path) -> ArchiveStore:
            made = archive_of(config, data)
            made._limit = size
            return made

        monkeypatch.setattr(daemon_job, "archive_of", limited)
        world.job.use(world.config)

    ten_minutes(make(block_on_failure=on), lambda world: limit(world, 10), lambda world: limit(world, 1 << 30))


@pytest.mark.slow
@pytest.mark.parametrize("jump", [-400 * 24 * HOUR, -HOUR, HOUR, 400 * 24 * HOUR], ids="{:+}s".format)
@pytest.mark.parametrize("after", [1, 5], ids=["before it is critical", "while it is critical"])
def test_a_clock_that_is_set_while_archiving_fails(make: Make, jump: int, after: int) -> None:
    """Set forward it fails for that long; set back, nobody is refused for a failure to come. Mended, what waited is
    filed, and nothing is missing."""
    world = make()
    in_the_way(world)
    said = [pair(ALICE, BOB, f"said-{minute}", minute * MINUTE) for minute in range(after + 1)]
    for minute, piece in enumerate(said):
        world.now = minute * MINUTE
        assert world.stream.takes(piece)
        world.now += 50
        world.file()
    assert world.is_critical is (after == 5)
    world.now += jump
    world.file()
    assert world.is_critical is (jump > 0)
    more = pair(ALICE, BOB, "more", world.now)
    assert world.mail.takes(more) is (jump < 0)
    out_of_the_way(world)
    # An hour is waited for, since that long an event may be late; days are not.
    world.now += HOUR if jump == -HOUR else 0
    for _ in range(12):
        world.now += MINUTE
        world.file()
    assert not world.is_critical and not world.spool.failures()
    assert world.mail.takes(more)
    for _ in range(3):
        world.now += HOUR
        world.file()
    for text in ("more", *(piece.event.id for piece in said)):
        assert text in world.history(ALICE) and text in world.archived(ALICE), text


def test_what_is_on_the_disk_decides_and_a_restart_changes_nothing(make: Make) -> None:
    world = make()
    in_the_way(world)
    assert world.mail.takes(pair(ALICE, BOB, "one", 0))
    world.now = 50
    world.file()
    (before,) = world.spool.failures()
    world.now = 5 * MINUTE
    world.restart()
    assert world.spool.failures() == [before]
    assert not world.mail.takes(pair(ALICE, BOB, "two", 300))
    out_of_the_way(world)
    world.file()
    world.now += MINUTE
    assert world.mail.takes(pair(ALICE, BOB, "two", 300))


def test_a_conversation_that_goes_on_fails_since_its_first_version_did(make: Make) -> None:
    world = make(failure_after="1h")
    in_the_way(world)
    world.mail.takes(pair(ALICE, BOB, "one", 0))
    world.now = 50
    world.file()
    (first,) = world.spool.failures()
    world.stream.takes(pair(ALICE, BOB, "more", 5))
    world.now = 20 * MINUTE
    world.file()
    assert [failure.since for failure in world.spool.failures()] == [first.since]


def test_one_who_is_known_to_be_there_is_remembered(make: Make) -> None:
    """By what was spooled before, and by what was taken since; of others nothing is assumed."""
    world = make(failure_after="0s", archive="im")
    world.stream.takes(say(ALICE, "I am here", 0, id="a", room="with alice", present=[ALICE, CAROL]))
    in_the_way(world)
    world.stream.takes(pair(ALICE, BOB, "fails", 0))
    world.now = 50
    world.file()
    assert world.is_critical
    assert not world.mail.takes(say(CAROL, "hello", 51, id="b", room="with alice"))
    assert world.mail.takes(say(CAROL, "hello", 51, id="c", room="without her"))
    assert world.mail.takes(say(CAROL, "hello", 52, id="d", room="without her", present=[CAROL, DAVE]))
    assert not world.mail.takes(say(CAROL, "hello", 53, id="e", room="without her", present=[CAROL, ALICE]))
    assert world.mail.takes(say(CAROL, "hello", 54, id="f", room="without her"))


def test_only_what_must_be_archived_is_refused_and_counted_once(make: Make) -> None:
    world = make(failure_after="0s")
    in_the_way(world)
    world.stream.takes(pair(ALICE, BOB, "fails", 0))
    world.now = 50
    world.file()
    before = world.spool.totals().spooled
    both = [pair(CAROL, DAVE, "small talk", 51), pair(ALICE, BOB, "secret", 51)]
    assert world.mail.accept(both) == [Outcome.ACCEPTED, Outcome.BLOCKED]
    assert world.mail.accept(both) == [Outcome.DUPLICATE, Outcome.BLOCKED]
    assert world.spool.totals().spooled == before + 1
    assert [(each.pool, each.events) for each in world.spool.put_off()] == [("chat", 1)]


@pytest.mark.parametrize("on", [True, False], ids=["blocking", "not blocking"])
def test_a_mail_server_is_told_to_come_again_for_that_mail_alone(make: Make, on: bool) -> None:
    """Over SMTP, many mails at once: those of archived people get 451, the others 250."""
    world = make(failure_after="0s")
    in_the_way(world)
    world.stream.takes(pair(ALICE, BOB, "fails", 0))
    world.now = 50
    world.file()
    source = MailSource("test", (Address(),), blocking=on, clock=world.clock)
    world.capture.use({"smtp": lambda: source})
    port = source.addresses[0].port

    def send(piece: Captured) -> int:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            try:
                client.sendmail("journal@x.example", ["journal@x.example"], carried(piece))
            except smtplib.SMTPDataError as refused:
                return refused.smtp_code
        return 250

    pieces = [pair(ALICE, BOB, f"secret {n}", 51 + n) for n in range(6)]
    pieces += [pair(CAROL, DAVE, f"small talk {n}", 51 + n) for n in range(6)]
    with ThreadPoolExecutor(len(pieces)) as senders:
        codes = list(senders.map(send, pieces))
    assert codes == [451 if on else 250] * 6 + [250] * 6
    out_of_the_way(world)
    world.now += 2 * MINUTE
    world.file()
    world.now += 2 * MINUTE
    world.file()
    assert [send(piece) for piece in pieces] == [250] * 12
    world.capture.stop()


def carried(piece: Captured) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "journal@x.example", "journal@x.example", "an event"
    made.set_content("see the attachment")
    made.add_attachment(piece.body, maintype="application", subtype="x-ndjson", filename="events.ndjson")
    return made.as_bytes()


# --- told


def told_by(world: World, *arguments: str) -> Any:
    path = world.spool.data.parent / "config.toml"
    path.write_text(
        """
        [archiving]
        archive = "none"
        [[archiving.pool]]
        name = "chat"
        sources = ["test:*"]
        archive = "im"
        block_on_failure = true
        failure_after = "3m"
        to_mailbox = true
        [[mailbox]]
        address = "alice@example.org"
        exchange_archiving = "mailbox"
        [[mailbox]]
        address = "bob@example.org"
        exchange_archiving = "mailbox"
        """
    )
    command = ["--data", str(world.spool.data), "--config", str(path), *arguments]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def test_status_and_doctor_say_so(make: Make) -> None:
    world = make()
    assert msgspec.json.decode(told_by(world, "status", "--json").stdout)["outages"] == []
    assert [each.check for each in spooled.waiting(world.config, world.spool.data, START)] == ["events"]
    in_the_way(world)
    world.mail.takes(pair(ALICE, BOB, "one", 0))
    world.now = 50
    world.file()
    world.now = 2 * MINUTE
    findings = {each.check: each for each in spooled.waiting(world.config, world.spool.data, world.clock())}
    assert (
        findings["archiving"].verdict is Verdict.WARN
        and "critical mode begins 2012-10-12" in findings["archiving"].found
    )
    world.now = 5 * MINUTE
    assert not world.mail.takes(pair(ALICE, BOB, "two", 300))
    findings = {each.check: each for each in spooled.waiting(world.config, world.spool.data, world.clock())}
    assert findings["archiving"].verdict is Verdict.BAD and findings["archiving"].advice
    said = told_by(world, "status").stdout
    assert "CRITICAL MODE: archiving of pool chat fails since 2012-10-12 00:00:50 UTC" in said
    assert "1 event of pool chat put off by critical mode so far" in said
    machine = msgspec.json.decode(told_by(world, "status", "--json").stdout)
    (outage,) = machine["outages"]
    assert (outage["pool"], outage["critical"], outage["deliveries"]) == ("chat", True, 2)
    assert machine["put_off"] == [{"pool": "chat", "events": 1, "last": world.clock()}]


def test_its_beginning_and_its_end_are_logged_once(make: Make) -> None:
    world = make()
    in_the_way(world)
    world.mail.takes(pair(ALICE, BOB, "one", 0))
    with structlog.testing.capture_logs() as logged:
        for _ in range(6):
            world.now += MINUTE
            world.file()
        out_of_the_way(world)
        for _ in range(3):
            world.now += MINUTE
            world.file()
    said = [
        entry["event"]
        for entry in logged
        if entry["event"] in ("archiving fails", "critical mode", "archiving goes on")
    ]
    assert said == ["archiving fails", "critical mode", "archiving goes on"]


@pytest.mark.parametrize(
    ("on", "blocking", "verdict"), [(True, True, "ok"), (True, False, "warn"), (False, True, None)]
)
def test_doctor_says_where_it_would_refuse_nothing(
    tmp_path: Path, on: bool, blocking: bool, verdict: str | None
) -> None:
    made = configuration.parse({"archiving": {"block_on_failure": on}, "smtp": {"blocking": blocking}})
    found = {each.check: each.verdict.value for each in examine(made, tmp_path, START)}
    assert found.get("critical mode") == verdict


def test_what_a_backfill_can_not_archive_is_told_too(make: Make) -> None:
    world = make()
    in_the_way(world)
    path = world.spool.data.parent / "old.ndjson"
    path.write_bytes(pair(ALICE, BOB, "long ago", 0).body)
    told_by(world, "backfill", "events", str(path))
    (failing,) = world.spool.failures()
    assert (failing.source, failing.deliveries) == ("test:one", 2)
    assert "Not a directory" in failing.reason
    assert "archiving of pool chat fails since" in told_by(world, "status").stdout
