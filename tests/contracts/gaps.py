"""What the archiver's module in an XMPP server must fill in from its archive: nothing missing, nothing twice."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from contracts.module import ROOM, USER, WithServer, ann_counts, backfilled, together
from servers.xmpp import XmppServer, wait
from xmpp_archiver import Archiver
from xmpp_clients import body, people

NOTHING_KEPT = "<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>"


def fill_in(server: XmppServer, archiver: Archiver) -> None:
    with people(server.port) as before:
        ann, _ = together(before, "ann", "bob")
        ann.say("bob@localhost", body("before"), id="b1")
        archiver.until(3, server)
    archiver.until(5, server)
    server.stop()
    server.start(with_module=False)
    with people(server.port) as meanwhile:
        ann, bob = together(meanwhile, "ann", "bob")
        for number in range(450):
            ann.say("bob@localhost", body(f"pair {number:03d}"), id="" if number % 3 else f"p{number}")
        bob.say("ann@localhost", body("an answer"), id="m1")
        ann.say(ROOM, body("in the room"), "groupchat")
        ann.say(f"{ROOM}/Bob", body("in a whisper") + f"<x xmlns='{USER}'/>")
        ann.settle()
        bob.settle()
    server.stop()
    server.start()
    archiver.until(5 + 453, server)
    time.sleep(1)
    alone = ("before", "an answer", "in the room", "in a whisper")
    expected = sorted([*alone, *(f"pair {number:03d}" for number in range(450))])
    assert archiver.texts() == expected, Counter(archiver.texts()) - Counter(expected)


class GapContract(WithServer):
    """After a time without the module, or without its queue."""

    def test_what_was_said_without_the_module_is_filled_in(self, tmp_path: Path, archiver: Archiver) -> None:
        with self.running(tmp_path, archiver) as server:
            fill_in(server, archiver)
            later = backfilled(server)
            assert {each for each in later if later[each].data.message} <= archiver.once.keys()

    def test_a_queue_that_is_lost_is_filled_from_the_archive(self, tmp_path: Path, archiver: Archiver) -> None:
        archiver.stop()
        with self.running(tmp_path, archiver, options={"fill_days": 1}) as server:
            ann_counts(server, 20)
            server.kill()
            for each in server.queue.iterdir():
                each.unlink()
            archiver.start()
            server.start()
            archiver.until(20, server)
        assert archiver.texts() == [f"{number:02d}" for number in range(20)]

    def test_a_note_to_oneself_is_filled_in_once(self, tmp_path: Path, archiver: Archiver) -> None:
        """It is in its writer's archive twice: as sent and as got."""
        with self.running(tmp_path, archiver, options={"fill_days": 1}) as server:
            server.stop()
            server.start(with_module=False)
            with people(server.port) as them:
                bob = them.log_in("bob")
                for _ in range(2):
                    bob.say("bob@localhost", body("milk"), id="same")
                bob.settle()
            server.stop()
            server.start()
            assert archiver.texts_after(2, server) == ["milk", "milk"]
            assert backfilled(server).keys() == archiver.once.keys()

    def test_whispers_that_one_side_keeps_are_filled_in_once(self, tmp_path: Path, archiver: Archiver) -> None:
        """Also where a client's ids come again, or the receiver's archive alone has them."""
        with self.running(tmp_path, archiver, options={"fill_days": 1}) as server:
            server.stop()
            server.start(with_module=False)
            with people(server.port) as them:
                ann, bob = together(them, "ann", "bob")
                ann.ask("ann@localhost", NOTHING_KEPT)
                for number in range(2):
                    ann.say(f"{ROOM}/Bob", body(f"there {number}"), id="same")
                    bob.say(f"{ROOM}/Ann", body(f"back {number}"), id="same")
                ann.settle()
                bob.settle()
            server.stop()
            server.start()
            assert archiver.texts_after(4, server) == ["back 0", "back 1", "there 0", "there 1"]

    @pytest.mark.parametrize("kept", [True, False])
    def test_whispers_that_were_captured_hide_no_others(self, tmp_path: Path, archiver: Archiver, kept: bool) -> None:
        """What comes again after a start is what was captured; what was said meanwhile by the same id is not."""
        with self.running(tmp_path, archiver) as server:
            with people(server.port) as them:
                ann, _ = together(them, "ann", "bob")
                if not kept:
                    ann.ask("ann@localhost", NOTHING_KEPT)
                ann.say(f"{ROOM}/Bob", body("live"), id="same")
                ann.send(f"<message xmlns='jabber:client' to='{ROOM}/Bob' type='chat'>{body('without id')}</message>")
                archiver.until(4, server)
            server.stop()
            server.start(with_module=False)
            with people(server.port) as them:
                ann, bob = together(them, "ann", "bob")
                ann.say(f"{ROOM}/Bob", body("in the gap"), id="same")
                ann.settle()
                bob.settle()
            server.stop()
            server.start()
            wait(lambda: "in the gap" in archiver.texts(), server.logged)
            time.sleep(2)
            assert archiver.texts() == ["in the gap", "live", "without id"]
