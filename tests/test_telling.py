"""People who are archived are told so, once: who, when, what, and that a crash tells nobody twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from archive_builder import FOLDER, Archive
from builders import BASE, HOUR, MINUTE, say
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mishaps import CALLS, Killer, in_child

from archiver import config as configuration
from archiver.config import Config
from archiver.daemon import job as daemon_job
from archiver.daemon.job import Job
from archiver.daemon.telling import tell
from archiver.events import SECOND, Captured
from archiver.exceptions import ConfigError
from archiver.rendering import is_base_name, is_message_id, notice

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
OLD = "Version 14.3 (Build 123.4)"
TEXT = "What you say here is archived.\nAsk the works council."
SAID = {"subject": "Archiviert / 已歸檔", "text": TEXT}


def config(**more: Any) -> Config:
    """Alice is archived in her own archive, Bob in the local one, Carol not at all."""
    raw: dict[str, Any] = {
        "archiving": {"archive": "im", "to_mailbox": True},
        "policy": {"user": [{"address": BOB, "internal": True}]},
        "mailbox": [{"address": ALICE, "exchange_archiving": "mailbox"}],
        "directory": {"domains": ["example.org"]},
        "notice": SAID,
    }
    return configuration.parse({**raw, **more})


def talk(at: float = 0) -> list[Captured]:
    people = [ALICE, BOB, CAROL]
    return [say(one, f"text of {one}", at + n, id=f"{at}-{n}", present=people) for n, one in enumerate(people)]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path, config())
    yield made
    made.spool.close()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the job's clock, in seconds after BASE."""
    return lambda seconds: monkeypatch.setattr(daemon_job, "clock", lambda: round((BASE + seconds) * SECOND))


def told(archive: Archive, mailbox: str) -> list[bytes]:
    found = (item for item in archive.store.items(mailbox, FOLDER) if not is_base_name(item.name))
    return [archive.store.read(mailbox, FOLDER, item.name) for item in found]


def rounds(archive: Archive, at: Callable[[float], None], made: Config | None = None) -> None:
    job = Job(archive.spool, made or archive.config, archive.spool.data)
    for minute in range(3):
        at(2 * HOUR + minute * MINUTE)
        job.file()


def test_who_is_archived_is_told_once_in_either_archive_and_nobody_else(
    archive: Archive, at: Callable[[float], None]
) -> None:
    archive.take(talk(), HOUR)
    rounds(archive, at)
    archive.take(talk(5 * HOUR), 6 * HOUR)
    rounds(archive, at)
    assert [len(told(archive, each)) for each in (ALICE, BOB, CAROL)] == [1, 1, 0]
    (item,) = told(archive, ALICE)
    read = message_from_bytes(item, policy=policy.default)
    assert read["Subject"] == SAID["subject"]
    assert read.get_content().strip() == TEXT
    assert not is_message_id(read["Message-ID"])
    unread = [found.seen for found in archive.store.items(ALICE, FOLDER) if not is_base_name(found.name)]
    assert unread == [False]


def test_who_deletes_the_notice_is_not_told_again(archive: Archive, at: Callable[[float], None]) -> None:
    archive.take(talk(), HOUR)
    rounds(archive, at)
    for path in (archive.spool.data / "mail").rglob("new/*.N*"):
        path.unlink()
    rounds(archive, at, config(notice={**SAID, "text": "another text"}))
    assert not told(archive, ALICE) and not told(archive, BOB)


def test_without_a_text_nobody_is_told_and_later_those_are_who_were_archived_before(
    archive: Archive, at: Callable[[float], None]
) -> None:
    archive.take(talk(), HOUR)
    rounds(archive, at, config(notice={}))
    assert not told(archive, ALICE)
    rounds(archive, at)
    assert len(told(archive, ALICE)) == len(told(archive, BOB)) == 1


def test_that_conversation_history_is_off_keeps_nobody_from_being_told(
    archive: Archive, at: Callable[[float], None]
) -> None:
    archive.use(config(history={"enabled": False}))
    archive.take(talk(), HOUR)
    rounds(archive, at)
    assert len(told(archive, ALICE)) == 1


def test_whose_store_takes_no_items_is_told_once_it_does(archive: Archive, at: Callable[[float], None]) -> None:
    archive.take(talk(), HOUR)
    rounds(archive, at, config(mailbox=[{"address": BOB, "version": OLD}]))
    assert not told(archive, BOB)
    rounds(archive, at)
    assert len(told(archive, BOB)) == 1


def test_a_folder_that_can_not_be_written_is_tried_again(archive: Archive, at: Callable[[float], None]) -> None:
    archive.use(config(history={"enabled": False}))
    archive.take(talk(), HOUR)
    mail = archive.spool.data / "mail" / "example.org"
    mail.mkdir(parents=True, exist_ok=True)
    (mail / "alice").write_text("in the way")
    rounds(archive, at)
    assert len(told(archive, BOB)) == 1
    (mail / "alice").unlink()
    rounds(archive, at)
    assert [len(told(archive, each)) for each in (ALICE, BOB)] == [1, 1]


@pytest.mark.slow
def test_killed_at_any_step_it_tells_everybody_once(tmp_path: Path) -> None:
    for last in range(0, 60, 3):
        data = tmp_path / str(last)
        archive = Archive(data, config())
        archive.take(talk(), HOUR)
        archive.spool.close()

        def work(data: Path = data, last: int = last) -> None:
            again = Archive(data, config())
            job = Job(again.spool, again.config, data)
            Killer(last).arm(CALLS)
            tell(again.spool, again.store, job.terms, again.config.notice, (BASE + 2 * HOUR) * SECOND)

        in_child(work)
        again = Archive(data, config())
        job = Job(again.spool, again.config, data)
        for minute in (1, 2):
            now = (BASE + 3 * HOUR + minute * MINUTE) * SECOND
            tell(again.spool, again.store, job.terms, again.config.notice, now)
        assert [len(told(again, each)) for each in (ALICE, BOB)] == [1, 1], last
        again.spool.close()


lines = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=2_000)


@settings(max_examples=examples(100))
@given(subject=lines, text=st.lists(lines, max_size=5).map("\n".join), time=st.integers(0, 2**51))
def test_whatever_the_text_is_it_is_one_message_that_says_it(subject: str, text: str, time: int) -> None:
    item = notice(subject, text, time)
    read = message_from_bytes(item.content, policy=policy.default)
    content = read.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode() == text + "\n"
    assert [name for name, _ in read.items()].count("Subject") == 1
    assert read["Message-ID"] == item.message_id and not read.is_multipart()
    assert notice(subject, text, time) == item


@pytest.mark.parametrize("text", ["a\0b", "a\rb", "x" * 20_000, 7])
def test_a_text_that_is_none_is_the_configurations_fault(text: object) -> None:
    with pytest.raises(ConfigError, match=r"notice\.text"):
        config(notice={"text": text})
