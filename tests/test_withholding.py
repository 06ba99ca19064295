"""Events without what one person said: nothing of theirs stays, nothing else changes."""

from __future__ import annotations

import msgspec
from builders import edit, event, react, retract, say
from conversation_builder import made_up
from hypothesis import given

from archiver.addresses import normal
from archiver.decisions.withholding import MARK, Person

BOB = "bob@example.org"
KEPT = {"specversion", "source", "id", "type", "time", "sequence"}


def person(mailbox: str = BOB) -> Person:
    return Person(normal, mailbox)


def without(whose: Person, captured):
    return msgspec.json.decode(whose.without(captured).body)


def test_every_word_and_unknown_member_of_theirs_goes():
    made = event("odd.thing", 1, BOB, text="x", reason="x", poll={"id": "p", "question": "x"}, more={"x": 1})
    bare = without(person(), made)
    assert bare.keys() == {*KEPT - {"sequence"}, "data", "archiverredacted"}
    assert bare["data"].keys() == {"conversation", "actor", "poll"}
    assert bare["data"]["poll"] == {"id": "p"}


def test_it_is_theirs_however_the_source_spells_their_address():
    assert without(person(), say("xmpp:Bob@Example.ORG/phone", "x", 1))["data"]["message"]["text"] == MARK


def test_what_others_did_stays_byte_for_byte():
    theirs, whose = say("alice@example.org", "alice", 1, id="a"), person()
    whose.notice([theirs])
    for made in (theirs, react("alice@example.org", "a", "+1", 2), retract("alice@example.org", "a", 3)):
        assert whose.without(made) is made and not whose.is_in(made)


def test_what_others_repeat_of_theirs_goes_and_what_they_did_stays():
    whose = person()
    whose.notice([say(BOB, "secret", 1, id="b")])
    echo = event("message.reacted", 2, "alice@example.org", message={"id": "b", "text": "secret"}, reaction="+1")
    data = without(whose, echo)["data"]
    assert data["message"] == {"id": "b"} and data["reaction"] == "+1"
    assert without(whose, edit("alice@example.org", "b", "secret!", 3))["data"]["message"]["text"] == MARK
    bare = react("alice@example.org", "b", "+1", 4)
    assert whose.without(bare) is bare


@given(made_up())
def test_once_withheld_it_stays_the_same_and_keeps_its_place(conversation):
    addresses = {c.event.data.actor.address for c in conversation.events if c.event.data.actor is not None}
    for address in addresses:
        mailbox = normal(conversation.source, address)
        if mailbox is None:
            continue
        whose = person(mailbox)
        whose.notice(conversation.events)
        for captured in conversation.events:
            bare = whose.without(captured)
            assert not whose.is_in(bare)
            old, new = captured.event, bare.event
            assert (new.id, new.type, new.time, new.source) == (old.id, old.type, old.time, old.source)
            assert new.data.conversation == old.data.conversation and new.data.actor == old.data.actor
