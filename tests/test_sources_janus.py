"""Janus: the source contract, who is believed, and what its events and posts come to. The real one has tests beside."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from contracts.source import SourceContract, Spooled, eventually
from hypothesis import given
from hypothesis import strategies as st
from janus_builder import BEGIN, SECRET, Told, detached, group, log_in, post, posted, server, textroom, videoroom

from archiver.config import parse
from archiver.daemon.sources import sources_of
from archiver.events import SECOND, Captured, Event, Rejected, microseconds
from archiver.exceptions import EnvironmentFault, EventError, TryLater
from archiver.sources.credentials import Secret, digest_of
from archiver.sources.janus.asking import Api, Topics
from archiver.sources.janus.meetings import SILENCE, Custom, Meetings
from archiver.sources.janus.notices import Notice, Room, Roster, read_notices, read_said
from archiver.sources.janus.remembering import DELIVERIES, Remembered
from archiver.sources.janus.source import EVENTS, SAID, JanusSource
from archiver.sources.listening import Address

LOG_INS = (Secret("janus", sha256=digest_of(SECRET).hex()),)


def make(memory: Path | None = None, **settings: Any) -> JanusSource:
    return JanusSource("test", Address(), LOG_INS, memory=lambda: Remembered(memory), **settings)


class JanusContract(SourceContract):
    def make(self, tmp_path: Any) -> JanusSource:
        return make(tmp_path / "memory.db")

    def make_taken(self, tmp_path: Any, source: Any) -> JanusSource:
        return JanusSource("other", Address(port=source.address.port), LOG_INS)

    @pytest.fixture
    def spooled(self) -> Spooled:
        return Hearing()


class Hearing(Spooled):
    @property
    def texts(self) -> list[str]:
        """What people said, or did, without what only surrounds it."""
        names = [
            each.event.data.actor.address
            for each in self.records
            if isinstance(each, Captured) and each.event.type == "participant.joined" and each.event.data.actor
        ]
        return names or super().texts


class TestWhatTextRoomsPost(JanusContract):
    def send(self, source: Any, text: str) -> bool:
        return post(source.address.port, SAID, posted(text, None))


class TestWhatEventHandlersPost(JanusContract):
    def send(self, source: Any, text: str) -> bool:
        return post(source.address.port, EVENTS, group(textroom("join", text)))


# --- Who is believed, and what Janus learns of it ------------------------------------------------------------------


@pytest.fixture
def spooled() -> Spooled:
    return Spooled()


@pytest.fixture
def source(tmp_path: Path, spooled: Spooled) -> Iterator[JanusSource]:
    source = make(tmp_path / "memory.db")
    source.start(spooled)
    yield source
    source.stop()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        log_in("another"),
        log_in(name="other"),
        {"Authorization": "Basic %%%"},
        {"Authorization": f"Bearer {SECRET}"},
    ],
)
@pytest.mark.parametrize("path", [EVENTS, SAID])
def test_a_stranger_is_not_heard_and_janus_is_not_told_that_it_was(
    source: JanusSource, spooled: Spooled, caplog: pytest.LogCaptureFixture, headers: dict[str, str], path: str
) -> None:
    assert not post(source.address.port, path, posted("hello"), headers)
    complaints = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert not [each for each in complaints if each.name.startswith("uvicorn")]
    assert spooled.records == []
    assert source.signs().refused == {"not authorized": 1} and source.signs().gaps == 0


def test_an_address_that_is_none_is_no_acknowledgement(source: JanusSource) -> None:
    assert not post(source.address.port, "/", group(textroom("join")))


def test_what_a_textroom_tells_and_the_spool_does_not_take_is_a_gap(source: JanusSource, spooled: Spooled) -> None:
    spooled.fault = TryLater("full")
    assert not post(source.address.port, SAID, posted("lost"))
    assert not post(source.address.port, EVENTS, group(textroom("join")))
    spooled.fault = None
    assert post(source.address.port, EVENTS, group(textroom("join")))
    assert source.signs().gaps == 1


def test_what_cannot_be_read_is_kept_whole_and_the_rest_goes_on(source: JanusSource, spooled: Spooled) -> None:
    broken = textroom("join") | {"timestamp": "yesterday"}
    assert post(source.address.port, EVENTS, group(broken, textroom("join", "bob")))
    assert post(source.address.port, EVENTS, b"[{")
    assert post(source.address.port, SAID, b"{}")
    kept = [each for each in spooled.records if isinstance(each, Rejected)]
    assert [json.loads(each.content) for each in kept[:1]] == [broken]
    assert [each.content for each in kept[1:]] == [b"[{", b"{}"]
    assert [each.event.type for each in spooled.records if isinstance(each, Captured)] == [
        "conversation.started",
        "participant.joined",
    ]


def test_a_daemon_that_dies_between_goes_on_with_the_same_meeting(tmp_path: Path) -> None:
    """What was safe and wasn't acknowledged comes again, and means the same."""
    first, second = Spooled(), Spooled()
    for spooled, delivered in ((first, ["join"]), (second, ["join", "leave"])):
        source = make(tmp_path / "memory.db")
        source.start(spooled)
        for event in delivered:
            assert post(source.address.port, EVENTS, group(textroom(event, at=len(event))))
        source.stop()
    assert [each.event.type for each in second.records if isinstance(each, Captured)] == [
        "participant.left",
        "conversation.ended",
    ]
    sessions = {
        each.event.data.conversation.session
        for spooled in (first, second)
        for each in spooled.records
        if isinstance(each, Captured)
    }
    assert len(sessions) == 1


def test_what_was_not_safe_changes_no_meeting(source: JanusSource, spooled: Spooled) -> None:
    spooled.fault = OSError(28, "No space left")
    assert not post(source.address.port, EVENTS, group(server("started"), textroom("join")))
    spooled.fault = None
    assert post(source.address.port, EVENTS, group(server("started"), textroom("join")))
    assert post(source.address.port, EVENTS, group(server("started"), textroom("join")))
    assert len(spooled.records) == 2


def test_no_more_deliveries_are_known_again_than_need_be() -> None:
    memory = Remembered()
    numbers = range(3 * DELIVERIES)
    assert all(memory.is_new(b"%d" % each) for each in numbers)
    assert not any(memory.is_new(b"%d" % each) for each in numbers[-DELIVERIES:])
    assert memory.is_new(b"0")


def test_who_left_is_named_in_the_file_no_more(tmp_path: Path) -> None:
    source = make(tmp_path / "memory.db")
    source.start(Spooled())
    for who in ("another", *(f"somebody{number}" for number in range(20))):
        assert post(source.address.port, EVENTS, group(textroom("join", who)))
    for number in range(20):
        assert post(source.address.port, EVENTS, group(textroom("leave", f"somebody{number}", 1)))
    source.stop()
    kept = b"".join(each.read_bytes() for each in tmp_path.glob("memory.db*"))
    assert b"another" in kept and b"somebody" not in kept


def test_a_file_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_bytes(b"no database" * 100)
    with pytest.raises(EnvironmentFault) as caught:
        make(tmp_path / "memory.db").start(Spooled())
    assert "memory.db" in str(caught.value) and caught.value.hint


# --- What it comes to ----------------------------------------------------------------------------------------------


class Janus:
    """One Janus as the source hears it."""

    def __init__(self, **custom: Any) -> None:
        self.memory = Remembered()
        self.custom = Custom(**custom)
        self.lost = 0

    def tell(self, *told: Told) -> list[Event]:
        return self._events(lambda meetings: [e for each in told for e in meetings.take(read(each))])

    def say(self, text: str, who: str | None = "ann", at: float = 0, **more: Any) -> list[Event]:
        """As it comes: without delay."""
        said = read_said(posted(text, who, at, **more))
        return self._events(lambda meetings: [meetings.hear(said, BEGIN + round(at * SECOND))])

    def correct(self, at: float, **people: str | None) -> list[Event]:
        """Where Janus says who is in each room that is in use: all of these."""

        def meant(meetings: Meetings) -> list[Event]:
            differing = [each for room in meetings.rooms() for each in meetings.differing(Roster(room, people))]
            differing.sort(key=lambda each: each.who)
            return [event for each in differing for event in meetings.correct(each, BEGIN + round(at * SECOND))]

        return self._events(meant)

    def suffer(self, delivery: bytes) -> None:
        """What a stranger might make of either kind."""
        with suppress(EventError):
            for _, notice in read_notices(delivery):
                if isinstance(notice, Notice):
                    self._events(lambda meetings, it=notice: list(meetings.take(it)))
        with suppress(EventError):
            said = read_said(delivery)
            self._events(lambda meetings: [meetings.hear(said, BEGIN)])

    def _events(self, meant: Any) -> list[Event]:
        meetings = Meetings("janus:test", self.memory, self.custom)
        events = meant(meetings)
        self.lost += meetings.lost
        return list(events)


def read(told: Told) -> Notice:
    ((_, notice),) = read_notices(group(told))
    assert isinstance(notice, Notice)
    return notice


def shown(events: list[Event]) -> list[str]:
    """`joined ann`: what happened and to whom."""
    return [_shown(each) for each in events]


def _shown(event: Event) -> str:
    who = event.data.actor or event.data.subject
    name = event.type.rpartition(".")[2]
    return f"{name} {who.address}" if who is not None else name


@pytest.fixture
def janus() -> Janus:
    return Janus()


def test_a_meeting_from_the_first_who_comes_to_the_last_who_goes(janus: Janus) -> None:
    begun = janus.tell(textroom("join", display="Ann A"), textroom("join", "bob", 1))
    assert shown(begun) == ["started", "joined ann", "joined bob"]
    (said,) = janus.say("hello", at=2.5)
    ended = janus.tell(textroom("leave", at=3), textroom("leave", "bob", 4))
    assert shown(ended) == ["left ann", "left bob", "ended"]
    every = [*begun, said, *ended]
    assert {each.source for each in every} == {"janus:test"}
    assert {each.data.conversation.id for each in every} == {"textroom/1234"}
    assert {each.data.conversation.kind for each in every} == {"conference"}
    assert len({each.data.conversation.session for each in every}) == 1
    assert len({each.id for each in every}) == len(every)
    assert said.data.actor and (said.data.actor.address, said.data.actor.name) == ("ann", "Ann A")
    assert said.data.message and said.data.message.text == "hello"
    assert microseconds(said.time) == BEGIN + 2_500_000


def test_the_same_room_again_is_another_meeting(janus: Janus) -> None:
    first = janus.tell(textroom("join"), textroom("leave", at=1))
    second = janus.tell(textroom("join", at=2), textroom("leave", at=3))
    sessions = [{each.data.conversation.session for each in told} for told in (first, second)]
    assert [len(each) for each in sessions] == [1, 1] and sessions[0] != sessions[1]


def test_equal_messages_of_one_second_are_several(janus: Janus) -> None:
    janus.tell(textroom("join"))
    events = [event for _ in range(3) for event in janus.say("ok", at=1.2)]
    assert len({each.id for each in events}) == 3
    assert [each.time for each in events] == sorted({each.time for each in events})


@pytest.mark.parametrize(("received", "at"), [(-3, 0), (0.25, 0.25), (60, 0.999999)])
def test_a_message_is_told_within_its_own_second_whatever_our_clock_says(received: float, at: float) -> None:
    meetings = Meetings("janus:test", Remembered(), Custom())
    said = meetings.hear(read_said(posted("hello")), BEGIN + round(received * SECOND))
    assert microseconds(said.time) == BEGIN + round(at * SECOND)


def test_an_announcement_is_nobodys(janus: Janus) -> None:
    janus.tell(textroom("join"))
    (event,) = janus.say("closing", None, 1)
    assert event.type == "message.sent" and event.data.actor is None


def test_a_whisper_is_its_parties(janus: Janus) -> None:
    """Janus 1.1.2 posts none; one that does must not be read by all."""
    janus.tell(textroom("join"), textroom("join", "bob", display="Bob"))
    (to_bob,) = janus.say("psst", at=1, whisper=True, to="bob")
    (to_some,) = janus.say("psst", at=2, whisper=True, tos=["bob", "cem"])
    (to_whom,) = janus.say("psst", at=3, whisper=True)
    told = [each.data.message.to for each in (to_bob, to_some, to_whom) if each.data.message]
    assert [[who.address for who in each or ()] for each in told] == [["bob"], ["bob", "cem"], ["ann"]]


def test_who_is_kicked_has_left_and_so_has_who_only_ends_the_session(janus: Janus) -> None:
    janus.tell(*(textroom("join", who, handle_id=number) for number, who in enumerate(("ann", "bob", "cem"), 1)))
    (kicked,) = janus.tell(textroom("kicked", "bob", 1, handle_id=1))
    assert _shown(kicked) == "left bob" and kicked.data.reason == "kicked" and kicked.data.actor is None
    assert shown(janus.tell(detached(3, 2))) == ["left cem"]
    assert janus.tell(detached(2, 3), detached(99, 3)) == []
    assert shown(janus.tell(textroom("leave", at=4))) == ["left ann", "ended"]
    assert janus.lost == 0


def test_a_room_that_is_destroyed_and_a_server_that_stops_end_their_meetings(janus: Janus) -> None:
    janus.tell(textroom("join"), textroom("join", room=5), videoroom("joined", display="Ann"))
    assert shown(janus.tell(textroom("destroyed", at=1))) == ["left ann", "ended"]
    assert shown(janus.tell(server("shutdown", 2))) == ["left ann", "ended", "left Ann", "ended"]
    assert janus.tell(server("started", 3)) == []
    assert janus.lost == 0


def test_a_server_that_died_ends_its_meetings_when_it_comes_back(janus: Janus) -> None:
    janus.tell(textroom("join"), textroom("join", "bob"))
    events = janus.tell(server("started", 60), textroom("join", at=61))
    assert shown(events) == ["left ann", "left bob", "ended", "started", "joined ann"]
    assert events[0].data.reason == "the server was stopped"


# What is said comes at once, what else happens only once Janus has tried again.


def test_what_is_said_before_anybody_is_told_to_have_come_opens_the_meeting(janus: Janus) -> None:
    (said,) = janus.say("hello", at=2)
    joined = janus.tell(textroom("join", at=1, display="Ann A"), textroom("join", "bob", 1.5))
    assert shown(joined) == ["started", "joined ann", "joined bob"]
    assert {each.data.conversation.session for each in (said, *joined)} == {said.data.conversation.session}
    assert janus.lost == 0


def test_a_meeting_in_which_something_was_said_later_goes_on(janus: Janus) -> None:
    (_, first) = janus.tell(textroom("join"))
    (said,) = janus.say("we are back", "bob", 20)
    late = janus.tell(server("started", 10), textroom("join", "bob", 11), textroom("join", "cem", 12))
    assert shown(late) == ["left ann", "joined bob", "joined cem"]
    ended = janus.tell(textroom("leave", "bob", 30), textroom("leave", "cem", 31))
    assert shown(ended) == ["left bob", "left cem", "ended"]
    assert {each.data.conversation.session for each in (first, said, *late, *ended)} == {
        first.data.conversation.session
    }


def test_a_meeting_that_everybody_left_is_over_at_last(janus: Janus) -> None:
    janus.say("hello", "bob", 20)
    later = 21 + SILENCE / SECOND
    assert shown(janus.tell(textroom("join", at=later))) == ["started", "joined ann"]


def test_what_must_have_been_lost_is_counted_once(janus: Janus) -> None:
    janus.say("nobody told that I came", "ann", 1)
    assert shown(janus.tell(textroom("leave", at=2))) == ["left ann", "ended"]
    assert janus.lost == 1
    janus.tell(textroom("join", "bob", 3, handle_id=1))
    assert shown(janus.tell(textroom("join", "bob", 9, handle_id=2))) == ["left bob", "joined bob"]
    assert janus.lost == 2
    janus.tell(textroom("leave", "cem", 10))
    assert janus.lost == 3
    janus.tell(textroom("leave", "bob", 11), textroom("leave", "dora", 12))
    assert janus.lost == 3


# VideoRoom


def test_a_videoroom_with_a_screen(janus: Janus) -> None:
    janus.tell(videoroom("joined", display="Ann"), videoroom("joined", 8, display="Bob"))
    screen = [{"type": "video", "description": "My Screen"}]
    assert janus.tell(videoroom("published", 8, 1, streams=[{"type": "audio"}])) == []
    (shared,) = janus.tell(videoroom("published", 8, 2, streams=screen))
    (unshared,) = janus.tell(videoroom("unpublished", 8, 3), videoroom("unpublished", 8, 3.1))
    assert shown([shared, unshared]) == ["shared Bob", "unshared Bob"]
    janus.tell(videoroom("published", 8, 4, streams=screen))
    assert shown(janus.tell(videoroom("leaving", 8, 5))) == ["unshared Bob", "left Bob"]
    assert shown(janus.tell(videoroom("kicked", 7, 6))) == ["left Ann", "ended"]


def test_somebody_in_two_windows_is_there_until_the_last_is_closed(janus: Janus) -> None:
    assert shown(janus.tell(videoroom("joined", display="Ann"), videoroom("joined", 8, display="Ann"))) == [
        "started",
        "joined Ann",
    ]
    assert janus.tell(videoroom("leaving", 7, 1)) == []
    assert shown(janus.tell(videoroom("leaving", 8, 2))) == ["left Ann", "ended"]


def test_who_publishes_under_another_name_is_somebody_else(janus: Janus) -> None:
    """It may be the name of somebody who is there: what they see is not the other's."""
    janus.tell(videoroom("joined", display="Ann"), videoroom("joined", 8, display="Bob"))
    assert shown(janus.tell(videoroom("published", at=1, display="Annie"))) == ["left Ann", "joined Annie"]
    assert shown(janus.tell(videoroom("published", at=2, display="Bob"))) == ["left Annie"]
    assert shown(janus.tell(videoroom("leaving", at=3), videoroom("leaving", 8, at=4))) == ["left Bob", "ended"]


# Whom Janus has in its rooms, when it is asked


def test_who_is_gone_without_a_word_has_left_and_is_told_since_when_if_that_still_comes(janus: Janus) -> None:
    janus.tell(textroom("join"), textroom("join", "bob"), textroom("join", "cem"))
    gone = janus.correct(60, ann="Ann")
    assert shown(gone) == ["left bob", "left cem"] and gone[0].data.reason == "no longer there"
    assert janus.correct(61, ann="Ann") == []
    (late,) = janus.tell(textroom("leave", "bob", 10))
    assert _shown(late) == "left bob" and microseconds(late.time) == BEGIN + 10 * SECOND
    assert shown(janus.tell(textroom("leave", at=70))) == ["left ann", "ended"]
    assert janus.lost == 1


def test_a_room_that_is_empty_without_a_word_has_no_meeting(janus: Janus) -> None:
    janus.tell(textroom("join"))
    assert shown(janus.correct(60)) == ["left ann", "ended"]
    assert janus.lost == 1 and janus.tell(textroom("leave", at=10)) == []


def test_who_came_without_a_word_is_there_and_is_told_since_when_if_that_still_comes(janus: Janus) -> None:
    janus.tell(textroom("join"))
    janus.say("I am here", "cem", 50)
    came = janus.correct(60, ann="Ann", bob="Bob", cem="Cem")
    assert sorted(shown(came)) == ["joined bob", "joined cem"]
    assert {each.data.actor.name for each in came if each.data.actor} == {"Bob", "Cem"}
    (late,) = janus.tell(textroom("join", "bob", 10))
    assert microseconds(late.time) == BEGIN + 10 * SECOND
    assert shown(janus.tell(textroom("leave", "bob", 70))) == ["left bob"] and janus.lost == 0
    assert shown(janus.tell(textroom("leave", "cem", 71))) == ["left cem"] and janus.lost == 1


def test_who_is_gone_and_comes_again_is_there(janus: Janus) -> None:
    janus.tell(textroom("join"), textroom("join", "bob", handle_id=1))
    janus.correct(60, ann=None)
    assert shown(janus.tell(textroom("join", "bob", 61, handle_id=2))) == ["joined bob"]
    assert janus.lost == 1


def test_nobody_is_guessed_where_only_the_application_says_who_is_who() -> None:
    janus = Janus(people="opaque_id")
    janus.tell(textroom("join", opaque_id="ann@x"), textroom("join", "bob", opaque_id="bob@x"))
    assert shown(janus.correct(60, ann="Ann", cem="Cem")) == ["left bob@x"]


def test_rooms_of_one_number_may_be_one_conference() -> None:
    janus = Janus(together=True, people="opaque_id")
    begun = janus.tell(
        videoroom("joined", display="A", opaque_id="ann"), textroom("join", "a1", 1, opaque_id="ann", display="A")
    )
    assert shown(begun) == ["started", "joined ann"]
    (said,) = janus.say("hello", "a1", 2)
    assert said.data.actor and said.data.actor.address == "ann"
    assert {each.data.conversation.id for each in (*begun, said)} == {"1234"}
    assert janus.tell(textroom("destroyed", at=3)) == []
    assert shown(janus.tell(videoroom("leaving", at=4))) == ["left ann", "ended"]


@pytest.mark.parametrize(
    ("people", "told", "address"),
    [
        ("name", textroom("join", "a1", display="Ann", opaque_id="ann@x"), "a1"),
        ("name", videoroom("joined", 7, display="Ann", opaque_id="ann@x"), "Ann"),
        ("name", videoroom("joined", 7), "7"),
        ("id", textroom("join", "a1", display="Ann"), "a1"),
        ("id", videoroom("joined", "a1", display="Ann"), "a1"),
        ("display", textroom("join", "a1", display="Ann"), "Ann"),
        ("display", textroom("join", "a1"), "a1"),
        ("opaque_id", videoroom("joined", 7, display="Ann", opaque_id="ann@x"), "ann@x"),
        ("opaque_id", textroom("join", "a1", display="Ann"), "a1"),
    ],
)
def test_what_names_somebody_is_configured(people: str, told: Told, address: str) -> None:
    _, joined = Janus(people=people).tell(told)
    assert joined.data.actor and joined.data.actor.address == address


def test_rooms_may_have_names(janus: Janus) -> None:
    events = janus.tell(textroom("join", room="weekly")) + janus.say("hello", at=1, room="weekly")
    assert {each.data.conversation.id for each in events} == {"textroom/weekly"}


def test_events_need_not_come_in_groups_and_others_are_passed_over() -> None:
    ((_, notice),) = read_notices(json.dumps(textroom("join")).encode())
    assert isinstance(notice, Notice)
    media = {"type": 32, "timestamp": 1, "event": {"media": "video", "receiving": True}}
    other = {"type": 64, "timestamp": 1, "event": {"plugin": "janus.plugin.echotest", "data": ["anything"]}}
    assert [notice for _, notice in read_notices(group(media, other, textroom("edited")))][:2] == [None, None]


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False), st.lists)


@given(VALUES)
def test_no_delivery_does_any_harm(value: Any) -> None:
    """Whatever stands in an event or a post: it means something, nothing, or is kept with a reason."""
    janus, told = Janus(), [textroom("join"), videoroom("published"), textroom("kicked")]
    for name in ("room", "username", "id", "display", "streams", "event", "textroom"):
        for each in told:
            janus.suffer(group(each | {"event": {**each["event"], "data": each["event"]["data"] | {name: value}}}))
    for name in ("timestamp", "handle_id", "opaque_id", "type", "event"):
        janus.suffer(group(textroom("join") | {name: value}))
    for name in ("room", "from", "text", "date", "to", "tos", "whisper", "textroom"):
        janus.suffer(json.dumps(json.loads(posted("x")) | {name: value}).encode())


# What is asked of it


class Odd(BaseHTTPRequestHandler):
    """Answers anything with `content`."""

    content = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def odd() -> Iterator[Api]:
    server = HTTPServer(("127.0.0.1", 0), Odd)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield Api(f"http://127.0.0.1:{server.server_port}/janus", patience=5)
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b'{"janus":"error","error":{"code":403}}', b'{"data":{"id":"x"}}', b"[" * 9999, b"\xff"],
)
def test_an_api_that_is_none_is_the_environments_fault(odd: Api, content: bytes) -> None:
    Odd.content = content
    topics = Topics(odd)
    topics.learn([read(textroom("join"))])
    assert topics.of("textroom", "1234") is None
    for ask in (odd.info, lambda: odd.descriptions("textroom"), lambda: odd.rosters([Room("1", "textroom", "1")])):
        with pytest.raises(EnvironmentFault) as caught:
            ask()
        assert caught.value.hint


@pytest.mark.parametrize("url", ["http://[::1/janus", "http://127.0.0.1:1/janus", "https://127.0.0.1:x", "http://a..b"])
def test_a_place_that_is_none_is_the_environments_fault(url: str) -> None:
    with pytest.raises(EnvironmentFault):
        Api(url).info()


def test_it_is_made_of_its_table(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    table = {
        "type": "janus",
        "name": "office",
        "listen": "127.0.0.1:0",
        "people": "opaque_id",
        "together": True,
        "secret": [{"name": "janus", "file": str(tmp_path / "secret")}],
    }
    source = sources_of(parse({"source": [table]}), tmp_path)["janus:office"]()
    spooled = Spooled()
    source.start(spooled)
    try:
        assert source.name == "janus:office" and EVENTS in source.describe() and SAID in source.describe()
        assert post(source.address.port, EVENTS, group(textroom("join", opaque_id="ann@x")))  # type: ignore[attr-defined]
        assert eventually(lambda: len(spooled.records) == 2)
        assert (tmp_path / "sources" / "janus-office.db").exists()
    finally:
        source.stop()
