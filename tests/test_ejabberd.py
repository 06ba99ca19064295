"""A real ejabberd with the archiver's module, and real clients: what every server's must do, and what is its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from contracts.gaps import GapContract, fill_in
from contracts.mishaps import MishapContract
from contracts.module import ROOM, USER, CaptureContract, backfilled, compared, together
from servers.ejabberd import Ejabberd
from servers.xmpp import ROOMS, wait
from xmpp_archiver import Archiver
from xmpp_clients import People, body, people

from archiver.sources.tls import Tls

pytestmark = [pytest.mark.server, pytest.mark.slow]


class TestCapture(CaptureContract):
    server_type = Ejabberd

    def test_what_programs_have_the_server_send_is_captured(
        self, server: Ejabberd, archiver: Archiver, all_of_them: People
    ) -> None:
        """By its own interface: no client sends it. It sends to each client anew."""
        bob = all_of_them.log_in("bob")
        message = {"type": "chat", "from": "ann@localhost", "to": "bob@localhost", "subject": "", "body": "from afar"}
        server.told("send_message", **message)
        bob.ask("bob@localhost", "<enable xmlns='urn:xmpp:carbons:2'/>")
        telephone = all_of_them.log_in("bob", resource="telephone")
        telephone.ask("bob@localhost", "<enable xmlns='urn:xmpp:carbons:2'/>")
        telephone.say("bob@localhost", body("a note to myself"))
        telephone.ask("bob@localhost", "<query xmlns='urn:xmpp:mam:2'/>")
        assert archiver.texts_after(2, server) == ["a note to myself", "from afar"]
        assert backfilled(server).keys() == archiver.once.keys()

    def test_what_a_room_itself_says_is_told_once(
        self, server: Ejabberd, archiver: Archiver, all_of_them: People
    ) -> None:
        together(all_of_them, "ann", "bob")
        all_of_them.log_in("admin").say(ROOMS, body("down at noon"), "normal")
        all_of_them.log_in("eve").join(ROOM, "Eve")
        told = archiver.until(4, server)
        (said,) = (each for each in told if each.data.message)
        assert said.data.actor is None and said.data.conversation.id == ROOM

    def test_what_a_block_list_refuses_was_never_said(
        self, server: Ejabberd, archiver: Archiver, all_of_them: People
    ) -> None:
        ann = all_of_them.log_in("ann")
        ann.ask("ann@localhost", "<block xmlns='urn:xmpp:blocking'><item jid='bots.localhost'/></block>")
        bot = all_of_them.component("bots.localhost", server.component)
        bot.say("ann@localhost", body("buy this"), "normal")
        bot.say("bob@localhost", body("or this"), "normal")
        archiver.until(1, server)
        assert archiver.texts() == ["or this"]

    def test_a_backfill_knows_private_messages_again(
        self, server: Ejabberd, archiver: Archiver, all_of_them: People
    ) -> None:
        ann, _ = together(all_of_them, "ann", "bob")
        for id in ("", "", "same", "same"):
            ann.say(f"{ROOM}/Bob", body("psst") + f"<x xmlns='{USER}'/>", id=id)
        archiver.until(6, server)
        live, later = archiver.once, backfilled(server)
        assert len(later) == 4 and later.keys() <= live.keys()
        assert [compared(live[each]) for each in later] == [compared(later[each]) for each in later]


class TestMishaps(MishapContract):
    server_type = Ejabberd

    def test_a_queue_that_cannot_be_kept_stops_no_server(self, tmp_path: Path, archiver: Archiver) -> None:
        taken = tmp_path / "taken"
        taken.write_text("")
        with self.running(tmp_path, archiver, options={"queue": taken}) as server, people(server.port) as them:
            ann, bob = them.log_in("ann"), them.log_in("bob")
            ann.say("bob@localhost", body("hello"))
            ann.settle()
            wait(lambda: "takes no more" in server.logged(), server.logged)
            taken.unlink()
            taken.mkdir()
            (taken / "localhost").mkdir()
            bob.say("ann@localhost", body("later"))
            wait(lambda: archiver.texts() == ["hello", "later"], server.logged, 60)

    @pytest.mark.parametrize("name", ["127.0.0.1", "127.0.0.2", "elsewhere.example.org"])
    def test_a_certificate_must_be_for_the_address(self, tmp_path: Path, name: str) -> None:
        authority = trustme.CA()
        made = authority.issue_cert(name)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        (tmp_path / "cert.pem").write_bytes(made.cert_chain_pems[0].bytes())
        (tmp_path / "key.pem").write_bytes(made.private_key_pem.bytes())
        end = Archiver(tmp_path, tls=Tls(tmp_path / "cert.pem", tmp_path / "key.pem"))
        end.start()
        trusting = self.running(tmp_path, end, scheme="https", more=f"ca_file: '{tmp_path}/ca.pem'")
        with trusting as server, people(server.port) as them:
            them.log_in("ann").say("bob@localhost", body("hello"))
            refused = lambda: "for the name in url" in server.logged()  # noqa: E731
            wait(refused if name != "127.0.0.1" else lambda: end.texts() == ["hello"], server.logged)
            assert bool(end.texts()) != refused()
        end.stop()

    def test_a_module_that_is_begun_anew_goes_on(
        self, server: Ejabberd, archiver: Archiver, all_of_them: People
    ) -> None:
        """While people talk: what falls into that moment is filled in, and the room tells who is there."""
        ann, bob = together(all_of_them, "ann", "bob")
        for number in range(90):
            if number in (30, 60):
                wait(lambda: len(archiver.texts()) > 2 * number - 40, server.logged)  # noqa: B023
                server.told("restart_module", host="localhost", module="mod_archiver")
            ann.say(ROOM, body(f"room {number:02d}"), "groupchat", id=f"r{number}")
            bob.say("ann@localhost", body(f"pair {number:02d}"), id=f"p{number}")
        expected = sorted(f"{place} {number:02d}" for place in ("room", "pair") for number in range(90))
        wait(lambda: len(archiver.texts()) >= 180, server.logged, 60)
        assert archiver.texts_after(182, server) == expected
        here = [each.data.conversation.participants for each in archiver.events if each.source == f"xmpp:{ROOMS}"]
        assert sum(len(each or ()) == 2 for each in here) >= 2, "after each start"

    def test_hosts_that_share_a_server_are_captured_each(self, tmp_path: Path, archiver: Archiver) -> None:
        hosts = ("localhost", "second.localhost")
        with self.running(tmp_path, archiver, hosts=hosts) as server, people(server.port) as them:
            ann, eve = them.log_in("ann"), them.log_in("eve", host="second.localhost")
            room = "tea@rooms.second.localhost"
            ann.join(room, "Ann")
            eve.join(room, "Eve")
            ann.say("eve@second.localhost", body("over there"))
            eve.say("ann@localhost", body("and back"))
            ann.say(room, body("in between"), "groupchat")
            told = archiver.until(5, server)
            sources = {each.data.message.text: each.source for each in told if each.data.message}
            assert sources == {
                "over there": "xmpp:localhost",
                "and back": "xmpp:second.localhost",
                "in between": "xmpp:rooms.second.localhost",
            }
            assert {each.name for each in server.queue.parent.iterdir()} == set(hosts)


class TestGaps(GapContract):
    server_type = Ejabberd

    def test_an_archive_that_cannot_be_read_is_told(self, tmp_path: Path, archiver: Archiver) -> None:
        with self.running(tmp_path, archiver, storage="mnesia", options={"fill_days": 1}) as server:
            wait(lambda: "doesn't keep it in SQL" in server.logged(), server.logged)
            with people(server.port) as them:
                them.log_in("ann").say("bob@localhost", body("hello"))
                archiver.until(1, server)

    def test_packed_archives_fill_gaps_too(self, tmp_path: Path, archiver: Archiver) -> None:
        with self.running(tmp_path, archiver, storage="sql, compress_xml: true") as server:
            fill_in(server, archiver)
