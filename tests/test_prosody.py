"""A real Prosody with the archiver's module, and real clients: each ability; nothing missing, nothing twice."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from contracts.importer import RECEIVED
from prosody_builder import TOKEN, Archiver
from servers.prosody import ROOMS, Prosody, prosody, wait
from xmpp_clients import People, Person, body, people

from archiver.events import Captured, Event, capture
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at
from archiver.sources.http.receiving import Limits
from archiver.sources.tls import Tls
from archiver.spool import Spool

pytestmark = [pytest.mark.server, pytest.mark.slow]

ROOM = f"team@{ROOMS}"
ADMIN = "http://jabber.org/protocol/muc#admin"
USER = "http://jabber.org/protocol/muc#user"


@pytest.fixture
def archiver(tmp_path: Path) -> Iterator[Archiver]:
    end = Archiver(tmp_path)
    end.start()
    yield end
    end.stop()


@pytest.fixture
def server(tmp_path: Path, archiver: Archiver) -> Iterator[Prosody]:
    folder = tmp_path / "prosody"
    folder.mkdir()
    with prosody(folder, archiver.port, TOKEN) as running:
        yield running


@pytest.fixture
def all_of_them(server: Prosody) -> Iterator[People]:
    with people(server.port) as them:
        yield them


def backfilled(server: Prosody) -> dict[tuple[str, str], Event]:
    """What importing the server's archive gives."""
    read = IMPORTERS["xmpp"].read(document_at(server.archive), Options(), Reading(RECEIVED * 2))
    events = [each.event for each in read if isinstance(each, Captured)]
    return {(each.source, each.id): each for each in events}


def compared(event: Event) -> tuple[Any, ...]:
    """What the spool compares."""
    message = event.data.message
    return event.type, event.time, event.data.actor and event.data.actor.address, message and (message.id, message.text)


def together(everybody: People, *names: str) -> list[Person]:
    """In the room, each after the other."""
    them = [everybody.log_in(name) for name in names]
    for each, name in zip(them, names, strict=True):
        each.join(ROOM, name.title())
    return them


def test_one_to_one_and_offline(server: Prosody, archiver: Archiver, all_of_them: People) -> None:
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


def test_a_room_and_all_that_can_happen_in_it(server: Prosody, archiver: Archiver, all_of_them: People) -> None:
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
    invite = (
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='eve@localhost'><reason>come</reason></invite></x>"
    )
    ann.send(f"<message xmlns='jabber:client' to='{ROOM}'>{invite}</message>")
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


def short(event: Event) -> tuple[str, str | None, str | None]:
    text = event.data.message.text if event.data.message else event.data.reason
    return event.type, event.data.actor.address if event.data.actor else None, text


def test_a_backfill_of_the_servers_archive_tells_nothing_twice(
    server: Prosody, archiver: Archiver, all_of_them: People
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


def test_who_came_and_went_is_the_same_in_the_archive(tmp_path: Path, archiver: Archiver) -> None:
    folder = tmp_path / "prosody"
    folder.mkdir()
    with prosody(folder, archiver.port, TOKEN, more="muc_log_presences = true") as server, people(server.port) as them:
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


def taken_after(data: Path, live: Iterable[Event], later: Iterable[Event]) -> Counter[str]:
    """What a spool makes of an archive's events once it has those that were captured."""
    first, again = ([capture(each, received=RECEIVED) for each in events] for events in (live, later))
    with Spool.open(data) as spool:
        spool.append(first, spool.open_feed("xmpp:it", "live").number, live=True)
        told = spool.append(again, spool.open_feed("import:it", "import").number).outcomes
    return Counter(map(str, told))


def test_what_the_archive_has_with_nicks_alone_is_no_conflict(
    server: Prosody, archiver: Archiver, all_of_them: People
) -> None:
    ann, bob = together(all_of_them, "ann", "bob")
    ann.say(ROOM, body("all of you"), "groupchat")
    for number in range(5):
        ann.say(f"{ROOM}/Bob", body(f"aside {number}"), id=str(uuid.uuid4()))
        bob.say(f"{ROOM}/Ann", body(f"answer {number}"), id=str(uuid.uuid4()))
        time.sleep(0.05)
    live, later = archiver.until(13, server), backfilled(server)
    assert taken_after(server.archive.parent / "data", live, later.values()) == {"duplicate": 11}


def test_a_listener_that_is_away_misses_nothing(server: Prosody, archiver: Archiver, all_of_them: People) -> None:
    ann, _ = together(all_of_them, "ann", "bob")
    archiver.until(2, server)
    archiver.stop()
    for number in range(500):
        ann.say(ROOM, body(f"{number:03d}"), "groupchat")
    time.sleep(1)
    archiver.start()
    told = archiver.until(502, server)
    texts = [each.data.message.text for each in told if each.data.message]
    assert texts == [f"{number:03d}" for number in range(500)], "in their order"


def test_prosody_is_killed_and_nothing_is_missing(server: Prosody, archiver: Archiver, all_of_them: People) -> None:
    ann, bob = together(all_of_them, "ann", "bob")
    archiver.until(2, server)
    archiver.stop()
    for number in range(200):
        ann.say("bob@localhost", body(f"{number:03d}"))
    ann.say(ROOM, body("the last before"), "groupchat")
    wait(lambda: b"the last before" in b"".join(each.read_bytes() for each in server.queue.glob("*.ndjson")))
    server.kill()
    archiver.start()
    server.start()
    archiver.until(203, server)
    with people(server.port) as again:
        (carl,) = together(again, "carl")
        carl.say(ROOM, body("the first after"), "groupchat")
        archiver.until(205, server)
    assert archiver.texts() == sorted([f"{n:03d}" for n in range(200)] + ["the last before", "the first after"])
    came = next(each for each in archiver.events if each.data.actor and each.data.actor.address == "carl@localhost")
    here = came.data.conversation.participants
    assert here and [each.address for each in here] == ["carl@localhost"], "who was killed away is gone"
    assert bob


@pytest.mark.parametrize("storage", ["sql", "internal"])
def test_what_was_said_without_the_module_is_filled_in(tmp_path: Path, archiver: Archiver, storage: str) -> None:
    folder = tmp_path / "prosody"
    folder.mkdir()
    with prosody(folder, archiver.port, TOKEN, storage=storage) as server:
        fill_in(server, archiver)
        later = backfilled(server) if storage == "sql" else {}
        assert {each for each in later if later[each].data.message} <= archiver.once.keys()


def fill_in(server: Prosody, archiver: Archiver) -> None:
    with people(server.port) as before:
        ann, _ = together(before, "ann", "bob")
        ann.say("bob@localhost", body("before"))
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
        ann.settle()
        bob.settle()
    server.stop()
    server.start()
    archiver.until(5 + 452, server)
    time.sleep(1)
    expected = sorted(["before", "an answer", "in the room", *(f"pair {number:03d}" for number in range(450))])
    assert archiver.texts() == expected


def test_a_queue_that_is_lost_is_filled_from_the_archive(tmp_path: Path, archiver: Archiver) -> None:
    folder = tmp_path / "prosody"
    folder.mkdir()
    archiver.stop()
    with prosody(folder, archiver.port, TOKEN, more="archiver_fill_days = 1") as server:
        with people(server.port) as them:
            ann = them.log_in("ann")
            for number in range(20):
                ann.say("bob@localhost", body(f"{number:02d}"))
            ann.settle()
        server.kill()
        for each in server.queue.iterdir():
            each.unlink()
        archiver.start()
        server.start()
        archiver.until(20, server)
    assert archiver.texts() == [f"{number:02d}" for number in range(20)]


def test_a_full_queue_stops_nobody_and_is_filled_later(tmp_path: Path, archiver: Archiver) -> None:
    folder = tmp_path / "prosody"
    folder.mkdir()
    archiver.stop()
    limited = prosody(folder, archiver.port, TOKEN, more="archiver_queue_size = 0.01")
    with limited as server, people(server.port) as them:
        ann = them.log_in("ann")
        for number in range(60):
            ann.say("bob@localhost", body(f"{number:02d}"))
        ann.settle()
        assert "takes no more" in server.logged()
        archiver.start()
        wait(lambda: len(archiver.texts()) >= 60, server.logged, 90)
    assert archiver.texts() == [f"{number:02d}" for number in range(60)]


def test_a_machine_that_failed_took_the_end_of_the_queue(tmp_path: Path, archiver: Archiver) -> None:
    folder = tmp_path / "prosody"
    folder.mkdir()
    archiver.stop()
    with prosody(folder, archiver.port, TOKEN) as server:
        with people(server.port) as them:
            ann = them.log_in("ann")
            for number in range(20):
                ann.say("bob@localhost", body(f"{number:02d}"))
            ann.settle()
        server.kill()
        (segment,) = (each for each in server.queue.glob("*.ndjson") if each.stat().st_size)
        os.truncate(segment, segment.stat().st_size // 2 - 7)
        archiver.start()
        server.start()
        archiver.until(20, server)
        assert "no whole record" in server.logged()
    assert archiver.texts() == [f"{number:02d}" for number in range(20)]


def test_what_comes_from_where_the_module_isnt_is_captured(
    server: Prosody, archiver: Archiver, all_of_them: People
) -> None:
    all_of_them.log_in("ann")
    bot = all_of_them.component("bots.localhost", server.component)
    bot.say("ann@localhost", body("your order is ready"), "normal")
    bot.say("zoe@localhost", body("and yours"), "headline")
    told = archiver.until(2, server)
    assert {each.data.actor.address for each in told if each.data.actor} == {"bots.localhost"}
    assert {each.source for each in told} == {"xmpp:localhost"}


def test_one_that_is_too_large_holds_nobody_back(tmp_path: Path) -> None:
    small = Archiver(tmp_path, limits=Limits(body=20_000, unpacked=20_000))
    small.start()
    folder = tmp_path / "prosody"
    folder.mkdir()
    with prosody(folder, small.port, TOKEN) as server, people(server.port) as them:
        ann = them.log_in("ann")
        for number in range(100):
            ann.say("bob@localhost", body("x" * 30_000 if number == 50 else f"{number:03d}"))
        small.until(99, server)
        assert "x" * 30_000 in (server.queue / "refused.ndjson").read_text() and "refused.ndjson" in server.logged()
    assert small.texts() == [f"{number:03d}" for number in range(100) if number != 50]
    small.stop()


def test_nobody_listens_in_by_a_certificate_of_their_own(tmp_path: Path) -> None:
    made = trustme.CA().issue_cert("archiver.example.org")
    (tmp_path / "cert.pem").write_bytes(made.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(made.private_key_pem.bytes())
    stranger = Archiver(tmp_path, tls=Tls(tmp_path / "cert.pem", tmp_path / "key.pem"))
    stranger.start()
    folder = tmp_path / "prosody"
    folder.mkdir()
    with prosody(folder, stranger.port, TOKEN, scheme="https") as server, people(server.port) as them:
        them.log_in("ann").say("bob@localhost", body("hello"))
        wait(lambda: "an authority that Prosody trusts" in server.logged(), server.logged)
    assert stranger.events == []
    stranger.stop()


def test_what_is_not_captured_is_told(tmp_path: Path, archiver: Archiver) -> None:
    folder = tmp_path / "prosody"
    folder.mkdir()
    others = (
        'Component "pubsub.localhost" "pubsub"\n  modules_enabled = { "archiver" }\nComponent "off.localhost" "muc"'
    )
    with prosody(folder, archiver.port, TOKEN, components=others) as server, people(server.port) as them:
        wait(lambda: "for components with rooms" in server.logged(), server.logged)
        them.log_in("ann").say("bob@localhost", body("hello"))
        archiver.until(1, server)
        wait(lambda: "rooms of off.localhost is not captured" in server.logged(), server.logged)
        assert "rooms of rooms.localhost" not in server.logged()


def test_a_wrong_token_is_told_and_nothing_is_lost(tmp_path: Path, archiver: Archiver) -> None:
    folder = tmp_path / "prosody"
    folder.mkdir()
    with prosody(folder, archiver.port, "wrong") as server, people(server.port) as them:
        them.log_in("ann").say("bob@localhost", body("hello"))
        wait(lambda: "knows no such token" in server.logged(), server.logged)
        (folder / "token").write_text(TOKEN)
        archiver.until(1, server)
