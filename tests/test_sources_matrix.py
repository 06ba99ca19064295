"""The application service as a homeserver meets it: its endpoints, and what a restart or a fault may not lose.

What a real homeserver sends is test_sources_matrix_synapse's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from click.testing import CliRunner
from contracts.source import SourceContract, Spooled
from hypothesis import given
from hypothesis import strategies as st

from archiver.cli import main
from archiver.events import Captured, Rejected
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.sources.listening import Address
from archiver.sources.matrix import fetching, gaps, late, reception, registration, translating, trying
from archiver.sources.matrix.ledger import REMEMBERED, Ledger
from archiver.sources.matrix.reaching import LONGEST, QUIET, Reach
from archiver.sources.matrix.source import MatrixSource
from archiver.sources.matrix.translating import Found, Translator
from archiver.sources.protocol import Source

NOBODY = "http://127.0.0.1:9"
ROOM = "!r:hs.test"
NUMBERS = count(1)
MINE = registration.Registration("archiver-t", "http://127.0.0.1:1", "a" * 64, "h" * 64, "archiver")


def event(type_: str = "m.room.message", **more: Any) -> dict[str, Any]:
    number = next(NUMBERS)
    made: dict[str, Any] = {
        "type": type_,
        "event_id": f"$e{number}",
        "room_id": ROOM,
        "sender": "@ann:hs.test",
        "origin_server_ts": 1_700_000_000_000 + number,
        "content": {"msgtype": "m.text", "body": f"text {number}"},
    }
    return made | more


def said(text: str, **more: Any) -> dict[str, Any]:
    return event(content={"msgtype": "m.text", "body": text} | more)


def state(type_: str, content: dict[str, Any], key: str = "", **more: Any) -> dict[str, Any]:
    return event(type_, content=content, state_key=key, **more)


def member(who: str, membership: str = "join", **more: Any) -> dict[str, Any]:
    return state("m.room.member", {"membership": membership, **more}, who, sender=who)


CREATED = state("m.room.create", {})
SHARED = {"msgtype": "m.file", "body": "a.txt", "url": "mxc://hs.test/abc", "info": {"mimetype": "text/plain"}}


CLIENT = httpx2.Client(verify=False, limits=httpx2.Limits(max_keepalive_connections=0))
"""One for all: making one reads all authorities there are, which takes longer than most tests."""


def make(tmp_path: Path, url: str = NOBODY, address: Address | None = None, **more: Any) -> MatrixSource:
    file = tmp_path / "registration.yaml"
    if not file.exists():
        registration.save(file, registration.written(MINE, "hs.test"))
    return MatrixSource("t", address or Address(), url, file, tmp_path / "own", most=1000, **more)


def put(source: Any, *events: Any, txn: str | None = None, token: str = MINE.hs_token) -> httpx2.Response:
    path = f"http://{source.address}/_matrix/app/v1/transactions/{txn or next(NUMBERS)}"
    return CLIENT.put(path, json={"events": events}, headers={"Authorization": f"Bearer {token}"}, timeout=30)


class TestMatrixSource(SourceContract):
    @pytest.fixture(autouse=True)
    def _homeserver(self, homeserver: Homeserver) -> None:
        homeserver.answers["/whoami"] = (200, {"user_id": "@archiver:hs.test"})
        self.url = homeserver.url

    def make(self, tmp_path: Any) -> Source:
        return make(tmp_path, self.url)

    def make_taken(self, tmp_path: Any, source: Any) -> Source:
        return make(tmp_path, self.url, source.address)

    def send(self, source: Any, text: str) -> bool:
        return put(source, CREATED, said(text)).status_code == 200


@pytest.fixture
def spooled() -> Spooled:
    return Spooled()


@pytest.fixture
def source(tmp_path: Path, spooled: Spooled) -> Iterator[MatrixSource]:
    made = make(tmp_path)
    made.start(spooled)
    yield made
    made.stop()


def events_of(spooled: Spooled) -> list[Any]:
    return [each.event for each in spooled.records if isinstance(each, Captured)]


@pytest.mark.parametrize(
    ("method", "path", "token", "status", "errcode"),
    [
        ("PUT", "/transactions/1", None, 401, "M_MISSING_TOKEN"),
        ("PUT", "/transactions/1", "x" * 64, 403, "M_FORBIDDEN"),
        ("PUT", "/transactions/1", MINE.as_token, 403, "M_FORBIDDEN"),
        ("GET", "/users/@x:hs.test", MINE.hs_token, 404, "M_NOT_FOUND"),
        ("GET", "/rooms/%23x:hs.test", MINE.hs_token, 404, "M_NOT_FOUND"),
        ("GET", "/thirdparty/protocol/x", MINE.hs_token, 404, "M_NOT_FOUND"),
        ("GET", "/users/@x:hs.test", "x" * 64, 403, "M_FORBIDDEN"),
        ("POST", "/ping", "x" * 64, 403, "M_FORBIDDEN"),
        ("GET", "/transactions/1", MINE.hs_token, 405, "M_UNRECOGNIZED"),
        ("POST", "/nothing", MINE.hs_token, 404, "M_UNRECOGNIZED"),
    ],
)
def test_errors_are_matrix_own(source, spooled, method, path, token, status, errcode):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = CLIENT.request(method, f"http://{source.address}/_matrix/app/v1{path}", headers=headers, content=b"{}")
    assert (answer.status_code, answer.json()["errcode"]) == (status, errcode)
    assert spooled.records == []


def test_a_ping_is_answered(source):
    headers = {"Authorization": f"Bearer {MINE.hs_token}"}
    answer = CLIENT.post(f"http://{source.address}/_matrix/app/v1/ping", json={"transaction_id": "1"}, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {})


def test_a_token_in_the_address_is_none(source):
    answer = CLIENT.put(f"http://{source.address}/_matrix/app/v1/transactions/1?access_token={MINE.hs_token}", json={})
    assert answer.status_code == 401


def test_a_transaction_that_comes_again_is_told_once(source, spooled):
    talk = [CREATED, said("one"), said("two")]
    assert put(source, *talk, txn="7").json() == {}
    assert put(source, *talk, txn="7").json() == {}
    assert spooled.texts == ["one", "two"]
    assert put(source, *talk, said("three"), txn="8").status_code == 200
    assert len({each.id for each in events_of(spooled)}) == 4, "the same events have the same ids"


def test_a_number_that_is_given_anew_hides_nothing(source, spooled):
    """As a Synapse on SQLite does after each restart."""
    assert put(source, CREATED, said("one"), txn="1").is_success
    assert put(source, said("two"), txn="1").is_success
    assert spooled.texts == ["one", "two"]


def test_a_transaction_known_before_a_restart_is_known_after_it(tmp_path, spooled):
    one = said("one")
    for _ in range(2):
        source = make(tmp_path)
        source.start(spooled)
        assert put(source, CREATED, one, txn="1").status_code == 200
        source.stop()
    assert spooled.texts == ["one"]


def test_what_can_not_be_read_is_kept_whole_and_nothing_waits_behind_it(source, spooled):
    headers = {"Authorization": f"Bearer {MINE.hs_token}"}
    path = f"http://{source.address}/_matrix/app/v1/transactions"
    for number, body in enumerate((b"{broken", b"[]", b'{"events": 1}', b'{"events": [' + b"[" * 5000)):
        assert CLIENT.put(f"{path}/bad{number}", content=body, headers=headers).status_code == 200
    rejected = [each.content for each in spooled.records if isinstance(each, Rejected)]
    assert len(rejected) == 4 and rejected[0] == b"{broken"
    assert put(source, CREATED, {"type": "m.room.message"}, 5, said("one"), said("\0"), event(room_id=None)).is_success
    assert spooled.texts == ["one", "\ufffd"]
    assert sum(isinstance(each, Rejected) for each in spooled.records) == 7


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_any_body_is_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, body: bytes | str) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("any") / "ledger.db")
    translator = Translator(ledger, lambda: 0)
    content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    opened = translator.open("1", content)
    assert opened is not None
    pieces = translator.tell(opened, Found())
    assert all(isinstance(each, Rejected) for each in pieces)
    ledger.close()


# What a room is


def test_a_room_begun_as_one_to_one_is_so_from_its_invitation_on_and_after_a_restart(tmp_path, spooled):
    begun = [
        CREATED,
        member("@ann:hs.test"),
        state("m.room.member", {"membership": "invite", "is_direct": True}, "@bob:hs.test"),
    ]
    source = make(tmp_path)
    source.start(spooled)
    put(source, *begun[:2])
    put(source, begun[2], state("m.room.name", {"name": "us"}))
    put(source, member("@bob:hs.test"), said("hi"))
    source.stop()
    source = make(tmp_path)
    source.start(spooled)
    put(source, said("again"))
    put(source, member("@cy:hs.test"), said("three"))
    put(source, member("@cy:hs.test", "leave"))
    source.stop()
    source = make(tmp_path)
    source.start(spooled)
    put(source, said("two again"))
    source.stop()
    kinds = {each.data.message.text: each.data.conversation.kind for each in events_of(spooled) if each.data.message}
    assert kinds == {"hi": "im", "again": "im", "three": "group", "two again": "group"}


def test_a_new_name_is_no_join_also_after_a_restart(tmp_path, spooled):
    for talk in (
        [CREATED, member("@ann:hs.test", displayname="A")],
        [member("@ann:hs.test", displayname="Ann")],
        [said("x")],
    ):
        source = make(tmp_path)
        source.start(spooled)
        put(source, *talk)
        source.stop()
    assert [each.type for each in events_of(spooled)].count("participant.joined") == 1
    assert events_of(spooled)[-1].data.actor.name == "Ann"


def test_edits_by_others_and_reactions_taken_back_are_known_after_a_restart(tmp_path, spooled):
    first = said("one")
    reaction = event(
        "m.reaction", content={"m.relates_to": {"rel_type": "m.annotation", "event_id": first["event_id"], "key": "+"}}
    )
    edit = {
        "m.new_content": {"msgtype": "m.text", "body": "forged"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": first["event_id"]},
    }
    for talk in (
        [CREATED, first, reaction],
        [
            said("* forged", **edit) | {"sender": "@eve:hs.test"},
            event("m.room.redaction", redacts=reaction["event_id"], content={}),
        ],
    ):
        source = make(tmp_path)
        source.start(spooled)
        put(source, *talk)
        source.stop()
    told = [(each.type, each.data.removed) for each in events_of(spooled)]
    assert told[2:] == [("message.reacted", False), ("message.reacted", True)]


def test_answers_to_a_poll_have_its_words_after_a_restart(tmp_path, spooled):
    asked = {"question": {"m.text": [{"body": "Which?"}]}, "answers": [{"m.id": "x", "m.text": [{"body": "This"}]}]}
    start = event("m.poll.start", content={"m.poll": asked})
    relation = {"rel_type": "m.reference", "event_id": start["event_id"]}
    answer = event("m.poll.response", content={"m.selections": ["x"], "m.relates_to": relation})
    for talk in ([CREATED, start], [answer]):
        source = make(tmp_path)
        source.start(spooled)
        put(source, *talk)
        source.stop()
    polls = [each.data.poll for each in events_of(spooled)[1:]]
    assert [(each.id, each.question, each.choice) for each in polls] == [
        (start["event_id"], "Which?", None),
        (start["event_id"], None, "This"),
    ]


def test_a_message_taken_away_before_it_came_is_shown_as_one(tmp_path, spooled):
    known, gone = said("known"), said("gone")
    because = event("m.room.redaction", redacts=gone["event_id"], content={"reason": "wrong"})
    emptied = [each | {"content": {}, "unsigned": {"redacted_because": because}} for each in (known, gone)]
    source = make(tmp_path)
    source.start(spooled)
    put(source, CREATED, known)
    source.stop()
    source = make(tmp_path)
    source.start(spooled)
    put(source, *emptied, because)
    source.stop()
    told = [(each.type, each.data.message.id, each.data.message.text) for each in events_of(spooled)[1:]]
    assert told == [
        ("message.sent", known["event_id"], "known"),
        ("message.sent", gone["event_id"], "[retracted before it was captured]"),
        ("message.retracted", gone["event_id"], None),
    ]


# A homeserver that answers as told


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/ping" not in self.path:
            self.server.asked.append(self.path)  # type: ignore[attr-defined]
        for part, answer in self.server.answers.items():  # type: ignore[attr-defined]
            if part in self.path:
                status, body = answer() if callable(answer) else answer
                self._say(status, body)
                return
        self._say(404, {"errcode": "M_NOT_FOUND"})

    do_POST = do_GET

    def _say(self, status: int, body: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Homeserver:
    """By hand, for what a real one does rarely: faults, slowness, large files."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.answers: dict[str, Any] = {"/ping": (200, {}), "/whoami": (200, {"user_id": "@archiver:hs.test"})}
        self.asked: list[str] = []
        self._server.answers, self._server.asked = self.answers, self.asked  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Homeserver]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield self
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def homeserver() -> Iterator[Homeserver]:
    with Homeserver().running() as made:
        yield made


@pytest.fixture
def start(tmp_path: Path, homeserver: Homeserver, spooled: Spooled) -> Iterator[Callable[[], MatrixSource]]:
    running: list[MatrixSource] = []

    def begin() -> MatrixSource:
        for each in running:
            each.stop()
        running.append(make(tmp_path, homeserver.url))
        running[-1].start(spooled)
        return running[-1]

    yield begin
    for each in running:
        each.stop()


def test_it_is_up_while_the_homeserver_reaches_it_and_has_caught_up(start, homeserver, spooled, monkeypatch):
    monkeypatch.setattr(trying, "MISSED", 0.05)
    monkeypatch.setattr(trying, "TRIED", 0.05)
    homeserver.answers["/ping"] = (502, {"errcode": "M_CONNECTION_FAILED"})
    source = start()
    assert not source.up
    homeserver.answers["/ping"] = (200, {})
    assert until(lambda: source.up)
    put(source, CREATED, said("old"))
    assert not source.up, "there may be more of it"
    put(source, said("new") | {"origin_server_ts": time.time_ns() // 1_000_000})
    assert source.up
    homeserver.answers["/ping"] = (404, {"errcode": "M_UNRECOGNIZED"})
    time.sleep(0.2)
    assert source.up, "an older homeserver can't be asked"
    homeserver.answers["/ping"] = (403, {"errcode": "M_FORBIDDEN"})
    assert until(lambda: not source.up)


def test_what_a_homeserver_never_told_is_found_and_told(start, homeserver, spooled, monkeypatch):
    """As where it died between taking a message and telling of it."""
    monkeypatch.setattr(gaps, "GAPS", 0.1)
    monkeypatch.setattr(late, "LOOK", 0.1)
    before, first, lost = (
        said("before the service"),
        said("first"),
        [said("lost 1"), member("@bob:hs.test"), said("lost 2")],
    )
    left, last = member("@bob:hs.test", "leave"), said("last") | {"origin_server_ts": time.time_ns() // 1_000_000}
    young = said("on its way") | {"origin_server_ts": time.time_ns() // 1_000_000}
    room = [CREATED, before, first, *lost, left, last, young]
    homeserver.answers["/messages"] = (200, {"chunk": room[::-1]})
    homeserver.answers["/context/"] = (200, {"state": []})
    source = start()
    put(source, first)
    put(source, left, last)
    assert until(lambda: "lost 2" in spooled.texts)
    assert spooled.texts == ["first", "last", "lost 1", "lost 2"]
    assert [each.type for each in events_of(spooled)][-3:] == ["message.sent", "participant.joined", "message.sent"]
    put(source, young)
    assert until(lambda: spooled.texts[-1] == "on its way") and spooled.texts.count("on its way") == 1
    left_kept = start()._reception.translator._rooms.get(ROOM).room.membership_before("@bob:hs.test", 2e12)
    assert left_kept == "leave", "what was known later stays"


@pytest.mark.slow
def test_what_was_never_told_by_a_clock_that_is_ahead_is_found_too(start, homeserver, spooled, monkeypatch):
    """It never comes of age; nor does it make what comes after it count as looked through."""
    monkeypatch.setattr(gaps, "GAPS", 0.1)
    monkeypatch.setattr(gaps, "YOUNG", 100.0)
    ahead = time.time_ns() // 1_000_000 + 3_600_000
    first, early, lost = said("first"), said("early") | {"origin_server_ts": ahead}, said("lost")
    room = [CREATED, first, early]
    homeserver.answers["/messages"] = (200, {"chunk": room[::-1]})
    homeserver.answers["/context/"] = (200, {"state": []})
    source = start()
    put(source, CREATED, first)
    assert until(lambda: "early" in spooled.texts)
    homeserver.answers["/messages"] = (200, {"chunk": [lost, *room[::-1]]})
    put(source, said("last"))
    assert until(lambda: "lost" in spooled.texts) and spooled.texts.count("early") == 1


def test_what_was_never_told_stands_under_the_names_of_then(start, homeserver, spooled, monkeypatch):
    """Also where a name was told and forgotten by a restart, or given while who is asked wasn't there."""
    monkeypatch.setattr(gaps, "GAPS", 0.1)
    ann, bob, first, lost_1 = called("Ann"), member("@bob:hs.test"), said("first"), said("lost 1")
    anna, lost_2, left, annie = called("Anna"), said("lost 2"), member("@bob:hs.test", "leave"), called("Annie")
    back = member("@bob:hs.test") | {"unsigned": {"prev_content": {"membership": "leave"}}}
    lost_3, annette = said("lost 3"), called("Annette")
    last = said("last") | {"sender": "@bob:hs.test", "origin_server_ts": time.time_ns() // 1_000_000}
    shown = [CREATED, ann, bob, first, lost_1, anna, lost_2, left, back, lost_3, annette, last]
    homeserver.answers["/messages"] = (200, {"chunk": shown[::-1]})
    for at, state in ((lost_1, [CREATED, ann, bob]), (back, [CREATED, annie, back])):
        homeserver.answers[f"/context/{quote(at['event_id'], safe='')}?"] = (200, {"state": state})
    put(start(), CREATED, ann, bob, first, anna, left, annie, back, annette)
    put(start(), last)
    assert until(lambda: "lost 3" in spooled.texts)
    said_by = {e.data.message.text: e.data.actor.name for e in events_of(spooled) if e.type == "message.sent"}
    assert said_by == {"first": "Ann", "last": None, "lost 1": "Ann", "lost 2": "Anna", "lost 3": "Annie"}


def test_what_one_was_not_there_for_is_asked_of_another(start, homeserver, spooled, monkeypatch):
    """Where nobody is shown what was said while they weren't in the room."""
    monkeypatch.setattr(gaps, "GAPS", 0.1)
    hidden = state("m.room.history_visibility", {"history_visibility": "joined"})
    ann, bob, cem = (member(f"@{each}:hs.test") for each in ("ann", "bob", "cem"))
    far = member("@far:elsewhere.test")
    first, gone, lost_1 = said("first"), member("@bob:hs.test", "leave"), said("lost 1")
    away, back = member("@ann:hs.test", "leave"), member("@bob:hs.test")
    back |= {"unsigned": {"prev_content": {"membership": "leave"}}}
    away |= {"unsigned": {"prev_content": {"membership": "join"}}}
    lost_2 = said("lost 2", sender="@bob:hs.test")
    last = said("last") | {"sender": "@bob:hs.test", "origin_server_ts": time.time_ns() // 1_000_000}
    told = [CREATED, hidden, far, ann, bob, first, gone, away, cem, back, last]
    shown = {
        "bob": [CREATED, hidden, far, ann, bob, first, back, lost_2, last],
        "ann": [CREATED, hidden, far, ann, bob, first, gone, lost_1, away],
    }
    for who, events in shown.items():
        homeserver.answers[f"/messages?dir=b&limit=100&user_id=%40{who}%3A"] = (200, {"chunk": events[::-1]})
    homeserver.answers["/context/"] = (200, {"state": []})
    put(start(), *told)
    assert until(lambda: {"lost 1", "lost 2"} <= set(spooled.texts))
    assert sorted(spooled.texts) == ["first", "last", "lost 1", "lost 2"]
    assert not any("elsewhere" in each for each in homeserver.asked), "of other servers' people we may ask nothing"


def test_what_was_never_told_is_told_before_what_comes_after_a_silence(start, homeserver, spooled, monkeypatch):
    """It may be that a homeserver died in it, and with it a change of name."""
    monkeypatch.setattr(gaps, "SILENCE", 0.0)
    ann, first, anna, lost, last, next_one = called("Ann"), said("1"), called("Anna"), said("2"), said("3"), said("4")
    put(start(), CREATED, ann, first)
    room = [CREATED, ann, first, anna, lost, last, next_one]
    homeserver.answers["/messages"] = (200, {"chunk": room[::-1]})
    homeserver.answers["/context/"] = (200, {"state": [CREATED, ann]})
    put(start(), last)
    assert [(e.data.message.text, e.data.actor.name) for e in events_of(spooled) if e.type == "message.sent"] == [
        ("1", "Ann"),
        ("2", "Anna"),
        ("3", "Anna"),
    ]


def test_nothing_waits_long_for_a_look_that_a_homeserver_does_not_answer(start, homeserver, spooled, monkeypatch):
    monkeypatch.setattr(gaps, "SILENCE", 0.0)
    monkeypatch.setattr(gaps, "PATIENCE", 0.1)
    rooms = [f"!{number}:hs.test" for number in range(20)]
    put(start(), *(CREATED | {"room_id": room, "event_id": f"$c{room}"} for room in rooms))
    released = threading.Event()
    homeserver.answers["/messages"] = lambda: (200, {"chunk": []} if released.wait(10) else {})
    began = time.monotonic()
    put(start(), *(said(room) | {"room_id": room} for room in rooms))
    assert len(spooled.texts) == 20 and time.monotonic() - began < 5
    released.set()


def test_nor_for_the_looks_at_many_rooms_together(start, homeserver, spooled, monkeypatch):
    monkeypatch.setattr(gaps, "SILENCE", 0.0)
    monkeypatch.setattr(gaps, "PATIENCE", 0.3)
    rooms = [f"!{number}:hs.test" for number in range(20)]
    put(start(), *(CREATED | {"room_id": room, "event_id": f"$c{room}"} for room in rooms))
    homeserver.answers["/messages"] = lambda: time.sleep(0.1) or (200, {"chunk": []})
    put(start(), *(said(room) | {"room_id": room} for room in rooms))
    assert len(spooled.texts) == 20
    assert 1 <= sum("/messages" in each for each in homeserver.asked) <= 5


def called(name: str) -> dict[str, Any]:
    return member("@ann:hs.test", displayname=name)


def test_what_was_quarantined_is_not_found_again_and_again(start, homeserver, spooled, monkeypatch):
    monkeypatch.setattr(gaps, "GAPS", 0.05)
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    talk = [said("one"), said("deep", more=deep), said("two")]
    found = [talk[0], said("lost"), *talk[1:]]
    homeserver.answers["/messages"] = (200, {"chunk": [*found[::-1], {"no": "event"}]})
    homeserver.answers["/context/"] = (200, {"state": []})
    source = start()
    for txn in ("1", "2", "3"):
        put(source, *talk, said("now") | {"origin_server_ts": time.time_ns() // 1_000_000}, txn=txn)
        time.sleep(0.2)
    assert sum("/messages" in each for each in homeserver.asked) >= 3
    assert sum(isinstance(each, Rejected) for each in spooled.records) == 3, "once with each transaction"
    assert until(lambda: spooled.texts.count("lost") == 1)


def test_catching_up_ends_by_itself():
    reach = Reach()
    assert not reach.is_up(0)
    reach.tried(0, reached=True)
    assert reach.is_up(0), "nothing was kept"
    reach.told(1, 3600)
    assert not reach.is_up(1 + QUIET - 0.1) and reach.is_up(1 + QUIET)
    reach.tried(20, reached=False)
    reach.tried(30, reached=True)
    for now in range(30, 30 + int(LONGEST), 5):
        reach.told(now, 3600)
        assert not reach.is_up(now)
    reach.told(31 + LONGEST, 3600)
    assert reach.is_up(31 + LONGEST), "its clock may be wrong"


def until(true: Callable[[], object], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())


def test_who_was_in_a_room_before_it_was_met_is_asked_and_comes_first(start, homeserver, spooled):
    here = [
        CREATED,
        member("@ann:hs.test", displayname="Ann"),
        member("@bob:hs.test"),
        state("m.room.name", {"name": "Team"}),
    ]
    here[2]["unsigned"] = {"prev_content": {"membership": "join"}}
    homeserver.answers["/context/"] = (200, {"state": [*here, {"type": 5}]})
    source = start()
    put(source, said("one"))
    put(source, said("two"))
    assert [each.type for each in events_of(spooled)] == [
        "conversation.started",
        "participant.joined",
        "participant.joined",
        "conversation.topic.changed",
        "message.sent",
        "message.sent",
    ]
    assert events_of(spooled)[-2].data.conversation.topic == "Team"
    assert len(homeserver.asked) == 2 and all("user_id=%40ann%3Ahs.test" in each for each in homeserver.asked)
    put(start(), said("three"))
    assert sum("/context/" in each for each in homeserver.asked) == 1, "it is known after a restart"


def test_a_room_that_somebody_has_among_their_direct_talks_is_one(start, homeserver, spooled):
    pair = [CREATED, member("@ann:hs.test"), member("@bob:hs.test"), state("m.room.name", {"name": "us"})]
    homeserver.answers["/context/"] = (200, {"state": pair})
    homeserver.answers["/account_data/m.direct"] = (200, {"@bob:hs.test": ["!other:hs.test", ROOM], "@x:y": 5})
    put(start(), said("one"))
    put(start(), said("two"))
    kinds = [each.data.conversation.kind for each in events_of(spooled) if each.data.message]
    assert kinds == ["im", "im"]


def test_what_is_only_named_like_a_rooms_state_changes_nothing(source, spooled):
    """Anybody may send it, who may not name the room, close it or say who is in it."""
    put(source, CREATED, state("m.room.name", {"name": "Team"}), member("@ann:hs.test"))
    before = len(spooled.records)
    forged = [
        event("m.room.name", content={"name": "forged"}),
        state("m.room.name", {"name": "forged"}, "x"),
        event("m.room.tombstone", content={"body": "closed"}),
        event("m.room.create", content={"predecessor": {"room_id": "!other:hs.test"}}),
        event("m.room.member", content={"membership": "leave"}),
    ]
    put(source, *forged, said("one"))
    assert len(spooled.records) == before + 1
    assert events_of(spooled)[-1].data.conversation.topic == "Team"


def test_a_deep_event_stops_nobody_else(source, spooled):
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    assert put(source, CREATED, said("one", more=deep), said("two")).status_code == 200
    assert spooled.texts == ["two"]
    assert [each.reason for each in spooled.records if isinstance(each, Rejected)] == ["nested more than 100 deep"]


def test_a_fault_of_ours_in_one_event_stops_nobody_else(source, spooled, monkeypatch):
    def fails(line: Any) -> None:
        if line.text("body") == "one":
            raise KeyError("a bug")

    monkeypatch.setattr(translating, "attachment", fails)
    assert put(source, CREATED, said("one"), said("two")).status_code == 200
    assert spooled.texts == ["two"]
    assert sum(isinstance(each, Rejected) for each in spooled.records) == 1


def test_a_homeserver_that_is_busy_is_asked_again_but_not_for_ever(start, homeserver, spooled):
    homeserver.answers["/context/"] = (500, {})
    source, one = start(), said("one")
    answers = [put(source, one, txn="1").status_code for _ in range(reception.PATIENCE + 1)]
    assert answers == [503] * reception.PATIENCE + [200]
    assert spooled.texts == ["one"]
    homeserver.answers["/context/"] = (200, {"state": [member("@bob:hs.test")]})
    put(source, said("two"))
    assert events_of(spooled)[-2].type == "participant.joined", "asked again with the next event"


def test_a_room_that_nobody_may_be_asked_of_is_told_without(start, homeserver, spooled):
    homeserver.answers["/context/"] = (403, {"errcode": "M_FORBIDDEN"})
    assert put(start(), said("one")).status_code == 200
    assert spooled.texts == ["one"]


def test_what_a_redaction_speaks_of_is_asked_where_it_is_not_known(start, homeserver, spooled):
    old = event("m.reaction", content={"m.relates_to": {"rel_type": "m.annotation", "event_id": "$m", "key": "+"}})
    homeserver.answers["/event/"] = (200, old)
    put(start(), CREATED, event("m.room.redaction", redacts=old["event_id"], content={}))
    last = events_of(spooled)[-1]
    assert (last.type, last.data.removed, last.data.message.id) == ("message.reacted", True, "$m")


# Files


def test_a_file_is_in_its_message(start, homeserver, spooled):
    homeserver.answers["/media/download/hs.test/abc"] = (200, b"content")
    put(start(), CREATED, event(content=SHARED))
    captured = spooled.records[-1]
    (shared,) = captured.event.data.attachments
    assert (shared.name, shared.size, captured.attached[0][0]) == ("a.txt", 7, shared.sha256)


@pytest.mark.parametrize(
    ("answer", "why"),
    [((200, b"x" * 1001), "too large"), ((404, {"errcode": "M_NOT_FOUND"}), "gone"), ((403, {}), "not allowed")],
)
def test_a_file_that_can_not_be_had_is_described(start, homeserver, spooled, answer, why):
    homeserver.answers["/media/download/"] = answer
    assert put(start(), CREATED, event(content=SHARED)).status_code == 200
    (shared,) = spooled.records[-1].event.data.attachments
    assert (shared.sha256, shared.url) == (None, SHARED["url"])


@pytest.mark.parametrize(
    "url", ["mxc://../x", "mxc://hs.test/../../x", "mxc://hs.test/a?b", "http://127.0.0.1/x", "mxc://a"]
)
def test_an_address_that_leads_elsewhere_is_not_asked(start, homeserver, spooled, url):
    put(start(), CREATED, event(content=SHARED | {"url": url}))
    assert homeserver.asked == [] and spooled.records[-1].event.type == "message.sent"


def test_a_file_of_an_older_homeserver_is_had_the_older_way(start, homeserver, spooled):
    homeserver.answers["/client/v1/media/"] = (404, {"errcode": "M_UNRECOGNIZED"})
    homeserver.answers["/media/v3/download/"] = (200, b"content")
    put(start(), CREATED, event(content=SHARED))
    assert spooled.records[-1].event.data.attachments[0].size == 7


@pytest.mark.parametrize("address", ["mxc://[", "mxc://]x/y", "http://[::1", "mxc://", "\0", "mxc://hs.test/../../x"])
def test_whatever_stands_for_an_address_is_no_fault_of_ours(start, spooled, address):
    shared = {**SHARED, "url": address}
    assert put(start(), CREATED, event(content=shared), said("next")).status_code == 200
    assert spooled.texts == ["", "next"]


def test_a_slow_file_delays_nobody_and_comes_after_its_message(start, homeserver, spooled, monkeypatch):
    monkeypatch.setattr(fetching, "IN_TIME", 0.2)
    monkeypatch.setattr(fetching.Fetching.in_time, "__defaults__", (0.2,))
    monkeypatch.setattr(late, "LOOK", 0.1)
    free = threading.Event()
    homeserver.answers["/media/download/"] = lambda: (200, b"content") if free.wait(20) else (500, {})
    source, message = start(), event(content=SHARED)
    began = time.monotonic()
    assert put(source, CREATED, message).status_code == 200
    assert put(source, said("next"), event(content=SHARED)).status_code == 200, "nobody waits for this server again"
    assert time.monotonic() - began < 3
    assert spooled.texts == ["", "next", ""]
    source = start()  # what is to be fetched stands in the ledger
    free.set()
    assert until(lambda: len(events_of(spooled)) == 6)
    brought = [each for each in events_of(spooled) if each.type == "message.edited"]
    first = next(each for each in brought if each.id == f"{message['event_id']}/file")
    assert (first.data.message.id, first.data.attachments[0].size) == (message["event_id"], 7)
    assert first.data.actor.address == message["sender"]
    assert until(lambda: not list((source._folder / "incoming").iterdir()))


def test_a_file_that_fails_is_tried_again_and_given_up_after_days(tmp_path, start, homeserver, spooled, monkeypatch):
    monkeypatch.setattr(late, "LOOK", 0.05)
    monkeypatch.setattr(late, "wait", lambda tries: 0)
    homeserver.answers["/media/download/"] = (502, {})
    source = start()
    assert put(source, CREATED, event(content=SHARED)).status_code == 200
    assert until(lambda: source.signs().gaps == 1)
    assert len(homeserver.asked) == 1 + fetching.TRIES
    source.stop()
    ledger = Ledger(tmp_path / "own" / "ledger.db")
    assert ledger.due(2**62, 10) == []
    ledger.close()
    days = sum(fetching.wait(tries) for tries in range(1, fetching.TRIES)) / 86_400e6
    assert 0.8 < days < 4


def test_a_killed_source_tells_the_same_again(tmp_path, homeserver, spooled):
    """Between the spool's commit and the ledger's: as if the process had ended there."""
    homeserver.answers["/media/download/"] = (502, {})
    talk = [CREATED, member("@ann:hs.test"), event(content=SHARED)]
    for _ in range(2):
        source = make(tmp_path, homeserver.url)
        source.start(spooled)
        source._reception.translator.keep = partial(_dies)  # type: ignore[union-attr]
        assert put(source, *talk, txn="1").status_code == 503
        source.stop()
    bodies = [each.body for each in spooled.records if isinstance(each, Captured)]
    assert bodies[:3] == bodies[3:]


def _dies(*_: object) -> None:
    raise OSError("the power went")


def test_what_was_said_long_ago_is_forgotten_at_a_start(tmp_path, spooled):
    now = time.time_ns() // 1_000
    first, second = said("one"), said("two")
    for one, at in ((first, now - REMEMBERED - 1), (second, now)):
        source = make(tmp_path, clock=lambda at=at: at)
        source.start(spooled)
        put(source, CREATED, one)
        source.stop()
    ledger = Ledger(tmp_path / "own" / "ledger.db")
    assert ledger.meanings([first["event_id"], second["event_id"]]).keys() == {second["event_id"]}
    assert ledger.room(ROOM).met
    ledger.close()


# The registration


def config_of(tmp_path: Path, **more: str) -> Path:
    path = tmp_path / "archiver.toml"
    table = {"type": "matrix", "name": "office", "homeserver": NOBODY, "registration": str(tmp_path / "as.yaml")} | more
    path.write_text("[[source]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    return path


def test_a_registration_is_made_once_and_only_its_owner_reads_it(tmp_path):
    call = ["--config", str(config_of(tmp_path)), "matrix", "register", "office", "--server", "hs.example"]
    first = CliRunner().invoke(main, call)
    assert first.exit_code == 0 and "app_service_config_files" in first.output
    file = tmp_path / "as.yaml"
    assert file.stat().st_mode & 0o777 == 0o600
    made = registration.read(file)
    assert (made.id, made.url) == ("archiver-office", "http://127.0.0.1:8029")
    assert len({made.as_token, made.hs_token}) == 2 and len(made.as_token) == 64
    assert "@.*:hs\\.example" in file.read_text() and made.as_token not in first.output
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 2 and "there already" in again.output
    assert registration.read(file) == made


def test_a_missing_registration_is_told_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(EnvironmentFault) as fault:
        registration.read(tmp_path / "none.yaml")
    _, _, command = (fault.value.hint or "").partition("archiver ")
    filled = command.replace("SOURCE", "office").replace("NAME", "hs.test").split()
    result = CliRunner().invoke(main, ["--data", str(tmp_path), *filled])
    assert "no matrix source is called office" in result.output


@pytest.mark.parametrize(
    ("arguments", "more", "told"),
    [
        (["other", "--server", "x"], {}, "no matrix source is called other"),
        (["office", "--server", "x y"], {}, "no server name"),
        (["office", "--server", "x"], {"listen": "0.0.0.0:8029"}, "--url"),
    ],
)
def test_what_is_wrong_with_a_registration_is_said(tmp_path, arguments, more, told):
    found = CliRunner().invoke(main, ["--config", str(config_of(tmp_path, **more)), "matrix", "register", *arguments])
    assert found.exit_code == 2 and told in found.output and "Traceback" not in found.output
    assert not (tmp_path / "as.yaml").exists()


@pytest.mark.parametrize("content", ["", "- 1", "id: x", ": : :", "id: [", "a: &a [*a]", "\x00", '{"id": 5}'])
def test_what_is_no_registration_is_said_without_its_secrets(tmp_path, content):
    path = tmp_path / "as.yaml"
    path.write_text(content)
    with pytest.raises(EnvironmentFault) as caught:
        registration.read(path)
    assert caught.value.hint


def test_short_tokens_and_lost_files_are_refused(tmp_path):
    path = tmp_path / "as.yaml"
    with pytest.raises(EnvironmentFault, match="can't be read"):
        registration.read(path)
    path.write_text("{id: a, url: b, as_token: short, hs_token: short, sender_localpart: x}")
    with pytest.raises(EnvironmentFault, match="shorter"):
        registration.read(path)
    with pytest.raises(UsageError, match="there already"):
        registration.save(path, "x")
