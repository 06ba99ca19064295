"""What is left out: by source, room, person and time; all else is taken."""

from __future__ import annotations

import pytest
from builders import BASE, invite, join, leave, react, retract, say
from hypothesis import given
from hypothesis import strategies as st

from archiver.addresses import normal
from archiver.decisions.excluding import Sieve, covers
from archiver.decisions.policy import Pool, Rules
from archiver.events import SECOND, Captured, Rejected
from archiver.types import Exclusion

AT = BASE * SECOND


def exclusion(
    source: str = "", room: str = "", person: str = "", since: int = AT, until: int | None = None, number: int = 1
) -> Exclusion:
    return Exclusion(number, source, room, person, since, until, "council", "agreed", AT)


def left_out(piece: Captured | Rejected, *exclusions: Exclusion) -> int:
    found = Sieve(exclusions, normal).of(piece, AT)
    return found.number if found else 0


@pytest.mark.parametrize(
    ("pattern", "source", "fits"),
    [
        ("irc:*", "irc:libera/#ubuntu", True),
        ("irc:?", "irc:ab", False),
        ("irc:#[ab]", "irc:#[ab]", True),
        ("irc:#[ab]", "irc:#a", False),
        ("irc:*", "xirc:a", False),
        ("irc:a.c", "irc:abc", False),
        ("irc:*", "irc:a\nb", True),
    ],
)
def test_pools_and_exclusions_read_patterns_alike(pattern: str, source: str, fits: bool) -> None:
    assert covers(exclusion(pattern), source) is fits
    pool, _ = Rules(pools=[Pool("pool", (pattern,))]).place(source)
    assert (pool is not None) is fits


@pytest.mark.parametrize(
    ("exclusions", "number"),
    [
        ([exclusion("test:one")], 1),
        ([exclusion("test:*")], 1),
        ([exclusion("test:two")], 0),
        ([exclusion("TEST:one")], 0),
        ([exclusion("test:one", "room")], 1),
        ([exclusion("test:one", "other")], 0),
        ([exclusion("test:two", "room")], 0),
        ([exclusion(person="alice@x")], 1),
        ([exclusion(person="bob@x")], 0),
        ([exclusion(person="bob@x"), exclusion("test:*", number=2)], 2),
        ([exclusion("test:one", since=AT + 10 * SECOND)], 1),
        ([exclusion("test:one", since=AT + 10 * SECOND + 1)], 0),
        ([exclusion("test:one", until=AT + 10 * SECOND)], 0),
        ([exclusion("test:one", until=AT + 10 * SECOND + 1)], 1),
        ([exclusion("test:one", until=AT), exclusion("test:one", number=2)], 2),
        ([], 0),
    ],
)
def test_what_was_said_ten_seconds_on(exclusions: list[Exclusion], number: int) -> None:
    assert left_out(say("xmpp:Alice@X/phone", "hello", 10), *exclusions) == number


@pytest.mark.parametrize(
    ("event", "is_left_out"),
    [
        (say("alice@x", "hello", 1), True),
        (join("alice@x", 1), True),
        (react("alice@x", "m", "+1", 1), True),
        (invite("bob@x", "alice@x", 1), True),
        (say("bob@x", "hello Alice", 1, to=["alice@x"], present=["alice@x", "bob@x"]), False),
        (leave("alice@x", 1), False),
        (retract("alice@x", "m", 1), False),
    ],
)
def test_of_a_person_what_they_do_is_left_out_but_not_what_takes_away(event: Captured, is_left_out: bool) -> None:
    """Else who was there when it began would be there for ever, and what they retract would stay readable."""
    assert bool(left_out(event, exclusion(person="alice@x"))) is is_left_out


def test_what_cannot_be_read_goes_by_its_source_alone() -> None:
    mine, other = Rejected(b"x", "1", "no JSON", "test:one"), Rejected(b"x", "1", "no JSON")
    assert left_out(mine, exclusion("test:one")) == 1
    assert left_out(mine, exclusion("test:one", "room")) == left_out(mine, exclusion(person="a@x")) == 0
    assert left_out(other, exclusion("test:one")) == 0


def test_a_sieve_without_exclusions_is_none() -> None:
    assert not Sieve([], normal) and Sieve([exclusion("test:one")], normal)


EXCLUSIONS = st.builds(
    exclusion,
    source=st.sampled_from(["test:one", "test:two", "test:*", "*"]),
    room=st.sampled_from(["", "room", "hall"]),
    since=st.integers(AT - 5, AT + 5),
    until=st.none() | st.integers(AT - 5, AT + 5),
    number=st.integers(1, 9),
)


@given(st.lists(EXCLUSIONS, max_size=5), st.sampled_from(["room", "hall"]), st.sampled_from(["test:one", "test:two"]))
def test_another_exclusion_never_brings_anything_back(exclusions: list[Exclusion], room: str, source: str) -> None:
    event = say("alice@x", "hello", 0, room=room, source=source)
    before = [bool(left_out(event, *exclusions[:count])) for count in range(len(exclusions) + 1)]
    assert before == sorted(before)
    assert before[-1] == any(left_out(event, each) for each in exclusions)
