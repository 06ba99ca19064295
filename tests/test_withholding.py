"""Events without what one person said: nothing of theirs stays, nothing else changes."""

from __future__ import annotations

import msgspec
import pytest
from builders import edit, event, react, retract, say
from conversation_builder import made_up
from hypothesis import given

from archiver.addresses import normal
from archiver.decisions.withholding import MARK, Person
from archiver.events import Captured, Event, Participant
from archiver.types import Roster

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


def test_what_is_hidden_in_the_corners_of_their_events_goes_too():
    """Members that the contract doesn't know, wherever they stand; who else was there stays."""
    wire = msgspec.json.decode(say(BOB, "x", 1, present=["alice@example.org"], to=["alice@example.org"]).body)
    for corner in (
        wire,
        wire["data"],
        wire["data"]["conversation"],
        wire["data"]["conversation"]["participants"][0],
        wire["data"]["message"],
        wire["data"]["message"]["to"][0],
        wire["data"]["actor"],
    ):
        corner["corner"] = {"deep": ["secret"]}
    wire["data"]["language"] = wire["data"]["message"]["language"] = "secret"
    body = msgspec.json.encode(wire, order="sorted")
    made = Captured(msgspec.json.decode(body, type=Event), 1, 1, body)
    bare = person().without(made)
    assert b"secret" not in bare.body
    assert bare.event.data.conversation.participants == (Participant("alice@example.org"),)


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


def test_they_give_way_to_a_pseudonym_wherever_they_are_named():
    whose = person()
    present = ["alice@example.org", BOB]
    theirs = say("alice@example.org", "hi", 1, id="a", to=[BOB], present=present)
    data = without(whose, theirs)["data"]
    assert data["message"] == {"id": "a", "text": "hi", "to": [{"address": "erased(0)"}]}
    assert data["conversation"]["participants"] == [{"address": "alice@example.org"}, {"address": "erased(0)"}]


@pytest.mark.parametrize(
    ("identifier", "bare"),
    [
        ("bob@example.org", "erased(0)"),
        ("call-BOB@Example.org-17", "call-erased(0)-17"),
        ("sip%3Abob%40example.org", "sip%3Aerased(0)"),
        ("xmpp:bob@example.org/phone", "xmpp:erased(0)/phone"),
        ("notbob@example.org", None),
        ("not.bob@example.org", None),
        ("bob@example.org.uk", None),
        ("bob@example.organisation", None),
        ("bob@example.org-old.example.net", None),
        ("bobby-17", None),
        ("Bob", None),
        ("bob-17", "erased(0)-17"),
        ("17 bob", "17 erased(0)"),
    ],
)
def test_an_identifier_loses_their_address_and_nobody_elses(identifier: str, bare: str | None):
    whose = Person(lambda source, address: BOB if address in ("bob", BOB) else normal(source, address), BOB)
    whose.notice([say("bob", "x", 1, id="m", source="irc:net")])
    assert whose.text("irc:net", identifier) == (bare or identifier)


@pytest.mark.parametrize(
    ("place", "kind", "bare"),
    [
        ("bob", "group", "bob"),
        ("#bob", "im", "#bob"),
        ("alice;bob", "im", "alice;erased(0)"),
        ("alice;al-bob", "im", "alice;al-bob"),
        ("al-bob@example.org", "im", "al-bob@example.org"),
        ("alice@example.org,bob@example.org", "im", "alice@example.org,erased(0)"),
    ],
)
def test_a_place_is_renamed_only_where_it_is_named_after_them(place: str, kind: str, bare: str):
    whose = Person(lambda source, address: BOB if address in ("bob", BOB) else normal(source, address), BOB)
    whose.notice([say("bob", "x", 1, id="m", source="irc:net")])
    assert whose.place("irc:net", place, kind) == bare


def test_a_topic_of_theirs_goes_wherever_it_is_repeated_and_nowhere_else():
    whose = person()
    set_by_them = event("conversation.topic.changed", 1, BOB, topic="secret")
    whose.notice([set_by_them])
    assert without(whose, set_by_them)["data"]["conversation"]["topic"] == MARK
    assert without(whose, say("alice@example.org", "x", 2, topic="secret"))["data"]["conversation"]["topic"] == MARK
    for other in (
        say("alice@example.org", "x", 2, topic="secret", room="other"),
        say("alice@example.org", "x", 2, topic="open"),
    ):
        assert whose.without(other) is other
    assert whose.roster("test:one", "room", "group", Roster((), "secret")).topic == MARK
    assert whose.roster("test:one", "other", "group", Roster((), "secret")).topic == "secret"


def test_what_others_voted_stays_and_the_question_goes():
    whose, poll = person(), {"id": "p", "question": "secret?", "options": ["secret"]}
    whose.notice([event("poll.opened", 1, BOB, poll=poll)])
    vote = event("poll.voted", 2, "alice@example.org", poll={**poll, "choice": "yes"})
    assert without(whose, vote)["data"]["poll"] == {"id": "p", "choice": "yes"}


def test_who_it_was_can_be_told_again_after_their_name_is_gone():
    """Half of it was done when it was ended: the rest is found by what the first half has become."""
    whose, said = person(), say(BOB, "secret", 1, id="bob@example.org-1")
    whose.notice([said])
    again = person()
    again.notice([whose.without(said)])
    echo = react("alice@example.org", "bob@example.org-1", "+1", 2)
    assert again.without(echo).event.data.message.id == "erased(0)-1"
    echo = event("message.reacted", 2, "alice@example.org", message={"id": "bob@example.org-1", "text": "secret"})
    assert again.without(echo).event.data.message.text is None


def test_mended_input_is_theirs_by_the_id_in_brackets():
    whose = person()
    whose.notice([say(BOB, "x", 1, id="m (1)")])
    assert whose.did("test:one", "log:7 (m (1))") and whose.did("test:one", "m (1)")
    assert not whose.did("test:one", "log:7 (m (2))") and not whose.did("test:two", "m (1)")


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
            assert new.id == whose.text(old.source, old.id)
            assert (new.type, new.time, new.source) == (old.type, old.time, old.source)
            was = old.data.actor
            if was is not None and normal(conversation.source, was.address) == mailbox:
                assert new.data.actor == Participant("erased(0)", None, was.hidden)
            else:
                assert new.data.actor == was
