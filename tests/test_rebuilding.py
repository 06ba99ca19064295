"""An item's own events, folded and rendered again, give the same item, byte for byte."""

from __future__ import annotations

import json as plain_json
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from builders import BASE, HOUR, MINUTE, edit, event, invite, join, leave, react, rename, retract, say
from conversation_builder import conversation, from_file, made_up
from effort import examples
from golden import stored
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json, structs
from test_conversation import cut, logs

from archiver.conversations.projection import bounds, gather
from archiver.conversations.rules import Rules
from archiver.conversations.views import views
from archiver.events import SECOND, Captured, Event
from archiver.exceptions import UsageError
from archiver.filing.rebuilding import rebuild
from archiver.filing.showing import Showing
from archiver.importers import Options, Reading, importer
from archiver.importers.recognising import document_at
from archiver.rendering import Limits
from archiver.rendering.evidence import REDACTED, ROSTER, events_of
from archiver.types import Conversation, Item, Look, Presence, Role, Roster

FIXTURES = Path(__file__).parent.parent / "fixtures"
RULES = Rules()
PARTS = Rules(part_events=5)
WAYS = (("en", "Asia/Taipei", False), ("zh_Hant", "Europe/Berlin", False), ("en", "America/St_Johns", True))
"""Languages, zones, and whether retracted texts stay."""

ways = st.sampled_from(WAYS)


def shown(conversation: Conversation, looks: Iterable[Look]) -> list[Item]:
    showing = Showing(conversation, stored, RULES, Limits(file=100_000))
    return [showing.item(look) for look in looks]


def looks_at(conversation: Conversation, *among: tuple[str, str, bool]) -> list[Look]:
    made = views(conversation, lambda address: address, RULES)
    return [Look(v.mask, v.role, v.side, *way) for v in made for way in among or WAYS[:1]]


def assert_rebuilt(conversation: Conversation, *among: tuple[str, str, bool]) -> int:
    """Every view of it comes back; how many there were."""
    looks = looks_at(conversation, *among)
    for item in shown(conversation, looks):
        assert_same(item)
    return len(looks)


def assert_same(item: Item) -> None:
    again, look = rebuild(item.content, RULES)
    (made,) = shown(again, [look])
    assert made.content.decode() == item.content.decode()
    assert made == item


def imported(name: str, path: str, **options: str) -> list[Captured]:
    """As the spool gives them back: decoded from their bodies."""
    read = importer(name).read(document_at(FIXTURES / path), Options(**options), Reading(2_000_000_000_000_000))  # type: ignore[arg-type]
    return [structs.replace(e, event=json.decode(e.body, type=Event)) for e in read if isinstance(e, Captured)]


def altered(captured: Captured, **data: object) -> Captured:
    """With members of its data replaced."""
    body = plain_json.loads(captured.body)
    body["data"].update(data)
    line = json.encode(body, order="sorted")
    return structs.replace(captured, event=json.decode(line, type=Event), body=line)


# What people really said


@pytest.mark.slow
@pytest.mark.parametrize("day", ["2016-12-19_20", "2004-11-15_03"])
def test_a_real_day_of_ubuntu(day: str) -> None:
    events = imported("irc", f"irc/{day}.raw.txt", channel="#ubuntu", network="libera")
    looks = [(made, look) for made in cut(events, partial=True) for look in looks_at(made)]
    assert len(looks) > 50
    for made, look in looks[::3]:
        assert_same(*shown(made, [look]))


@pytest.mark.parametrize("name", sorted(path.name for path in (FIXTURES / "copyleft/bbb").glob("events*.xml")))
def test_a_real_meeting(name: str) -> None:
    events = imported("bigbluebutton", f"copyleft/bbb/{name}")
    assert sum(assert_rebuilt(conversation, *WAYS) for conversation in cut(events)) >= (1 if events else 0)


@pytest.mark.parametrize("name", sorted(p.stem for p in (FIXTURES / "events").glob("*.ndjson") if "bad" not in p.stem))
def test_each_sample_conversation(name: str) -> None:
    assert assert_rebuilt(from_file(name), *WAYS)


# Each thing by example


def test_a_bit_of_everything() -> None:
    events = [
        join("lurker", 0),
        say("a", "one", 1, id="1"),
        say("b", "two", 2, id="2"),
        say("a", "only you", 3, id="w", to=["b"]),
        edit("a", "1", "ONE", 4),
        react("b", "1", "+", 5),
        retract("b", "2", 6),
        rename("b", "bee", 7),
        join("late", 8),
        say("bee", "three", 9, id="3"),
        invite("a", "never", 10),
        leave("lurker", 11),
        say("a", "after the gap", HOUR, id="4"),
        event("x.unknown", HOUR + 1, "a"),
    ]
    assert sum(assert_rebuilt(conversation, *WAYS) for conversation in cut(events)) >= 8


def test_a_view_tells_nothing_of_what_its_owner_missed() -> None:
    """A name taken, a topic set, somebody come and gone while they were away: the item is as if it had not been."""
    seen = [say("a", "hello", 0, id="1"), join("b", 1, id="j"), say("b", "hi", 2, id="2"), leave("b", 3, id="l")]
    unseen = [
        join("c", 10, id="c"),
        rename("a", "a_", 11, id="n"),
        event("conversation.topic.changed", 12, "a_", id="t", topic="Secret"),
        say("a_", "psst", 13, id="3"),
    ]
    (whole,), (part,) = cut([*seen, *unseen]), cut(seen)
    for owner in ("b",):
        (one,) = [v for v in views(whole, lambda a: a, RULES) if v.mailbox == owner]
        (two,) = [v for v in views(part, lambda a: a, RULES) if v.mailbox == owner]
        first = shown(whole, [Look(one.mask, one.role, one.side, "en", "UTC")])
        assert first == shown(part, [Look(two.mask, two.role, two.side, "en", "UTC")])


def one_to_one(*who: str, at: float = 0, session: str | None = None) -> list[Captured]:
    more = {"where": "im", "room": "a b", "present": ["a", "b"], "session": session}
    return [say(one, f"text {n} of {one}", at + n, id=f"{at}-{n}", **more) for n, one in enumerate(who)]


def test_both_sides_of_one_to_ones_and_the_one_who_missed_it() -> None:
    talks = cut([*one_to_one("a", "b", "a"), *one_to_one("a", "a", at=3 * HOUR), *one_to_one("b", at=5 * HOUR)])
    roles = [view.role for talk in talks for view in views(talk, lambda a: a, RULES)]
    assert roles.count(Role.MISSED) == 2
    assert [assert_rebuilt(talk, *WAYS) for talk in talks] == [6, 6, 6]


def test_sessions_and_their_names_of_any_length() -> None:
    for session in ("S-1", "a b?c%41é\u2028", "ü" * 1_000, "x" * 2_000, "%" * 700):
        talks = cut([*one_to_one("a", "b", session=session), *one_to_one("b", "a", at=HOUR, session=session)])
        assert [assert_rebuilt(talk) for talk in talks] == [2]
        meeting = [
            say("a", "x", 0, id="1", where="conference", session=session),
            say("b", "y", 1, id="2", where="conference"),
        ]
        assert [assert_rebuilt(one) for one in cut(meeting)] == [2]


def test_an_owner_s_address_of_any_length() -> None:
    long, longer = "ü" * 900 + "@x.example", "ü" * 901 + "@x.example"
    more = {"where": "im", "room": "r", "present": [long, longer]}
    assert [assert_rebuilt(one) for one in cut([say(long, "hi", 0, **more), say(longer, "ho", 1, **more)])] == [2]


def test_parts_are_rebuilt_each_by_itself() -> None:
    events = [join("lurker", 0), *(say("ab"[n % 2], f"text {n}", n, id=f"{n:02}") for n in range(1, 18))]
    events += [rename("b", "bee", 7.5), edit("a", "02", "TWO", 12.5), retract("b", "03", 16.5)]
    parts = cut(events, rules=PARTS)
    assert [one.part for one in parts] == [1, 2, 3, 4]
    assert all(assert_rebuilt(one, *WAYS) for one in parts)


def test_a_night_without_an_hour_and_one_with_an_hour_twice() -> None:
    for night in (1_332_630_000 - BASE, 1_351_382_400 - BASE):  # Berlin, 2012-03-25 and 2012-10-28
        events = [say("ab"[n % 2], f"text {n}", night + n * 9 * MINUTE, id=f"{n}") for n in range(20)]
        assert [assert_rebuilt(one, *WAYS) for one in cut(events)] == [6]


def test_what_a_retraction_took_away_stays_so() -> None:
    odd = say("a", "sha256:" + "a" * 64, 3, id="s")
    file = {"name": "secret.png", "media_type": "image/png", "sha256": "ab" * 32, "content": "c2VjcmV0"}
    more = altered(say("a", "the secret", 1, id="m"), attachments=[file], stanza={"body": "the secret"}, poll=None)
    empty = altered(say("b", "secret too", 2, id="n"), attachments=None, reason=None)
    events = [more, edit("a", "m", "no secret", 2), empty, odd, say("b", "what?", 4, id="5")]
    events += [retract(who, of, 9, id=f"r{of}") for who, of in (("a", "m"), ("b", "n"), ("a", "s"))]
    (made,) = cut(events)
    assert assert_rebuilt(made, *WAYS) == 6
    (item,) = shown(made, looks_at(made)[:1])
    told = {line["id"]: line for line in events_of(item.content)}
    assert [told[one].get(REDACTED) for one in ("m", "n", "s", "5")] == ["retracted"] * 3 + [None]
    assert b"secret" not in b"".join(json.encode(told[one]) for one in ("m", "n"))
    assert told["s"]["data"]["message"]["text"] != "sha256:" + "a" * 64
    again, look = rebuild(item.content, RULES)
    (twice,) = shown(again, [look])
    assert events_of(twice.content) == events_of(item.content)


def test_an_event_that_calls_itself_a_roster_is_none() -> None:
    forged = event(ROSTER, 0, "a", present=["a", "ghost"], topic="Forged")
    (made,) = cut([forged, say("a", "hi", 1, id="1")])
    assert assert_rebuilt(made) == 2
    (item,) = shown(made, looks_at(made)[:1])
    assert len(rebuild(item.content, RULES)[0].events) == 2


def hide(captured: Captured, *who: str, name: str | None = None) -> Captured:
    """With these addresses marked hidden wherever the event names them."""

    def veiled(value: object) -> object:
        if isinstance(value, list):
            return [veiled(one) for one in value]
        if not isinstance(value, dict):
            return value
        made = {key: veiled(one) for key, one in value.items()}
        if made.get("address") in who:
            made["hidden"] = True
            made.pop("name", None)
            if name is not None:
                made["name"] = name
        return made

    line = json.encode(veiled(json.decode(captured.body)), order="sorted")
    return structs.replace(captured, event=json.decode(line, type=Event), body=line)


def unnamed(captured: Captured) -> Captured:
    return altered(captured, actor={"address": captured.event.data.actor.address})  # type: ignore[union-attr]


VERA, MAX = "xmpp:vera@corp.example/desk", "max"


def test_hidden_people_stay_hidden() -> None:
    more = {"present": ["a", VERA, MAX]}
    events = [
        hide(say(VERA, "I am somebody", 0, id="vera@corp.example/1", **more), VERA, MAX, name="wolf"),
        say("a", "who?", 1, id="2", **more),
        say(MAX, "me", 2, id="3"),
        react(VERA, "vera@corp.example/1", "max", 3),
        say("VERA@corp.example/phone", "me too", 4, id="5"),
        rename(MAX, "maximum", 5),
        say("hidden(1)", "what am I called?", 6, id="7"),
        retract(VERA, "vera@corp.example/1", 7),
    ]
    (made,) = cut([events[0], *(unnamed(one) for one in events[1:])])
    assert assert_rebuilt(made, *WAYS) >= 12
    for item in shown(made, looks_at(made)):
        everything = item.content + json.encode(events_of(item.content))
        assert b"vera" not in everything.lower()
        assert b'"max"' not in json.encode([{**e["data"], "reaction": ""} for e in events_of(item.content)])


def test_hidden_parties_of_one_to_ones() -> None:
    more = {"where": "im", "room": f"a {VERA}", "present": ["a", VERA], "session": f"call of {VERA}"}
    talk = [hide(say(one, "hi", n, id=f"{n}", **more), VERA) for n, one in enumerate(("a", VERA))]
    (made,) = cut(talk)
    assert assert_rebuilt(made, *WAYS) == 6
    for item in shown(made, looks_at(made)):
        assert b"vera" not in item.content + json.encode(events_of(item.content))


def test_a_retraction_that_came_late_is_taken_in() -> None:
    (made,) = cut([say("a", "the secret", 0, id="m"), say("b", "what?", 1, id="n")])
    (item, _) = shown(made, looks_at(made))
    conversation, look = rebuild(item.content, RULES, (retract("a", "m", 9 * HOUR),))
    (again,) = shown(conversation, [look])
    assert "the secret" not in again.content.decode()
    assert_same(again)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"X-Archiver-Part: 1", b"X-Archiver-Part: one"), (b"Kind: group", b"Kind: crowd"), (b"took part", b"took parts")],
)
def test_damaged_items_are_the_reader_s_mistake(old: bytes, new: bytes) -> None:
    (made,) = cut([say("a", "x", 0)])
    (item,) = shown(made, looks_at(made))
    with pytest.raises(UsageError):
        rebuild(item.content.replace(old, new), RULES)


# Whatever the input

TOPICS = st.sampled_from([None, None, None, "Plans", "Old plans", ""])
NAMES = st.sampled_from([None, "Ann", "Bee", "Bee (b)", ""])


@st.composite
def tangles(draw: st.DrawFn) -> list[Captured]:
    """`logs` with names that change or lack, topics, retractions, hidden people, and members that see what was."""
    events = draw(logs())
    hidden = draw(st.sampled_from([(), (), ("a",), ("b", "c_"), ("d", "a", "b_")]))
    since = draw(st.integers(0, len(events)))
    made: list[Captured] = []
    for number, captured in enumerate(events):
        if captured.event.type == "message.reacted" and draw(st.booleans()):
            message = captured.event.data.message
            assert message is not None and captured.event.data.actor is not None
            at, who = captured.time / SECOND - BASE, captured.event.data.actor.address
            place = captured.event.data.conversation
            captured = retract(who, message.id, at, id=captured.event.id, session=place.session, where=place.kind)
        data = plain_json.loads(captured.body)["data"]
        if "actor" in data and draw(st.integers(0, 3)) == 0:
            name = draw(NAMES)
            data["actor"] = {"address": data["actor"]["address"], **({} if name is None else {"name": name})}
        topic = draw(TOPICS)
        if topic is not None:
            data["conversation"]["topic"] = topic
        if draw(st.integers(0, 30)) == 0:
            data["conversation"]["history"] = "members"
        if message := data.get("message"):
            message["in_reply_to"] = draw(st.sampled_from([None, "e0", "e3"]))
        captured = altered(captured, **data)
        made.append(hide(captured, *hidden) if number >= since else captured)
    return made


@settings(max_examples=examples(25), deadline=None)
@given(logs(), st.booleans(), ways)
def test_whatever_was_said(events: list[Captured], partial: bool, way: tuple[str, str, bool]) -> None:
    for one in cut(events, partial=partial):
        assert_rebuilt(one, way)


@settings(max_examples=examples(40), deadline=None)
@given(tangles(), st.booleans(), st.sampled_from([RULES, PARTS]), ways)
def test_whatever_the_tangle(events: list[Captured], partial: bool, rules: Rules, way: tuple[str, str, bool]) -> None:
    for one in cut(events, partial=partial, rules=rules):
        assert_rebuilt(one, way)


@settings(max_examples=examples(25), deadline=None)
@given(tangles(), ways)
def test_whatever_two_people_said(events: list[Captured], way: tuple[str, str, bool]) -> None:
    two = []
    for captured in events:
        place = plain_json.loads(captured.body)["data"]["conversation"]
        two.append(altered(captured, conversation={**place, "kind": "im"}))
    for one in cut(two):
        assert_rebuilt(one, way)


@settings(max_examples=examples(60), deadline=None)
@given(made_up(), st.data(), ways)
def test_whatever_the_mask_and_however_odd_the_people(
    made: Conversation, data: st.DataObject, way: tuple[str, str, bool]
) -> None:
    mask = data.draw(st.integers(1, (1 << len(made.events)) - 1))
    people = sorted({address for p in made.participations for address in p.addresses})
    side = data.draw(st.sampled_from([None, *people])) if made.kind == "im" else None
    look = Look(mask, data.draw(st.sampled_from(Role)), side, *way)
    for item in shown(made, [look]):
        assert_same(item)


@settings(max_examples=examples(30), deadline=None)
@given(tangles(), st.booleans(), st.randoms(use_true_random=False))
def test_what_views_share_changes_nothing(events: list[Captured], partial: bool, chance: random.Random) -> None:
    for one in cut(events, partial=partial):
        looks = looks_at(one, *WAYS)
        chance.shuffle(looks)
        assert shown(one, looks) == [shown(one, [look])[0] for look in looks]


@settings(max_examples=examples(50), deadline=None)
@given(tangles(), st.booleans())
def test_nobody_s_item_depends_on_what_they_could_not_see(events: list[Captured], partial: bool) -> None:
    """The first conversation of a place: from its visible events alone the same item is made, if nobody was before."""
    for one in cut(events, partial=partial)[:1]:
        if one.roster.present or any(b'"hidden"' in c.body for c in one.events):
            continue
        for look in looks_at(one):
            if not look.mask & 1:
                continue
            alone = [c for n, c in enumerate(one.events) if look.mask >> n & 1]
            which = structs.replace(one, events=tuple(alone), participations=())
            bare = structs.replace(look, mask=(1 << len(alone)) - 1)
            assert shown(one, [look]) == shown(which, [bare])


def test_who_was_there_before_comes_with_their_last_act() -> None:
    """Where leaves are not recorded, it decides how long somebody still was there."""
    roster = Roster((Presence(("old", "a"), "Ann", acted=(BASE - 29 * MINUTE) * SECOND), Presence(("b",))), "Plans")
    events = [say("b", f"text {n}", n * 2 * MINUTE, id=f"{n}") for n in range(4)]
    (made,) = cut(events, partial=True, roster=roster)
    (item,) = shown(made, looks_at(made))
    again, _ = rebuild(item.content, RULES)
    assert [(p.addresses, p.last) for p in again.participations] == [(("a",), 0), (("b",), 3)]
    assert_same(item)


def test_gathering_keeps_the_order_it_is_given() -> None:
    made = conversation([say("a", "x", 0, id="1"), say("b", "y", 0, id="2")])
    which = structs.replace(made, events=made.events[::-1])
    assert gather(which.events, Roster(), RULES, bounds(which)).events == which.events
