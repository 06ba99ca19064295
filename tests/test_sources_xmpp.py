"""XMPP: the source contract; what each record means; the same live as from the server's archive; who may say what."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from contracts.source import SourceContract, Spooled
from hypothesis import given
from hypothesis import strategies as st
from xmpp_builder import ROOM, USER_NS, UUID, body, in_room, message, moved, ndjson, post, record, stanza

from archiver.config import parse
from archiver.daemon.sources import memory_of, sources_of
from archiver.events import Captured, Event, Rejected
from archiver.exceptions import EnvironmentFault, EventError, TryLater
from archiver.importers.protocol import Options, Reading
from archiver.importers.xmpp.archive import Archive
from archiver.importers.xmpp.memory import Recent
from archiver.importers.xmpp.stanza import Envelope
from archiver.sources.credentials import digest_of
from archiver.sources.http.source import Token
from archiver.sources.listening import Address
from archiver.sources.xmpp import record as records
from archiver.sources.xmpp.remembering import Remembered, modules_heard
from archiver.sources.xmpp.source import SILENCE, XmppSource
from archiver.sources.xmpp.telling import Telling

SECRET = "a-secret-that-nobody-guesses"
TOKENS = (Token("prosody", sources=("xmpp:*example.org",), sha256=digest_of(SECRET).hex()),)
RECEIVED = 1_800_000_000_000_000


def make(memory: Path | None = None, **settings: Any) -> XmppSource:
    return XmppSource("test", Address(), TOKENS, memory=lambda: Remembered(memory), **settings)


class TestXmppSource(SourceContract):
    def make(self, tmp_path: Any) -> XmppSource:
        return make(tmp_path / "memory.db", blocking=True)

    def make_taken(self, tmp_path: Any, source: Any) -> XmppSource:
        return XmppSource("other", Address(port=source.address.port), TOKENS)

    def send(self, source: Any, text: str) -> bool:
        return post(source.address.port, ndjson(message(body(text))), SECRET).status == 200


# --- What records mean -------------------------------------------------------------------------------------------


def told(*given: dict[str, Any], memory: Any = None, conferences: tuple[str, ...] = ()) -> list[Event]:
    telling = Telling(memory if memory is not None else Recent(), conferences, Reading(RECEIVED))
    return [event for each in given for event in telling.events(records.read(json.dumps(each).encode()))]


def only(*given: dict[str, Any], **settings: Any) -> Event:
    (event,) = told(*given, **settings)
    return event


def test_one_to_one() -> None:
    event = only(message(body("Hi") + "<thread>t1</thread>", id=UUID.format(7), key="k1"))
    assert event.source == "xmpp:example.org" and event.type == "message.sent"
    assert event.id == "ann@example.org bob@example.org/ann@example.org/" + UUID.format(7)
    data = event.data
    assert data.conversation.kind == "im" and data.actor and data.actor.address == "ann@example.org"
    assert data.message and (data.message.text, data.message.id, data.message.thread) == ("Hi", UUID.format(7), "t1")


def test_one_to_one_with_an_id_that_may_repeat_is_known_by_the_senders_archive_else_by_the_record() -> None:
    first, second = told(message(body("Hi"), id="m1", key="k1"), message(body("Hi"), id="m1", key="k2"))
    assert [first.id, second.id] == [f"ann@example.org bob@example.org/ann@example.org/{key}" for key in ("k1", "k2")]
    unkept = message(body("Hi"), id="m1")
    assert only(unkept).id.endswith("/" + unkept["id"])


def test_what_looks_like_a_rooms_whisper_is_none_where_the_server_says_so() -> None:
    marked = message(body("pay him") + f"<x xmlns='{USER_NS}'/>", to="bob@example.org/ceo")
    event = only(marked)
    assert event.data.conversation.kind == "im" and event.data.message and event.data.message.to is None


def test_a_room() -> None:
    joined, spoken, renamed, left = told(
        moved("room-join", public=True),
        in_room(body("hello"), key="s1", public=True),
        moved("room-rename", new_nick="Annie", public=True),
        moved("room-leave", "Annie", jid="ann@example.org/x", reason="bye", public=True),
    )
    assert {each.source for each in (joined, spoken, renamed, left)} == {"xmpp:rooms.example.org"}
    assert {each.data.actor.address for each in (joined, spoken, renamed, left) if each.data.actor} == {
        "ann@example.org"
    }
    assert spoken.id == f"{ROOM}/s1" and spoken.data.message and spoken.data.message.id == "s1"
    assert renamed.data.actor and renamed.data.subject
    assert (renamed.data.actor.name, renamed.data.subject.name) == ("Ann", "Annie")
    assert left.type == "participant.left" and left.data.reason == "bye"


def test_who_is_there_when_a_module_begins() -> None:
    here = [{"nick": "Ann", "jid": "ann@example.org"}, {"nick": "Bob", "jid": "bob@example.org"}]
    event = only(in_room(body("hello"), occupants=here, public=True))
    people = event.data.conversation.participants
    assert people and [(each.address, each.name) for each in people] == [
        ("ann@example.org", "Ann"),
        ("bob@example.org", "Bob"),
    ]


def test_real_addresses_that_a_room_keeps_to_itself_are_shown_to_nobody() -> None:
    event = only(in_room(body("hello")))
    assert event.data.actor and (event.data.actor.address, event.data.actor.hidden) == ("ann@example.org", True)
    assert not only(in_room(body("hello"), public=True)).data.actor.hidden  # type: ignore[union-attr]


def test_a_kick_names_who_did_it_to_whom() -> None:
    event = only(moved("room-kick", "Bob", by_nick="Ann", by_jid="ann@example.org/x", reason="rude"))
    data = event.data
    assert event.type == "participant.left" and data.reason == "rude" and data.actor and data.subject
    assert (data.actor.address, data.subject.address) == ("ann@example.org", "bob@example.org")


def test_private_messages_are_for_their_two_alone() -> None:
    private = {"nick": "Ann", "jid": "ann@example.org/x", "to_nick": "Bob", "to_jid": "bob@example.org/y"}
    given = stanza(body("psst") + f"<x xmlns='{USER_NS}'/>", id=UUID.format(9), sender=f"{ROOM}/Ann", to=f"{ROOM}/Bob")
    event = only(record("room-private", room=ROOM, stanza=given, **private))
    message = event.data.message
    assert message and message.to and [each.address for each in message.to] == ["bob@example.org"]
    assert event.data.conversation.id == ROOM and event.id.endswith(f"/ann@example.org/{UUID.format(9)}")


def test_invitations() -> None:
    event = only(record("room-invite", room=ROOM, jid="ann@example.org/x", nick="Ann", to_jid="eve@example.org"))
    assert event.type == "participant.invited" and event.data.subject and event.data.actor
    assert (event.data.actor.address, event.data.subject.address) == ("ann@example.org", "eve@example.org")


def test_subjects_and_what_a_room_says_itself() -> None:
    topic = only(in_room("<subject>Lunch</subject>"))
    assert topic.type == "conversation.topic.changed" and topic.data.topic == "Lunch"
    notice = record(
        "room-message",
        room=ROOM,
        stanza=stanza(f"<x xmlns='{USER_NS}'><status code='104'/></x>", id="c", sender=ROOM, kind="groupchat"),
    )
    assert told(notice) == []


def test_corrections_retractions_reactions_and_replies_in_a_room() -> None:
    replace = "<replace xmlns='urn:xmpp:message-correct:0' id='{}'/>"
    retract = "<retract xmlns='urn:xmpp:message-retract:1' id='{}'/>"
    react = "<reactions xmlns='urn:xmpp:reactions:0' id='{}'>{}</reactions>"
    sent, edited, reacted, unreacted, replied, gone = told(
        in_room(body("helo"), id="m1", key="s1"),
        in_room(body("hello") + replace.format("m1"), id="m2", key="s2"),
        in_room(react.format("s1", "<reaction>👍</reaction>"), "Bob", key="s3"),
        in_room(react.format("s1", ""), "Bob", key="s4"),
        in_room(body("yes") + "<reply xmlns='urn:xmpp:reply:0' id='s1'/>", "Bob", key="s5"),
        in_room(retract.format("s1"), key="s6"),
        in_room(body("mine") + replace.format("m1"), "Bob", key="s7", id="b1")
        | {"stanza": stanza(retract.format("s1"), id="x", sender=f"{ROOM}/Bob", to="", kind="groupchat")},
    )
    assert sent.data.message and edited.data.message and edited.data.message.id == "s1"
    assert (reacted.data.reaction, reacted.data.removed, unreacted.data.removed) == ("👍", False, True)
    assert replied.data.message and replied.data.message.in_reply_to == "s1"
    assert gone.type == "message.retracted" and gone.data.message and gone.data.message.id == "s1"


def test_files_and_what_is_encrypted() -> None:
    url = "https://files.example.org/a/plan.pdf"
    shared = only(message(body(url) + f"<x xmlns='jabber:x:oob'><url>{url}</url></x>"))
    assert shared.data.attachments and shared.data.attachments[0].url == url
    assert shared.data.message and shared.data.message.text == ""
    omemo = "<encrypted xmlns='eu.siacs.conversations.axolotl'/>" + body("I sent you an OMEMO message")
    secret = only(message(omemo))
    assert secret.data.message and secret.data.message.text == "[encrypted, content not available]"


def test_web_conferences_have_sessions_and_rooms_have_none() -> None:
    given = [
        moved("room-created", session="one") | {"nick": None, "jid": None},
        moved("room-join", session="one"),
        in_room(body("hello"), session="one"),
        moved("room-destroyed", session="one") | {"nick": None, "jid": None},
    ]
    meeting = told(*given, conferences=("rooms.example.org",))
    assert [each.type for each in meeting] == [
        "conversation.started",
        "participant.joined",
        "message.sent",
        "conversation.ended",
    ]
    assert {(each.data.conversation.kind, each.data.conversation.session) for each in meeting} == {
        ("conference", "one")
    }
    plain = told(*given)
    assert [each.type for each in plain] == ["participant.joined", "message.sent"]
    assert {(each.data.conversation.kind, each.data.conversation.session) for each in plain} == {("group", None)}


# --- The same as the server's archive tells ----------------------------------------------------------------------


def archived(text: str, at: str, key: str, owner: str, room: str | None = None, real: str | None = None) -> list[Event]:
    """As a backfill of the server's archive reads a row."""
    from defusedxml.ElementTree import fromstring

    when = records.read(json.dumps(message(body(""), time=at)).encode()).time
    archive = Archive(Options(), Reading(RECEIVED), Recent())
    return list(archive.events(Envelope(fromstring(text), when, key, owner, room, real=real)))


@given(st.booleans(), st.booleans(), st.sampled_from(["hi", "", "/me waves"]))
def test_live_and_archived_are_the_same_event(lasting: bool, is_room: bool, text: str) -> None:
    identity = UUID.format(5) if lasting else "m5"
    if is_room:
        live = in_room(body(text), id=identity, key="k5")
        row = archived(live["stanza"], live["time"], "k5", ROOM, ROOM, "ann@example.org")
        gap = record("archived", room=ROOM, nick="Ann", jid="ann@example.org", key="k5", stanza=live["stanza"])
    else:
        live = message(body(text), id=identity, key="k5")
        row = archived(live["stanza"], live["time"], "k5", "ann@example.org")
        gap = record("archived", owner="ann@example.org", key="k5", stanza=live["stanza"], host="example.org")
    assert told(live) == row == told(gap) != []


def test_the_other_sides_row_of_what_was_captured_live_is_passed_over() -> None:
    memory = Recent()
    live = message(body("Hi"), id="m1", key="k1")
    row = record("archived", owner="bob@example.org", key="k2", stanza=live["stanza"], host="example.org")
    assert len(told(live, memory=memory)) == 1 and told(row, memory=memory) == [] == told(row, memory=memory)
    again = message(body("Hi"), id="m2", key="k3", sender="bob@example.org/y", to="ann@example.org")
    assert len(told(again, memory=memory)) == 1, "bob says the same"


def test_what_was_told_live_is_not_told_again_by_the_archive_which_knows_less() -> None:
    memory = Recent()
    given = stanza(body("psst"), id=UUID.format(9), sender="ann@example.org/x", to=f"{ROOM}/Bob")
    people = {"nick": "Ann", "jid": "ann@example.org", "to_nick": "Bob", "to_jid": "bob@example.org"}
    whisper = record("room-private", room=ROOM, stanza=given, key="k1", **people)
    said = in_room(body("hello"), key="s1")
    rows = [
        record("archived", owner="ann@example.org", room=ROOM, key="k1", stanza=given, host="example.org"),
        record("archived", room=ROOM, nick="Ann", key="s1", stanza=said["stanza"]),
    ]
    assert len(told(whisper, said, memory=memory)) == 2 and told(*rows, memory=memory) == []
    (row, spoken) = told(*rows)
    assert row.data.message and row.data.message.to and spoken.data.message, "else it is all there is"


def test_nobody_hides_words_behind_an_id_that_was_used_before() -> None:
    memory = Recent()
    first = message(body("Lunch?"), id=UUID.format(7), key="k1")
    second = message(body("Sell everything"), id=UUID.format(7), key="k2")
    ids = [event.id for event in told(first, second, first, second, memory=memory)]
    assert ids[:2] == ids[2:] and len(set(ids)) == 2
    loud = message(body("read all about it")) | {"stanza": stanza(body("x"), id="h", kind="headline")}
    assert only(loud).data.message, "clients show it like any other"


# --- What nobody may do ------------------------------------------------------------------------------------------

BOMB = "<!DOCTYPE m [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><message from='ann@example.org/x'><body>&b;</body></message>"


@pytest.mark.parametrize(
    "given",
    [
        message(body("x")) | {"stanza": BOMB},
        message(body("x")) | {"stanza": "<message><body>"},
        message(body("x")) | {"stanza": None},
        message(body("x")) | {"owner": "ann@elsewhere.example"},
        message(body("x")) | {"owner": None},
        in_room(body("x")) | {"room": "team@rooms.elsewhere.example"},
        in_room(body("x")) | {"room": "rooms.example.org"},
        moved("room-join") | {"nick": None, "jid": None},
        record("archived", owner="ann@example.org", stanza="<message/>", host="example.org"),
        record("room-invite", room=ROOM),
    ],
    ids=lambda given: str(given)[:60],
)
def test_what_cant_be_meant_is_kept_whole_and_acknowledged(given: dict[str, Any]) -> None:
    spooled, source = Spooled(), make()
    source.start(spooled)
    try:
        answer = post(source.address.port, ndjson(given, message(body("next"))), SECRET)
    finally:
        source.stop()
    assert answer.status == 200 and answer.json["outcomes"] == {"quarantined": 1, "accepted": 1}
    assert isinstance(spooled.records[0], Rejected) and json.loads(spooled.records[0].content) == given
    assert spooled.texts == ["next"]


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_no_line_makes_it_fall(line: bytes) -> None:
    with suppress(EventError):
        records.read(line)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5), st.sampled_from(
    ["id", "time", "host", "stanza", "owner", "room", "nick", "jid", "public", "session", "key", "sequence"]
))  # fmt: skip
def test_no_member_makes_it_fall(value: Any, member: str) -> None:
    for sound in (message(body("x")), in_room(body("x")), moved("room-join"), moved("room-kick")):
        with suppress(EventError):
            told(sound | {member: value})


@pytest.mark.parametrize("token", ["", "wrong", SECRET + "x"])
def test_who_has_no_token_is_refused(token: str) -> None:
    spooled, source = Spooled(), make()
    source.start(spooled)
    try:
        assert post(source.address.port, ndjson(message(body("x"))), token).status == 401
        assert source.signs().refused == {"not authorized": 1}
    finally:
        source.stop()
    assert spooled.records == []


def test_another_servers_host_is_refused_whole() -> None:
    spooled, source = Spooled(), make()
    source.start(spooled)
    try:
        forged = message(body("x"), sender="ann@elsewhere.example/x", host="elsewhere.example")
        assert post(source.address.port, ndjson(message(body("y")), forged), SECRET).status == 403
        assert source.signs().refused == {"another's source": 1} and spooled.records == []
        # A message of a room elsewhere, as a stanza claims, would be that one's source.
        claimed = message("<body>x</body>") | {
            "stanza": stanza(body("x"), id="1", sender="r@rooms.elsewhere.example/Ann", kind="groupchat"),
            "kind": "archived",
            "key": "k",
            "room": "r@rooms.elsewhere.example",
        }
        assert post(source.address.port, ndjson(claimed), SECRET).status == 200
    finally:
        source.stop()
    assert all(isinstance(each, Rejected) for each in spooled.records)


# --- Nothing is forgotten, nothing doubled -----------------------------------------------------------------------


def test_a_restart_forgets_nothing_that_later_records_refer_to(tmp_path: Path) -> None:
    replace = "<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>"
    spooled = Spooled()
    for each in (in_room(body("helo"), id="m1", key="s1"), in_room(body("hello") + replace, id="m2", key="s2")):
        source = make(tmp_path / "sources" / "memory.db")
        source.start(spooled)
        assert post(source.address.port, ndjson(each), SECRET).status == 200
        source.stop()
    _, second = (each.event for each in spooled.records if isinstance(each, Captured))
    assert second.type == "message.edited" and second.data.message and second.data.message.id == "s1"
    assert b"example.org" not in (tmp_path / "sources" / "memory.db").read_bytes()


def test_what_wasnt_taken_means_the_same_when_it_comes_again(tmp_path: Path) -> None:
    react = "<reactions xmlns='urn:xmpp:reactions:0' id='s1'><reaction>👍</reaction></reactions>"
    spooled, source = Spooled(), make(tmp_path / "memory.db")
    source.start(spooled)
    content = ndjson(in_room(body("hello"), key="s1"), in_room(react, "Bob", key="s2"))
    try:
        spooled.fault = TryLater("full")
        answer = post(source.address.port, content, SECRET)
        assert answer.status == 503 and answer.headers["Retry-After"]
        spooled.fault = None
        assert [post(source.address.port, content, SECRET).status for _ in range(2)] == [200, 200]
    finally:
        source.stop()
    told = [each.event.type for each in spooled.records if isinstance(each, Captured)]
    assert told == ["message.sent", "message.reacted", "message.sent"], "a reaction that is known is told no more"


REACT = "<reactions xmlns='urn:xmpp:reactions:0' id='{}'>{}</reactions>"
REPLACE = "<replace xmlns='urn:xmpp:message-correct:0' id='{}'/>"
RETRACT = "<retract xmlns='urn:xmpp:message-retract:1' id='{}'/>"
which = st.integers(0, 3)
some = st.lists(st.sampled_from(["<reaction>👍</reaction>", "<reaction>🎉</reaction>"]), unique=True).map("".join)
nicks = st.sampled_from(["Ann", "Bob"])
happenings = st.one_of(
    st.tuples(st.just("say"), which, nicks),
    st.tuples(st.builds(REACT.format, which.map("s{}".format), some), which, nicks),
    st.tuples(st.builds(lambda n: body("new") + REPLACE.format(f"m{n}"), which), which, nicks),
    st.tuples(st.builds(RETRACT.format, which.map("s{}".format)), which, nicks),
)


@given(st.lists(happenings, max_size=12), st.lists(st.tuples(st.integers(1, 4), st.sampled_from("okl")), max_size=12))
def test_whatever_comes_again_is_told_as_if_it_came_once(what: list[Any], luck: list[tuple[int, str]]) -> None:
    """Batches of some records; each is taken (o), put off (k), or taken with its answer lost (l)."""
    given: list[dict[str, Any]] = []
    for number, (kind, target, nick) in enumerate(what):
        key = f"s{target}" if kind == "say" else f"k{number}"
        keyless = number % 3 == 2
        inner = body(f"text {number}") if kind == "say" else kind
        given.append(in_room(inner, nick, id=f"m{target}", **({} if keyless else {"key": key})))
    once = {(event.source, event.id): event for event in told(*given)}
    memory, again, queue, fates = Remembered(), {}, list(given), iter(luck)
    while queue:
        size, fate = next(fates, (4, "o"))
        with memory.trying() as keep:
            events = told(*queue[:size], memory=memory)
            if fate != "k":
                keep()
                again |= {(event.source, event.id): again.get((event.source, event.id), event) for event in events}
        queue = queue if fate in "kl" else queue[size:]
    assert again.keys() == once.keys()


def test_packed_bodies_and_empty_ones() -> None:
    spooled, source = Spooled(), make()
    source.start(spooled)
    try:
        packed = gzip.compress(ndjson(message(body("packed"))))
        assert post(source.address.port, packed, SECRET, **{"Content-Encoding": "gzip"}).status == 200
        assert post(source.address.port, b"", SECRET).json == {"records": 0, "outcomes": {}}
    finally:
        source.stop()
    assert spooled.texts == ["packed"]


def test_it_is_up_once_each_module_has_no_more_to_say(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    now = [RECEIVED]
    source = make(path, clock=lambda: now[0])
    source.start(Spooled())
    port = source.address.port
    assert source.up, "nobody was heard yet"
    headers = {"User-Agent": "mod_archiver/1.0 (Prosody 0.12.3)"}
    assert post(port, b"", SECRET, **headers, **{"Archiver-Waiting": "12"}).status == 200
    assert not source.up
    assert post(port, b"", SECRET, **headers, **{"Archiver-Waiting": "0"}).status == 200
    assert source.up
    now[0] += SILENCE
    assert not source.up, "a silent one may have more"
    source.stop()
    (module,) = modules_heard(path)
    assert (module.sender, module.agent, module.waiting) == ("prosody", "mod_archiver/1.0 (Prosody 0.12.3)", 0)
    again = make(path, clock=lambda: now[0])
    again.start(Spooled())
    assert not again.up, "it may have queued something meanwhile"
    assert post(again.address.port, b"", SECRET, **headers).status == 200
    assert again.up
    again.stop()


def test_what_is_remembered_is_bounded() -> None:
    memory = Remembered(most=100)
    for number in range(20_000):
        with memory.trying() as keep:
            memory.note("x", str(number))
            keep()
    assert memory.recall("1") is None and memory.recall("19999") == "x"


def test_a_file_that_is_no_memory_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_bytes(b"no database" * 100)
    with pytest.raises(EnvironmentFault, match="can't be used") as told:
        Remembered(tmp_path / "memory.db")
    assert "move it away" in told.value.hint


def test_its_table(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    token = {"name": "prosody", "sources": ["xmpp:*"], "file": str(tmp_path / "token")}
    table = {"type": "xmpp", "name": "chat", "listen": "127.0.0.1:0", "token": [token], "conference": ["meet.*"]}
    config = parse({"source": [table]})
    source = sources_of(config, tmp_path)["xmpp:chat"]()
    source.probe()
    assert not (tmp_path / "sources").exists(), "a probe leaves no trace"
    source.start(Spooled())
    assert memory_of(config.source[0], tmp_path).exists()  # type: ignore[arg-type]
    source.stop()
    assert "127.0.0.1" in source.describe()
