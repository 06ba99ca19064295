"""The compliance archive's item: complete, whoever saw what, and the same again from itself."""

from __future__ import annotations

import pytest
from builders import edit, event, join, react, retract, say
from conversation_builder import everything, from_file, html_of, made_up, parsed, text_of, whole
from golden import stored
from hypothesis import given, settings
from hypothesis import strategies as st
from test_conversation import cut
from test_rebuilding import VERA, assert_same, hide, looks_at, shown, tangles, unnamed

from archiver.decisions.archiving import complete_look
from archiver.decisions.policy import is_archived
from archiver.events import Captured
from archiver.rendering.evidence import ROSTER, lines_of
from archiver.types import Conversation, Item

DOT = "6b7fa434f92a8b80aab02d9bf1a12e49ffcae424e4013a1c4f68b67e3d2bbcd0"


def archived(conversation: Conversation) -> Item:
    (item,) = shown(conversation, [everything(conversation)])
    return item


def events_in(item: Item) -> list[bytes]:
    lines = lines_of(item.content)
    return lines[1:] if f'"{ROSTER}"'.encode() in lines[0] and b'"archiver.roster.' in lines[0] else lines


def assert_complete(conversation: Conversation) -> None:
    if not any(is_archived(c.event.type) for c in conversation.events):
        return
    item = archived(conversation)
    assert item.content.count(b"\nX-Archiver-Transcript: complete\n") == 1
    kept = [c for c in conversation.events if is_archived(c.event.type)]
    assert events_in(item) == [captured.body for captured in kept]
    assert_same(item)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(made_up())
def test_every_archived_event_is_in_it_and_can_be_read(conversation: Conversation) -> None:
    assert_complete(conversation)
    if not any(captured.event.type in ("message.sent", "message.edited") for captured in conversation.events):
        return
    said = text_of(archived(conversation).content)
    for captured in conversation.events:
        if captured.event.type in ("message.sent", "message.edited"):
            assert f"needle{captured.event.id[1:]}x" in said


@settings(max_examples=40, deadline=None)
@given(tangles(), st.booleans())
def test_whatever_the_tangle(events: list[Captured], partial: bool) -> None:
    for conversation in cut(events, partial=partial):
        assert_complete(conversation)


@settings(max_examples=25, deadline=None)
@given(tangles(), st.booleans())
def test_beside_its_people_s_own_items_nothing_changes(events: list[Captured], first: bool) -> None:
    for conversation in cut(events):
        looks = looks_at(conversation)
        alone = shown(conversation, looks)
        looks.insert(0 if first else len(looks), everything(conversation))
        together = shown(conversation, looks)
        assert together.pop(0 if first else -1) == archived(conversation)
        assert together == alone


def test_whispers_retracted_texts_and_hidden_people_are_shown_and_marked() -> None:
    events = [
        hide(join(VERA, 0), VERA, name="wolf"),
        say("a", "for all", 1, id="1"),
        say("a", "for one", 2, id="2", to=["b"]),
        say("b", "the secret", 3, id="3"),
        edit("b", "3", "no secret", 4),
        react("a", "2", "+", 5),
        retract("b", "3", 6),
    ]
    (conversation,) = cut(events)
    text = text_of(archived(conversation).content)
    assert "A, only to B: for one" in text
    assert "no secret" in text
    assert "before: the secret" in text
    assert "retracted" in text
    assert "vera@corp.example" in text
    assert "wolf <xmpp:vera@corp.example> (hidden from the others)" in text
    assert "hidden from the others" in html_of(archived(conversation).content)


def test_somebody_hidden_without_a_name_is_called_by_their_address() -> None:
    hidden = hide(say("vera@corp.example", "hello", 0), "vera@corp.example")
    (conversation,) = cut([unnamed(hidden)])
    item = archived(conversation)
    assert "vera@corp.example: hello" in text_of(item.content)
    assert str(parsed(item.content)["From"]).endswith("<vera@corp.example>")


def test_what_two_people_send_each_other_as_files_is_only_named() -> None:
    conversation = from_file("file_and_inline_image")
    content = archived(conversation).content
    assert "dot.png (image/png, 70 bytes), SHA-256 6b7f" in text_of(content)
    names = [part.get_filename() for part in parsed(content).walk() if part.get_filename()]
    assert names == ["conversation.ndjson.gz"]
    assert stored(DOT)


def test_a_file_that_one_person_sends_another_is_named_and_no_more() -> None:
    (conversation,) = cut(
        [
            say("a", "here it is", 0, where="im", present=["a", "b"]),
            event("file.shared", 1, "a", where="im", attachments=[{"name": "plan.pdf", "sha256": DOT, "size": 70}]),
        ]
    )
    content = archived(conversation).content
    assert "plan.pdf" in text_of(content) and DOT[:4] in text_of(content)
    assert [part.get_filename() for part in parsed(content).walk() if part.get_filename()] == ["conversation.ndjson.gz"]
    assert_complete(conversation)


@pytest.mark.parametrize("where", ["im", "group", "conference"])
def test_who_only_placed_a_call_stands_among_its_people(where: str) -> None:
    events = [
        say("a@x.org", "hi", 0, id="1", where=where),
        event("call.started", 1, "carol@x.org", id="2", where=where),
        event("call.ended", 2, "carol@x.org", id="3", where=where),
        say("b@x.org", "ho", 3, id="4", where=where),
    ]
    for conversation in [*cut(events), *cut(events, partial=True)]:
        item = archived(conversation)
        assert "carol@x.org" in text_of(item.content)
        assert "carol@x.org" in f"{parsed(item.content)['To']}"
        assert "call" not in text_of(item.content)
        assert_complete(conversation)


def test_what_is_uploaded_to_several_people_is_in_it() -> None:
    (conversation,) = cut([event("file.shared", 0, "a", attachments=[{"sha256": DOT}])])
    types = [part.get_content_type() for part in parsed(archived(conversation).content).walk()]
    assert types.count("application/octet-stream") == 1


def test_it_is_another_item_than_a_view_of_everything() -> None:
    (conversation,) = cut([say("a", "hi", 0), say("b", "ho", 1)])
    (view,) = shown(conversation, [whole(conversation, show=True)])
    item = archived(conversation)
    assert item.key != view.key
    assert item.message_id != view.message_id


def test_of_what_is_not_archived_there_is_no_item() -> None:
    (conversation,) = cut([event("call.started", 0, "a"), event("call.ended", 1, "a")])
    assert complete_look(conversation, lambda kind: False, "en", "UTC") is None
