"""The component that ejabberd's mod_service_log tells, against a server by hand that speaks as ejabberd does."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree.ElementTree import fromstring

import pytest
from component_end import SECRET
from component_server import HOST, NAME, ComponentServer, forwarded, said
from contracts.source import SourceContract, Spooled, eventually
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.decisions.holding import date_of
from archiver.events import Captured, Rejected
from archiver.exceptions import EnvironmentFault, TryLater
from archiver.sources.credentials import Secret
from archiver.sources.listening import Address
from archiver.sources.xmpp.component import linking, rooms
from archiver.sources.xmpp.component.copies import Copies
from archiver.sources.xmpp.component.reading import Reader
from archiver.sources.xmpp.component.source import ComponentSource
from archiver.sources.xmpp.remembering import Module, Remembered

pytestmark = pytest.mark.slow  # a source holds what it tells for a second; of the rooms by themselves there is more

ROOM = "team@rooms.example.org"
USER = "http://jabber.org/protocol/muc#user"


def to_all(text: str, nick: str, to: str, *, id: str, key: int | None, more: str = "") -> str:
    kept = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{key}'/>" if key is not None else ""
    return forwarded(
        f"<message xmlns='jabber:client' from='{ROOM}/{nick}' to='{to}' type='groupchat' id='{id}'>"
        f"{kept}{more}<body>{text}</body></message>"
    )


def asked(text: str, sender: str, *, id: str, more: str = "") -> str:
    return forwarded(
        f"<message xmlns='jabber:client' from='{sender}' to='{ROOM}' type='groupchat' id='{id}'>"
        f"{more}<body>{text}</body></message>"
    )


def own(nick: str, to: str, kind: str = "", codes: str = "110") -> str:
    status = "".join(f"<status code='{code}'/>" for code in codes.split())
    return forwarded(
        f"<presence xmlns='jabber:client' from='{ROOM}/{nick}' to='{to}'{kind}>"
        f"<x xmlns='{USER}'><item role='participant'/>{status}</x></presence>"
    )


def now() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def server() -> Iterator[ComponentServer]:
    server = ComponentServer()
    yield server
    server.close()


@pytest.fixture
def made(tmp_path: Path, server: ComponentServer) -> Any:
    return lambda: source_at(tmp_path, server.port)


@pytest.fixture
def spooled() -> Spooled:
    return Spooled()


@pytest.fixture
def source(made: Any, spooled: Spooled) -> Iterator[ComponentSource]:
    source = made()
    source.start(spooled)
    yield source
    spooled.gate.set()
    source.stop()


@pytest.fixture(autouse=True)
def no_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "BEGINNING", 0)


def source_at(folder: Path, port: int) -> ComponentSource:
    (folder / "secret").write_text(SECRET)
    return ComponentSource(
        "test",
        Address("127.0.0.1", port),
        NAME,
        Secret("server", file=str(folder / "secret")),
        hosts=(HOST,),
        rooms=("rooms.example.org",),
        memory=lambda: Remembered(folder / "memory.db"),
        kept=folder / "memory.db",
    )


def settled(server: ComponentServer, source: ComponentSource, seconds: float = 10) -> bool:
    """Whether it answers a ping, which it does once all before it is safe."""
    id = uuid4().hex
    server.say(f"<iq type='get' id='{id}' from='{HOST}' to='{NAME}'><ping xmlns='urn:xmpp:ping'/></iq>")
    return bool(eventually(lambda: any(id in each for each in server.heard), seconds))


class TestComponent(SourceContract):
    """XEP-0114 acknowledges nothing; here it stands for that a ping is answered."""

    @pytest.fixture(autouse=True)
    def serve(self, server: ComponentServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.ids: dict[str, str] = {}
        self.lock = threading.Lock()
        monkeypatch.setattr(linking, "PAUSES", (0.05,))

    @pytest.fixture
    def spooled(self) -> Spooled:
        self.kept = Spooled()
        return self.kept

    def make(self, tmp_path: Any) -> ComponentSource:
        return source_at(tmp_path, self.server.port)

    def make_taken(self, tmp_path: Any, source: Any) -> ComponentSource:
        """It takes nothing that another could have but its file; a secret that can't be read is the same fault."""
        (tmp_path / "other").mkdir()
        other = source_at(tmp_path / "other", self.server.port)
        (tmp_path / "other" / "secret").unlink()
        return other

    def send(self, source: ComponentSource, text: str) -> bool:
        id = self.ids.setdefault(text, str(uuid4()))
        ping = uuid4().hex
        lost = source.signs().gaps
        iq = f"<iq type='get' id='{ping}' from='{HOST}' to='{NAME}'><ping xmlns='urn:xmpp:ping'/></iq>"
        with self.lock:
            self.server.say(forwarded(said(text, id)) + iq)
        answered = lambda: any(ping in each for each in self.server.heard)  # noqa: E731
        failing = lambda: self.kept.fault is not None  # noqa: E731
        eventually(lambda: answered() or (failing() and not source.up), 20)
        return bool(answered()) and text in self.kept.texts and source.signs().gaps == lost

    def make_next(self, tmp_path: Any, source: Any) -> ComponentSource:
        """Its place is its connection, which a broken thread leaves open."""
        self.server.drop()
        return self.make(tmp_path)

    @pytest.mark.parametrize("break_it", ["break_thread", "break_thread_by_a_bug"])
    def test_what_broke_is_told_can_be_stopped_and_lets_another_take_its_place(
        self, tmp_path: Any, source: Any, spooled: Spooled, break_it: str
    ) -> None:
        """A connection that goes mends by itself."""
        super().test_what_broke_is_told_can_be_stopped_and_lets_another_take_its_place(
            tmp_path, source, spooled, break_it
        )


# The connection


def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path: Path, spooled: Spooled, monkeypatch: Any) -> None:
    monkeypatch.setattr(linking, "FIRST", 0.2)
    monkeypatch.setattr(linking, "PAUSES", (0.05,))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    source = source_at(tmp_path, port)
    source.start(spooled)
    assert not source.up and source.fault == ""
    server = ComponentServer(port=port)
    assert eventually(lambda: source.up)
    server.say(forwarded(said("hello")))
    assert eventually(lambda: spooled.texts == ["hello"])
    assert source.signs().gaps == 0, "nothing was captured before: no gap"
    source.stop()
    server.close()


def test_what_was_said_while_away_is_told_as_a_gap(
    source: ComponentSource, server: ComponentServer, spooled: Spooled, made: Any, logs: list[Any]
) -> None:
    server.say(forwarded(said("one")))
    assert eventually(lambda: spooled.texts == ["one"])
    assert settled(server, source)
    server.drop()
    assert eventually(lambda: server.opened == 2 and source.up)
    server.say(forwarded(said("two")))
    assert eventually(lambda: spooled.texts == ["one", "two"])
    assert source.signs().gaps == 1
    source.stop()
    again = made()
    again.start(spooled)
    assert again.signs().gaps == 1, "also while the daemon was away"
    again.stop()
    told = [each for each in logs if "archiver backfill xmpp" in str(each)]
    assert len(told) == 2 and all({"since", "until"} <= each.keys() for each in told)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"<message><forwarded></message>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><message>&a;</message>",
        b"<message>&nothing;</message>",
        b"\xff\xfe",
        b"</stream:stream>",
        b"<message " + b"a" * 1_200_000,
    ],
)
def test_a_stream_that_cannot_be_read_is_begun_anew(
    source: ComponentSource, server: ComponentServer, spooled: Spooled, rubbish: bytes
) -> None:
    with suppress(OSError):
        server.say(rubbish)
    assert eventually(lambda: server.opened == 2 and source.up)
    server.say(forwarded(said("hello")))
    assert eventually(lambda: spooled.texts == ["hello"])
    assert source.fault == "" and source.signs().gaps == 1


def test_a_server_that_says_nothing_is_asked_and_then_given_up(
    made: Any, server: ComponentServer, spooled: Spooled, monkeypatch: Any
) -> None:
    monkeypatch.setattr(linking, "ASK", 0.1)
    monkeypatch.setattr(linking, "SILENCE", 0.6)
    server.answers = False
    source = made()
    source.start(spooled)
    assert eventually(lambda: any("urn:xmpp:ping" in each for each in server.heard))
    assert eventually(lambda: server.opened >= 2)
    source.stop()


def test_while_the_spool_takes_nothing_nothing_is_read(
    source: ComponentSource, server: ComponentServer, spooled: Spooled, monkeypatch: Any
) -> None:
    monkeypatch.setattr(linking, "PAUSES", (0.05,))
    spooled.fault = TryLater("full")
    server.say(forwarded(said("first")))
    assert eventually(lambda: not source.up)
    count, done = 3_000, threading.Event()

    def sending() -> None:
        for number in range(count):
            server.say(forwarded(said(f"{number} " + "x" * 4_000)))
        done.set()

    threading.Thread(target=sending, daemon=True).start()
    assert not done.wait(1.5), "TCP holds the server back"
    spooled.fault = None
    assert done.wait(20) and eventually(lambda: len(spooled.texts) == count + 1, 20)
    assert source.signs().gaps == 0 and source.up


def test_queries_are_answered(source: ComponentSource, server: ComponentServer) -> None:
    server.say(f"<iq type='get' id='q&lt;' from='eve@{HOST}/x' to='{NAME}'><query xmlns='jabber:iq:version'/></iq>")
    server.say(f"<iq type='result' id='r' from='eve@{HOST}/x' to='{NAME}'/>")
    assert settled(server, source)
    heard = "".join(server.heard)
    assert "service-unavailable" in heard and "q&lt;" in heard and 'id="r"' not in heard


def test_a_probe_tries_the_handshake_but_not_beside_a_daemon(tmp_path: Path, server: ComponentServer) -> None:
    source = source_at(tmp_path, server.port)
    source.probe()
    assert eventually(lambda: server.opened == 1)
    (tmp_path / "secret").write_text("some-other-secret-than-the-servers")
    with pytest.raises(EnvironmentFault) as refused:
        source.probe()
    assert "not-authorized" in str(refused.value) and refused.value.hint
    kept = Remembered(tmp_path / "memory.db")
    kept.hear(Module(NAME, "mod_service_log", now(), 0))
    kept.close()
    source.probe()
    assert server.opened == 1, "of two components with one name each would get half"
    server.close()
    with pytest.raises(EnvironmentFault) as gone:
        source.probe()
    assert gone.value.hint


def test_who_is_not_let_in_tries_again(made: Any, server: ComponentServer, spooled: Spooled, logs: list[Any]) -> None:
    server.refusal = "conflict"
    source = made()
    source.start(spooled)
    assert not source.up and source.fault == ""
    server.refusal = ""
    assert eventually(lambda: source.up)
    source.stop()
    assert "conflict" in str(logs)


# What is believed, and what is kept aside


@pytest.mark.parametrize("greeting", [b"<message/>", b"<handshake xmlns='urn:else'/>", b"<a>" * 200 + b"</a>" * 200])
def test_what_is_no_handshake_lets_nobody_in(
    made: Any, server: ComponentServer, spooled: Spooled, greeting: bytes, monkeypatch: Any, logs: list[Any]
) -> None:
    monkeypatch.setattr(linking, "PAUSES", (0.05,))
    server.greeting = greeting
    source = made()
    source.start(spooled)
    assert not source.up and "something else" in str(logs)
    server.greeting = b"<handshake/>"
    assert eventually(lambda: source.up)
    source.stop()


def test_only_the_servers_own_word_is_believed(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    forged = said("forged", sender="boss@example.org/x")
    for sender in ("eve@example.org/x", "evil.example", "example.org/x", "rooms.example.org", "", "sub.example.org"):
        server.say(forwarded(forged, sender))
    server.say(forwarded(forged, to="other.example.org"))
    server.say(forwarded(said("hello")))
    assert settled(server, source)
    assert spooled.texts == ["hello"] and len(spooled.records) == 1
    assert source.signs().refused == {"not from a host that may tell": 6, "meant for another component": 1}


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (forwarded(said("x" * 1_100_000)), "over 1,048,576 characters"),
        (forwarded(said("<a>" * 200 + "</a>" * 200)), "nested over 100 deep"),
        (forwarded(said("", more="<a/>" * 30_000)), "over 1,048,576 characters"),
        (forwarded(said("hi", sender="a@one.example/x", to="b@two.example")), "neither from nor to a user"),
        (forwarded(""), "forwards no stanza"),
        (forwarded(said("one") + said("two")), "forwards no stanza"),
        (f"<message from='{HOST}' to='{NAME}'><body>hello</body></message>", "forwards no stanza"),
    ],
)
def test_what_cannot_be_read_is_kept_aside_and_the_rest_goes_on(
    source: ComponentSource, server: ComponentServer, spooled: Spooled, spoilt: str, reason: str
) -> None:
    server.say(forwarded(said("before")) + spoilt + forwarded(said("after")))
    assert settled(server, source, 20)
    assert spooled.texts == ["before", "after"]
    (rejected,) = (each for each in spooled.records if isinstance(each, Rejected))
    assert reason in rejected.reason and 0 < len(rejected.content) < 1_300_000


# Of many copies one


def test_copies_of_one_message_are_one(source: ComponentSource, server: ComponentServer, spooled: Spooled) -> None:
    one = said("hello")
    late = "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2026-01-01T10:00:00Z'>Offline storage</delay>"
    kept = "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.org' id='1'/><archived xmlns='urn:xmpp:mam:tmp'/>"
    server.say(forwarded(one) * 3 + forwarded(one.replace("<body>", f"{kept}{late}<body>")))
    carbon = said("", sender="ann@example.org", to="ann@example.org/y").replace(
        "<body></body>",
        f"<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>{one}</forwarded></sent>",
    )
    server.say(forwarded(carbon))
    server.say(forwarded(said("hello")) + forwarded(said("other words", re.search("id='([^']+)", one)[1])))  # type: ignore[index]
    assert settled(server, source)
    assert spooled.texts == ["hello", "hello", "other words"]


def test_ids_that_repeat_hide_nothing_said_later(made: Any, server: ComponentServer, spooled: Spooled) -> None:
    source = made()
    clock = [now()]
    source._clock = lambda: clock[0]
    source.start(spooled)
    for later in (0, 61_000_000, 5_000_000):
        clock[0] += later
        server.say(forwarded(said("again", "m1")) * 2)
        assert settled(server, source)
    assert spooled.texts == ["again"] * 2
    source.stop()


def test_a_restart_forgets_no_copy(made: Any, server: ComponentServer, spooled: Spooled) -> None:
    one = forwarded(said("hello"))
    for _ in range(2):
        source = made()
        source.start(spooled)
        server.say(one)
        assert settled(server, source)
        source.stop()
    assert spooled.texts == ["hello"]


# Rooms


def events(spooled: Spooled) -> list[Any]:
    assert not [each for each in spooled.records if isinstance(each, Rejected)]
    found = [each.event for each in spooled.records if isinstance(each, Captured)]
    return sorted(found, key=lambda each: each.time)


def test_the_first_message_of_a_room_tells_who_got_it(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    """Nobody knows who came and went before the connection."""
    key = now()
    server.say(asked("hi", "ann@example.org/x", id="1"))
    for to in ("ann@example.org/x", "bob@example.org/y", "bob@example.org/z"):
        server.say(to_all("hi", "Ann", to, id="1", key=key))
    assert eventually(lambda: spooled.texts == ["hi"])
    server.say(to_all("ho", "Bob", "bob@example.org/y", id="2", key=key + 5_000_000))
    server.say(to_all("ho", "Bob", "cid@example.org/y", id="2", key=key + 5_000_000))
    assert eventually(lambda: len(events(spooled)) == 3)
    first, came, second = events(spooled)
    assert [each.address for each in first.data.conversation.participants] == ["ann@example.org", "bob@example.org"]
    assert first.data.actor.address == "ann@example.org" and first.id == f"{ROOM}/{key}"
    assert (came.type, came.data.actor.address) == ("participant.joined", "cid@example.org")
    assert came.time < second.time, "who got it was there"


def test_what_was_sent_before_the_connection_and_got_after_it_belongs_to_the_gap(
    source: ComponentSource, server: ComponentServer, spooled: Spooled, monkeypatch: Any
) -> None:
    """Its sender's own copy, which tells who it was, went by; so did those of some who got it."""
    monkeypatch.setattr(rooms, "BEGINNING", 10_000_000)
    key = now()
    server.say(to_all("half", "Ann", "bob@example.org/x", id="1", key=key))
    server.say(asked("whole", "ann@example.org/x", id="2"))
    for to in ("ann@example.org/x", "bob@example.org/x"):
        server.say(to_all("whole", "Ann", to, id="2", key=now() + 5))
    server.say(to_all("half", "Ann", "cid@example.org/x", id="1", key=key))
    assert eventually(lambda: spooled.texts == ["whole"])
    monkeypatch.setattr(rooms, "BEGINNING", 0)
    server.say(to_all("from afar", "Far", "bob@example.org/x", id="3", key=now() + 10))
    assert eventually(lambda: spooled.texts == ["whole", "from afar"])
    (far,) = (each for each in events(spooled) if each.data.message and each.data.message.text == "from afar")
    assert far.data.actor.address == f"{ROOM}/Far"


def said_to(text: str, sender: str, *receivers: str, key: int | None = None) -> str:
    """What one says, and the copies of those who get it."""
    key, nick = key or now(), sender.title()
    copies = "".join(to_all(text, nick, f"{each}@example.org/x", id=text, key=key) for each in receivers)
    return asked(text, f"{sender}@example.org/x", id=text) + copies


def gone(nick: str, to: str) -> str:
    return own(nick, to, " type='unavailable'")


def happened(spooled: Spooled) -> list[tuple[str, str]]:
    return [(each.type.partition(".")[2], each.data.actor.address.partition("@")[0]) for each in events(spooled)]


def test_who_gets_no_copy_has_left(source: ComponentSource, server: ComponentServer, spooled: Spooled) -> None:
    """Without a sign that they did: nobody is told of one who is the last to drop off, or whose leaving was missed."""
    server.say(own("Ann", "ann@example.org/x") + own("Bob", "bob@example.org/x"))
    server.say(said_to("one", "bob", "ann", "bob"))
    assert eventually(lambda: spooled.texts == ["one"])
    server.say(said_to("two", "bob", "bob"))
    assert eventually(lambda: ("left", "ann") in happened(spooled))
    server.say(gone("Ann", "ann@example.org/x") + said_to("three", "bob", "bob"))
    assert eventually(lambda: "three" in spooled.texts)
    time.sleep(1.5)
    server.say(said_to("four", "bob", "bob", "ann"))
    assert eventually(lambda: "four" in spooled.texts)
    sent = ("sent", "bob")
    comings = [("joined", "ann"), ("joined", "bob")]
    assert happened(spooled) == [*comings, sent, ("left", "ann"), sent, sent, ("joined", "ann"), sent]


def test_who_misses_one_message_and_gets_the_next_was_away(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    server.say(said_to("one", "bob", "ann", "bob"))
    assert eventually(lambda: spooled.texts == ["one"])
    server.say(said_to("two", "bob", "bob") + said_to("three", "bob", "ann", "bob"))
    assert eventually(lambda: len(happened(spooled)) == 5)
    assert happened(spooled)[1:] == [("left", "ann"), ("sent", "bob"), ("joined", "ann"), ("sent", "bob")]


def test_what_reaches_one_alone_says_nothing_of_the_others(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    key, late = now(), "<delay xmlns='urn:xmpp:delay' from='team@rooms.example.org' stamp='2026-01-01T10:00:00Z'/>"
    server.say(said_to("one", "bob", "ann", "bob", key=key))
    assert eventually(lambda: spooled.texts == ["one"])
    ann = "ann@example.org/x"
    whisper = to_all("psst", "Bob", ann, id="w", key=None).replace("groupchat", "chat")
    subject = to_all("", "Bob", ann, id="s", key=None).replace("<body></body>", "<subject>Tea</subject>")
    event = "<event xmlns='http://jabber.org/protocol/pubsub#event'/>"
    subscribed = to_all("sub", "Bob", "sue@example.org", id="m", key=key, more=event).replace("groupchat", "normal")
    server.say(whisper + subject + subscribed)
    server.say(to_all("late", "Bob", ann, id="l", key=now(), more=late))
    server.say(to_all("later", "Bob", ann, id="n", key=None, more=late))
    assert settled(server, source)
    time.sleep(1.5)
    assert {what for what, _ in happened(spooled)} <= {"sent", "topic.changed"}
    assert "psst" in spooled.texts


def test_who_got_no_copy_before_the_connection_broke_may_have_been_there(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    server.say(said_to("one", "bob", "ann", "bob"))
    assert eventually(lambda: spooled.texts == ["one"])
    server.say(said_to("two", "bob", "bob"))
    assert settled(server, source)
    server.drop()
    assert eventually(lambda: server.opened == 2 and source.up)
    assert happened(spooled) == [("sent", "bob")] * 2


def test_who_changes_their_nick_or_state_was_there_before(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    """After a connection they are known by what they got; their own presence looks as if they came."""
    server.say(said_to("one", "ann", "ann", "bob", "cid") + said_to("two", "bob", "ann", "bob", "cid"))
    renamed = own("Bob", "bob@example.org/x", " type='unavailable'", "303 110").replace("<item ", "<item nick='Bo' ")
    server.say(renamed + own("Bo", "bob@example.org/x") + own("Ann", "ann@example.org/x"))
    server.say(said_to("three", "cid", "ann", "bob", "cid"))
    server.say(gone("Cid", "cid@example.org/x") + said_to("four", "ann", "ann", "bob"))
    assert eventually(lambda: len(spooled.texts) == 4)
    assert happened(spooled) == [
        ("sent", "ann"),
        ("sent", "bob"),
        ("renamed", "bob"),
        ("sent", "cid"),
        ("left", "cid"),
        ("sent", "ann"),
    ]


def test_who_is_there_twice_leaves_once(source: ComponentSource, server: ComponentServer, spooled: Spooled) -> None:
    server.say(own("Ann", "ann@example.org/x") + own("Ann", "ann@example.org/y"))
    server.say(own("Ann", "ann@example.org/x", " type='unavailable'") * 2)
    server.say(own("Ann", "ann@example.org/y", " type='unavailable'", "307 110") * 2)
    assert eventually(lambda: len(events(spooled)) == 2)
    time.sleep(1.2)
    assert [each.type for each in events(spooled)] == ["participant.joined", "participant.left"]


def test_who_was_taken_for_gone_and_is_not_can_leave(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    server.say(said_to("one", "bob", "ann", "bob"))
    server.say(gone("Ann", "ann@example.org/x") + said_to("two", "bob", "ann", "bob"))
    server.say(gone("Ann", "ann@example.org/x") + said_to("three", "bob", "bob"))
    assert eventually(lambda: len(spooled.texts) == 3)
    sent, left = ("sent", "bob"), ("left", "ann")
    assert happened(spooled) == [sent, left, ("joined", "ann"), sent, left, sent]


def test_history_is_told_to_nobody_again(source: ComponentSource, server: ComponentServer, spooled: Spooled) -> None:
    key, late = now(), "<delay xmlns='urn:xmpp:delay' from='team@rooms.example.org' stamp='2026-01-01T10:00:00Z'/>"
    for number in (1, 2):
        server.say(to_all("hi", "Ann", "ann@example.org/x", id=str(number), key=key + number))
    assert eventually(lambda: spooled.texts == ["hi", "hi"] or len(spooled.texts) == 2)
    server.say(to_all("hi", "Ann", "cid@example.org/x", id="1", key=key + 1, more=late))
    server.say(to_all("before", "Ann", "cid@example.org/x", id="0", key=key - 60_000_000, more=late))
    server.say(to_all("no archive", "Ann", "cid@example.org/x", id="9", key=None, more=late))
    assert settled(server, source)
    time.sleep(1.2)
    assert [each.type for each in events(spooled)] == ["message.sent"] * 2


def test_nobody_hides_what_they_say_behind_an_id_or_a_date(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    """In a room that keeps no archive, whose server leaves a client's own stanza-id in."""
    key = now()
    server.say(to_all("hi", "Ann", "bob@example.org/x", id="1", key=key))
    claimed = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{key}'/>"
    late = "<delay xmlns='urn:xmpp:delay' from='team@rooms.example.org' stamp='2020-01-01T10:00:00Z'/>"
    for id, more in (("2", claimed), ("3", late), ("4", late + claimed)):
        server.say(asked(f"secret {id}", "eve@example.org/x", id=id, more=more))
        for to in ("bob@example.org/x", "eve@example.org/x"):
            server.say(to_all(f"secret {id}", "Eve", to, id=id, key=None, more=more))
    assert eventually(lambda: len(spooled.texts) == 4)
    assert sorted(spooled.texts) == ["hi", "secret 2", "secret 3", "secret 4"]


def test_rooms_without_an_archive_tell_the_same_words_as_often_as_they_were_said(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    for _ in range(3):
        for to in ("ann@example.org/x", "bob@example.org/x"):
            server.say(to_all("ok", "Ann", to, id="", key=None))
    assert eventually(lambda: len(spooled.texts) == 3)
    assert settled(server, source) and spooled.texts == ["ok"] * 3


def test_who_came_after_a_stall_came_before_what_they_heard(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    """The server's clock is in its ids; what has none is only known by when it is read."""
    key = now()
    server.say(own("Ann", "ann@example.org/x"))
    server.say(to_all("hi", "Ann", "ann@example.org/x", id="1", key=key + 1))
    assert eventually(lambda: len(events(spooled)) == 2)
    came, heard = events(spooled)
    assert (came.type, heard.type) == ("participant.joined", "message.sent")


# Whatever it is sent

PLACES = [
    "ann@example.org/x",
    "bob@example.org",
    "example.org",
    ROOM,
    f"{ROOM}/Ann",
    "rooms.example.org",
    "a@b",
    "/",
    "",
]
INSIDE = [
    "<body>hi</body>",
    "<subject>s</subject>",
    "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2026-01-01T10:00:00Z'/>",
    "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='never'/>",
    f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='1795956389822650'/>",
    f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='0'/>",
    f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{'9' * 40}'/>",
    f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}'/>",
    f"<x xmlns='{USER}'><status code='110'/><status code='100'/></x>",
    f"<x xmlns='{USER}'><item jid='ann@example.org/x' nick='Ann2'/><status code='303'/></x>",
    f"<x xmlns='{USER}'><item jid='e@far.example'><actor nick='Ann'/><reason>r</reason></item><status code='307'/></x>",
    f"<x xmlns='{USER}'><destroy><reason/></destroy></x>",
    f"<x xmlns='{USER}'><invite from='ann@example.org'/><invite to='bob@example.org'/></x>",
    "<x xmlns='jabber:x:conference' jid='team@rooms.example.org'/>",
    "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
    "<reactions xmlns='urn:xmpp:reactions:0'/>",
    "<sent xmlns='urn:xmpp:carbons:2'/>",
]
stanzas = st.builds(
    lambda name, sender, to, kind, id, inside: (
        f"<{name} xmlns='jabber:client' from='{sender}' to='{to}' type='{kind}' id='{id}'>{''.join(inside)}</{name}>"
    ).replace(" type=''", ""),
    st.sampled_from(["message", "message", "presence", "iq", "other"]),
    st.sampled_from(PLACES),
    st.sampled_from(PLACES),
    st.sampled_from(["", "chat", "groupchat", "normal", "error", "unavailable"]),
    st.sampled_from(["", "1", "00000000-0000-4000-8000-000000000001"]),
    st.lists(st.sampled_from(INSIDE), max_size=4),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(stanzas, min_size=1, max_size=20))
def test_no_copy_is_anything_but_told_passed_or_kept_aside(sent: list[str]) -> None:
    memory, allowed = Remembered(), frozenset(("xmpp:example.org", "xmpp:rooms.example.org"))
    copies = Copies(NAME, memory, (HOST,), ("rooms.example.org",))
    reader = Reader("it", copies, memory, (), allowed, now)
    elements = [fromstring(forwarded(each)) for each in sent]
    told = [piece for at, each in enumerate(elements) for piece in reader.pieces([each], at / 4)]
    told += reader.pieces([], 0, is_last=True)
    assert reader.pieces([], 1e9) == [] and not reader.refused
    assert {piece.event.source for piece in told if isinstance(piece, Captured)} <= allowed
    memory.close()


def test_nobody_takes_anothers_name_by_repeating_their_words(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    """Eve is of another server, and the room tells nobody's address: only what was sent to it says who Ann is."""
    key = now()
    server.say(asked("hi", "ann@example.org/x", id="1") + to_all("hi", "Ann", "ann@example.org/x", id="1", key=key))
    server.say(to_all("hi", "Eve", "ann@example.org/x", id="1", key=key + 1))
    server.say(to_all("I resign", "Eve", "ann@example.org/x", id="2", key=key + 2))
    assert eventually(lambda: len(spooled.texts) == 3)
    said = sorted(events(spooled), key=lambda each: each.time)
    assert [each.data.actor.address for each in said] == ["ann@example.org", f"{ROOM}/Eve", f"{ROOM}/Eve"]


def test_a_nick_that_one_of_several_sessions_gave_up_is_nobodys(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    one, two = "ann@example.org/x", "ann@example.org/y"
    server.say(own("A1", one) + own("A1", two, codes="") + own("A2", two) + own("A2", one, codes=""))
    server.say(own("A1", one, " type='unavailable'") + own("A1", two, " type='unavailable'", codes=""))
    server.say(to_all("hi", "A1", two, id="1", key=now()))
    assert eventually(lambda: spooled.texts == ["hi"])
    assert [each.data.actor.address for each in events(spooled) if each.type == "message.sent"] == [f"{ROOM}/A1"]


def test_a_room_that_hides_addresses_from_now_on_hides_them_in_what_is_told(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    server.say(own("Ann", "ann@example.org/x", codes="100 110") + own("Bob", "bob@example.org/x", codes="100 110"))
    for id, code in (("1", ""), ("2", "173"), ("3", "104"), ("4", "172")):
        server.say(
            forwarded(
                f"<message xmlns='jabber:client' from='{ROOM}' to='ann@example.org/x' type='groupchat'>"
                f"<x xmlns='{USER}'><status code='{code}'/></x></message>"
            )
            + to_all(id, "Ann", "ann@example.org/x", id=id, key=now())
        )
        assert eventually(lambda id=id: id in spooled.texts)
    # What somebody writes there changes nothing.
    server.say(
        to_all("5", "Bob", "ann@example.org/x", id="5", key=now(), more=f"<x xmlns='{USER}'><status code='173'/></x>")
    )
    assert eventually(lambda: "5" in spooled.texts)
    said = [each for each in events(spooled) if each.type == "message.sent"]
    assert [(each.data.message.text, each.data.actor.hidden) for each in said] == [
        ("1", False),
        ("2", True),
        ("3", True),
        ("4", False),
        ("5", False),
    ]


def test_history_of_before_is_told_to_nobody_again_though_who_said_it_is_there(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    """In a room without an archive, after a connection that was told of it."""
    late = "<delay xmlns='urn:xmpp:delay' from='team@rooms.example.org' stamp='2026-01-01T10:00:00Z'/>"
    server.say(asked("two", "ann@example.org/x", id="2") + to_all("two", "Ann", "ann@example.org/x", id="2", key=None))
    assert eventually(lambda: spooled.texts == ["two"])
    for id, text in (("1", "one"), ("2", "two")):
        server.say(to_all(text, "Ann", "bob@example.org/x", id=id, key=None, more=late))
    assert settled(server, source)
    time.sleep(1.2)
    assert spooled.texts == ["two"]


def test_a_change_of_status_makes_nobody_leave(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    """After a connection that began with everybody there."""
    key = now()
    server.say(asked("hi", "bob@example.org/y", id="1"))
    for to in ("ann@example.org/x", "bob@example.org/y"):
        server.say(to_all("hi", "Bob", to, id="1", key=key))
    assert eventually(lambda: spooled.texts == ["hi"])
    server.say(own("Ann", "ann@example.org/x"))
    assert settled(server, source)
    time.sleep(1.2)
    assert [each.type for each in events(spooled)] == ["message.sent"]


def test_equal_words_without_an_id_are_told_again_to_whoever_came_meanwhile(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    for session in ("x", "another"):
        server.say(to_all("build failed", "bot", f"ann@example.org/{session}", id="", key=None))
        assert settled(server, source)
        time.sleep(1.3)
    assert spooled.texts == ["build failed"] * 2


def test_what_strangers_send_is_kept_nowhere(
    source: ComponentSource, server: ComponentServer, spooled: Spooled
) -> None:
    server.say(f"<message from='eve@evil.example/x' to='{NAME}'>{'<a>' * 120}{'</a>' * 120}</message>")
    assert eventually(lambda: source.signs().refused == {"not from a host that may tell": 1})
    assert not spooled.records


def test_a_gap_after_a_stall_is_told_from_before_the_stall(
    source: ComponentSource, server: ComponentServer, spooled: Spooled, monkeypatch: Any, logs: list[Any]
) -> None:
    """What came while the spool took nothing is older than when it is read: the server may have gone in between."""
    monkeypatch.setattr(linking, "PAUSES", (0.05,))
    spooled.fault, stalled = TryLater("full"), now()
    server.say(forwarded(said("first")))
    assert eventually(lambda: not source.up)
    server.drop()
    time.sleep(3)
    spooled.fault = None
    assert eventually(lambda: source.signs().gaps == 1)
    bounds = re.search(r"COPY --from (\S+) --until", str(logs))
    assert bounds is not None and (date_of(bounds[1]) or stalled) < stalled


def test_a_stall_is_not_taken_for_the_servers_silence(
    source: ComponentSource, server: ComponentServer, spooled: Spooled, monkeypatch: Any
) -> None:
    monkeypatch.setattr(linking, "PAUSES", (0.05,))
    monkeypatch.setattr(linking, "SILENCE", 1.0)
    monkeypatch.setattr(linking, "ASK", 0.2)
    spooled.fault = TryLater("full")
    server.say(forwarded(said("first")))
    time.sleep(2)
    spooled.fault = None
    assert eventually(lambda: spooled.texts == ["first"])
    time.sleep(0.6)
    assert server.opened == 1 and source.signs().gaps == 0
