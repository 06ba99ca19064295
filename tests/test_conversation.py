"""Conversations, participations and views: each rule by example, and what must hold for all inputs by Hypothesis."""

from __future__ import annotations

import random

from builders import BASE, DAY, HOUR, MINUTE, edit, event, invite, join, leave, react, rename, retract, say
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from archiver.conversations.conversation import conversations, fold_roster
from archiver.conversations.projection import bounds, gather
from archiver.conversations.rules import Rules, order
from archiver.conversations.survey import survey
from archiver.conversations.views import awake, is_content, views
from archiver.decisions.planning import version_of
from archiver.events import REFERENCES, SECOND, Captured
from archiver.types import Conversation, Role, Roster, View

RULES = Rules()


def cut(
    events: list[Captured], *, partial: bool = False, roster: Roster | None = None, rules: Rules = RULES
) -> list[Conversation]:
    roster = roster or Roster()
    ordered = sorted(events, key=order)
    looked = survey(lambda: ordered, roster, rules, partial=partial)
    return list(conversations(ordered, looked, roster, rules, partial=partial))


def ids(conversation: Conversation) -> list[str]:
    return [captured.event.id for captured in conversation.events]


def view_of(conversation: Conversation, mailbox: str) -> list[str] | None:
    """Ids of what `mailbox` sees; None where it gets no item. Every address is its own mailbox."""
    view = find(conversation, mailbox)
    return None if view is None else shown(conversation, view)


def find(conversation: Conversation, mailbox: str) -> View | None:
    return {v.mailbox: v for v in views(conversation, lambda a: a, RULES)}.get(mailbox)


def shown(conversation: Conversation, view: View) -> list[str]:
    return [c.event.id for i, c in enumerate(conversation.events) if view.mask >> i & 1]


# Bounds


def test_a_pause_longer_than_idle_starts_a_new_conversation() -> None:
    made = cut([say("a", "1", 0, id="1"), say("b", "2", 10 * MINUTE, id="2"), say("a", "3", 20 * MINUTE + 1, id="3")])
    assert [ids(c) for c in made] == [["1", "2"], ["3"]]


def test_a_span_of_twelve_hours_cuts_a_busy_room() -> None:
    made = cut([say("a", "x", n * 9 * MINUTE) for n in range(100)])
    assert [c.started - made[0].started for c in made] == [0, 12 * HOUR * SECOND]


def test_a_thousand_events_make_a_part() -> None:
    made = cut([say("a", "x", n, id=f"{n:05}") for n in range(2100)])
    assert [(c.part, len(c.events)) for c in made] == [(1, 1000), (2, 1000), (3, 100)]


def test_five_mebibytes_of_events_make_a_part() -> None:
    made = cut([say("a", "x" * 1_000_000, n, id=f"{n}") for n in range(12)])
    assert [c.part for c in made] == [1, 2, 3]
    assert all(sum(len(e.body) for e in c.events) <= RULES.part_bytes for c in made)


def test_a_session_is_never_split_by_idle_nor_joined_with_another() -> None:
    made = cut(
        [say("a", "x", n * 3 * HOUR, id=f"s{n}", session="S") for n in range(4)]
        + [say("a", "y", n * 3 * HOUR + 60, id=f"t{n}", session="T") for n in range(4)]
    )
    assert sorted(ids(c) for c in made) == [["s0", "s1", "s2", "s3"], ["t0", "t1", "t2", "t3"]]


def test_what_comes_within_five_minutes_after_the_end_belongs_to_the_session() -> None:
    made = cut(
        [
            event("conversation.started", 0, id="start", session="S"),
            say("a", "x", 10, id="in", session="S"),
            event("conversation.ended", 20, id="end", session="S"),
            say("a", "bye", 20 + 5 * MINUTE, id="tail"),
            say("a", "later", 20 + 5 * MINUTE + 1, id="after"),
        ]
    )
    assert sorted(ids(c) for c in made) == [["after"], ["start", "in", "end", "tail"]]


def test_another_start_ends_the_tail() -> None:
    made = cut(
        [
            say("a", "x", 0, id="one", session="S"),
            event("conversation.ended", 20, id="end", session="S"),
            event("conversation.started", 30, id="two", session="T"),
            say("a", "x", 40, id="free"),
        ]
    )
    assert sorted(ids(c) for c in made) == [["one", "end"], ["two", "free"]]


def test_a_session_that_speaks_again_the_next_day_is_one_conversation() -> None:
    made = cut(
        [say("a", "x", 0, id="1", session="S"), say("b", "y", DAY, id="n"), say("a", "z", 2 * DAY, id="2", session="S")]
    )
    assert sorted(ids(c) for c in made) == [["1", "2"], ["n"]]


def test_threads_bound_nothing() -> None:
    one = say("a", "x", 0, id="1")
    two = event("message.sent", 5, "b", id="2", message={"id": "2", "text": "y", "thread": "1"})
    assert len(cut([one, two])) == 1


def test_readiness_is_idle_after_the_last_span_after_the_first_or_the_end() -> None:
    (idle,) = cut([say("a", "x", 0)])
    assert idle.ripe == (BASE + 10 * MINUTE) * SECOND
    first, _ = cut([say("a", "x", n * 9 * MINUTE) for n in range(100)])
    assert first.ripe <= (BASE + 12 * HOUR) * SECOND
    (ended,) = cut([say("a", "x", 0, session="S"), event("conversation.ended", 60, session="S")])
    assert ended.ripe == (BASE + 60) * SECOND
    (silent,) = cut([say("a", "x", 0, session="S")])
    assert silent.ripe == (BASE + 4 * HOUR) * SECOND


def test_a_date_in_the_future_blocks_nothing() -> None:
    (made,) = cut([say("a", "x", 20 * 3600, received=0)])
    assert made.ripe == (BASE + 10 * MINUTE) * SECOND


# References


def test_references_belong_to_their_message_whenever_they_come() -> None:
    made = cut(
        [
            say("a", "x", 0, id="1"),
            say("b", "y", HOUR, id="2"),
            edit("a", "1", "X", HOUR + 1, id="e"),
            react("b", "1", "+", DAY, id="r"),
        ]
    )
    assert [ids(c) for c in made] == [["1", "e", "r"], ["2"]]
    assert made[0].ended == BASE * SECOND


def test_a_vote_belongs_to_its_poll() -> None:
    opened = event("poll.opened", 0, "a", id="o", poll={"id": "p"})
    vote = event("poll.voted", HOUR, "b", id="v", poll={"id": "p", "choice": "yes"})
    assert [ids(c) for c in cut([opened, vote])] == [["o", "v"]]


def test_a_reference_to_nothing_known_stands_alone() -> None:
    (made,) = cut([retract("a", "gone", 0, id="r", present=["a", "b"])])
    assert ids(made) == ["r"] and view_of(made, "b") == ["r"]


def test_a_reference_to_nothing_known_extends_no_idle_time() -> None:
    made = cut(
        [
            say("a", "x", 0, id="1"),
            react("a", "gone", "+", 8 * MINUTE, id="r"),
            say("a", "y", 16 * MINUTE, id="2"),
        ]
    )
    assert [ids(c) for c in made] == [["1", "r"], ["2"]]


def test_a_reference_goes_to_the_last_message_of_a_repeated_id() -> None:
    events = [
        event("message.sent", 0, "a", id="e1", message={"id": "m", "text": "x"}),
        event("message.sent", HOUR, "a", id="e2", message={"id": "m", "text": "y"}),
        event("message.edited", HOUR + 5, "a", id="e3", message={"id": "m", "text": "z"}),
    ]
    assert [ids(c) for c in cut(events)] == [["e1"], ["e2", "e3"]]


def test_what_merely_names_a_message_takes_no_references_from_it() -> None:
    pinned = event("message.pinned", HOUR, "a", id="p", message={"id": "1"})
    first, second = cut([say("a", "x", 0, id="1"), pinned, react("b", "1", "+", HOUR + 1, id="r")])
    assert ids(first) == ["1", "r"] and ids(second) == ["p"]


def test_a_reference_is_seen_by_those_present_at_its_own_time() -> None:
    events = [
        say("a", "x", 0, id="1"),
        join("late", HOUR, id="j"),
        say("late", "hello", HOUR + 1, id="2"),
        edit("a", "1", "X", HOUR + 2, id="e"),
        leave("a", HOUR + 3, id="l"),
        react("late", "1", "+", HOUR + 4, id="r"),
    ]
    first, _second = cut(events)
    assert view_of(first, "a") == ["1", "e"]
    assert view_of(first, "late") == ["e", "r"]


# Who sees what


def test_a_late_joiner_sees_nothing_from_before_and_a_leaver_nothing_after() -> None:
    (made,) = cut(
        [
            say("a", "before", 0, id="1"),
            join("b", 10, id="j"),
            say("a", "during", 20, id="2"),
            leave("b", 30, id="l"),
            say("a", "after", 40, id="3"),
        ]
    )
    assert view_of(made, "b") == ["j", "2", "l"]
    assert view_of(made, "a") == ["1", "j", "2", "l", "3"]


def test_presence_carries_over_idle_cuts_and_parts() -> None:
    made = cut([join("lurker", 0, id="j"), say("a", "x", 1, id="1"), say("a", "y", HOUR, id="2")])
    assert view_of(made[1], "lurker") == ["2"]
    assert {p.addresses[-1] for p in made[1].roster.present} == {"lurker", "a"}
    long = cut([join("lurker", 0)] + [say("a", "x", n, id=f"{n:05}") for n in range(1, 1500)])
    assert len(view_of(long[1], "lurker") or []) == 500


def test_a_conference_starts_empty_with_each_instance() -> None:
    first, second = cut(
        [
            join("b", 0, id="j", where="conference", session="1"),
            say("a", "x", 1, id="x", where="conference", session="1"),
            event("conversation.ended", 2, id="end", where="conference", session="1"),
            say("a", "y", HOUR, id="y", where="conference", session="2"),
        ]
    )
    assert view_of(first, "b") == ["j", "x", "end"]
    assert view_of(second, "b") is None


def test_a_snapshot_replaces_the_roster_from_its_event_on() -> None:
    (made,) = cut(
        [
            say("a", "1", 0, id="1", present=["a", "b"]),
            say("a", "2", 1, id="2", present=["a", "c"]),
            say("a", "3", 2, id="3"),
        ]
    )
    assert view_of(made, "b") == ["1"] and view_of(made, "c") == ["2", "3"]


def test_whispers_and_what_refers_to_them_are_for_their_parties() -> None:
    (made,) = cut(
        [
            say("a", "all", 0, id="1", present=["a", "b", "c"]),
            say("a", "secret", 1, id="w", to=["b"]),
            edit("a", "w", "secret!", 2, id="e"),
            react("b", "w", "+", 3, id="r"),
        ]
    )
    assert view_of(made, "c") == ["1"]
    assert view_of(made, "a") == view_of(made, "b") == ["1", "w", "e", "r"]


def test_an_edit_dated_before_its_whisper_is_no_leak() -> None:
    (made,) = cut(
        [
            say("a", "all", 0, id="1", present=["a", "b", "c"]),
            edit("a", "w", "!", 5, id="e"),
            say("a", "?", 6, id="w", to=["b"]),
        ]
    )
    assert view_of(made, "c") == ["1"]


def test_a_whisper_to_another_spelling_of_an_address_reaches_its_mailbox() -> None:
    (made,) = cut(
        [
            say("a@x/pc", "all", 0, id="1", present=["a@x/pc", "b@x/pc", "c@x"]),
            say("a@x/pc", "secret", 1, id="w", to=["b@x"]),
        ]
    )
    one = {v.mailbox: v for v in views(made, lambda address: address.partition("/")[0], RULES)}
    assert {mailbox: shown(made, view) for mailbox, view in one.items()} == {
        "a@x": ["1", "w"],
        "b@x": ["1", "w"],
        "c@x": ["1"],
    }


def test_a_whisper_to_who_bears_a_given_up_nickname_is_not_for_its_former_bearer() -> None:
    (made,) = cut(
        [
            say("al", "x", 0, id="1"),
            say("z", "y", 1, id="2"),
            say("z", "old", 2, id="w1", to=["al"]),
            rename("al", "al_", 10, id="n"),
            say("z", "still you", 11, id="w2", to=["al"]),
            join("al", 20, id="j"),
            say("z", "new", 30, id="w3", to=["al"]),
            say("z", "old", 31, id="w4", to=["al_"]),
        ]
    )
    assert view_of(made, "al_") == ["1", "2", "w1", "n", "w2", "j", "w4"]


def test_members_see_earlier_messages_too() -> None:
    (made,) = cut([say("a", "x", 0, id="1", history="members"), join("b", 5, id="j"), say("a", "y", 6, id="2")])
    assert view_of(made, "b") == ["1", "j", "2"]


def test_who_comes_sees_back_to_what_was_only_for_those_present():
    """A place may let members see what was said before for a while only, and may not say so from its first event on."""
    open_ = {"history": "members"}
    (made,) = cut(
        [
            join("a", 0, id="0", **open_),
            say("a", "secret", 1, id="1"),
            say("a", "open", 2, id="2", **open_),
            join("b", 3, id="3"),
            say("a", "secret again", 4, id="4"),
            join("c", 5, id="5", **open_),
            say("a", "end", 6, id="6", **open_),
        ]
    )
    assert [view_of(made, who) for who in "abc"] == [list("0123456"), list("23456"), list("56")]
    again = gather(made.events, made.roster, Rules(), bounds(made))
    assert {p.addresses: p.mask for p in again.participations} == {p.addresses: p.mask for p in made.participations}


def test_a_nickname_change_is_not_a_leave() -> None:
    (made,) = cut(
        [join("bob", 0, id="j"), say("a", "x", 1, id="1"), rename("bob", "bob_", 2, id="n"), say("a", "y", 3, id="2")]
    )
    bob = next(p for p in made.participations if "bob" in p.addresses)
    assert bob.addresses == ("bob", "bob_") and bob.left is None
    assert view_of(made, "bob") == view_of(made, "bob_") == ["j", "1", "n", "2"]


def test_who_takes_a_given_up_nickname_is_somebody_else() -> None:
    first, second = cut(
        [
            say("bob", "x", 0, id="1"),
            rename("bob", "rob", 1, id="n"),
            join("bob", HOUR, id="j"),
            say("a", "secret", HOUR + 1, id="w", to=["rob"]),
            say("a", "open", HOUR + 2, id="2"),
        ]
    )
    assert view_of(first, "rob") == ["1", "n"]
    assert view_of(second, "bob") == ["j", "2"]
    assert view_of(second, "rob") == ["j", "w", "2"]


def test_a_mailbox_sees_the_union_of_its_addresses() -> None:
    (made,) = cut(
        [say("phone", "x", 0, id="1"), say("a", "y", 1, id="2"), leave("phone", 2, id="l"), say("desk", "z", 3, id="3")]
    )
    one = {v.mailbox: v for v in views(made, lambda a: "me" if a in ("phone", "desk") else None, RULES)}
    assert shown(made, one["me"]) == ["1", "2", "l", "3"]
    assert set(one) == {"me"}


# Partial presence


def test_where_leaves_are_not_recorded_presence_ends_after_thirty_minutes() -> None:
    events = [say("a", "x", n * 5 * MINUTE, id=f"{n:02}") for n in range(20)] + [say("b", "hi", 1, id="b")]
    (made,) = cut(events, partial=True)
    assert view_of(made, "b") == ["b", *(f"{n:02}" for n in range(1, 7))]


def test_where_leaves_are_not_recorded_only_who_spoke_gets_an_item() -> None:
    (made,) = cut([join("lurker", 0), say("a", "x", 1, id="1"), join("b", 2), say("b", "y", 3, id="2")], partial=True)
    assert {v.mailbox for v in views(made, lambda a: a, RULES)} == {"a", "b"}


def test_speaking_again_later_is_a_second_participation() -> None:
    events = [say("b", "hi", 0, id="b1"), say("b", "again", 90 * MINUTE, id="b2")]
    events += [say("a", "x", 30 + n * 5 * MINUTE, id=f"{n:02}") for n in range(20)]
    (made,) = cut(events, partial=True)
    assert [p.addresses[0] for p in made.participations].count("b") == 2
    assert "10" not in (view_of(made, "b") or [])


def test_who_stayed_over_a_cut_and_left_later_saw_everything_until_then() -> None:
    """What a first conversation foresaw of somebody's stay doesn't bound the second."""
    events = [say("b", "hi", 0, id="b1"), *(say("a", "x", n * 5 * MINUTE, id=f"a{n:02}") for n in range(4, 10))]
    events += [say("b", "still here", 21 * MINUTE, id="b2"), leave("b", 46 * MINUTE, id="gone")]
    _, second = cut(events, partial=True)
    assert view_of(second, "b") == ["a04", "b2", "a05", "a06", "a07", "a08", "a09", "gone"]


def test_who_was_silent_for_long_saw_no_more_until_another_took_their_name() -> None:
    """That somebody else is called so now ends a presence that had run out hours before."""
    events = [say("b", "hi", 0, id="b1"), *(say("a", "x", n * 5 * MINUTE, id=f"a{n:02}") for n in range(1, 20))]
    events += [say("c", "hm", 90 * MINUTE, id="c1"), rename("c", "b", 98 * MINUTE, id="named")]
    (made,) = cut(events, partial=True)
    first = next(p for p in made.participations if p.addresses == ("b",))
    seen = [c.event.id for i, c in enumerate(made.events) if first.mask >> i & 1]
    assert seen == ["b1", *(f"a{n:02}" for n in range(1, 7))]


# Missed


def test_a_silent_party_of_a_one_to_one_missed_it() -> None:
    (made,) = cut([say("a", "there?", 0, where="im", present=["a", "b"])])
    assert find(made, "b").role is Role.MISSED and find(made, "a").role is Role.TOOK_PART


def test_who_spoke_within_the_hour_before_did_not_miss_it() -> None:
    events = [
        say("b", "hi", 0, where="im", present=["a", "b"]),
        say("a", "ok", 59 * MINUTE, where="im", present=["a", "b"]),
    ]
    assert find(cut(events)[1], "b").role is Role.TOOK_PART
    events[1] = say("a", "ok", 61 * MINUTE, where="im", present=["a", "b"])
    assert find(cut(events)[1], "b").role is Role.MISSED


def test_a_reaction_answers_nothing_nor_makes_missed() -> None:
    (made,) = cut([say("a", "x", 0, id="1", where="im", present=["a", "b"]), react("b", "1", "+", DAY, where="im")])
    assert find(made, "b").role is Role.MISSED


def test_an_edit_or_a_reaction_alone_makes_nobody_miss_anything() -> None:
    """Of a message that is known no more, or was said before there was an archiver."""
    im = {"where": "im", "present": ["a", "b"]}
    for alone in (edit("a", "gone", "x", 0, **im), react("a", "gone", "+", 0, **im)):
        (made,) = cut([alone])
        assert {find(made, who).role for who in ("a", "b")} == {Role.TOOK_PART}


def test_invited_and_never_joined_holds_the_invitation_only() -> None:
    (made,) = cut([say("a", "x", 0, id="1"), invite("a", "c", 1, id="i"), say("a", "y", 2, id="2")])
    assert view_of(made, "c") == ["i"] and find(made, "c").role is Role.MISSED


def test_invited_and_joined_took_part() -> None:
    (made,) = cut(
        [say("a", "x", 0, id="1"), invite("a", "c", 1, id="i"), join("c", 2, id="j"), say("a", "y", 3, id="2")]
    )
    assert view_of(made, "c") == ["i", "j", "2"] and find(made, "c").role is Role.TOOK_PART


def test_invited_in_one_part_and_joined_in_the_next_missed_nothing() -> None:
    rules = Rules(part_events=3)
    first = [say("a", "1", 0, id="1"), invite("a", "c", 1, id="i"), say("a", "2", 2, id="2")]
    second = [say("a", "3", 3, id="3"), join("c", 4, id="j"), say("a", "4", 5, id="4")]
    made = cut([*first, *second], rules=rules)
    assert [view_of(part, "c") for part in made] == [None, ["j", "4"]]
    joined_another = [*first, say("a", "3", 3, id="3"), join("c", HOUR, id="j"), say("a", "4", HOUR + 5, id="4")]
    made = cut(joined_another, rules=rules)
    assert [view_of(part, "c") for part in made] == [["i"], None, ["j", "4"]]
    assert find(made[0], "c").role is Role.MISSED


def test_both_parties_of_a_one_to_one_see_all_of_it() -> None:
    (made,) = cut(
        [say("a", "1", 0, id="1", where="im"), leave("a", 1, id="l", where="im"), say("b", "2", 2, id="2", where="im")]
    )
    assert view_of(made, "a") == view_of(made, "b") == ["1", "l", "2"]


def test_only_joins_and_leaves_are_no_content() -> None:
    (made,) = cut([join("a", 0), leave("a", 1)])
    assert not is_content(made) and views(made, lambda a: a, RULES) == ()
    (unknown,) = cut([event("x.unknown", 0, "a")])
    assert is_content(unknown)


def test_a_session_that_goes_on_after_its_end_is_not_ready_at_that_end() -> None:
    call = {"session": "S", "where": "conference"}
    ended = [say("a", "1", 0, id="1", **call), event("conversation.ended", 60, id="e", **call)]
    (straggling,) = cut([*ended, leave("a", 70, **call), leave("b", HOUR, **call), react("a", "1", "+", HOUR, **call)])
    assert straggling.ripe == (BASE + 60) * SECOND
    for again in (event("conversation.started", 90, **call), say("a", "2", HOUR, **call), join("a", HOUR, **call)):
        (open_again,) = cut([*ended, again])
        assert open_again.ripe == again.time + 4 * HOUR * SECOND
        (made,) = cut([*ended, again, event("conversation.ended", 2 * HOUR, **call)])
        assert made.ripe == (BASE + 2 * HOUR) * SECOND


def test_a_full_part_waits_for_no_event_from_the_future() -> None:
    events = [say("a", "x", n, id=f"{n:05}", received=n + 5) for n in range(1000)]
    made = cut([*events, say("a", "y", 1500, received=1006)])
    assert [part.part for part in made] == [1, 2] and made[0].ripe == (BASE + 1006) * SECOND


def test_each_instance_of_a_conference_has_a_topic_of_its_own() -> None:
    first = [join("a", 0, topic="lunch"), say("a", "1", HOUR, where="conference", session="S", topic="salaries")]
    second = [say("b", "2", DAY, where="conference", session="T"), say("b", "3", 2 * DAY)]
    assert [made.topic for made in cut([*first, *second])] == ["lunch", "salaries", None, "lunch"]
    again = cut(second, roster=fold_roster(first, Roster(), RULES))
    assert [made.topic for made in again] == [None, "lunch"]


def test_a_topic_from_before_the_roster_is_of_its_own_time() -> None:
    forgotten = [say("a", "1", DAY, topic="new")]
    late = [say("a", "2", 0, topic="old"), say("a", "3", 2 * DAY)]
    assert [made.topic for made in cut(late, roster=fold_roster(forgotten, Roster(), RULES))] == ["old", "new"]


# What must hold for all inputs

PEOPLE = ["a", "b", "c", "d"]


@st.composite
def logs(draw: st.DrawFn) -> list[Captured]:
    """A tangle of everything: people come, go, whisper, edit; sessions; pauses around the limits; equal times."""
    events: list[Captured] = []
    at = 0.0
    for n in range(draw(st.integers(1, 40))):
        at += draw(st.sampled_from([0, 0, 1, 30, 9 * MINUTE, 10 * MINUTE, 11 * MINUTE, 31 * MINUTE, 5 * HOUR]))
        who = draw(st.sampled_from(PEOPLE))
        session = draw(st.sampled_from([None, None, None, "S", "T"]))
        more = {"id": f"e{n}", "session": session, "where": draw(st.sampled_from(["group", "group", "conference"]))}
        said = [c.event.data.message.id for c in events if c.event.data.message is not None]
        kind = draw(
            st.sampled_from(
                ["say", "say", "say", "whisper", "ref", "join", "leave", "snap", "end", "name", "invite", "topic"]
            )
        )
        if kind == "ref":
            of = draw(st.sampled_from([*said, "unknown"]))
            events.append(draw(st.sampled_from([edit, react]))(who, of, "new", at, **more))
        elif kind == "whisper":
            events.append(say(who, f"whisper {n}", at, to=[draw(st.sampled_from(PEOPLE))], **more))
        elif kind in ("join", "leave"):
            events.append({"join": join, "leave": leave}[kind](who, at, **more))
        elif kind == "end":
            events.append(event("conversation.ended", at, **{**more, "session": session or "S"}))
        elif kind == "name":
            events.append(rename(who, who + "_", at, **more))
        elif kind == "invite":
            events.append(invite(who, draw(st.sampled_from(PEOPLE)), at, **more))
        elif kind == "topic":
            events.append(event("conversation.topic.changed", at, who, topic=f"topic {n}", **more))
        else:
            present = draw(st.lists(st.sampled_from(PEOPLE), unique=True)) if kind == "snap" else None
            events.append(say(who, f"text {n}", at, present=present, **more))
    return events


@settings(max_examples=examples(300), deadline=None)
@given(logs(), st.booleans())
def test_every_event_lands_in_exactly_one_conversation(events: list[Captured], partial: bool) -> None:
    landed = [i for c in cut(events, partial=partial) for i in ids(c)]
    assert sorted(landed) == sorted(c.event.id for c in events)


@settings(max_examples=examples(200), deadline=None)
@given(logs(), st.randoms(use_true_random=False), st.booleans())
def test_any_order_of_arrival_gives_the_same_conversations(
    events: list[Captured], chance: random.Random, partial: bool
) -> None:
    shuffled = list(events)
    chance.shuffle(shuffled)
    assert cut(shuffled, partial=partial) == cut(events, partial=partial)


@settings(max_examples=examples(300), deadline=None)
@given(logs(), st.booleans(), st.sampled_from([2, 5, 1000]))
def test_whoever_says_something_finds_it_in_their_view(events: list[Captured], partial: bool, part: int) -> None:
    for conversation in cut(events, partial=partial, rules=replace(RULES, part_events=part)):
        seen = {view.mailbox: view.mask for view in views(conversation, lambda a: a, RULES)}
        for index, captured in enumerate(conversation.events):
            if captured.event.type == "message.sent" and captured.event.data.actor is not None:
                assert seen[captured.event.data.actor.address] >> index & 1, captured.event.id


@settings(max_examples=examples(200), deadline=None)
@given(logs(), st.booleans())
def test_no_view_shows_what_its_owner_could_not_see(events: list[Captured], partial: bool) -> None:
    """Against a naive second model: nobody sees a whisper of others, nor anything said while nobody could know them."""
    ordered = sorted(events, key=order)
    whispers = {
        c.event.data.message.id: {p.address for p in c.event.data.message.to} | {c.event.data.actor.address}
        for c in ordered
        if c.event.type == "message.sent" and c.event.data.message.to is not None
    }
    for conversation in cut(events, partial=partial):
        for view in views(conversation, lambda a: a, RULES):
            me = set(view.addresses)
            first = min(i for i, c in enumerate(ordered) if me & mentioned(c))
            for i, captured in enumerate(conversation.events):
                if not view.mask >> i & 1:
                    continue
                message = captured.event.data.message
                if (
                    message is not None
                    and message.id in whispers
                    and captured.event.type in {"message.sent", *REFERENCES}
                ):
                    assert me & whispers[message.id]
                assert ordered.index(captured) >= first


def mentioned(captured: Captured) -> set[str]:
    data = captured.event.data
    people = [data.actor, data.subject, *(data.conversation.participants or ())]
    return {who.address for who in people if who is not None}


@settings(max_examples=examples(200), deadline=None)
@given(logs(), st.integers(0, 40), st.booleans())
def test_a_forgotten_beginning_leaves_its_roster(events: list[Captured], at: int, partial: bool) -> None:
    """Events of the place up to a boundary replaced by their roster: what follows is the same, so filed it stays."""
    plain = sorted(
        (c for c in events if c.event.data.conversation.session is None and c.event.type not in REFERENCES), key=order
    )
    made = cut(plain, partial=partial)
    if len(made) < 2:
        return
    boundary = 1 + at % (len(made) - 1)
    early = [c for conversation in made[:boundary] for c in conversation.events]
    late = [c for conversation in made[boundary:] for c in conversation.events]
    again = cut(late, partial=partial, roster=fold_roster(early, Roster(), RULES, partial=partial))
    for before, after in zip(made[boundary:], again, strict=True):
        assert ids(before) == ids(after)
        assert version_of(before, awake(before, RULES)) == version_of(after, awake(after, RULES))
        assert {(v.mailbox, v.mask) for v in views(before, lambda a: a, RULES)} == {
            (v.mailbox, v.mask) for v in views(after, lambda a: a, RULES)
        }


@settings(max_examples=examples(300), deadline=None)
@given(logs(), st.integers(0, 40), st.sets(st.integers(0, 39)))
def test_what_came_late_shows_nobody_more_than_in_time(events: list[Captured], at: int, late: set[int]) -> None:
    """Events of before a boundary that come when the rest of them is forgotten: whoever came since doesn't see them."""
    plain = sorted(
        (
            c
            for c in events
            if c.event.data.conversation.session is None and c.event.type not in {*REFERENCES, "participant.renamed"}
        ),
        key=order,
    )
    early = [c for c in plain if c.time < BASE * SECOND + at * 10 * MINUTE * SECOND]
    missing = [c for i, c in enumerate(early) if i in late and c.event.type == "message.sent"]
    forgotten = [c for c in early if c not in missing]
    later = [c for c in plain if c not in early]
    again = cut(missing + later, roster=fold_roster(forgotten, Roster(), RULES))
    assert sightings(again) <= sightings(cut(plain))


def sightings(made: list[Conversation]) -> set[tuple[str, str]]:
    found = set()
    for conversation in made:
        for participation in conversation.participations:
            for i, captured in enumerate(conversation.events):
                if participation.mask >> i & 1:
                    found |= {(address, captured.event.id) for address in participation.addresses}
    return found
