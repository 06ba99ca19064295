"""Whatever presences a component misses or sees out of turn, everybody is given what they got in a room, no more."""

from __future__ import annotations

import itertools
import random
from typing import Any
from xml.etree.ElementTree import fromstring

from component_server import HOST, NAME, forwarded
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.conversations.presence import Attendance
from archiver.events import Captured, microseconds
from archiver.sources.xmpp.component.copies import Copies
from archiver.sources.xmpp.component.reading import Reader
from archiver.sources.xmpp.remembering import Remembered
from archiver.types import Roster

ROOM = "team@rooms.example.org"
MUC = "http://jabber.org/protocol/muc#user"
NAMES = ("ann", "bob", "cid", "dan")
BEGIN = 1_800_000_000_000_000

Stanza = tuple[str, str]
"""Whose client it is of, and its text."""


class Talk:
    """A room, its server's clock, and the component that is told of it."""

    def __init__(self, chance: random.Random) -> None:
        self.got: dict[str, set[str]] = {}
        """By text, who got it."""
        self.told: list[Captured] = []
        self._chance = chance
        self._clock, self._now = BEGIN, 0.0
        self._nicks: dict[str, str] = {}
        self._under_way: list[Stanza] = []
        self._is_behind = False
        self._numbers = itertools.count(1)
        memory = Remembered()
        self._copies = Copies(NAME, memory, (HOST,), ("rooms.example.org",))
        allowed = frozenset(("xmpp:example.org", "xmpp:rooms.example.org"))
        self._reader = Reader("it", self._copies, memory, (), allowed, lambda: self._clock)

    def does(self, what: str, who: str, *, seen: bool, flows: bool) -> None:
        """`seen` is whether the component sees the presences of it; who gets a message, it does.

        Where it `flows`, clients have got all that was on its way to them: each in its order, of several in any. What
        comes of one thing may be behind what comes of the next, not further; and whoever comes or goes unseen does no
        more at once.
        """
        if what in ("quiet", "gap"):
            self.quiet()
            if what == "gap":
                self._take([], is_last=True)
                self._clock += 10_000_000
                self._copies.begin(self._clock - 5_000_000)
        elif what == "join" or who in self._nicks:
            made = getattr(self, f"_{what}")(who)
            self._under_way += made if seen or what == "say" else []
        self._clock += 1_000
        if not seen and what in ("join", "leave"):
            self.quiet()
        elif flows or self._is_behind:
            self._flow()
        self._is_behind = not flows and not self._is_behind

    def quiet(self) -> None:
        self._flow()
        self._now += 2
        self._take([])

    def _flow(self) -> None:
        queues: dict[str, list[str]] = {}
        for who, text in self._under_way:
            queues.setdefault(who, []).append(text)
        self._under_way.clear()
        while queues:
            who = self._chance.choice(sorted(queues))
            self._take([queues[who].pop(0)])
            if not queues[who]:
                del queues[who]

    def _take(self, stanzas: list[str], *, is_last: bool = False) -> None:
        self._clock += 100
        self._now += 0.001
        for piece in self._reader.pieces([fromstring(forwarded(each)) for each in stanzas], self._now, is_last=is_last):
            assert isinstance(piece, Captured)
            self.told.append(piece)

    # What the room tells whom

    def _join(self, who: str) -> list[Stanza]:
        if who in self._nicks:
            return []
        self._nicks[who] = who.title()
        return [*((who, _presence(nick, who)) for nick in self._nicks.values()), *self._shown(who)]

    def _leave(self, who: str) -> list[Stanza]:
        told = self._shown(who, " type='unavailable'")
        del self._nicks[who]
        return told

    def _nick(self, who: str) -> list[Stanza]:
        new = f"{who.title()} {next(self._numbers)}"
        told = self._shown(who, " type='unavailable'", "<status code='303'/>", new)
        self._nicks[who] = new
        return told + self._shown(who)

    def _away(self, who: str) -> list[Stanza]:
        return self._shown(who)

    def _say(self, who: str) -> list[Stanza]:
        text, nick = f"m{next(self._numbers)}", self._nicks[who]
        self.got[text] = set(self._nicks)
        inner = f"type='groupchat' id='{text}'><body>{text}</body>"
        asked = f"<message xmlns='jabber:client' from='{who}@{HOST}/x' to='{ROOM}' {inner}</message>"
        key = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{self._clock}'/>"
        begin = f"<message xmlns='jabber:client' from='{ROOM}/{nick}'"
        copies = [(each, f"{begin} to='{each}@{HOST}/x' {inner}{key}</message>") for each in self._nicks]
        self._take([asked])  # before the room has it
        return copies

    def _shown(self, who: str, kind: str = "", codes: str = "", new: str = "") -> list[Stanza]:
        nick = self._nicks[who]
        own = "<status code='110'/>"
        return [(each, _presence(nick, each, kind, codes + own * (each == who), new)) for each in self._nicks]


def _presence(nick: str, to: str, kind: str = "", codes: str = "", new: str = "") -> str:
    item = f"<item role='participant'{f' nick={new!r}' * bool(new)}/>"
    return (
        f"<presence xmlns='jabber:client' from='{ROOM}/{nick}' to='{to}@{HOST}/x'{kind}>"
        f"<x xmlns='{MUC}'>{item}{codes}</x></presence>"
    )


def given_to(told: list[Captured]) -> dict[str, set[str]]:
    """By text, who was present when it was said, as the events have it."""
    attendance, found = Attendance(Roster(), None), {}
    ordered = sorted(told, key=lambda each: microseconds(each.event.time))
    texts: dict[int, str] = {}
    for ordinal, each in enumerate(ordered):
        attendance.apply(each.event, microseconds(each.event.time), ordinal)
        if each.event.data.message is not None:
            texts[ordinal] = each.event.data.message.text or ""
    intervals = list(attendance.intervals())
    for ordinal, text in texts.items():
        found[text] = {
            each.addresses[0].partition("@")[0]
            for each in intervals
            if each.first <= ordinal and (each.last is None or ordinal <= each.last)
        }
    return found


STEPS = st.tuples(
    st.sampled_from(("say", "say", "say", "join", "join", "leave", "nick", "away", "quiet", "gap")),
    st.sampled_from(NAMES),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=40), st.randoms(use_true_random=False))
def test_everybody_is_given_what_they_got_and_no_more(steps: list[tuple[str, str, bool, bool]], chance: Any) -> None:
    talk = Talk(chance)
    for what, who, seen, flows in steps:
        talk.does(what, who, seen=seen, flows=flows)
    talk.quiet()
    assert given_to(talk.told) == talk.got
