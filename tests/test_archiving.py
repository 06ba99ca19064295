"""Filing into the archives: who gets what beside Conversation History, once, and by itself once a fault is over."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_builder import Archive
from builders import BASE, HOUR, event, retract, say
from click.testing import CliRunner
from conversation_builder import text_of

from archiver import backfill
from archiver import config as configuration
from archiver.assembly import archive_of, directory_of
from archiver.backfill import running
from archiver.cli import main
from archiver.compliance.preserving import Keeper, take_all
from archiver.config import Config
from archiver.daemon import job as daemon_job
from archiver.daemon.job import Job
from archiver.decisions.archiving import PASSING
from archiver.events import SECOND, Captured, capture, ndjson
from archiver.exceptions import ConfigError
from archiver.filing.gathering import ATTEMPTS
from archiver.filing.showing import Showing
from archiver.importers import importer
from archiver.types import Item, Look

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
OLD = "Version 14.3 (Build 123.4)"


ALWAYS = {"address": ALICE, "exchange_archiving": "mailbox"}
TOO_OLD = {**ALWAYS, "version": OLD}
LOCALLY = {"address": ALICE, "internal": True, "external": True}


def config(*mailbox: dict[str, Any], **more: Any) -> Config:
    """Only Alice is archived, in her own archive, unless it says otherwise."""
    raw = {
        "archiving": {"archive": "im+conference", "to_mailbox": True},
        "mailbox": list(mailbox or (ALWAYS,)),
        "directory": {"domains": ["example.org"]},
    }
    return configuration.parse({**raw, **more})


def talk(
    *, at: float = 0, room: str = "room", who: tuple[str, ...] = (ALICE, BOB), where: str = "group"
) -> list[Captured]:
    return [
        say(one, f"text {n} of {one}", at + n, id=f"{room}-{at}-{n}", room=room, present=list(who), where=where)
        for n, one in enumerate(who)
    ]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path, config())
    yield made
    made.spool.close()


def states(archive: Archive) -> dict[tuple[str, str, str], int]:
    return {(c.mailbox.partition("@")[0], c.destination, c.state): c.deliveries for c in archive.spool.mailboxes()}


def test_who_is_archived_gets_the_complete_item_beside_their_own(archive: Archive) -> None:
    whisper = say(BOB, "psst", 1.5, id="w", to=[CAROL], present=[ALICE, BOB, CAROL])
    tally = archive.take([*talk(who=(ALICE, BOB, CAROL)), whisper], HOUR)
    assert (tally.copies, tally.archived, tally.unarchived) == (3, 1, 0)
    assert "psst" not in archive.texts(ALICE)[0]
    (item,) = archive.archived(ALICE).values()
    assert "Bob, only to Carol: psst" in text_of(item)
    assert archive.archived(BOB) == archive.archived(CAROL) == {}
    head = archive.archive.head(ALICE)
    assert head is not None and head.length == 1
    assert archive.spool.heads() == {ALICE: head}
    assert list(archive.archive.verify(ALICE, [head])) == []


def test_one_event_that_claims_a_conference_takes_no_im_out_of_the_archive(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(archiving={"archive": "im", "to_mailbox": True}))
    first, *more = talk(where="im")
    lie = event("slide.shown", 1.5, ALICE, where="conference", present=[ALICE, BOB])
    assert archive.take([first, lie, *more], HOUR).archived == 1
    (item,) = archive.archived(ALICE).values()
    assert b"X-Archiver-Kind: conference" in item
    meeting = talk(at=3 * HOUR, room="meeting", where="conference")
    assert archive.take(meeting, 5 * HOUR).archived == 0
    archive.spool.close()


def test_archiving_is_off_by_default(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    tally = archive.take(talk(), HOUR)
    assert (tally.copies, tally.archived, tally.unarchived) == (2, 0, 0)
    assert not (tmp_path / "archive").exists()
    archive.spool.close()


@pytest.mark.parametrize(
    ("link", "to"),
    [
        ("archive", "mail"),
        ("archive", "mail/example.org/alice"),
        ("archive", "mail/example.org/alice/.Sent"),
        ("archive", "."),
        ("mail", "archive"),
        ("mail", "archive/example.org"),
    ],
)
def test_no_link_leads_the_archive_into_the_mail_tree(tmp_path: Path, link: str, to: str) -> None:
    (tmp_path / to).mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / to)
    with pytest.raises(ConfigError, match="leads to"):
        archive_of(config(), tmp_path)
    for command in (["doctor"], ["run", "--once"], ["inspect", "--verify"]):
        said = CliRunner().invoke(main, ["--data", str(tmp_path), *command])
        assert said.exit_code == 2 and "store.archive" in said.stderr, said.output


def test_an_archive_elsewhere_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "archive").symlink_to(tmp_path / "elsewhere")
    archive = Archive(tmp_path, config())
    archive.take(talk(), HOUR)
    assert len(archive.archived(ALICE)) == 1
    archive.spool.close()


def test_a_continued_conversation_adds_a_version_and_replaces_none(archive: Archive) -> None:
    archive.take(talk(), HOUR)
    archive.take([say(BOB, "later", 5, id="l", present=[ALICE, BOB])], HOUR + 60)
    assert [text.count("later") for text in archive.texts(ALICE)] == [1]
    assert sorted(text_of(item).count("later") for item in archive.archived(ALICE).values()) == [0, 1]
    assert states(archive)["alice", "archive", "filed"] == 2
    head = archive.archive.head(ALICE)
    assert head is not None and head.length == 2


def test_the_same_version_is_never_put_twice(archive: Archive) -> None:
    archive.take(talk(), HOUR)
    again = archive.take(talk(), HOUR + 60)
    call = event("call.started", 3, ALICE, present=[ALICE, BOB])
    archive.take([call], HOUR + 120)
    assert again.archived == 0
    assert len(archive.archived(ALICE)) == 1
    assert states(archive)["alice", "archive", "filed"] == 1
    assert "call" in archive.texts(ALICE)[0]


def test_a_retraction_takes_nothing_out_of_the_archive(archive: Archive) -> None:
    archive.take([say(ALICE, "the secret", 0, id="m", present=[ALICE, BOB]), *talk(at=1)], HOUR)
    archive.take([retract(ALICE, "m", 5, present=[ALICE, BOB])], HOUR + 60)
    assert "the secret" not in archive.texts(BOB)[0]
    assert [b"the secret" in item for item in archive.archived(ALICE).values()] == [True, True]


def test_a_retraction_after_forgetting_is_an_item_of_its_own(archive: Archive) -> None:
    archive.take([say(ALICE, "the secret", 0, id="m", present=[ALICE, BOB]), *talk(at=1)], HOUR)
    assert archive.forget(30 * 24 * HOUR) == 3
    archive.take([retract(ALICE, "m", 30 * 24 * HOUR, present=[ALICE, BOB])], 31 * 24 * HOUR)
    assert "the secret" not in archive.texts(BOB)[0]
    first, second = (text_of(item) for item in archive.archived(ALICE).values())
    assert "the secret" in first
    assert "retracted a message that is not shown here" in second


def test_what_policy_archives_locally_is_one_row_for_all_of_them(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(policy={"internal": True}))
    archive.take(talk(who=(ALICE, BOB, CAROL)), HOUR)
    (item,) = archive.spool.local_items()
    assert item.mailboxes == (BOB, CAROL)
    (complete,) = archive.archived(ALICE).values()
    assert archive.spool.local_content(item.number) == complete
    assert states(archive)["bob", "local", "filed"] == 1
    stranger = talk(at=2 * HOUR, room="other", who=(BOB, "eve@elsewhere.example"))
    archive.take(stranger, 4 * HOUR)
    assert len(list(archive.spool.local_items())) == 1
    archive.spool.close()


def test_a_hold_that_covers_it_sends_it_to_the_mailbox(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config())
    archive.spool.place_hold(BOB, by="judge", reason="case", query="merger", now=BASE * SECOND)
    archive.take(talk(), HOUR)
    archive.take([say(BOB, "the merger", 3 * HOUR, id="m", room="2", present=[ALICE, BOB])], 4 * HOUR)
    found = sorted(archive.archived(BOB).values(), key=lambda item: b"X-Archiver-Transcript: complete" in item)
    assert ["the merger" in text_of(item) for item in found] == [True, True]
    assert found[0] in archive.items(BOB).values(), "his own item is kept too"
    assert len(archive.archived(ALICE)) == 2
    archive.spool.close()


@pytest.mark.parametrize(
    "people", [{"people": {"bob_irc@libera": BOB}}, {"rewrite": [{"from": "chat.example.org", "to": "example.org"}]}]
)
def test_a_hold_on_what_was_said_with_somebody_knows_them_by_every_address(
    tmp_path: Path, people: dict[str, Any]
) -> None:
    other, source = ("bob_irc", "irc:libera/#c") if "people" in people else ("bob@chat.example.org", "xmpp:chat")
    archive = Archive(tmp_path, config({"address": ALICE}, directory={"domains": ["example.org"], **people}))
    archive.spool.place_hold(ALICE, by="judge", reason="case", query=f"with:{BOB}", now=BASE * SECOND)
    said = [
        say(who, "hello", n, id=f"{n}", present=[ALICE, other], source=source) for n, who in enumerate((ALICE, other))
    ]
    archive.take(said, HOUR)
    complete = [b"X-Archiver-Transcript: complete" in item for item in archive.archived(ALICE).values()]
    assert sorted(complete) == [False, True]
    archive.spool.close()


def test_what_an_owner_planted_never_keeps_out_what_is_archived_later(tmp_path: Path) -> None:
    """Names are computed from what is said: who says it knows them before, and may wait for a hold to take a file."""
    twin = Archive(tmp_path / "twin", config())
    twin.take(talk(), HOUR)
    (name,) = twin.archived(ALICE)
    twin.spool.close()
    archive = Archive(tmp_path / "data", config())
    planted = archive.store.root / "example.org/alice/cur" / f"{name}:2,S"
    planted.parent.mkdir(parents=True)
    planted.write_bytes(b"Subject: nothing to see")
    archive.spool.place_hold(ALICE, by="judge", reason="case", now=BASE * SECOND)
    keeper = Keeper(archive.archive, archive.spool, archive.spool, directory_of(archive.config).mailbox_of)
    assert take_all(archive.spool, archive.store, keeper, (BASE + HOUR) * SECOND) == 1
    archive.take(talk(), HOUR)
    assert states(archive)["alice", "archive", "filed"] == 1
    assert b"X-Archiver-Transcript: complete" in archive.archived(ALICE)[name]
    archive.spool.close()


# Withheld


def test_what_a_store_cannot_have_is_withheld_and_archived_once_it_can(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(TOO_OLD))
    tally = archive.take(talk(), HOUR)
    assert (tally.archived, tally.unarchived) == (0, 1)
    (kept,) = [kept for kept in archive.spool.withheld() if kept.destination == "archive"]
    assert "14.3" in kept.reason
    assert archive.forget(30 * 24 * HOUR) == 0
    archive.use(config())
    archive.spool.wake([ALICE], (BASE + 2 * HOUR) * SECOND)
    assert archive.file(2 * HOUR).archived == 1
    assert len(archive.archived(ALICE)) == 1
    assert states(archive)["alice", "archive", "filed"] == 1
    assert not [key for key in states(archive) if key[2] == "withheld"]
    archive.spool.close()


def test_withheld_and_then_to_be_archived_locally(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(TOO_OLD))
    archive.take(talk(), HOUR)
    archive.use(config({**TOO_OLD, "exchange_archiving": "local"}, policy={"internal": True}))
    archive.spool.wake([ALICE], (BASE + 2 * HOUR) * SECOND)
    archive.file(2 * HOUR)
    assert [item.mailboxes for item in archive.spool.local_items()] == [(ALICE,)]
    assert states(archive)["alice", "archive", "superseded"] == 1
    archive.spool.close()


def test_withheld_and_then_not_to_be_archived_at_all_it_stays(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(TOO_OLD))
    archive.take(talk(), HOUR)
    archive.use(config({**TOO_OLD, "exchange_archiving": "none"}))
    archive.spool.wake([ALICE], (BASE + 2 * HOUR) * SECOND)
    archive.file(2 * HOUR)
    (kept,) = [kept for kept in archive.spool.withheld() if kept.destination == "archive"]
    assert kept.reason == "Nothing of it is archived, whatever policy and holds say."
    archive.spool.close()


def test_an_archive_that_fails_delays_nobody_s_history_and_is_never_given_up(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config())
    (tmp_path / "archive").write_text("in the way")
    for n in range(8):
        archive.take(talk(at=n * HOUR, room=f"room{n}"), (n + 1) * HOUR)
        archive.spool.wake([ALICE], (BASE + (n + 1) * HOUR) * SECOND)
        archive.file((n + 1) * HOUR)
    assert len(archive.texts(ALICE)) == len(archive.texts(BOB)) == 8
    assert states(archive)["alice", "archive", "withheld"] == 8
    assert all(kept.reason.startswith(PASSING) for kept in archive.spool.withheld())
    assert not archive.spool.parked()
    os.unlink(tmp_path / "archive")
    archive.spool.wake([ALICE], (BASE + 10 * HOUR) * SECOND)
    archive.file(10 * HOUR)
    assert len(archive.archived(ALICE)) == 8
    assert states(archive)["alice", "archive", "filed"] == 8
    head = archive.archive.head(ALICE)
    assert head is not None
    assert list(archive.archive.verify(ALICE, [head])) == []
    archive.spool.close()


def test_over_its_quota_it_is_withheld_with_that_reason(archive: Archive) -> None:
    archive.archive._limit = 10
    archive.take(talk(), HOUR)
    (kept,) = archive.spool.withheld()
    assert kept.reason == f"{PASSING}the archive of {ALICE} is full"
    assert kept.bytes > 1_000
    archive.archive._limit = 10**9
    archive.spool.wake([ALICE], (BASE + 2 * HOUR) * SECOND)
    assert archive.file(2 * HOUR).archived == 1


def test_files_too_large_for_an_item_are_held_for_the_archive_too(tmp_path: Path) -> None:
    archive = Archive(tmp_path, config(transcript={"max_attachment": "4B"}, history={"enabled": False}))
    file = {"name": "x.bin", "content": base64.b64encode(b"a large file").decode()}
    shared = event("file.shared", 1, ALICE, present=[ALICE, BOB], attachments=[file])
    archive.take([*talk(), capture(shared.body, received=shared.time)], HOUR)
    sha256 = hashlib.sha256(b"a large file").hexdigest()
    (item,) = archive.archived(ALICE).values()
    assert f"SHA-256 {sha256}, kept by the archive" in text_of(item)
    archive.spool.drop_withheld(ALICE, person="me", reason="test", now=1)
    archive.spool.drop_withheld(BOB, person="me", reason="test", now=1)
    assert archive.forget(30 * 24 * HOUR) == 3
    archive.spool.sweep_blobs()
    assert archive.spool.blob(sha256) == b"a large file"
    archive.spool.close()


def job_of(archive: Archive) -> Job:
    return Job(archive.spool, archive.config, archive.spool.data)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the job's clock, in seconds after BASE."""

    def set_clock(seconds: int) -> None:
        monkeypatch.setattr(daemon_job, "clock", lambda: (BASE + seconds) * SECOND)

    return set_clock


def test_the_daemon_archives_what_waited_by_itself_once_the_fault_is_over(
    archive: Archive, at: Callable[[int], None]
) -> None:
    (archive.spool.data / "archive").write_text("in the way")
    for n in range(5):
        archive.take(talk(at=n * HOUR, room=f"room{n}"), (n + 1) * HOUR)
    job = job_of(archive)
    tried = []
    for minute in range(10):
        at(6 * HOUR + minute * 60)
        tried.append(job.file().unarchived)
        assert job.file().conversations == 0
    assert tried == [1] * 10  # one conversation asks for all
    os.unlink(archive.spool.data / "archive")
    at(7 * HOUR)
    assert job.file().archived == 1
    assert job.file().archived == 4
    assert not archive.spool.withheld()
    assert len(archive.archived(ALICE)) == 5


def test_the_daemon_asks_again_only_where_the_answer_may_be_another(tmp_path: Path, at: Callable[[int], None]) -> None:
    archive = Archive(tmp_path, config(TOO_OLD))
    archive.take(talk(), HOUR)
    at(2 * HOUR)
    job = job_of(archive)
    assert job.file().conversations == 0
    job.use(config(TOO_OLD, transcript={"locale": "zh-TW"}))
    assert job.file().conversations == 0
    job.use(config())
    assert job.file().archived == 1
    assert not [kept for kept in archive.spool.withheld() if kept.destination == "archive"]
    archive.spool.close()


@pytest.mark.parametrize(
    "off", [{"archiving": {"archive": "none"}}, {"mailbox": [ALWAYS | {"exchange_archiving": "none"}]}]
)
def test_what_waited_while_archiving_was_off_is_archived_once_it_is_on_again(
    tmp_path: Path, at: Callable[[int], None], off: dict[str, Any]
) -> None:
    """Though the conversation went on meanwhile: its newest version waits in the place of the one before."""
    archive = Archive(tmp_path, config(TOO_OLD))
    archive.take(talk(), HOUR)
    archive.use(config(**off))
    archive.take([say(BOB, "later", 5, id="l", present=[ALICE, BOB])], HOUR + 60)
    assert states(archive)["alice", "archive", "withheld"] == 1
    (kept,) = [kept for kept in archive.spool.withheld() if kept.destination == "archive"]
    assert "none" in kept.reason or "Nothing of it is archived" in kept.reason
    archive.use(config())
    at(2 * HOUR)
    assert job_of(archive).file().archived == 1
    (item,) = archive.archived(ALICE).values()
    assert "later" in text_of(item)
    assert ("alice", "archive", "withheld") not in states(archive)
    archive.spool.close()


@pytest.mark.parametrize("continued", [False, True])
def test_what_waited_for_one_archive_goes_to_the_other_that_is_asked_for_now(
    tmp_path: Path, at: Callable[[int], None], continued: bool
) -> None:
    archive = Archive(tmp_path, config(TOO_OLD))
    archive.take(talk(), HOUR)
    archive.use(config({"address": ALICE, "exchange_archiving": "local"}, policy={"user": [LOCALLY]}))
    at(2 * HOUR)
    if continued:
        archive.take([say(BOB, "later", 5, id="l", present=[ALICE, BOB])], HOUR + 60)
    else:
        job_of(archive).file()
    assert states(archive)["alice", "local", "filed"] == 1
    assert not archive.spool.withheld()
    archive.spool.close()


def test_where_both_were_asked_for_and_one_got_it_the_other_waits_no_more_than_asked(
    tmp_path: Path, at: Callable[[int], None]
) -> None:
    """A migration is broken off: back where it came from, what its own archive lacks is in the local one."""
    moving = {"address": ALICE, "version": OLD, "migration": "migrating", "migration_ends": "2999-01-01"}
    archive = Archive(tmp_path, config(moving, policy={"user": [LOCALLY]}))
    archive.take(talk(), HOUR)
    assert states(archive)["alice", "archive", "withheld"] == states(archive)["alice", "local", "filed"] == 1
    archive.use(config({"address": ALICE, "migration": "legacy"}, policy={"user": [LOCALLY]}))
    at(2 * HOUR)
    job_of(archive).file()
    assert not archive.spool.withheld()
    assert len(list(archive.spool.local_items())) == 1
    archive.spool.close()


def test_a_clock_that_jumps_back_keeps_nothing_waiting(archive: Archive, at: Callable[[int], None]) -> None:
    (archive.spool.data / "archive").write_text("in the way")
    archive.take(talk(), HOUR)
    job = job_of(archive)
    at(1_000 * HOUR)
    assert job.file().unarchived == 1
    os.unlink(archive.spool.data / "archive")
    at(6 * HOUR)
    assert job.file().archived == 1


def test_where_one_pool_allows_it_each_conversation_is_asked_once(tmp_path: Path, at: Callable[[int], None]) -> None:
    archiving = {"archive": "im", "to_mailbox": False}
    archive = Archive(tmp_path, config(archiving=archiving))
    archive.take(talk(), HOUR)
    (kept,) = archive.spool.withheld()
    assert "to_mailbox = false" in kept.reason
    at(2 * HOUR)
    pool = {"name": "other", "sources": ["other:*"], "archive": "im", "to_mailbox": True}
    archive.use(config(archiving={**archiving, "pool": [pool]}))
    job = job_of(archive)
    assert (job.file().unarchived, job.file().conversations) == (1, 0)
    job.use(config())
    assert job.file().archived == 1
    archive.spool.close()


def test_several_processes_archive_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ALONE", 1)
    monkeypatch.setattr(running, "FEW", 0)
    events = [each for n in range(30) for each in talk(room=f"room{n}", who=(ALICE, BOB, CAROL))]
    (tmp_path / "events.ndjson").write_bytes(ndjson(events))
    asked = config(policy={"internal": True})
    request = backfill.Request(importer("events"), (tmp_path / "events.ndjson",), jobs=2)
    report = backfill.run(asked, tmp_path / "data", request)
    assert (report.tally.copies, report.tally.archived, report.tally.unarchived) == (90, 90, 0)
    archive = Archive(tmp_path / "data", asked)
    assert [item.mailboxes for item in archive.spool.local_items()] == [(BOB, CAROL)] * 30
    head = archive.spool.heads()[ALICE]
    assert head == archive.archive.head(ALICE)
    assert head.length == len(archive.archived(ALICE)) == 30
    assert list(archive.archive.verify(ALICE, [head])) == []
    archive.spool.close()


# Crashes


class Killed(Exception):
    """The process ended here."""


def killed_at(archive: Archive, monkeypatch: pytest.MonkeyPatch, step: str, events: list[Captured]) -> None:
    """File `events`, but the process ends before `step` of the journal is recorded."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(archive.spool, step, die)
        with pytest.raises(Killed):
            archive.take(events, HOUR)


@pytest.mark.parametrize("step", ["keep_local", "note_heads", "finish", "finish_places"])
def test_killed_after_any_step_it_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    archive = Archive(tmp_path, config(policy={"internal": True}))
    killed_at(archive, monkeypatch, step, talk(who=(ALICE, BOB)))
    archive.file(3 * HOUR)
    assert len(archive.archived(ALICE)) == len(archive.texts(ALICE)) == len(list(archive.spool.local_items())) == 1
    head = archive.archive.head(ALICE)
    assert head is not None and head.length == 1
    assert archive.spool.heads() == {ALICE: head}
    assert list(archive.archive.verify(ALICE, [head])) == []
    assert states(archive)["alice", "archive", "filed"] == states(archive)["bob", "local", "filed"] == 1
    archive.spool.close()


@pytest.mark.parametrize("step", ["note_heads", "finish"])
def test_killed_and_then_continued_both_versions_are_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    archive = Archive(tmp_path, config())
    killed_at(archive, monkeypatch, step, talk())
    archive.take([say(BOB, "later", 5, id="l", present=[ALICE, BOB])], 3 * HOUR)
    assert sorted(text_of(item).count("later") for item in archive.archived(ALICE).values()) == [0, 1]
    head = archive.archive.head(ALICE)
    assert head is not None and head.length == 2
    assert archive.spool.heads() == {ALICE: head}
    assert list(archive.archive.verify(ALICE, [head])) == []
    assert not [key for key in states(archive) if key[2] == "attempted"]
    archive.spool.close()


def test_what_is_parked_for_a_person_is_listed_though_the_archive_still_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path, config(TOO_OLD))
    item = Showing.item

    def broken(self: Showing, look: Look) -> Item:
        if not look.complete:
            raise ZeroDivisionError("bug")
        return item(self, look)

    with monkeypatch.context() as patch:
        patch.setattr(Showing, "item", broken)
        archive.take(talk(), HOUR)
        for n in range(ATTEMPTS):
            archive.file(2 * HOUR + n * HOUR)
    assert states(archive)["alice", "archive", "withheld"] == states(archive)["bob", "history", "parked"] == 1
    (parked,) = archive.spool.parked_filings()
    assert parked.reason == "ZeroDivisionError: bug"
    assert archive.spool.unpark(filings=[parked.filing], now=(BASE + 20 * HOUR) * SECOND) == 1
    archive.file(20 * HOUR)
    assert len(archive.texts(BOB)) == 1
    assert states(archive)["alice", "archive", "withheld"] == 1
    archive.spool.close()
