"""What a hold covers: the language of its query, where it refuses, and that doubt keeps."""

from __future__ import annotations

import string

import pytest
from builders import BASE, event, invite, say
from hypothesis import given
from hypothesis import strategies as st

from archiver.addresses import normal
from archiver.decisions.holding import (
    MOST_KEYWORDS,
    Facts,
    Group,
    Query,
    covering,
    covers,
    facts_of,
    folded,
    parse,
    standing,
)
from archiver.events import SECOND, Kind
from archiver.exceptions import UsageError
from archiver.types import Hold

DAY = 86_400 * SECOND
NEW_YEAR = 1_704_067_200 * SECOND
"""2024-01-01T00:00Z"""


def facts(
    said: str = "", started: int = NEW_YEAR, ended: int = NEW_YEAR, kind: Kind = "group", people: tuple[str, ...] = ()
) -> Facts:
    return Facts(started, ended, frozenset({kind}), frozenset(people), folded(said))


def hold(query: str = "", number: int = 1, released: int | None = None) -> Hold:
    return Hold(number, "carol@example.org", "legal", "case 7", 0, released, query)


def never() -> Facts:
    raise AssertionError("nobody needed to look")


# --- the language


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", []),
        ("  \n ", []),
        ("merger", [Group(words=("merger",))]),
        ("Merger PLANS", [Group(words=("merger", "plans"))]),
        ('"secret plan"', [Group(words=("secret plan",))]),
        ("“secret plan”", [Group(words=("secret plan",))]),
        ("„geheim“", [Group(words=("geheim",))]),
        ("merg*", [Group(words=("merg*",))]),
        ('"OR"', [Group(words=("or",))]),
        ("or and not", [Group(words=("or", "and", "not"))]),
        ("12:30", [Group(words=("12:30",))]),
        ('"http://example.org/"', [Group(words=("http://example.org/",))]),
        ("after:2024-01-01", [Group(after=NEW_YEAR)]),
        ("After:2024-01-01T01:00+01:00", [Group(after=NEW_YEAR)]),
        ("before:2024-01-02", [Group(before=NEW_YEAR + DAY)]),
        ("with:SIP:Carol@Example.ORG", [Group(people=("carol@example.org",))]),
        ("with:a@x with:b@x", [Group(people=("a@x", "b@x"))]),
        ("kind:IM OR kind:conference", [Group(kind="im"), Group(kind="conference")]),
        ('x y OR "a b" kind:im', [Group(words=("x", "y")), Group(kind="im", words=("a b",))]),
    ],
)
def test_a_query_is_read(text: str, groups: list[Group]) -> None:
    assert list(parse(text).groups) == groups


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("after:yesterday", 1, "'yesterday' is not a date"),
        ("x after:2024-13-01", 3, "is not a date"),
        ("after:20240101", 1, "write 2024-01-31"),
        ("before:", 1, "is not a date"),
        ("a  with:nobody/at all", 4, "is not an address"),
        ('with:"a@x"', 1, "is not an address"),
        ("kind:room", 1, "there are im, group, conference"),
        ("subject:merger", 1, "subject: is not known here"),
        ("see http://example.org", 5, "quote it"),
        ('merger "secret', 8, "no second one"),
        ("OR merger", 1, "nothing stands before"),
        ("a OR OR b", 6, "nothing stands before"),
        ("merger OR", 8, "nothing stands behind"),
        ("a AND b", 3, "AND is not offered"),
        ("NOT b", 1, "NOT is not offered"),
        ("(a OR b) c", 1, "( is not offered"),
        ("a -b", 3, "- is not offered"),
        ("near(a b)", 9, ") is not offered"),
        ('""', 1, "no word in it"),
        ("x *", 3, "no word in it"),
        ("after:2024-01-01 after:2024-02-01", 18, "after: stands twice"),
        ("kind:im kind:group", 9, "kind: stands twice"),
        ("after:2024-02-01 before:2024-01-01", 18, "nothing is before and after"),
        ("before:2024-01-01 after:2024-01-01", 19, "nothing is before and after"),
        ("x" * 20_000, 16_385, "at most 16,384"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(text: str, position: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert f"at character {position}: " in str(caught.value) and said in str(caught.value)
    assert "OR between alternatives" in caught.value.hint


@given(st.text(alphabet=string.printable + "“”ß全ÀORafterwithkind:\u200b", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        query = parse(text)
    except UsageError:
        return
    assert covers(query, facts()) in (True, False)
    assert query.groups or not text.strip()


# --- covering


@pytest.mark.parametrize(
    ("query", "said", "is_covered"),
    [
        ("", "", True),
        ("merger", "The MERGER, of course.", True),
        ("merger", "mergers", False),
        ("merger", "submerger", False),
        ("merg*", "mergers", True),
        ("merg*", "submerger", False),
        ("merger", "merg\u200ber", True),
        ("merger", "Ｍｅｒｇｅｒ", True),
        ("straße", "STRASSE", True),
        ("café", "CAFE\u0301", True),
        ('"secret plan"', "a secret\n plan!", True),
        ('"secret plan"', "secret\0plan", False),
        ('"secret plan"', "secret and plan", False),
        ("secret plan", "plan secret", True),
        ("secret plan", "secret", False),
        ("secret OR plan", "plan", True),
        ("併購", "關於併購的事", True),
        ("pizza", "吃pizza吧", True),
        ("회사", "회사에서", True),
        ("c++", "in C++, yes", True),
        ("c++", "in c, yes", False),
        ('"merg*"', "mergers", False),
    ],
)
def test_words(query: str, said: str, is_covered: bool) -> None:
    assert covers(parse(query), facts(said)) is is_covered


def test_an_event_that_claims_another_kind_takes_nothing_out_of_a_hold() -> None:
    looked = facts_of([say("alice@x", "hi", 0, where="conference"), say("bob@x", "yes", 1, where="im")], normal)
    assert looked is not None
    assert covers(parse("kind:im"), looked) and covers(parse("kind:conference"), looked)
    assert not covers(parse("kind:group"), looked)


@pytest.mark.parametrize(
    ("query", "is_covered"),
    [
        ("after:2024-01-02", True),
        ("after:2024-01-03", True),
        ("after:2024-01-04", False),
        ("before:2024-01-03", True),
        ("before:2024-01-02T12:00", False),
        ("after:2024-01-02 before:2024-01-03", True),
        ("with:alice@x", True),
        ("with:alice@x with:bob@x", True),
        ("with:alice@x with:dave@x", False),
        ("with:dave@x OR with:bob@x", True),
        ("kind:group", True),
        ("kind:im", False),
        ("kind:im OR after:2024-01-01", True),
    ],
)
def test_dates_people_kinds(query: str, is_covered: bool) -> None:
    """From noon of January 2 to noon of the next day, in UTC."""
    begin = NEW_YEAR + DAY + DAY // 2
    assert covers(parse(query), facts("", begin, begin + DAY, "group", ("alice@x", "bob@x"))) is is_covered


def test_several_holds_are_joined_by_or() -> None:
    holds = [hold("merger", 1), hold("kind:im", 2), hold("kind:group", 3)]
    assert [h.number for h in covering(holds, lambda: facts("merger"))] == [1, 3]
    assert covering([], never) == ()


def test_a_hold_on_everything_looks_at_nothing() -> None:
    assert covering([hold()], never) == (hold(),)


def test_beyond_so_many_words_in_all_holds_everything_is_held() -> None:
    words = [f"word{n}" for n in range(MOST_KEYWORDS)]
    fine = [hold(" OR ".join(words[:300]), 1), hold(f'"{" ".join(words[300:])}"', 2)]
    assert covering(fine, lambda: facts("other")) == ()
    many = [*fine, hold("more", 3)]
    assert covering(many, never) == tuple(many)


def test_a_query_that_can_be_read_no_more_covers_everything() -> None:
    old = hold("near(a b)")
    assert covering([old], never) == (old,)


def test_a_hold_stands_until_it_is_released_whatever_the_clock_says() -> None:
    future = 4_070_908_800 * SECOND
    holds = [hold("", 1), hold("", 2, released=5), hold("", 3, released=future)]
    assert [h.number for h in standing(holds)] == [1]


WORDS = st.sampled_from(["merger", "plan", "secret", "kind:im", "kind:group", "with:a@x", "after:2024-01-01"])
GROUPS = st.lists(WORDS, min_size=1, max_size=3, unique_by=lambda w: w.partition(":")[0] if ":" in w else w)
QUERIES = st.lists(GROUPS.map(" ".join), min_size=1, max_size=3).map(" OR ".join)


@given(QUERIES, QUERIES, st.sampled_from(["merger", "plan secret", ""]), st.sampled_from(["im", "group"]))
def test_or_is_either_and_another_hold_never_covers_less(one: str, two: str, said: str, kind: Kind) -> None:
    looked = facts(said, kind=kind, people=("a@x",))
    either = covers(parse(f"{one} OR {two}"), looked)
    assert either == (covers(parse(one), looked) or covers(parse(two), looked))
    assert bool(covering([hold(one, 1), hold(two, 2)], lambda: looked)) == either


# --- facts


def test_facts_hold_everybody_and_every_text() -> None:
    events = [
        say("alice@x", "hello", 5, to=["dave@x"], topic="The Topic"),
        event("file.shared", 1, "xmpp:Bob@X/phone", attachments=[{"name": "Plan.pdf"}], present=["silent@x"]),
        invite("alice@x", "eve@x", 9),
        event("poll.opened", 3, "alice@x", poll={"id": "p", "question": "Shall we?", "options": ["yes", "perhaps"]}),
        event("something.new", 4, None, unheard={"of": ["deep inside"]}),
        event(
            "message.sent", 7, "alice@x", message={"id": "h", "text": "", "html": "<b>mer</b><i>&#103;er</i> &c<br>now"}
        ),
    ]
    found = facts_of(events, normal, ["there@x", "no address"])
    assert found is not None
    assert (found.started, found.ended) == ((BASE + 1) * SECOND, (BASE + 9) * SECOND)
    assert found.people == {f"{who}@x" for who in ("alice", "bob", "dave", "eve", "silent", "there")}
    for query in ("hello", '"the topic"', "plan.pdf", "shall", "perhaps", '"deep inside"', "merger"):
        assert covers(parse(query), found), query
    assert not covers(parse('"hello plan.pdf"'), found), "no phrase goes from one text to the next"
    assert facts_of([], normal) is None


def test_everything_is_the_empty_query() -> None:
    assert parse("") == Query()
