"""An item's own events, folded and rendered again, give the same item, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import HOUR, edit, event, invite, join, leave, react, rename, retract, say
from hypothesis import given, settings
from msgspec import json, structs
from test_conversation import cut, logs

from archiver.conversation import Rules, views
from archiver.events import Captured, Event
from archiver.importers import Options, importer
from archiver.rebuilding import rebuild
from archiver.rendering import Limits
from archiver.showing import Showing
from archiver.types import Conversation, Look, View

FIXTURES = Path(__file__).parent.parent / "fixtures"
RULES = Rules()


def look(view: View) -> Look:
    return Look(view.mask, view.role, view.side, "en", "Asia/Taipei")


def rendered(conversation: Conversation, wanted: Look) -> bytes:
    return Showing(conversation, lambda digest: None, RULES, Limits()).item(wanted).content


def assert_rebuilt(conversation: Conversation) -> int:
    """Every view of it comes back; how many there were."""
    made = views(conversation, lambda address: address, RULES)
    for view in made:
        item = rendered(conversation, look(view))
        again, asked = rebuild(item, RULES)
        assert rendered(again, asked).decode() == item.decode()
    return len(made)


def imported(name: str, path: str, **options: str) -> list[Captured]:
    """As the spool gives them back: decoded from their bodies."""
    read = importer(name).read(FIXTURES / path, Options(**options), received=2_000_000_000_000_000)  # type: ignore[arg-type]
    return [structs.replace(each, event=json.decode(each.body, type=Event)) for each in read]


@pytest.mark.parametrize("day", ["2016-12-19_20", "2004-11-15_03"])
def test_a_real_day_of_ubuntu(day: str) -> None:
    events = imported("irc", f"irc/{day}.raw.txt", channel="#ubuntu", network="libera")
    assert sum(assert_rebuilt(conversation) for conversation in cut(events, partial=True)) > 50


def test_a_real_meeting() -> None:
    events = imported("bigbluebutton", "copyleft/bbb/events-2.5-polls.xml")
    assert sum(assert_rebuilt(conversation) for conversation in cut(events)) == 2


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
    assert sum(assert_rebuilt(conversation) for conversation in cut(events)) >= 8


@settings(max_examples=60, deadline=None)
@given(logs())
def test_whatever_was_said(events: list[Captured]) -> None:
    for conversation in cut(events):
        assert_rebuilt(conversation)
