"""A real Prosody with the archiver's module, and real clients: what every server's must do, and what is its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from contracts.gaps import GapContract, fill_in
from contracts.mishaps import MishapContract
from contracts.module import ROOM, CaptureContract, backfilled, taken_after, together
from servers.prosody import Prosody
from servers.xmpp import wait
from xmpp_archiver import Archiver
from xmpp_clients import body, people

pytestmark = [pytest.mark.server, pytest.mark.slow]


class TestMishaps(MishapContract):
    server_type = Prosody


class TestGaps(GapContract):
    server_type = Prosody

    def test_an_archive_that_is_no_database_fills_gaps_too(self, tmp_path: Path, archiver: Archiver) -> None:
        with self.running(tmp_path, archiver, storage="internal") as server:
            fill_in(server, archiver)


class TestCapture(CaptureContract):
    server_type = Prosody

    def test_who_came_and_went_is_the_same_in_the_archive(self, tmp_path: Path, archiver: Archiver) -> None:
        logging = self.running(tmp_path, archiver, more="muc_log_presences = true")
        with logging as server, people(server.port) as them:
            ann, bob = together(them, "ann", "bob")
            bob.leave(ROOM, "Bob", "bye")
            bob.settle()
            bob.join(ROOM, "Bob")
            ann.drop()
            live = {(each.source, each.id): each for each in archiver.until(5, server)}
            later = backfilled(server)
            assert len(later) == 5 and later.keys() <= live.keys()
            same = [(each.type, each.time) for each in (live[identity] for identity in later)]
            assert same == [(each.type, each.time) for each in later.values()], "though the archive knows only nicks"
            assert taken_after(tmp_path / "data", live.values(), later.values()) == {"duplicate": 5}
            server.stop()
            server.start()  # reads the last minute of it again
            time.sleep(2)
            assert len(archiver.once) == 6, "and that Bob fell out"

    def test_what_is_not_captured_is_told(self, tmp_path: Path, archiver: Archiver) -> None:
        others = (
            'Component "pubsub.localhost" "pubsub"\n  modules_enabled = { "archiver" }\nComponent "off.localhost" "muc"'
        )
        with self.running(tmp_path, archiver, components=others) as server, people(server.port) as them:
            wait(lambda: "for components with rooms" in server.logged(), server.logged)
            them.log_in("ann").say("bob@localhost", body("hello"))
            archiver.until(1, server)
            wait(lambda: "rooms of off.localhost is not captured" in server.logged(), server.logged)
            assert "rooms of rooms.localhost" not in server.logged()
