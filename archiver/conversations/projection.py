"""A conversation and a view of it -> the conversation as that view's owner could know it (pure).

Nothing of the rest is left in a projected conversation, so an item made from it depends on nothing its owner couldn't
see, and can be rebuilt from what the item carries: `gather` makes the same of the same events and roster, whether
they come from the spool or from an item.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import compress

from msgspec import Struct

from archiver.conversations.lookback import Lookback
from archiver.conversations.presence import Attendance, Interval, topic_after
from archiver.conversations.rules import Rules
from archiver.events import BARE, REFERENCES, RENAMED, Captured, Kind
from archiver.types import Conversation, Participation, Presence, Roster


class Bounds(Struct, frozen=True):
    """What the events of a view alone don't tell: which conversation it is. Stands in an item's headers."""

    kind: Kind
    session: str | None
    part: int
    partial: bool


def bounds(conversation: Conversation) -> Bounds:
    return Bounds(conversation.kind, conversation.session, conversation.part, conversation.partial)


def seen(conversation: Conversation, mask: int) -> list[Captured]:
    """The events of a view, in order. The binary digits of the mask, lowest first, are the selectors."""
    return list(compress(conversation.events, map(int, f"{mask:b}"[::-1])))


class Past:
    """What came before the first event of each view of one conversation: read once, asked for by many."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._names: dict[str, tuple[list[int], list[str | None]]] = {}
        self._acts: dict[str, list[int]] = {}
        self._renames: list[tuple[int, str, str]] = []
        self._topics: tuple[list[int], list[str | None]] = ([-1], [conversation.roster.topic or None])
        self._start: dict[str, Presence] = {
            address: presence for presence in conversation.roster.present for address in presence.addresses
        }
        self._read = False

    def roster(self, first: int) -> Roster:
        """Who was there, and the topic, as somebody finds them who sees events from `first` on."""
        conversation = self._conversation
        if first == 0:
            present = [_reduced(presence, conversation.partial) for presence in conversation.roster.present]
            return Roster(tuple(present), conversation.roster.topic or None)
        if not self._read:
            self._fold()
        bit = 1 << first
        found = [
            self._known(participation, first)
            for participation in conversation.participations
            if not participation.invited and participation.mask & bit and participation.mask & (bit - 1)
        ]
        return Roster(tuple(found), _before(self._topics, first))

    def _fold(self) -> None:
        """Note when each name, act, rename and topic was."""
        self._read = True
        for index, captured in enumerate(self._conversation.events):
            event = captured.event
            data, actor = event.data, event.data.actor
            if actor is not None:
                self._name(actor.address, actor.name, index)
                self._acts.setdefault(actor.address, []).append(index)
                if event.type == RENAMED and data.subject is not None:
                    self._rename(index, actor.address, data.subject.address, data.subject.name)
            for who in data.conversation.participants or ():
                self._name(who.address, who.name, index)
            topic = topic_after(event, self._topics[1][-1])
            if topic != self._topics[1][-1]:
                self._topics[0].append(index)
                self._topics[1].append(topic)

    def _name(self, address: str, name: str | None, index: int) -> None:
        if name is not None:
            known = self._names.setdefault(address, ([], []))
            if not known[1] or known[1][-1] != name:
                known[0].append(index)
                known[1].append(name)

    def _rename(self, index: int, old: str, new: str, name: str | None) -> None:
        self._renames.append((index, old, new))
        self._name(new, name or _before(self._names.get(old), index + 1), index)

    def _known(self, participation: Participation, first: int) -> Presence:
        """Somebody as they were known just before the event `first`."""
        start = next((self._start[a] for a in participation.addresses if a in self._start), None)
        address = participation.addresses[0] if start is None else start.addresses[-1]
        acted = None if start is None else start.acted
        name = None if start is None else start.name
        if len(participation.addresses) > 1:
            for index, old, new in self._renames:
                if index < first and old == address:
                    name = _before(self._names.get(old), index + 1) or name
                    address, acted = new, self._conversation.events[index].time
        name = _before(self._names.get(address), first) or name
        if acts := self._acts.get(address):
            at = bisect_left(acts, first)
            acted = self._conversation.events[acts[at - 1]].time if at else acted
        return _reduced(Presence((address,), name, participation.hidden, None, acted), self._conversation.partial)


def _before(known: tuple[list[int], list[str | None]] | None, index: int) -> str | None:
    """What was known last before an event."""
    if known is None:
        return None
    at = bisect_left(known[0], index)
    return known[1][at - 1] if at else None


def _reduced(presence: Presence, partial: bool) -> Presence:
    """What an item tells of somebody who was there: no more is needed, no less makes the same item."""
    return Presence(presence.addresses[-1:], presence.name, presence.hidden, None, presence.acted if partial else None)


def gather(events: Sequence[Captured], roster: Roster, rules: Rules, which: Bounds) -> Conversation:
    """The conversation of all these events, in their order, and nothing else."""
    attendance = Attendance(roster, rules.partial_leave if which.partial else None)
    voices: set[str] = set()
    apply = attendance.apply
    for ordinal, captured in enumerate(events):
        event = captured.event
        apply(event, captured.time, ordinal)
        data = event.data
        if data.actor is not None and event.type not in BARE and event.type not in REFERENCES:
            voices.add(data.actor.address)
    first = events[0]
    return Conversation(
        source=first.event.source,
        place=first.event.data.conversation.id,
        kind=which.kind,
        session=which.session,
        part=which.part,
        topic=topic_after(first.event, roster.topic),
        events=tuple(events),
        roster=roster,
        participations=_participations(attendance, events, voices, which.kind),
        started=first.time,
        ended=events[-1].time,
        ripe=0,
        partial=which.partial,
    )


def _participations(
    attendance: Attendance, events: Sequence[Captured], voices: set[str], kind: Kind
) -> tuple[Participation, ...]:
    """Who was there for which events; references count as what they are, events at their own time."""
    times = [captured.time for captured in events] if attendance.inferred else []
    end = len(events)
    back = Lookback(events)
    made: list[Participation] = []
    for interval in attendance.intervals():
        low, high = max(interval.first, 0), end if interval.last is None else interval.last + 1
        if not interval.invited:
            if interval.until is not None:
                high = min(high, bisect_right(times, interval.until))
            if kind == "im":
                low, high = 0, end
            else:
                low = back.low(low)
        if low < high:
            made.append(_participation(interval, low, high, voices))
    return tuple(made)


def _participation(interval: Interval, low: int, high: int, voices: set[str]) -> Participation:
    spoke = tuple([address for address in interval.addresses if address in voices])
    return Participation(
        addresses=interval.addresses,
        name=interval.name,
        hidden=interval.hidden,
        first=low,
        last=high - 1,
        joined=interval.joined,
        left=interval.left,
        spoke=bool(spoke),
        invited=interval.invited,
        mask=(1 << high) - (1 << low),
        voices=spoke,
    )
