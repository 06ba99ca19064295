"""A mailbox on each version of the capability matrix: what is filed, archived and withheld there, and why; then all
are moved to the newest, and nothing is left waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_builder import FOLDER, Archive
from builders import BASE, HOUR, say
from msgspec import Struct

from archiver import config as configuration
from archiver.config import Config
from archiver.daemon import job as daemon_job
from archiver.daemon.job import Job
from archiver.events import SECOND, Captured

SE = "15.2.2562.17"
PARTNER = "partner@example.org"


class Row(Struct, frozen=True):
    """What is expected of one version. `history` are the kinds that are filed; `why` stands in each reason."""

    version: str
    history: frozenset[str]
    archived: bool
    why: tuple[str, ...] = ()


ALL, CHATS, NONE = frozenset({"im", "group", "conference"}), frozenset({"im", "group"}), frozenset[str]()
ROWS = {
    "2007-sp3": Row("8.3.83.6", NONE, False, ("Exchange 2007 SP3", "says no")),
    "2010-sp3": Row("14.3.123.4", NONE, False, ("Exchange 2010 SP3", "says no")),
    "2013-rtm": Row("15.0.516.32", ALL, True),
    "2013-cu23": Row("15.0.1497.2", ALL, True),
    "2016": Row("15.1.2507.6", ALL, True),
    "2019-cu15": Row("15.2.1748.10", ALL, True),
    "se": Row(SE, ALL, True),
    "online": Row("15.20.7003.16", CHATS, False, ("Exchange Online", "p (pairing)")),
    "unknown": Row("17.3.1.4", NONE, False, ("none we know",)),
}


def address(name: str) -> str:
    return f"{name}@example.org"


def config(**versions: str) -> Config:
    tables: list[dict[str, Any]] = [
        {"address": address(name), "version": versions.get(name, row.version), "exchange_archiving": "mailbox"}
        for name, row in ROWS.items()
    ]
    return configuration.parse(
        {
            "archiving": {"archive": "im+conference", "to_mailbox": True},
            "mailbox": tables,
            "directory": {"domains": ["example.org"]},
        }
    )


def conversations() -> Iterator[Captured]:
    """One of each kind for everybody: with a partner, in a room of all, in a meeting of all."""
    for name in ROWS:
        here = {"room": f"{name} partner", "present": [address(name), PARTNER], "where": "im"}
        yield say(address(name), f"im of {name}", 0, id=f"i-{name}", **here)
    for kind in ("group", "conference"):
        here = {"room": kind, "where": kind, "present": [address(each) for each in ROWS]}
        for number, name in enumerate(ROWS):
            yield say(address(name), f"{kind} by {name}", number, id=f"{kind}-{name}", **here)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path, config())
    made.take(list(conversations()), 2 * HOUR)
    yield made
    made.spool.close()


@pytest.fixture
def job(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Callable[[Config], Job]:
    monkeypatch.setattr(daemon_job, "clock", lambda: (BASE + 3 * HOUR) * SECOND)
    return lambda config: Job(archive.spool, config, archive.spool.data)


def kinds(items: list[bytes]) -> list[str]:
    return sorted(item.partition(b"X-Archiver-Kind: ")[2].split(b"\n", 1)[0].decode() for item in items)


def in_history(archive: Archive, name: str) -> list[str]:
    mailbox = address(name)
    found = archive.store.items(mailbox, FOLDER)
    return kinds([archive.store.read(mailbox, FOLDER, each.name) for each in found])


def in_archive(archive: Archive, name: str) -> list[str]:
    return kinds(list(archive.archived(address(name)).values()))


@pytest.mark.parametrize("name", ROWS)
def test_what_a_version_gets_and_what_waits_and_why(archive: Archive, name: str) -> None:
    row = ROWS[name]
    assert in_history(archive, name) == sorted(row.history)
    assert in_archive(archive, name) == (sorted(ALL) if row.archived else [])
    withheld = [kept for kept in archive.spool.withheld() if kept.mailbox == address(name)]
    counts = {to: sum(k.deliveries for k in withheld if k.destination == to) for to in ("history", "archive", "local")}
    assert counts == {"history": 3 - len(row.history), "archive": 0 if row.archived else 3, "local": 0}
    for kept in withheld:
        assert all(words in kept.reason for words in row.why), kept.reason
        assert kept.bytes > 0


def test_everything_is_complete_whoever_it_is_for(archive: Archive) -> None:
    (group,) = {item for item in archive.archived(address("se")).values() if b"X-Archiver-Kind: group" in item}
    assert all(group in archive.archived(address(name)).values() for name, row in ROWS.items() if row.archived)


@pytest.mark.parametrize("name", ROWS)
def test_moved_to_the_newest_version_all_of_it_is_filed_by_itself(
    archive: Archive, job: Callable[[Config], Job], name: str
) -> None:
    waiting = sum(kept.deliveries for kept in archive.spool.withheld() if kept.mailbox == address(name))
    tally = job(config(**{name: SE})).file()
    assert tally.copies + tally.archived == waiting
    assert in_history(archive, name) == in_archive(archive, name) == sorted(ALL)
    assert not [kept for kept in archive.spool.withheld() if kept.mailbox == address(name)]


def test_once_all_are_moved_nothing_waits_and_every_archive_is_sound(
    archive: Archive, job: Callable[[Config], Job]
) -> None:
    job(config(**dict.fromkeys(ROWS, SE))).file()
    assert archive.spool.withheld() == []
    heads = archive.spool.heads()
    for name in ROWS:
        assert in_history(archive, name) == in_archive(archive, name) == sorted(ALL)
        assert heads[address(name)].length == 3
        assert list(archive.archive.verify(address(name), [heads[address(name)]])) == []


def test_the_pairing_opens_what_online_can_only_with_it(tmp_path: Path) -> None:
    raw = {"archiving": {"archive": "im+conference", "to_mailbox": True}, "store": {"pairing": "online"}}
    tables = [{"address": address("online"), "version": ROWS["online"].version, "exchange_archiving": "mailbox"}]
    archive = Archive(tmp_path, configuration.parse({**raw, "mailbox": tables}))
    archive.take(list(conversations()), 2 * HOUR)
    assert in_history(archive, "online") == in_archive(archive, "online") == sorted(ALL)
    archive.spool.close()
