"""What the archiver's module in an XMPP server must capture, whichever server: tried with real ones and real clients.

A test class joins by giving its server. What must happen when something fails stands in `contracts.mishaps`.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from contracts.importer import RECEIVED
from servers.xmpp import ROOMS, XmppServer, running
from xmpp_archiver import TOKEN, Archiver
from xmpp_clients import People, Person, body, people

from archiver.events import Captured, Event, capture
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at
from archiver.selection import EVERYTHING, Selection
from archiver.spool import Spool

ROOM = f"team@{ROOMS}"
ADMIN = "http://jabber.org/protocol/muc#admin"
USER = "http://jabber.org/protocol/muc#user"


def backfilled(server: XmppServer, wanted: Selection = EVERYTHING) -> dict[tuple[str, str], Event]:
    """What importing the server's archive gives."""
    read = IMPORTERS["xmpp"].read(document_at(server.archive), Options(), Reading(RECEIVED * 2))
    events = [each.event for each in read if isinstance(each, Captured) and not wanted.passes_over(each)]
    return {(each.source, each.id): each for each in events}


def compared(event: Event) -> tuple[Any, ...]:
    """What the spool compares."""
    message = event.data.message
    return event.type, event.time, event.data.actor and event.data.actor.address, message and (message.id, message.text)


def taken_after(data: Path, live: Iterable[Event], later: Iterable[Event]) -> Counter[str]:
    """What a spool makes of an archive's events once it has those that were captured."""
    first, again = ([capture(each, received=RECEIVED) for each in events] for events in (live, later))
    with Spool.open(data) as spool:
        spool.append(first, spool.open_feed("xmpp:it", "live").number, live=True)
        told = spool.append(again, spool.open_feed("import:it", "import").number).outcomes
    return Counter(map(str, told))


def together(everybody: People, *names: str) -> list[Person]:
    """In the room, each after the other."""
    them = [everybody.log_in(name) for name in names]
    for each, name in zip(them, names, strict=True):
        each.join(ROOM, name.title())
    return them


def ann_counts(server: XmppServer, count: int) -> None:
    """Ann tells Bob, who isn't there, so many numbers, and goes."""
    with people(server.port) as them:
        ann = them.log_in("ann")
        for number in range(count):
            ann.say("bob@localhost", body(f"{number:02d}"))
        ann.settle()


def short(event: Event) -> tuple[str, str | None, str | None]:
    text = event.data.message.text if event.data.message else event.data.reason
    return event.type, event.data.actor.address if event.data.actor else None, text


class WithServer:
    """Subclasses give `server_type`, which makes the server."""

    server_type: ClassVar[type[XmppServer]]

    def running(
        self, tmp_path: Path, archiver: Archiver, token: str = TOKEN, **settings: Any
    ) -> AbstractContextManager[XmppServer]:
        folder = tmp_path / "server"
        folder.mkdir()
        return running(self.server_type(folder, archiver.port, token, **settings))

    @pytest.fixture
    def archiver(self, tmp_path: Path) -> Iterator[Archiver]:
        end = Archiver(tmp_path)
        end.start()
        yield end
        end.stop()

    @pytest.fixture
    def server(self, tmp_path: Path, archiver: Archiver) -> Iterator[XmppServer]:
        with self.running(tmp_path, archiver) as server:
            yield server

    @pytest.fixture
    def all_of_them(self, server: XmppServer) -> Iterator[People]:
        with people(server.port) as them:
            yield them


class CaptureContract(WithServer):
    """What is said and what happens, told once, and by the ids that a backfill gives."""

    def test_one_to_one_and_offline(self, server: XmppServer, archiver: Archiver, all_of_them: People) -> None:
        ann, _ = all_of_them.log_in("ann"), all_of_them.log_in("bob")
        telephone = all_of_them.log_in("bob", resource="telephone")
        telephone.ask("bob@localhost", "<enable xmlns='urn:xmpp:carbons:2'/>")
        first = ann.say("bob@localhost", body("hello"))
        ann.say("zoe@localhost", body("read this later"))
        ann.say("bob@localhost", "<composing xmlns='http://jabber.org/protocol/chatstates'/>")
        ann.say("bob@localhost", body("again"), id="m1")
        ann.say("bob@localhost", body("again"), id="m1")
        hidden = "<encrypted xmlns='eu.siacs.conversations.axolotl'/>" + body("use a client that can")
        ann.say("bob@localhost", hidden)
        hello, later, one, two, secret = archiver.until(5, server)
        assert hello.id == f"ann@localhost bob@localhost/ann@localhost/{first}"
        assert later.data.conversation.id == "ann@localhost zoe@localhost"
        assert one.id != two.id and secret.data.message and "content not available" in (secret.data.message.text or "")
        all_of_them.log_in("zoe").settle()  # gets what waited for her
        telephone.ask("bob@localhost", "<query xmlns='urn:xmpp:mam:2'/>")
        time.sleep(0.3)
        assert len(archiver.events) == 5, "no copy, no echo, and nothing of who types"

    def test_a_room_and_all_that_can_happen_in_it(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        ann, bob = together(all_of_them, "ann", "bob")
        archiver.until(2, server)
        ann.say(ROOM, body("helo"), "groupchat", id="first")
        sent = archiver.until(3, server)[-1]
        assert sent.data.message
        key = sent.data.message.id
        ann.say(ROOM, body("hello") + "<replace xmlns='urn:xmpp:message-correct:0' id='first'/>", "groupchat")
        archiver.until(4, server)
        bob.say(
            ROOM, f"<reactions xmlns='urn:xmpp:reactions:0' id='{key}'><reaction>👍</reaction></reactions>", "groupchat"
        )
        archiver.until(5, server)
        reply = f"<reply xmlns='urn:xmpp:reply:0' id='{key}' to='{ROOM}/Ann'/>"
        bob.say(ROOM, body("hello yourself") + reply + "<thread>t</thread>", "groupchat")
        archiver.until(6, server)
        url = "https://files.example.org/plan.pdf"
        ann.say(ROOM, body(url) + f"<x xmlns='jabber:x:oob'><url>{url}</url></x>", "groupchat")
        archiver.until(7, server)
        ann.say(ROOM, f"<retract xmlns='urn:xmpp:message-retract:1' id='{key}'/>" + body("retracted"), "groupchat")
        archiver.until(8, server)
        ann.say(ROOM, "<subject>Lunch</subject>", "groupchat")
        archiver.until(9, server)
        ann.say(f"{ROOM}/Bob", body("psst") + f"<x xmlns='{USER}'/>")
        archiver.until(10, server)
        bob.presence(f"{ROOM}/Bobby")
        archiver.until(11, server)
        invite = "<invite to='eve@localhost'><reason>come</reason></invite>"
        ann.send(f"<message xmlns='jabber:client' to='{ROOM}'><x xmlns='{USER}'>{invite}</x></message>")
        archiver.until(12, server)
        ann.ask(ROOM, f"<query xmlns='{ADMIN}'><item nick='Bobby' role='none'><reason>rude</reason></item></query>")
        archiver.until(13, server)
        bob.join(ROOM, "Bob")
        archiver.until(14, server)
        bob.drop()
        archiver.until(15, server)
        ann.leave(ROOM, "Ann", "bye")
        told = [short(each) for each in archiver.until(16, server)]
        assert told == [
            ("participant.joined", "ann@localhost", None),
            ("participant.joined", "bob@localhost", None),
            ("message.sent", "ann@localhost", "helo"),
            ("message.edited", "ann@localhost", "hello"),
            ("message.reacted", "bob@localhost", None),
            ("message.sent", "bob@localhost", "hello yourself"),
            ("message.sent", "ann@localhost", ""),
            ("message.retracted", "ann@localhost", None),
            ("conversation.topic.changed", "ann@localhost", None),
            ("message.sent", "ann@localhost", "psst"),
            ("participant.renamed", "bob@localhost", None),
            ("participant.invited", "ann@localhost", "come"),
            ("participant.left", "ann@localhost", "rude"),
            ("participant.joined", "bob@localhost", None),
            ("participant.left", "bob@localhost", None),
            ("participant.left", "ann@localhost", "bye"),
        ]
        whisper = next(each for each in archiver.events if each.data.message and each.data.message.text == "psst")
        assert whisper.data.message and whisper.data.message.to
        assert [each.address for each in whisper.data.message.to] == ["bob@localhost"]
        assert {each.source for each in archiver.events} == {"xmpp:rooms.localhost"}

    def test_a_private_message_said_twice_is_kept_twice(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        ann, _ = together(all_of_them, "ann", "bob")
        for id in ("", "", "same", "same"):
            ann.say(f"{ROOM}/Bob", body("psst") + f"<x xmlns='{USER}'/>", id=id)
        told = [each for each in archiver.until(6, server) if each.data.message]
        assert [(each.data.message and each.data.message.text) for each in told] == ["psst"] * 4
        assert {each.source for each in told} == {f"xmpp:{ROOMS}"}

    def test_what_the_archive_has_with_nicks_alone_is_no_conflict(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        ann, bob = together(all_of_them, "ann", "bob")
        ann.say(ROOM, body("all of you"), "groupchat")
        ann.settle()  # an archive tells by this that it is a room
        for number in range(5):
            ann.say(f"{ROOM}/Bob", body(f"aside {number}"), id=str(uuid.uuid4()))
            bob.say(f"{ROOM}/Ann", body(f"answer {number}"), id=str(uuid.uuid4()))
            time.sleep(0.05)
        events, later = archiver.until(13, server), backfilled(server)
        assert taken_after(server.directory / "kept", events, later.values()) == {"duplicate": 11}

    def test_who_is_there_with_two_clients_is_told_once(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        """And gets a private message once."""
        ann, bob = together(all_of_them, "ann", "bob")
        telephone = all_of_them.log_in("bob", resource="telephone")
        telephone.join(ROOM, "Bob")
        ann.say(f"{ROOM}/Bob", body("psst") + f"<x xmlns='{USER}'/>")
        archiver.until(3, server)
        bob.leave(ROOM, "Bob")
        bob.settle()
        ann.say(ROOM, body("still here?"), "groupchat")
        archiver.until(4, server)
        telephone.leave(ROOM, "Bob", "bye")
        told = [short(each) for each in archiver.until(5, server)]
        assert told[2:] == [
            ("message.sent", "ann@localhost", "psst"),
            ("message.sent", "ann@localhost", "still here?"),
            ("participant.left", "bob@localhost", "bye"),
        ]

    def test_a_room_that_is_ended_has_nobody_left(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        ann, _ = together(all_of_them, "ann", "bob")
        archiver.until(2, server)
        owner = "http://jabber.org/protocol/muc#owner"
        ann.ask(ROOM, f"<query xmlns='{owner}'><destroy><reason>done</reason></destroy></query>")
        told = [short(each) for each in archiver.until(4, server)]
        assert sorted(told[2:]) == [
            ("participant.left", "ann@localhost", "done"),
            ("participant.left", "bob@localhost", "done"),
        ]

    def test_a_ban_is_told_as_by_whom(self, server: XmppServer, archiver: Archiver, all_of_them: People) -> None:
        ann, _ = together(all_of_them, "ann", "bob")
        archiver.until(2, server)
        ann.ask(ROOM, f"<query xmlns='{ADMIN}'><item jid='bob@localhost' affiliation='outcast'/></query>")
        left = archiver.until(3, server)[-1]
        assert left.type == "participant.left" and left.data.actor and left.data.subject
        assert (left.data.actor.address, left.data.subject.address) == ("ann@localhost", "bob@localhost")

    def test_a_backfill_of_the_servers_archive_tells_nothing_twice(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        ann, bob = together(all_of_them, "ann", "bob")
        for number in range(60):
            speaker, other = (ann, "bob@localhost") if number % 2 else (bob, "ann@localhost")
            speaker.say(ROOM, body(f"room {number}"), "groupchat", id=f"r{number}")
            speaker.say(other, body(f"pair {number}"), id="" if number % 3 else f"p{number}")
            time.sleep(0.03)
        archiver.until(122, server)
        live, later = archiver.once, backfilled(server)
        assert len(later) == 120 and later.keys() <= live.keys()
        assert [compared(live[each]) for each in later] == [compared(later[each]) for each in later]

    def test_what_comes_from_where_the_module_isnt_is_captured(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        all_of_them.log_in("ann")
        bot = all_of_them.component("bots.localhost", server.component)
        bot.say("ann@localhost", body("your order is ready"), "normal")
        bot.say("zoe@localhost", body("and yours"), "headline")
        told = archiver.until(2, server)
        assert {each.data.actor.address for each in told if each.data.actor} == {"bots.localhost"}
        assert {each.source for each in told} == {"xmpp:localhost"}
