"""One mailbox on its way from Exchange 2010 to 2013 and back, and there again: on a real spool and real stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_builder import FOLDER, Archive
from builders import BASE, HOUR, say
from conversation_builder import text_of

from archiver import config as configuration
from archiver.assembly import terms_of
from archiver.compliance.explaining import explain
from archiver.config import Config
from archiver.daemon import job as daemon_job
from archiver.daemon.job import Job
from archiver.doctor import archived
from archiver.events import SECOND, Captured

ALICE, BOB = "alice@example.org", "bob@example.org"
OLD, NEW = "14.3.123.4", "15.0.1497.2"
LEGACY = {"version": OLD, "migration": "legacy"}
MOVING = {"migration": "migrating", "migration_ends": "2099-12-31"}
MOVED = {"version": NEW, "migration": "mailbox", "exchange_archiving": "mailbox"}
STEPS: list[dict[str, Any]] = [
    LEGACY,
    {"version": OLD, **MOVING},
    {"version": NEW, **MOVING},
    MOVED,
    {"version": NEW, **MOVING},
    LEGACY,
    MOVED,
]
"""What the configuration says of Alice, from one step to the next; in each she talks with Bob in a room of its own."""


def config(**alice: Any) -> Config:
    return configuration.parse(
        {
            "archiving": {"archive": "im", "to_mailbox": True},
            "policy": {"user": [{"address": ALICE, "internal": True}]},
            "mailbox": [{"address": ALICE, **alice}],
            "directory": {"domains": ["example.org"]},
        }
    )


def talk(step: int) -> list[Captured]:
    people, room = [ALICE, BOB], f"room{step}"
    return [
        say(who, f"{who} in {room}", step * HOUR + n, id=f"{step}-{n}", room=room, present=people)
        for n, who in enumerate(people)
    ]


class Walk:
    """The mailbox, step by step, as the daemon would take it."""

    def __init__(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        self.archive = archive
        self._monkeypatch = monkeypatch
        self._step = 0
        self._before: dict[str, dict[str, bytes]] = {}

    def go(self) -> None:
        """The next configuration is taken up, what it opens is filed, and then what is said under it."""
        step, self._step = self._step, self._step + 1
        at = (step + 1) * HOUR
        self._monkeypatch.setattr(daemon_job, "clock", lambda: (BASE + at) * SECOND)
        new = config(**STEPS[step])
        Job(self.archive.spool, new, self.archive.spool.data).file()
        self.archive.use(new)
        self.archive.take(talk(step), at)
        self._lost_nothing()

    def _lost_nothing(self) -> None:
        """What lay in some store lies there still, byte for byte."""
        now = {"history": self.history(), "archive": self.archive.archived(ALICE), "local": self.local()}
        for store, before in self._before.items():
            assert before.items() <= now[store].items(), store
        self._before = now

    def history(self) -> dict[str, bytes]:
        store = self.archive.store
        return {each.name: store.read(ALICE, FOLDER, each.name) for each in store.items(ALICE, FOLDER)}

    def local(self) -> dict[str, bytes]:
        spool = self.archive.spool
        return {str(each.number): spool.local_content(each.number) or b"" for each in spool.local_items(mailbox=ALICE)}

    def lie(self) -> dict[str, list[int]]:
        """Which steps' conversations lie where, and which wait for what."""
        waiting = {"history": 0, "archive": 0, "local": 0}
        for kept in self.archive.spool.withheld():
            waiting[kept.destination] += kept.deliveries
        assert waiting["local"] == 0
        return {
            "history": steps(self.history()),
            "archive": steps(self.archive.archived(ALICE)),
            "local": steps(self.local()),
            "waiting": [waiting["history"], waiting["archive"]],
        }


def steps(items: dict[str, bytes]) -> list[int]:
    texts = [text_of(item) for item in items.values()]
    return sorted(step for step in range(len(STEPS)) for text in texts if f"{BOB} in room{step}" in text)


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    archive = Archive(tmp_path, config(**LEGACY))
    yield Walk(archive, monkeypatch)
    archive.spool.close()


def test_there_and_back_and_there_again_nothing_is_lost(walk: Walk) -> None:
    """What waited for Conversation History is filed under the rules of that time: then the new archive has it too."""
    walk.go()  # on Exchange 2010
    assert walk.lie() == {"history": [], "archive": [], "local": [0], "waiting": [1, 0]}
    walk.go()  # migrating, its store still the old one
    assert walk.lie() == {"history": [], "archive": [], "local": [0, 1], "waiting": [2, 1]}
    walk.go()  # migrating, its store the new one
    assert walk.lie() == {"history": [0, 1, 2], "archive": [0, 1, 2], "local": [0, 1, 2], "waiting": [0, 0]}
    walk.go()  # on Exchange 2013
    assert walk.lie() == {"history": [0, 1, 2, 3], "archive": [0, 1, 2, 3], "local": [0, 1, 2], "waiting": [0, 0]}
    walk.go()  # on its way back
    assert walk.lie()["archive"] == [0, 1, 2, 3, 4] and walk.lie()["local"] == [0, 1, 2, 4]
    walk.go()  # back on Exchange 2010
    assert walk.lie() == {
        "history": [0, 1, 2, 3, 4],
        "archive": [0, 1, 2, 3, 4],
        "local": [0, 1, 2, 4, 5],
        "waiting": [1, 0],
    }
    walk.go()  # and moved at once
    assert walk.lie() == {
        "history": [0, 1, 2, 3, 4, 5, 6],
        "archive": [0, 1, 2, 3, 4, 5, 6],
        "local": [0, 1, 2, 4, 5],
        "waiting": [0, 0],
    }
    spool, archive = walk.archive.spool, walk.archive.archive
    assert list(archive.verify(ALICE, [spool.heads()[ALICE]])) == []
    assert len(walk.archive.items(BOB)) > 0
    assert not spool.parked_filings() and not spool.parked_places()


def test_what_waits_for_the_new_store_is_settled_by_the_local_copy_once_the_migration_is_called_off(walk: Walk) -> None:
    walk.go()
    walk.go()
    assert walk.lie()["waiting"] == [2, 1]
    spool = walk.archive.spool
    Job(spool, config(**LEGACY), spool.data).file()
    assert walk.lie() == {"history": [], "archive": [], "local": [0, 1], "waiting": [2, 0]}
    Job(spool, config(**MOVED), spool.data).file()
    # Nothing is lost: whatever the mailbox's own archive lacks is in the local one.
    assert walk.lie() == {"history": [0, 1], "archive": [0], "local": [0, 1], "waiting": [0, 0]}
    (finding,) = archived.left_behind(config(**MOVED), spool.data, 0)
    assert finding.found.startswith("1 of what is archived of alice@example.org lies in the local archive alone")
    assert f"--address {ALICE}" in finding.advice
    assert explain(terms_of(config(**MOVED)), spool, ALICE, "test:one", 0).only_local == 1
    assert not list(archived.left_behind(config(**LEGACY), spool.data, 0)), "where else should it be"
    spool.drop_local([each.number for each in spool.local_items()])
    assert not list(archived.left_behind(config(**MOVED), spool.data, 0))
