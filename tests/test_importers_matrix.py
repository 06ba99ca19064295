"""Matrix: Element's export and a room's history counted, the specification's examples, edits, redactions, names."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.matrix.event import unquoted
from archiver.importers.recognising import document_at, guess

MATRIX = FIXTURES / "matrix"
ELEMENT = MATRIX / "element" / "export.json"
HISTORY = MATRIX / "history.ndjson"
SPEC = sorted((MATRIX / "spec").glob("m.*.json"))


class TestMatrix(ImporterContract):
    importer = IMPORTERS["matrix"]
    samples = ((MATRIX / "element", Options()), (HISTORY, Options(network="hs.example")))


Read = tuple[list[Captured], list[Rejected], Reading]


def read(path: Path, options: Options | None = None) -> Read:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS["matrix"].read(document_at(path), options or Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


def event(number: int, **more: Any) -> dict[str, Any]:
    made = {
        "type": "m.room.message",
        "event_id": f"$e{number}",
        "room_id": "!r:example.org",
        "sender": "@ann:example.org",
        "origin_server_ts": 1_700_000_000_000 + number * 1000,
        "content": {"msgtype": "m.text", "body": f"m{number}"},
    }
    return made | more


def dump(path: Path, *events: Any) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in events))
    return path


@pytest.mark.counted("matrix")
def test_everything_of_elements_export_is_there_once() -> None:
    raw = json.loads(ELEMENT.read_text())["messages"]
    captured, rejected, reading = read(ELEMENT)
    assert not rejected
    assert Counter(each.event.type for each in captured) == {
        "conversation.started": 1,
        "conversation.topic.changed": sum(each["type"] == "m.room.name" for each in raw),
        "participant.invited": 1,
        "participant.joined": 2,
        "participant.left": 1,
        "message.sent": sum(
            each["type"] in ("m.room.message", "m.room.encrypted")
            and bool(each["content"])
            and "m.new_content" not in each["content"]
            for each in raw
        ),
        "message.edited": 1,
        "message.reacted": 2,
        "message.retracted": 1,
    }
    assert sum(reading.ignored.values()) == 3
    assert len(raw) == len(captured) + 3
    assert {each.event.id for each in captured} <= {each["event_id"] for each in raw} | {"$why"}
    assert {each.event.source for each in captured} == {"matrix:example.org"}


def by_id(captured: list[Captured]) -> dict[str, Any]:
    return {each.event.id: each.event for each in captured}


def test_element_replies_edits_files_and_names() -> None:
    events = by_id(read(ELEMENT)[0])
    answer = events["$a"].data.message
    assert (answer.text, answer.html, answer.in_reply_to) == ("Rice", "<b>Rice</b>", "$q")
    kinds = [each for each in events.values() if each.type == "message.reacted"]
    assert [(each.data.reaction, each.data.removed) for each in kinds] == [("👍", False), ("👍", True)]
    (edited,) = (each.data.message for each in events.values() if each.type == "message.edited")
    assert (edited.id, edited.text) == ("$a", "Rice, please"), "by the author, not by anybody"
    (shared,) = (each.data.attachments[0] for each in events.values() if each.data.attachments)
    assert (shared.name, shared.size, shared.url) == ("menu.pdf", 5, "mxc://example.org/menu") and shared.sha256
    texts = [each.data.message.text for each in events.values() if each.type == "message.sent"]
    assert texts[-2:] == ["/me sets the table", "[encrypted, content not available]"]
    names = [each.data.actor.name for each in events.values() if each.data.actor.address == "@bob:example.org"]
    assert (names[0], names[-1]) == ("Bob", "Robert")
    topics = [each.data.conversation.topic for each in events.values()]
    assert topics[3] == "Kitchen" and topics[-1] == "Dining room"
    assert {each.data.conversation.history for each in events.values()} == {"present"}
    left = list(events.values())[-1]
    assert (left.type, left.data.subject.address, left.data.reason) == ("participant.left", "@bob:example.org", "late")


def test_a_history_newest_first_reads_like_one_oldest_first(tmp_path: Path) -> None:
    pages = [json.loads(line) for line in HISTORY.read_text().splitlines()]
    raw = [each for page in pages for each in page["chunk"]]
    captured, rejected, _ = read(HISTORY)
    assert not rejected
    assert [each.event.id for each in captured] == [each["event_id"] for each in raw]
    for shape in (raw[::-1], {"chunk": raw[::-1]}, [{"chunk": raw[::-1]}], {"events": raw[::-1]}):
        path = tmp_path / "dump.json"
        path.write_text(json.dumps(shape, indent=1))
        assert sorted(each.body for each in read(path)[0]) == sorted(each.body for each in captured)
        assert guess(document_at(path)) is IMPORTERS["matrix"]
    for each in captured:
        place = each.event.data.conversation
        assert (place.kind, [who.name for who in place.participants or ()]) == ("im", ["Ann", "Cy"])
    assert by_id(captured)["$d7"].data.message.id == "$d4"
    assert by_id(captured)["$d6"].data.message.id == "$d5"


@pytest.mark.parametrize("path", SPEC, ids=lambda path: path.stem)
def test_the_examples_of_the_specification_are_events_or_counted(path: Path) -> None:
    raw = json.loads(path.read_text())
    captured, rejected, reading = read(path, Options(channel="!r:example.org"))
    if "event_id" not in raw:
        assert not captured
    else:
        assert not rejected
        assert len(captured) + sum(reading.ignored.values()) == 1
    if path.name.startswith("m.room.message+"):
        assert captured[0].event.type == "message.sent"


def test_a_transaction_and_a_page_of_the_specification_are_read() -> None:
    for name, count in (("appservice-transaction.json", 2), ("client-messages-page.json", 3)):
        captured, rejected, _ = read(MATRIX / "spec" / name)
        assert (len(captured), len(rejected)) == (count, 0)


def test_answers_to_a_sync_are_read_room_by_room(tmp_path: Path) -> None:
    def room(*numbers: int, state: int) -> dict[str, Any]:
        known = event(state, type="m.room.member", state_key="@bob:x", sender="@bob:x", content={"membership": "join"})
        known["unsigned"] = {"prev_content": {"membership": "join"}}
        parts = {"state": {"events": [known]}, "timeline": {"events": [event(n) for n in numbers]}}
        for each in (*parts["state"]["events"], *parts["timeline"]["events"]):
            del each["room_id"]
        return parts

    invited = {"!c:example.org": {"invite_state": {"events": [{"type": "m.room.name"}]}}}
    rooms = {"join": {"!a:example.org": room(11, 12, state=1)}, "leave": {"!b:example.org": room(21, state=2)}}
    sync = {"next_batch": "s1", "presence": {"events": [{"type": "m.presence"}]}, "rooms": rooms | {"invite": invited}}
    one, lines = tmp_path / "sync.json", tmp_path / "syncs.json"
    one.write_text(json.dumps(sync, indent=1))
    lines.write_text(json.dumps(sync) + "\n" + json.dumps({"next_batch": "s2", "rooms": {}}) + "\n")
    for path in (one, lines):
        assert guess(document_at(path)) is IMPORTERS["matrix"]
        captured, rejected, _ = read(path)
        assert not rejected
        told = [(each.event.data.conversation.id, each.event.id) for each in captured]
        assert told == [("!a:example.org", each) for each in ("$e1", "$e11", "$e12")] + [
            ("!b:example.org", each) for each in ("$e2", "$e21")
        ]
    assert guess(document_at(MATRIX / "spec" / "client-sync.json")) is IMPORTERS["matrix"]
    captured, rejected, _ = read(MATRIX / "spec" / "client-sync.json")
    assert captured and not rejected


def poll(prefix: str) -> list[dict[str, Any]]:
    """Somebody asks, two answer, one changes their mind, and it is closed."""

    def answer(number: int, sender: str, *chosen: str) -> dict[str, Any]:
        relation = {"m.relates_to": {"rel_type": "m.reference", "event_id": "$e1"}}
        given = (
            {"m.selections": list(chosen)} if prefix == "m" else {f"{prefix}.poll.response": {"answers": list(chosen)}}
        )
        return event(number, type=f"{prefix}.poll.response", sender=sender, content=relation | given)

    def said(text: str) -> dict[str, Any]:
        if prefix == "m":
            return {"m.text": [{"mimetype": "text/html", "body": f"<b>{text}</b>"}, {"body": text}]}
        return {"org.matrix.msc1767.text": text}

    identity = "m.id" if prefix == "m" else "id"
    options = [{identity: each, **said(each.upper())} for each in ("a", "b")]
    block = {"question": said("Which?"), "answers": options, "kind": f"{prefix}.poll.disclosed", "max_selections": 1}
    name = "m.poll" if prefix == "m" else f"{prefix}.poll.start"
    end = {"m.relates_to": {"rel_type": "m.reference", "event_id": "$e1"}, "m.poll.results": {"a": 2, "b": True}}
    return [
        event(1, type=f"{prefix}.poll.start", content={name: block}),
        answer(2, "@ann:x", "a"),
        answer(3, "@bob:x", "b", "unknown"),
        answer(4, "@bob:x", "a"),
        event(5, type=f"{prefix}.poll.end", content=end),
    ]


@pytest.mark.parametrize("prefix", ["m", "org.matrix.msc3381"])
def test_polls_are_asked_answered_and_closed(tmp_path: Path, prefix: str) -> None:
    talk = poll(prefix)
    for order in (talk, talk[::-1]):
        captured, rejected, _ = read(dump(tmp_path / "d.json", *order))
        assert not rejected
        polls = [by_id(captured)[f"$e{number}"].data.poll for number in range(1, 6)]
        assert (polls[0].id, polls[0].question, polls[0].options) == ("$e1", "Which?", ("A", "B"))
        assert [each.choice for each in polls[1:4]] == ["A", "B", "A"]
        assert polls[4].tally == {"A": 2}
    talk[0]["content"][next(iter(talk[0]["content"]))]["kind"] = f"{prefix}.poll.undisclosed"
    captured, _, reading = read(dump(tmp_path / "d.json", *talk))
    assert [each.event.type for each in captured] == ["poll.opened", "poll.closed"], (
        "who chose what is nobody's to know"
    )
    assert sum(reading.ignored.values()) == 3
    captured, _, _ = read(dump(tmp_path / "d.json", *talk[1:4]))
    assert [each.event.data.poll.choice for each in captured] == ["a", ("b", "unknown"), "a"]


def test_a_direct_room_is_one_nobody_else_came_to(tmp_path: Path) -> None:
    join = {"membership": "join"}
    who = [f"@{name}:example.org" for name in ("ann", "bob", "cy")]
    members = [
        event(n, type="m.room.member", sender=each, state_key=each, content=join) for n, each in enumerate(who, 1)
    ]
    named = event(9, type="m.room.name", state_key="", content={"name": "Team"})
    for events, kind in ((members[:2], "im"), (members, "group"), ([*members[:2], named], "group")):
        captured, _, _ = read(dump(tmp_path / "d.json", *events, event(10)))
        assert {each.event.data.conversation.kind for each in captured} == {kind}


def test_members_see_what_was_said_before_where_history_is_shared(tmp_path: Path) -> None:
    visible = [
        event(n, type="m.room.history_visibility", state_key="", content={"history_visibility": each})
        for n, each in ((10, "joined"), (20, "world_readable"), (30, "invited"))
    ]
    said = [event(n) for n in (5, 15, 25, 35)]
    captured, _, _ = read(dump(tmp_path / "d.json", *visible, *said))
    assert [each.event.data.conversation.history for each in captured] == ["present", "present", "members", "present"]
    created = event(1, type="m.room.create", state_key="")
    for whole, history in (([created], "members"), ([], "present")):
        captured, _, _ = read(dump(tmp_path / "d.json", *whole, event(2), event(3)))
        assert {each.event.data.conversation.history for each in captured} == {history}


def test_who_is_banned_or_declines_has_left_and_a_new_name_is_no_event(tmp_path: Path) -> None:
    def member(number: int, sender: str, who: str, membership: str, **content: Any) -> dict[str, Any]:
        content |= {"membership": membership}
        return event(number, type="m.room.member", sender=sender, state_key=who, content=content)

    path = dump(
        tmp_path / "d.json",
        member(1, "@a:x", "@a:x", "join", displayname="A"),
        member(2, "@a:x", "@a:x", "join", displayname="Aa"),
        member(3, "@a:x", "@b:x", "invite"),
        member(4, "@b:x", "@b:x", "leave"),
        member(5, "@c:x", "@c:x", "join"),
        member(6, "@a:x", "@c:x", "ban", reason="spam"),
        member(7, "@a:x", "@c:x", "leave"),
        event(8, sender="@a:x"),
    )
    captured, _, reading = read(path)
    told = [(each.event.type.partition(".")[2], each.event.data.reason) for each in captured]
    assert told == [
        ("joined", None),
        ("invited", None),
        ("left", None),
        ("joined", None),
        ("left", "banned: spam"),
        ("sent", None),
    ]
    assert reading.ignored == {"changes of names and pictures, and of who may come": 2}
    assert captured[-1].event.data.actor.name == "Aa"  # type: ignore[union-attr]


def test_a_name_stands_from_when_it_was_given_and_the_one_before_it_until_then(tmp_path: Path) -> None:
    """Though the event that gave the first is from before the file."""
    renamed = event(5, type="m.room.member", state_key="@ann:example.org", sender="@ann:example.org")
    renamed["content"] = {"membership": "join", "displayname": "Anna"}
    renamed["unsigned"] = {"prev_content": {"membership": "join", "displayname": "Ann"}}
    talk = [event(n, sender="@ann:example.org") for n in (3, 4, 6)]
    captured, _, _ = read(dump(tmp_path / "d.json", *talk, renamed))
    assert [each.event.data.actor.name for each in captured] == ["Ann", "Ann", "Anna"]  # type: ignore[union-attr]


def test_a_redacted_edit_or_state_retracts_no_message(tmp_path: Path) -> None:
    edit = event(2, content={"body": "x", "m.relates_to": {"rel_type": "m.replace", "event_id": "$e1"}})
    name = event(3, type="m.room.name", state_key="", content={"name": "n"})
    gone = [event(n, type="m.room.redaction", content={}, redacts=f"$e{n - 8}") for n in (9, 10, 11)]
    captured, _, _ = read(dump(tmp_path / "d.json", event(1), edit, name, *gone))
    assert [each.event.type for each in captured if each.event.type == "message.retracted"] == ["message.retracted"]
    assert by_id(captured)["$e9"].data.message.id == "$e1"


def test_a_message_that_was_emptied_is_retracted_once(tmp_path: Path) -> None:
    because = event(2, type="m.room.redaction", content={}, redacts="$e1")
    emptied = event(1, content={}, unsigned={"redacted_because": because})
    first, _, _ = read(dump(tmp_path / "a.json", emptied, event(3)))
    both, _, _ = read(dump(tmp_path / "b.json", emptied, because, event(3)))
    assert [each.body for each in first] == [each.body for each in both]
    assert [each.event.id for each in first] == ["$e2", "$e3"]


def test_a_broken_line_is_rejected_alone(tmp_path: Path) -> None:
    path = dump(tmp_path / "d.json", event(1), {"type": "m.room.message"}, event(2))
    path.write_bytes(path.read_bytes() + b"{broken\n" + json.dumps(event(3, room_id=None)).encode() + b"\n")
    captured, rejected, _ = read(path)
    assert (len(captured), len(rejected)) == (2, 3)
    assert "--channel" in rejected[-1].reason
    assert rejected[1].position == f"{path}: event 4"


@given(st.text(max_size=60))
def test_only_a_quote_at_the_top_goes(body: str) -> None:
    assert unquoted("> <@a:x> one\n> two\n\n" + body) == body
    assert body.endswith(unquoted(body))


def test_a_long_dump_takes_constant_memory(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.json"
        path.write_text(json.dumps({"chunk": [event(n, content={"body": "x" * 300}) for n in range(count)]}))
        tracemalloc.start()
        for _ in IMPORTERS["matrix"].read(document_at(path), Options(), Reading(RECEIVED)):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    less, more = peak(400), peak(2000)
    assert more - less < 2_000_000 + (2000 - 400) * 100, "the head that is looked at, and little more"


KEYS = [
    *("type", "event_id", "room_id", "sender", "origin_server_ts", "content", "state_key", "unsigned", "redacts"),
    *("body", "msgtype", "m.relates_to", "m.in_reply_to", "rel_type", "key", "membership", "info", "size", "url"),
    *("m.new_content", "redacted_because", "prev_content", "name", "file", "formatted_body"),
    *("rooms", "join", "timeline", "events", "m.poll", "answers", "m.selections", "m.poll.results", "m.text", "m.id"),
]
WORDS = ["m.replace", "m.text", "m.file", "join", "leave", "$e1", "$e2", "mxc://a", "", "m.annotation", "m.thread"]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)
TYPES = [
    "m.poll.start",
    "m.poll.response",
    "m.poll.end",
    "m.room.message",
    "m.room.member",
    "m.reaction",
    "m.room.redaction",
    "m.room.name",
    "m.sticker",
    "other",
]


@given(st.lists(ANY | st.builds(dict, type=st.sampled_from(TYPES), content=ANY, unsigned=ANY), max_size=4))
def test_any_json_is_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, events: list[Any]) -> None:
    sound = [event(100), event(101)]
    made = [*sound, *(event(n) | each if isinstance(each, dict) else each for n, each in enumerate(events))]
    captured, rejected, reading = read(dump(tmp_path_factory.getbasetemp() / "any.json", *made))
    assert len(captured) + len(rejected) + sum(reading.ignored.values()) >= len(made)
