"""Conferences of SIP: who is in by their calls and by rosters (RFC 4575), what a focus passes on, and restarts."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from contracts.source import Spooled
from hypothesis import given
from hypothesis import strategies as st
from sip_builder import ANN, BOB, FOCUS, answer, hep, report, request, roster
from test_sources_sip import LYNC, Stream, by_udp, meet, until

from archiver.events import Captured, Rejected
from archiver.exceptions import EnvironmentFault, EventError
from archiver.sources.listening import Address
from archiver.sources.sip.conference import EMPTY, UNHEARD
from archiver.sources.sip.copies import ECHO
from archiver.sources.sip.hep import read_packet
from archiver.sources.sip.remembering import Remembered
from archiver.sources.sip.roster import User, read_report
from archiver.sources.sip.source import SipSource
from archiver.sources.sip.tracking import Tracking

CEM = "sip:cem@c.example"


def user(address: str, more: str = "", status: str = "connected", state: str = "full", device: str = "d") -> str:
    endpoint = f'<endpoint entity="{device}"><status>{status}</status></endpoint>' if status else ""
    return f'<user entity="{address}" state="{state}">{more}{endpoint}</user>'


def moves(stream: Stream) -> list[tuple[str, str]]:
    told = {"participant.joined": "+", "participant.left": "-"}
    return [(told[e.type], e.data.actor.address.partition("@")[0]) for e in stream.events if e.type in told]


def say(call: str, who: str, text: str, to: str = FOCUS) -> tuple[bytes, bytes]:
    leg = {"call": call, "author": who, "to": to, "tag": call}
    return request(body=text, **leg), answer(**leg)


def passed_on(text: str, *people: str, number: int = 1, kind: str = "text/plain") -> list[bytes]:
    """Copies, each on its own leg."""
    made = []
    for who in people:
        leg: dict[str, Any] = {"call": f"leg {who}", "author": FOCUS, "to": who, "tag": "f", "number": number}
        made += [request(body=text, to_tag="x", kind=kind, **leg), answer(**leg)]
    return made


# --- what is read


def test_a_roster_as_the_standard_shows_it() -> None:
    """Shortened from RFC 4575, 6.1: what isn't of its namespace is passed over."""
    read = read_report(
        b'<?xml version="1.0" encoding="UTF-8"?><conference-info xmlns="urn:ietf:params:xml:ns:conference-info" '
        b'entity="sips:conf233@example.com" state="full" version="1"><conference-description>'
        b"<subject>Agenda: This month's goals</subject></conference-description>"
        b"<conference-state><user-count>33</user-count></conference-state>"
        b'<users><user entity="sip:bob@example.com" state="full"><display-text>Bob  Hoskins</display-text>'
        b'<endpoint entity="sip:bob@pc33.example.com"><display-text>Bob\'s Laptop</display-text>'
        b"<status>disconnected</status><disconnection-method>departed</disconnection-method></endpoint></user>"
        b'<user entity="sip:alice@example.com" state="full"><display-text>Alice</display-text>'
        b'<endpoint entity="sip:4kfk4j392jsu@example.com;grid=433kj4j3u"><status>connected</status></endpoint></user>'
        b'<user xmlns="urn:x" entity="sip:eve@example.com"/></users></conference-info>'
    )
    assert (read.entity.address, read.version, read.whole, read.over) == ("conf233@example.com", 1, True, False)
    assert read.topic == "Agenda: This month's goals"
    assert read.users == (
        User("bob@example.com", "Bob Hoskins", (("sip:bob@pc33.example.com", False),), gone=True),
        User("alice@example.com", "Alice", (("sip:4kfk4j392jsu@example.com;grid=433kj4j3u", True),)),
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("<conference-info", "can't be read"),
        ("<conference-info/>", "without entity"),
        (report(1).replace('version="1"', ""), "without entity"),
        (report(1).replace('version="1"', f'version="{"9" * 30}"'), "without entity"),
        (report(1, entity="http://x.example/"), "without entity"),
        (report(1, users=user(ANN) * 6_000), "people"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + report(1, ANN).partition("\n")[2], "DTD"),
        ("<a>" * 100_000, "can't be read"),
        (report(1, ANN).encode("utf-16").decode("latin-1"), "can't be read"),
    ],
)
def test_what_is_no_roster_is_refused(body: str, why: str) -> None:
    with pytest.raises(EventError, match=why):
        read_report(body.encode("latin-1"))


def test_one_that_can_not_be_read_is_kept_whole_once() -> None:
    within: dict[str, Any] = {"author": FOCUS, "to": ANN}
    body = '<!DOCTYPE x [<!ENTITY a "secret">]>' + report(1, ANN).partition("\n")[2]
    told = request("NOTIFY", body, kind="application/conference-info+xml", **within)
    stream = Stream().take(told, told, answer(200, "NOTIFY", **within), answer(200, "NOTIFY", **within))
    (rejected,) = stream.records
    assert isinstance(rejected, Rejected) and b"ENTITY" in rejected.content and "DTD" in rejected.reason


@given(st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=8)), max_size=6))
def test_no_roster_does_any_harm(cuts: list[tuple[int, bytes]]) -> None:
    content = report(
        1, ANN, BOB, users=user(ANN, "<display-text>A</display-text>") + user(BOB, state="partial")
    ).encode()
    for at, instead in cuts:
        content = content[:at] + instead + content[at + len(instead) :]
    try:
        read_report(content)
    except EventError:
        return


# --- who is in


def test_a_roster_tells_who_is_in_of_whom_nothing_else_was_seen() -> None:
    stream = Stream().take(*roster(0, ANN, BOB)).take(*roster(1, BOB, CEM)).take(*roster(1, BOB, CEM))
    assert moves(stream) == [("+", "ann"), ("+", "bob"), ("-", "ann"), ("+", "cem")]
    assert {(e.data.conversation.id, e.data.conversation.kind) for e in stream.events} == {
        ("room@conf.example", "conference")
    }
    assert len({each.id for each in stream.events}) == len(stream.events)


def test_partial_ones_tell_only_of_those_they_name() -> None:
    stream = Stream().take(*roster(0, ANN, BOB, CEM))
    stream.take(*roster(1, state="partial", users=user(BOB, status="disconnected")))
    stream.take(*roster(2, state="partial", users=user(ANN, status="", state="deleted")))
    stream.take(*roster(3, state="partial", users=user(ANN, status="on-hold")))
    stream.take(*roster(4, state="partial", users=user("sip:eve@e.example", status="dialing-out")))
    assert moves(stream) == [*(("+", each) for each in ("ann", "bob", "cem")), ("-", "bob"), ("-", "ann"), ("+", "ann")]


def test_who_has_two_devices_goes_with_the_second() -> None:
    both = user(ANN).replace("</user>", '<endpoint entity="e"><status>connected</status></endpoint></user>')
    stream = Stream().take(*roster(0, users=both))
    stream.take(*roster(1, state="partial", users=user(ANN, status="disconnected", state="partial")))
    assert moves(stream) == [("+", "ann")]
    stream.take(*roster(2, state="partial", users=user(ANN, status="disconnected", state="partial", device="e")))
    assert moves(stream) == [("+", "ann"), ("-", "ann")]


def test_a_call_and_a_roster_tell_of_one_coming_and_one_going() -> None:
    stream = Stream().take(*meet("c1", ANN), *roster(0, ANN), *roster(1, ANN, BOB), *meet("c2", BOB))
    stream.take(request("BYE", "", call="c1", author=ANN, to=FOCUS), *roster(2, BOB))
    stream.take(*roster(3, state="partial", users=user(BOB, state="deleted")))
    stream.take(request("BYE", "", call="c2", author=FOCUS, to=BOB))
    assert moves(stream) == [("+", "ann"), ("+", "bob"), ("-", "ann"), ("-", "bob")]


def test_who_calls_twice_is_in_until_the_second_ends() -> None:
    stream = Stream().take(*meet("c1", ANN), *meet("c2", ANN))
    stream.take(request("BYE", "", call="c1", author=ANN, to=FOCUS))
    assert moves(stream) == [("+", "ann")]
    stream.take(request("BYE", "", call="c2", author=ANN, to=FOCUS))
    assert moves(stream) == [("+", "ann"), ("-", "ann")]


@pytest.mark.parametrize("partial", [False, True])
def test_of_many_who_are_sent_it_the_late_ones_change_nothing(partial: bool) -> None:
    """Ann goes and comes again; whatever one was told the next may be told after all of it."""

    def told(version: int, there: bool, **more: str) -> tuple[bytes, bytes]:
        if partial:
            change = user(ANN) if there else user(ANN, status="", state="deleted")
            return roster(version, state="partial", users=change, **more)
        return roster(version, *((ANN, BOB) if there else (BOB,)), **more)

    stream = Stream().take(*told(4, True), *told(5, False), *told(6, True))
    coming = [move for move in moves(stream) if move[1] == "ann"]
    assert coming == [("+", "ann"), ("-", "ann"), ("+", "ann")]
    for call in ("s2", "s3"):
        for version, there in ((8, True), (9, False), (10, True)):
            stream.take(*told(version, there, call=call, to=BOB))
    assert [move for move in moves(stream) if move[1] == "ann"] == coming
    stream.take(*told(11, False, call="s3", to=BOB))
    assert moves(stream)[-1] == ("-", "ann")


def test_a_name_that_only_one_is_told_of_counts() -> None:
    stream = Stream().take(*roster(0, ANN, BOB, call="s1"), *roster(0, ANN, BOB, call="s2", to=BOB))
    for number, call in enumerate(("s1", "s2", "s2")):
        name = user(ANN, f"<display-text>Ann {number}</display-text>", state="partial", status="")
        stream.take(*roster(1 + number, state="partial", users=name, call=call))
        assert stream.take(*say(f"m{number}", ANN, f"words {number}")).events[-1].data.actor.name == f"Ann {number}"


def test_rosters_that_never_came_are_gaps_and_a_whole_one_mends_it() -> None:
    stream = Stream().take(*roster(1, ANN, BOB), *roster(1, ANN, BOB, call="s2"))
    stream.take(*roster(4, BOB), *roster(4, BOB, call="s2"))
    assert stream.lost == {42: 2}
    assert moves(stream) == [("+", "ann"), ("+", "bob"), ("-", "ann")]


def test_a_conference_that_is_over_has_nobody() -> None:
    stream = Stream().take(*roster(0, ANN, BOB), *roster(1, state="deleted"))
    assert moves(stream) == [("+", "ann"), ("+", "bob"), ("-", "ann"), ("-", "bob")]


@pytest.mark.parametrize(
    "told",
    [
        roster(1, ANN, BOB, CEM, author=CEM),  # not by the conference
        roster(1, ANN, BOB, CEM, status=481),  # nobody asked for it
        roster(1, ANN, BOB, CEM)[:1],  # nobody took it
    ],
)
def test_nobody_puts_themselves_into_a_conference(told: tuple[bytes, ...]) -> None:
    stream = Stream().take(*roster(0, ANN, BOB), *told).wait(0)
    assert {each.event.data.actor.address for each in stream.records if isinstance(each, Captured)} == {  # type: ignore[union-attr]
        "ann@a.example",
        "bob@b.example",
    }


@pytest.mark.parametrize("within", ["", "t9"])
def test_nobody_makes_a_conference_of_somebody_else_to_be_in_their_talk(within: str) -> None:
    """Who calls a friend, who says that he is a conference, may call him Bob; or one that there is."""
    for claimed in (BOB, FOCUS):
        stream = Stream().take(*meet("c1", ANN))
        leg: dict[str, Any] = {"call": "evil", "author": CEM, "to": claimed}
        sent = request("INVITE", "", to_tag=within, **leg).replace(
            f"INVITE {claimed}".encode(), b"INVITE sip:x@x.example"
        )
        stream.take(sent, answer(200, "INVITE", headers=f"Contact: <{claimed}>;isfocus\r\n", **leg))
        stream.take(*say("m1", ANN, "between us", to=claimed))
        assert "cem" not in [who for _, who in moves(stream)]
        kind = stream.events[-1].data.conversation.kind
        assert (stream.texts, kind) == (["between us"], "im" if claimed == BOB else "conference")


def test_only_who_may_be_one_is_a_conference() -> None:
    stream = Stream()
    stream.tracking = Tracking(addresses=("*@conf.example",))
    stream.take(*meet("c1", ANN), *meet("c2", ANN, to=BOB), *say("m1", ANN, "hi", to=BOB))
    assert moves(stream) == [("+", "ann")] and stream.events[-1].data.conversation.kind == "im"
    stream.take(*roster(1, ANN, CEM, author=BOB, entity=BOB))
    assert isinstance(stream.records[-1], Rejected)


def test_people_are_called_what_the_conference_calls_them() -> None:
    named = user(ANN, "<display-text>Ann \n of &lt;Sales&gt;</display-text>")
    stream = Stream().take(*roster(0, users=named, topic="Budget"), *say("m1", ANN, "hello"))
    (joined, said) = stream.events
    assert {each.data.actor.name for each in (joined, said)} == {"Ann of <Sales>"}
    assert said.data.conversation.topic == "Budget"
    stream.take(*roster(1, state="partial", users=user(ANN, "<display-text>Dr Ann</display-text>", state="partial")))
    assert stream.take(*say("m2", ANN, "again")).events[-1].data.actor.name == "Dr Ann"
    assert moves(stream) == [("+", "ann")]


def test_a_meeting_of_lync_has_a_roster_too_and_its_organizer_is_one_of_its_people() -> None:
    """Its address is theirs, but for the parameter that names the meeting."""
    stream = Stream().take(*meet("c1", ANN, to=LYNC), *roster(0, ANN, BOB, entity=LYNC, author=LYNC, to=BOB))
    assert moves(stream) == [("+", "ann"), ("+", "bob")]
    for number in range(2):
        stream.take(*say(f"m{number}", ANN, "my own words", to=LYNC))
        leg: dict[str, Any] = {"call": "c9", "author": LYNC, "to": BOB, "number": 5 + number}
        stream.take(request(body="my own words", to_tag="x", **leg), answer(**leg))
    stream.take(request("BYE", "", call="c1", author=LYNC, to=ANN))
    assert stream.texts == ["my own words"] * 2
    assert moves(stream)[2:] == [("-", "ann")]
    assert {(e.data.conversation.id, e.data.conversation.session) for e in stream.events} == {
        ("ann@a.example;ABC123", "ABC123")
    }


def test_whose_words_a_conference_passes_on_without_saying_so_are_nobodys() -> None:
    stream = Stream().take(*meet("c1", ANN), *passed_on("ok", ANN, BOB))
    (said,) = [each for each in stream.events if each.type == "message.sent"]
    assert said.data.actor is None and said.data.message.text == "ok"


# --- what a conference passes on


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_is_passed_on_is_no_second_message(wrapped: bool) -> None:
    stream = Stream().take(*meet("c1", ANN), *meet("c2", BOB), *meet("c3", CEM))
    said, its = say("m1", ANN, "ok")
    copies = passed_on("ok", BOB, CEM)
    if wrapped:
        body = f"From: <{ANN}>\r\nTo: <{FOCUS}>\r\n\r\nContent-Type: text/plain\r\n\r\nok\r\n"
        copies = passed_on(body, BOB, CEM, kind="message/cpim")
    stream.take(said, *copies, its)  # passed on before it is answered
    assert stream.texts == ["ok"]


def test_who_says_the_same_again_is_heard_again_also_by_copies_alone() -> None:
    stream = Stream().take(*meet("c1", ANN), *meet("c2", BOB))
    stream.take(*passed_on("ok", ANN, BOB), *passed_on("ok", ANN, BOB, number=2))
    assert stream.texts == ["ok", "ok"]


def test_a_copy_that_comes_first_is_the_message() -> None:
    stream = Stream().take(*meet("c1", ANN), *passed_on("ok", BOB, CEM), *say("m1", ANN, "ok"), *say("m2", ANN, "ok"))
    assert stream.texts == ["ok", "ok"]


def test_a_copy_that_somebody_could_not_be_given_says_nothing() -> None:
    leg: dict[str, Any] = {"call": "x", "author": FOCUS, "to": BOB}
    stream = Stream().take(*meet("c1", ANN), request(body="ok", **leg), answer(404, **leg)).wait(ECHO)
    assert stream.texts == []


# --- restarts, and how long it is known


def again(stream: Stream, now: float = 0.0) -> Stream:
    """After a restart with what was kept."""
    memory = Remembered()
    memory.keep(stream.tracking.conferences.changes(lately=True))
    made = Stream(tuple(memory._read()))
    made.now = now
    return made


def test_a_restart_in_the_midst_knows_the_conference_and_who_is_in() -> None:
    before = Stream().take(
        *meet("c1", ANN), *meet("c2", BOB), *roster(0, users=user(ANN, "<display-text>A</display-text>"))
    )
    stream = again(before).take(*say("m1", ANN, "hi"), *passed_on("hi", BOB))
    (said,) = stream.events
    assert (said.data.conversation.id, said.data.conversation.kind) == ("room@conf.example", "conference")
    assert said.data.actor.name == "A"
    stream.take(request("BYE", "", call="c1", author=ANN, to=FOCUS))
    assert moves(stream) == [("-", "ann")]


def test_who_hung_up_while_nobody_listened_is_out_by_the_next_whole_roster() -> None:
    before = Stream().take(*meet("c1", ANN), *meet("c2", BOB), *roster(4, ANN, BOB))
    stream = again(before).take(*roster(7, BOB))
    assert moves(stream) == [("-", "ann")] and stream.lost == {42: 2}


def test_of_what_all_are_told_only_comings_and_goings_are_kept_at_once() -> None:
    stream = Stream().take(*roster(0, ANN, BOB))
    known = stream.tracking.conferences
    assert known.changes().keys() == {"room@conf.example"}
    stream.take(*roster(0, ANN, BOB, call="s2", to=BOB))
    assert known.changes() == {}
    assert known.changes(lately=True).keys() == {"room@conf.example"} and known.changes(lately=True) == {}


def test_an_empty_conference_is_known_for_a_while_and_one_that_nobody_hears_of_is_given_up() -> None:
    stream = Stream().take(*meet("c1", ANN), request("BYE", "", call="c1", author=ANN, to=FOCUS))
    assert stream.wait(EMPTY - 1).take(*say("m1", ANN, "late")).events[-1].data.conversation.kind == "conference"
    stream.wait(EMPTY).take(*say("m2", ANN, "later"))
    assert stream.events[-1].data.conversation.kind == "im"
    assert stream.tracking.conferences.changes() == {"room@conf.example": None}
    busy = Stream().take(*meet("c1", ANN)).wait(UNHEARD - 1).take(*say("m1", ANN, "still here")).wait(2)
    assert busy.tracking.conferences.changes()["room@conf.example"] is not None


def test_a_source_that_is_killed_and_started_goes_on_in_the_midst(tmp_path: Path) -> None:
    spooled, memory = Spooled(), tmp_path / "sources" / "sip-test.db"

    def live() -> SipSource:
        source = SipSource("test", Address(), memory=lambda: Remembered(memory))
        source.start(spooled)
        return source

    killed = live()
    by_udp(killed, *map(hep, meet("c1", ANN) + meet("c2", BOB)))
    assert until(lambda: len(spooled.records) == 3)
    source = live()
    by_udp(source, *map(hep, [*say("m1", ANN, "hi"), *passed_on("hi", BOB)]))
    assert until(lambda: len(spooled.records) == 4)
    for each in (source, killed):
        each.stop()
    kinds = {each.event.data.conversation.kind for each in spooled.records if isinstance(each, Captured)}
    assert (kinds, spooled.texts) == ({"conference"}, ["hi"])


def test_a_memory_that_is_none_is_told_and_one_that_fails_stops_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "no.db").write_bytes(b"no database at all" * 1_000)
    source = SipSource("test", Address(), memory=lambda: Remembered(tmp_path / "no.db"))
    with pytest.raises(EnvironmentFault, match=r"no\.db") as caught:
        source.start(Spooled())
    assert caught.value.hint and not source.up

    def fail(self: object, changes: object) -> None:
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(Remembered, "keep", fail)
    spooled = Spooled()
    source = SipSource("test", Address())
    source.start(spooled)
    try:
        by_udp(source, *map(hep, meet("c1", ANN) + say("m1", ANN, "hi")))
        assert until(lambda: spooled.texts == ["hi"])
    finally:
        source.stop()


def test_what_a_capture_agent_says_it_belongs_to_is_kept() -> None:
    assert read_packet(hep(b"x", correlation="call 7\0")).correlation == "call 7"
    stream = Stream()
    stream.take(request(), answer(), correlation="call 7")
    (record,) = stream.records
    assert isinstance(record, Captured) and json.loads(record.body)["data"]["sip"] == {"correlation": "call 7"}
