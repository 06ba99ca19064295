"""SIP over HEPv3: what is read, what is a copy, what is lost, and that no bytes do any harm."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from contracts.source import SourceContract, Spooled
from hypothesis import given
from hypothesis import strategies as st
from sip_builder import ANN, AT, BOB, FOCUS, answer, chunk, hep, request, roster

from archiver.events import Captured, Rejected
from archiver.exceptions import EventError
from archiver.sources.credentials import Secret, digest_of
from archiver.sources.listening import Address
from archiver.sources.protocol import Source
from archiver.sources.sip import conference, copies, dialogs, receiving, tracking
from archiver.sources.sip.copies import ECHO
from archiver.sources.sip.cpim import read_cpim, unescaped
from archiver.sources.sip.dialogs import CALL
from archiver.sources.sip.drops import drops_of
from archiver.sources.sip.hep import read_packet
from archiver.sources.sip.message import party, read_message
from archiver.sources.sip.receiving import Access, Limits
from archiver.sources.sip.roster import MEDIA_TYPE
from archiver.sources.sip.saying import said_in
from archiver.sources.sip.source import SipSource
from archiver.sources.sip.telling import events_of
from archiver.sources.sip.tracking import ANSWER, SETTLE, Tracking

IS_FOCUS = f"Contact: <{FOCUS}>;isfocus\r\n"
LYNC = "sip:ann@a.example;gruu;opaque=app:conf:focus:id:ABC123"


class Stream:
    """Messages one after another, a millisecond apart."""

    def __init__(self, kept: tuple[conference.Conference, ...] = ()) -> None:
        self.tracking = Tracking(0.0, kept)
        self.now = 0.0
        self.records: list[Captured | Rejected] = []

    def take(self, *messages: bytes, correlation: str = "") -> Stream:
        for each in messages:
            self.now += 0.001
            time = AT + round(self.now * 1_000_000)
            self._tell(self.tracking.take(read_message(each, correlation), time, 42, self.now))
        return self

    def wait(self, seconds: float) -> Stream:
        self.now += seconds
        self._tell(self.tracking.sweep(self.now))
        return self

    def _tell(self, happenings: Any) -> None:
        for each in happenings:
            self.records += events_of(each, source="sip:test", received=AT + 10**12)

    @property
    def events(self) -> list[Any]:
        assert not [each for each in self.records if isinstance(each, Rejected)], self.records
        return [each.event for each in self.records if isinstance(each, Captured)]

    @property
    def texts(self) -> list[str]:
        return [each.data.message.text for each in self.events if each.type == "message.sent"]

    @property
    def lost(self) -> dict[int, int]:
        return {agent: count for agent, count in self.tracking.lost.items() if count}


def test_a_packet_is_read():
    packet = read_packet(hep(b"x", time=AT + 5, agent=7, key=b"secret"))
    assert (packet.payload, packet.sip, packet.time, packet.agent, packet.key) == (b"x", True, AT + 5, 7, b"secret")
    assert not read_packet(hep(b"x", kind=5)).sip


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"HEP3",
        b"HEP2\0\x06",
        b"HEP3\0\0",
        b"HEP3\xff\xff",
        hep(b"x") + b"more",
        hep(b"x")[:-1],
        b"HEP3\0\x0c" + b"\0\0\0\x0f\0\0",  # a chunk of no length at all would be read for ever
        b"HEP3\0\x0c" + b"\0\0\0\x0f\xff\xff",
        b"HEP3\0\x0f" + chunk(9, b"abc"),
        b"HEP3\0\x0d" + chunk(9, b"a"),
        b"HEP3\0\x0d" + chunk(15, b"a", vendor=1),
    ],
)
def test_lying_packets_are_refused(content):
    with pytest.raises(EventError):
        read_packet(content)


def test_a_message_is_read_folded_and_compact():
    message = read_message(
        b'\r\nMESSAGE sip:bob@b.example SIP/2.0\r\nf:\r\n "A \\"B\\" <x>" <sips:Ann@A.example:5061;x=y>;tag=1\r\n'
        b"t: sip:+49@b.example;tag=2\r\nI: c1\r\nCSeq:  7   MESSAGE\r\nl: 2\r\nno header\r\n\r\nhidden"
    )
    assert (message.method, message.number, message.body, message.call) == ("MESSAGE", 7, b"hi", "c1")
    assert (message.author.address, message.author.name, message.author.tag) == ("ann@a.example", 'A "B" <x>', "1")
    assert (message.recipient.address, message.recipient.tag) == ("+49@b.example", "2")


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        request().replace(b"Call-ID: c1\r\n", b""),
        request().replace(b"CSeq: 1 ", b"CSeq: one "),
        request()[:-1],
        request().replace(b"Length: 5", b"Length: -5"),
        request(headers="X: y\r\n" * 600),
        request(call="c" * 600),
    ],
)
def test_what_is_no_whole_message_is_refused(content):
    with pytest.raises(EventError):
        read_message(content)


def test_a_lync_conference_is_known_by_its_address():
    assert party(f"<{LYNC}>").conference == "ABC123"
    assert party(f"<{LYNC}>").address == "ann@a.example"


def test_cpim_as_the_standard_shows_it():
    """RFC 3862, 5.1: two subjects in two languages, features of others' namespaces."""
    wrapped = read_cpim(
        b"From: MR SANDERS <im:piglet@100akerwood.com>\r\nTo: Depressed Donkey <im:eeyore@100akerwood.com>\r\n"
        b"DateTime: 2000-12-13T13:40:00-08:00\r\nSubject: the weather will be fine today\r\n"
        b"Subject:;lang=fr beau temps prevu pour aujourd'hui\r\nNS: MyFeatures <mid:MessageFeatures@id.foo.com>\r\n"
        b"Require: MyFeatures.VitalMessageOption\r\n\r\nContent-type: text/xml\r\n\r\n<body/>"
    )
    assert wrapped.author is not None
    assert (wrapped.author.name, wrapped.author.uri) == ("MR SANDERS", "im:piglet@100akerwood.com")
    assert [each.uri for each in wrapped.recipients] == ["im:eeyore@100akerwood.com"]
    assert wrapped.subject == "the weather will be fine today"
    assert wrapped.content.endswith(b"<body/>")


def test_cpims_escapes():
    assert unescaped(r"a\u00e4\n\\\"\ud800") == 'aä\n\\"\ufffd'


CPIM = "From: <im:carl@c.example>\r\nTo: <im:x@y.example>\r\n\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nwräpped"


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=iso-8859-1", "gr\u00fcn".encode("latin-1"), "grün"),
        ("text/html", "<b>bold</b>", "bold"),
        ("message/cpim", CPIM, "wräpped"),
        (
            "multipart/alternative; boundary=x",
            "--x\r\n\r\nplain\r\n--x\r\nContent-Type: text/html\r\n\r\n<i>h</i>\r\n--x--",
            "plain",
        ),
    ],
)
def test_bodies(kind, body, text):
    said = said_in(read_message(request(body=body, kind=kind)))
    assert said is not None and said.text == text


@pytest.mark.parametrize(("kind", "body"), [("application/im-iscomposing+xml", "<isComposing/>"), ("text/plain", "")])
def test_who_types_says_nothing(kind, body):
    assert said_in(read_message(request(body=body, kind=kind))) is None


def test_a_message_through_a_proxy_is_one_event_of_two():
    stream = Stream().take(request(), request(), answer(), answer(), request(), answer())
    (event,) = stream.wait(ANSWER).events
    place = event.data.conversation
    assert (event.source, event.id, event.type) == ("sip:test", "c1 t1 1 MESSAGE", "message.sent")
    assert (place.id, place.kind) == ("ann@a.example bob@b.example", "im")
    assert {each.address for each in place.participants} == {"ann@a.example", "bob@b.example"}
    assert (event.data.actor.address, event.data.actor.name) == ("ann@a.example", "Ann")
    assert stream.lost == {}


@pytest.mark.parametrize("seconds", [0, ANSWER])
def test_who_repeats_the_numbers_with_other_words_is_heard(seconds):
    stream = Stream().take(request()).wait(seconds).take(request(body="secret"), request(body="secret"), answer())
    stream.wait(ANSWER).take(request(body="secret"), request())
    assert sorted(stream.wait(ANSWER).texts) == ["hello", "secret"]
    assert len({each.id for each in stream.events}) == 2


def test_both_directions_are_one_place():
    back = {"call": "c2", "author": BOB, "to": ANN}
    stream = Stream().take(request(), answer(), request(**back), answer(**back))
    assert len({each.data.conversation.id for each in stream.events}) == 1


def test_what_is_sent_again_with_credentials_is_said_once():
    stream = Stream().take(request(), answer(407), request(number=2), answer(number=2))
    assert stream.wait(ANSWER).texts == ["hello"]


def test_a_branch_that_fails_does_not_hide_that_another_took_it():
    stream = Stream().take(request(), answer(404), answer(200))
    assert stream.wait(ANSWER).events[0].data.message.to is None


def test_what_nobody_got_is_seen_by_its_author_alone():
    (event,) = Stream().take(request(), answer(404)).wait(SETTLE).events
    assert [each.address for each in event.data.message.to] == ["ann@a.example"]


def test_without_an_answer_it_is_told_all_the_same():
    assert Stream().take(request()).wait(ANSWER).texts == ["hello"]


def test_an_answer_without_its_message_is_a_gap():
    stream = Stream().take(answer(), answer(call="c2"), request(call="c2"))
    assert stream.wait(SETTLE).texts == ["hello"]
    assert stream.lost == {42: 1}


def test_a_call_is_begun_and_ended_once():
    invite, taken = request("INVITE", "v=0"), answer(200, "INVITE")
    again, taken_again = request("INVITE", "v=0", number=2, to_tag="t2"), answer(200, "INVITE", number=2)
    bye = {"author": BOB, "to": ANN, "tag": "t2", "number": 9}
    stream = Stream().take(invite, invite, answer(180, "INVITE"), taken, taken, again, taken_again)
    stream.take(request("BYE", "", **bye), answer(200, "BYE", **bye), taken)
    assert [(each.type, each.data.actor.address) for each in stream.events] == [
        ("call.started", "ann@a.example"),
        ("call.ended", "bob@b.example"),
    ]
    assert {each.data.conversation.id for each in stream.events} == {"ann@a.example bob@b.example"}


def test_a_call_that_nobody_takes_is_none():
    assert Stream().take(request("INVITE", ""), answer(486, "INVITE")).events == []


def test_a_call_whose_end_never_comes_is_a_gap():
    stream = Stream().take(answer(200, "INVITE")).wait(CALL)
    assert stream.lost == {42: 1}


BOUNDS: dict[Any, tuple[str, ...]] = {
    tracking: ("WAITING", "REMEMBERED"),
    dialogs: ("WAITING", "CALLS"),
    copies: ("REMEMBERED",),
    conference: ("CONFERENCES", "PEOPLE", "SUBSCRIPTIONS"),
}


def meet(call: str, who: str, to: str = FOCUS) -> tuple[bytes, bytes]:
    leg = {"call": call, "author": who, "to": to, "tag": call}
    return request("INVITE", "", **leg), answer(200, "INVITE", headers=IS_FOCUS, **leg)


def test_a_conference_has_people_who_come_and_go():
    stream = Stream().take(*meet("c1", ANN), *meet("c2", BOB))
    said = {"call": "c3", "author": BOB, "to": FOCUS, "tag": "t3"}
    stream.take(request(body="hi all", **said), answer(**said))
    for number, who in ((4, ANN), (5, BOB)):  # the conference passes it on
        echo = {"call": f"c{number}", "author": FOCUS, "to": who, "tag": f"t{number}"}
        stream.take(request(body="hi all", **echo), answer(**echo))
    stream.take(
        request("BYE", "", call="c1", author=ANN, to=FOCUS), request("BYE", "", call="c2", author=FOCUS, to=BOB)
    )
    assert [(each.type, each.data.actor.address) for each in stream.wait(ECHO).events] == [
        ("participant.joined", "ann@a.example"),
        ("call.started", "ann@a.example"),
        ("participant.joined", "bob@b.example"),
        ("message.sent", "bob@b.example"),
        ("participant.left", "ann@a.example"),
        ("call.ended", "bob@b.example"),
        ("participant.left", "bob@b.example"),
    ]
    assert {(each.data.conversation.id, each.data.conversation.kind) for each in stream.events} == {
        ("room@conf.example", "conference")
    }


def test_a_conference_names_who_said_what_by_cpim():
    stream = Stream().take(*meet("c1", ANN))
    echo = {"call": "c4", "author": FOCUS, "to": ANN, "tag": "t4"}
    stream.take(request(body=CPIM, kind="message/cpim", **echo), answer(**echo))
    assert stream.events[-1].data.actor.address == "carl@c.example"


def test_a_meeting_of_lync_is_a_session():
    stream = Stream().take(request(to=LYNC), answer(to=LYNC))
    place = stream.events[0].data.conversation
    assert (place.kind, place.session, place.id) == ("conference", "ABC123", "ann@a.example;ABC123")


def test_what_cannot_be_told_is_kept_whole():
    stream = Stream().take(request(headers="Content-Encoding: gzip\r\n"), answer())
    (rejected,) = stream.records
    assert isinstance(rejected, Rejected) and b"hello" in rejected.content and "packed" in rejected.reason


def test_a_flood_is_remembered_within_bounds(monkeypatch):
    for module, names in BOUNDS.items():
        for name in names:
            monkeypatch.setattr(module, name, 5)
    stream = Stream()
    for number in range(50):
        stream.take(request(call=f"m{number}"), request("INVITE", "", call=f"i{number}"))
        stream.take(answer(200, "INVITE", call=f"c{number}"), request("BYE", "", call=f"b{number}"))
        stream.take(*meet(f"f{number}", ANN, to=f"sip:room{number}@conf.example"))
        stream.take(*meet(f"p{number}", f"sip:p{number}@a.example"))
        stream.take(request("NOTIFY", "<x/>", call=f"n{number}", kind=MEDIA_TYPE))
        told = {"author": FOCUS, "to": ANN, "tag": f"t{number}", "call": f"e{number}"}
        stream.take(request(body=f"words {number}", **told), answer(**told))
        stream.take(*roster(number + 1, *(f"sip:p{each}@a.example" for each in range(9)), call=f"s{number}"))
    stream.wait(0)
    kept = (stream.tracking, stream.tracking._dialogs, stream.tracking._copies, stream.tracking.conferences)
    sizes = [len(each) for one in kept for each in vars(one).values() if isinstance(each, dict) and each]
    assert max(sizes) <= 5
    people = [len(each.people) for each in stream.tracking.conferences._known.values()]
    versions = [len(each.versions) for each in stream.tracking.conferences._known.values()]
    assert max(people) <= 5 and max(versions) <= 5
    assert sum(each.type == "message.sent" for each in stream.events) >= 95  # told early, never dropped


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: hep(request()) + tail))
def test_no_packet_does_any_harm(content):
    with suppress(EventError):
        read_packet(content)


WHOLE = [
    request(),
    answer(),
    request(body=CPIM, kind="message/cpim"),
    request("INVITE", headers=IS_FOCUS),
    request(to=LYNC),
]


@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=8)), max_size=6))
def test_no_message_does_any_harm(content, cuts):
    for at, instead in cuts:
        content = content[:at] + instead + content[at + len(instead) :]
    stream = Stream()
    try:
        stream.take(content, content)
    except EventError:
        return
    stream.wait(ANSWER)


@pytest.mark.parametrize(
    "piece", ["<", '"', "\\", ";tag=", " ", "sip:", "a@", ";opaque=app:conf:focus:id:", "\r\n ", "=?"]
)
def test_long_pieces_take_no_time(piece):
    long = (piece * 60_000)[:60_000]
    for content in (
        request(headers=f"Contact: {long}\r\n"),
        request(author=long),
        request(body=long, kind="message/cpim"),
    ):
        stream = Stream()
        try:
            stream.take(content).wait(ANSWER)
        except EventError:
            continue


def until(condition: Callable[[], Any], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


def by_udp(source: SipSource, *packets: bytes) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        for each in packets:
            client.sendto(each, ("127.0.0.1", source.address.port))


def by_tcp(source: SipSource, *packets: bytes) -> None:
    with socket.create_connection(("127.0.0.1", source.address.port)) as client:
        client.sendall(b"".join(packets))


class TestSipOverUdp(SourceContract):
    """Nobody is ever told that it was kept: kept, or counted as lost, is what stands for the reply."""

    post = staticmethod(by_udp)

    @pytest.fixture
    def spooled(self) -> Spooled:
        self.kept = Spooled()
        return self.kept

    def make(self, tmp_path: Any) -> Source:
        return SipSource("test", Address(), limits=Limits(patience=0))

    def make_taken(self, tmp_path: Any, source: SipSource) -> Source:
        return SipSource("other", source.address)

    def sockets(self, source: SipSource) -> list[socket.socket]:
        return source._streams

    def send(self, source: SipSource, text: str) -> bool:
        lost = source.signs().gaps
        assert lost is not None
        self.post(source, hep(request(body=text, call=text)), hep(answer(call=text)))
        assert until(lambda: text in self.kept.texts or (source.signs().gaps or 0) > lost)
        return text in self.kept.texts

    def test_a_socket_for_datagrams_that_is_gone_is_told(self, source: SipSource) -> None:
        source._datagrams[0].close()
        assert source.fault and not source.up


class TestSipOverTcp(TestSipOverUdp):
    post = staticmethod(by_tcp)


@pytest.fixture
def start() -> Any:
    running: list[SipSource] = []

    def make(spooled: Spooled, **settings: Any) -> SipSource:
        running.append(SipSource("test", Address(), **settings))
        running[-1].start(spooled)
        return running[-1]

    yield make
    for each in running:
        each.stop()


TALK = (hep(request(), key=b"k" * 20), hep(answer(), key=b"k" * 20))


def test_only_who_has_the_key_is_heard(start):
    spooled = Spooled()
    source = start(spooled, access=Access(keys=(Secret("agent", sha256=digest_of("k" * 20).hex()),)))
    by_udp(source, hep(request(call="forged")), hep(request(call="forged"), key=b"x" * 20), b"HEP3\xff\xff", *TALK)
    assert until(lambda: spooled.texts == ["hello"])
    assert source.signs().refused == {"wrong key": 2, "lying length": 1}


def test_who_has_no_key_keeps_no_agent_out(start):
    spooled = Spooled()
    access = Access(keys=(Secret("agent", sha256=digest_of("k" * 20).hex()),))
    source = start(spooled, access=access, limits=Limits(connections=3))

    def connected(*packets):
        made = opened.enter_context(socket.create_connection(("127.0.0.1", source.address.port), timeout=20))
        made.sendall(b"".join(packets))
        return made

    with ExitStack() as opened:
        agent = connected(*TALK)
        assert until(lambda: spooled.texts == ["hello"])
        strangers = [connected(hep(request(call="forged"), key=b"x" * 20)), connected()]
        assert until(lambda: source.signs().refused == {"wrong key": 1})
        for number in range(4):
            other = hep(request(call=str(number), body="again"), key=b"k" * 20)
            by_tcp(source, other, hep(answer(call=str(number)), key=b"k" * 20))
            assert until(lambda number=number: spooled.texts[1:] == ["again"] * (number + 1))
        assert strangers[0].recv(1) == b"", "who is a stranger for longest makes room"
        agent.sendall(hep(request(call="last", body="last"), key=b"k" * 20) + hep(answer(call="last"), key=b"k" * 20))
        assert until(lambda: spooled.texts[-1] == "last"), "who is known keeps the connection"


def test_who_has_no_key_is_sent_away_before_long(start):
    access = Access(keys=(Secret("agent", sha256=digest_of("k" * 20).hex()),))
    source = start(Spooled(), access=access, limits=Limits(slow=0.3))
    with ExitStack() as opened:
        silent, stranger, agent = (
            opened.enter_context(socket.create_connection(("127.0.0.1", source.address.port), timeout=20))
            for _ in range(3)
        )
        stranger.sendall(hep(request(), key=b"x" * 20))
        agent.sendall(TALK[0])
        assert silent.recv(1) == stranger.recv(1) == b""
        agent.settimeout(0.5)
        with pytest.raises(TimeoutError):
            agent.recv(1)


@pytest.mark.parametrize("post", [by_udp, by_tcp])
def test_only_who_is_allowed_is_heard(start, post):
    spooled = Spooled()
    source = start(spooled, access=Access(clients=("192.0.2.0/24",)))
    post(source, TALK[0])
    assert until(lambda: source.signs().refused == {"not allowed": 1})


def test_what_is_no_hep_ends_a_connection(start):
    source = start(Spooled())
    with socket.create_connection(("127.0.0.1", source.address.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            assert client.recv(10) == b""
    assert until(lambda: source.signs().refused == {"not HEPv3": 1})


def test_what_the_spool_cannot_take_now_is_tried_again(start, monkeypatch):
    monkeypatch.setattr(receiving, "RETRY", 0.02)
    spooled = Spooled()
    spooled.fault = OSError(28, "No space left")
    source = start(spooled)
    by_udp(source, *TALK)
    assert spooled.entered.wait(10)
    spooled.fault = None
    assert until(lambda: spooled.texts == ["hello"])
    assert source.signs().gaps == 0


def test_what_waits_for_its_answer_is_told_at_the_stop(start):
    spooled = Spooled()
    source = start(spooled)
    by_udp(source, TALK[0], hep(b"\r\n\r\n"), hep(b"nonsense"))
    assert until(lambda: len(spooled.records) == 1)
    source.stop()
    assert spooled.texts == ["hello"]
    assert isinstance(spooled.records[0], Rejected)


def test_what_the_kernel_has_already_is_taken_at_a_stop(start):
    spooled = Spooled()
    source = start(spooled)
    source._loop._loop.call_soon_threadsafe(time.sleep, 0.3)  # busy while they come
    by_udp(source, *[hep(request(body=str(each), call=str(each))) for each in range(50)])
    source.stop()
    assert len(spooled.texts) == 50


def test_a_bug_in_one_packet_is_a_gap_and_no_end(start, monkeypatch):
    spooled = Spooled()
    source = start(spooled)
    with monkeypatch.context() as broken:
        broken.setattr(receiving, "read_message", lambda content: 1 / 0)
        by_tcp(source, TALK[0])
        assert until(lambda: source.signs().gaps == 1)
    by_udp(source, *TALK)
    assert until(lambda: spooled.texts == ["hello"])


def test_what_the_kernel_drops_is_a_gap(start):
    spooled = Spooled()
    source = start(spooled)
    busy = threading.Event()
    source._loop._loop.call_soon_threadsafe(busy.wait, 10)  # nobody fetches them, whatever the buffer holds
    by_udp(source, *[hep(b"\r\n" * 400)] * 20_000)
    seen = source.signs().gaps
    busy.set()
    assert seen is not None and seen > 0


def test_drops_are_read_from_the_kernels_table():
    table = (
        "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref pointer drops\n"
        " 31: 0100007F:2364 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000 12\n"
    )
    assert drops_of(table, 4711) == 12
    assert drops_of(table, 1) is None
