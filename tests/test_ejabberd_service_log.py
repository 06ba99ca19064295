"""A real ejabberd with its own mod_service_log, real clients, and the component that it tells."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from component_end import ComponentEnd, short
from contracts.module import ADMIN, ROOM, USER, backfilled, compared, taken_after, together
from servers.ejabberd import ServiceLogged
from servers.xmpp import free_port, running, wait
from xmpp_clients import People, Person, body, people

from archiver.decisions.holding import date_of
from archiver.selection import Selection
from archiver.sources.xmpp.component import linking

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServiceLogged]:
    (tmp_path / "server").mkdir()
    with running(ServiceLogged(tmp_path / "server", 1, "none")) as server:
        yield server


@pytest.fixture
def end(tmp_path: Path, server: ServiceLogged) -> Iterator[ComponentEnd]:
    end = ComponentEnd(tmp_path, server.component)
    end.start()
    assert end.source.up, server.logged()
    yield end
    end.source.stop()


@pytest.fixture
def all_of_them(server: ServiceLogged) -> Iterator[People]:
    with people(server.port) as them:
        yield them


def test_one_to_one_is_told_once_however_many_get_it(
    server: ServiceLogged, end: ComponentEnd, all_of_them: People
) -> None:
    ann, bob = all_of_them.log_in("ann"), all_of_them.log_in("bob")
    telephone = all_of_them.log_in("bob", resource="telephone")
    for each in (bob, telephone):
        each.ask("bob@localhost", "<enable xmlns='urn:xmpp:carbons:2'/>")
    first = ann.say("bob@localhost", body("hello"))
    telephone.say("ann@localhost/x", body("hello from afar"))
    ann.say("zoe@localhost", body("read this later"))
    ann.say("bob@localhost", "<composing xmlns='http://jabber.org/protocol/chatstates'/>")
    bob.say("bob@localhost", body("a note to myself"))
    bot = all_of_them.component("bots.localhost", server.component)
    bot.say("bob@localhost", body("your order is ready"), "normal")
    message = {"type": "chat", "from": "ann@localhost", "to": "bob@localhost", "subject": "", "body": "by a program"}
    server.told("send_message", **message)
    end.until(6, server.logged)
    all_of_them.log_in("zoe").settle()  # gets what waited for her
    telephone.ask("bob@localhost", "<query xmlns='urn:xmpp:mam:2'/>")
    told = end.until(6, server.logged)
    expected = [
        "hello",
        "hello from afar",
        "read this later",
        "a note to myself",
        "your order is ready",
        "by a program",
    ]
    assert Counter(each.data.message and each.data.message.text for each in told) == Counter(expected)
    (hello,) = [each for each in told if each.data.message and each.data.message.text == "hello"]
    assert hello.id == f"ann@localhost bob@localhost/ann@localhost/{first}"
    assert {each.source for each in told} == {"xmpp:localhost"}


def test_a_room_and_all_that_can_happen_in_it(server: ServiceLogged, end: ComponentEnd, all_of_them: People) -> None:
    ann, bob = together(all_of_them, "ann", "bob")
    ann.say(ROOM, body("helo"), "groupchat", id="first")
    sent = end.until(3, server.logged)[-1]
    assert sent.data.message and sent.data.conversation.participants
    assert [each.address for each in sent.data.conversation.participants] == ["ann@localhost", "bob@localhost"]
    key = sent.data.message.id
    ann.say(ROOM, body("hello") + "<replace xmlns='urn:xmpp:message-correct:0' id='first'/>", "groupchat")
    bob.say(
        ROOM, f"<reactions xmlns='urn:xmpp:reactions:0' id='{key}'><reaction>👍</reaction></reactions>", "groupchat"
    )
    bob.say(ROOM, body("ok"), "groupchat", id="same")
    bob.say(ROOM, body("ok"), "groupchat", id="same")
    ann.say(ROOM, "<subject>Lunch</subject>", "groupchat")
    end.until(8, server.logged)
    ann.say(f"{ROOM}/Bob", body("psst") + f"<x xmlns='{USER}'/>")
    end.until(9, server.logged)
    bob.presence(f"{ROOM}/Bobby")
    end.until(10, server.logged)
    zoe = all_of_them.log_in("zoe")
    muc = "<x xmlns='http://jabber.org/protocol/muc'/>"
    zoe.presence(f"{ROOM}/Zoe", inner=muc)  # gets what was said before
    end.until(11, server.logged)
    invite = "<invite to='eve@localhost'><reason>come</reason></invite>"
    all_of_them.log_in("eve").settle()
    ann.send(f"<message xmlns='jabber:client' to='{ROOM}'><x xmlns='{USER}'>{invite}</x></message>")
    end.until(12, server.logged)
    ann.ask(ROOM, f"<query xmlns='{ADMIN}'><item nick='Bobby' role='none'><reason>rude</reason></item></query>")
    end.until(13, server.logged)
    ann.drop()
    end.until(14, server.logged)
    zoe.leave(ROOM, "Zoe", "bye")
    told = [short(each) for each in end.until(15, server.logged)]
    assert told == [
        ("joined", "ann@localhost", None),
        ("joined", "bob@localhost", None),
        ("sent", "ann@localhost", "helo"),
        ("edited", "ann@localhost", "hello"),
        ("reacted", "bob@localhost", None),
        ("sent", "bob@localhost", "ok"),
        ("sent", "bob@localhost", "ok"),
        ("topic.changed", "ann@localhost", None),
        ("sent", "ann@localhost", "psst"),
        ("renamed", "bob@localhost", None),
        ("joined", "zoe@localhost", None),
        ("invited", "ann@localhost", "come"),
        ("left", "ann@localhost", "rude"),
        ("left", "ann@localhost", None),
        ("left", "zoe@localhost", "bye"),
    ]
    whisper = next(each for each in end.events if each.data.message and each.data.message.text == "psst")
    assert whisper.data.message and whisper.data.message.to
    assert [each.address for each in whisper.data.message.to] == ["bob@localhost"]
    assert {each.source for each in end.events} == {"xmpp:rooms.localhost"}


def test_a_room_that_hides_addresses_from_now_on_hides_them_in_what_is_told(
    server: ServiceLogged, end: ComponentEnd, all_of_them: People
) -> None:
    ann, bob = together(all_of_them, "ann", "bob")
    bob.say(ROOM, body("0"), "groupchat")
    end.until(3, server.logged)
    for number, who in enumerate(("moderators", "anyone"), 1):
        form = (
            "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
            f"<field var='muc#roomconfig_whois'><value>{who}</value></field>"
        )
        filled = f"<x xmlns='jabber:x:data' type='submit'>{form}</x>"
        ann.ask(ROOM, f"<query xmlns='http://jabber.org/protocol/muc#owner'>{filled}</query>")
        bob.say(ROOM, body(str(number)), "groupchat")
        end.until(3 + number, server.logged)
    said = [each for each in end.events if each.data.message]
    assert [each.data.actor and each.data.actor.hidden for each in said] == [False, True, False]


def test_a_room_is_told_as_the_archive_tells_it(server: ServiceLogged, end: ComponentEnd, all_of_them: People) -> None:
    ann, bob = together(all_of_them, "ann", "bob")
    for number in range(40):
        (ann, bob)[number % 2].say(ROOM, body(f"room {number}"), "groupchat", id=f"r{number}")
    told = {(each.source, each.id): each for each in end.until(42, server.logged)}
    later = backfilled(server)
    assert len(told) == 42 and len(later) == 40 and later.keys() <= told.keys()
    assert [compared(told[each]) for each in later] == [compared(later[each]) for each in later]


@pytest.mark.parametrize("mishap", ["daemon", "server"])
def test_a_gap_is_told_and_can_be_filled_from_the_archive(
    tmp_path: Path, server: ServiceLogged, end: ComponentEnd, mishap: str, logs: list[Any]
) -> None:
    with people(server.port) as them:
        ann, bob = together(them, "ann", "bob")
        ann.say("bob@localhost", body("before"), id="b1")
        bob.say(ROOM, body("before"), "groupchat")
        assert len(end.until(4, server.logged)) == 4
        time.sleep(linking.ASK + 2)  # the last sign of the server is later than what was said
        if mishap == "daemon":
            end.source.stop()
            missed(ann)
    if mishap == "server":
        server.kill()
        wait(lambda: not end.source.up)
        port, server.component = server.component, free_port()
        server.start()  # people are back before the component is
        with people(server.port) as them:
            missed(together(them, "ann", "bob")[0])
        server.stop()
        server.component = port
        server.start()
        wait(lambda: end.source.up, server.logged, 40)
    else:
        end.start()
    assert end.source.signs().gaps == 1
    bounds = re.search(r"COPY --from (\S+) --until ([^\s']+)", str(logs))
    assert bounds is not None
    time.sleep(2.5)
    with people(server.port) as them:
        them.log_in("ann").say("bob@localhost", body("after"), id="a1")
        live = end.until(5, server.logged)
    assert "missed" not in {each.data.message.text for each in live if each.data.message}
    server.stop()
    filled = backfilled(server, Selection((), date_of(bounds[1]), date_of(bounds[2])))
    assert [each.data.message and each.data.message.text for each in filled.values()] == ["missed", "missed"]
    assert taken_after(tmp_path / "kept", live, filled.values()) == {"accepted": 2}


def missed(ann: Person) -> None:
    ann.say("bob@localhost", body("missed"), id="m1")
    ann.say(ROOM, body("missed"), "groupchat")
    ann.settle()
    time.sleep(0.5)
