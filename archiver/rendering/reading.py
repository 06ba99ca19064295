"""What every rendering of one view shares: which events belong together, who said what, who was there when.

A conversation as it comes here is a view of its own: all its events are shown. Found once, asked for by each look at
it. Makes no words.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property

from msgspec import Struct

from archiver.events import (
    BARE,
    EDITED,
    POLL_OPENED,
    REFERENCES,
    RETRACTED,
    SENT,
    TOPIC_CHANGED,
    Event,
    Participant,
    guesses_of,
    target,
)
from archiver.rendering.headers import normal
from archiver.types import Conversation, Participation


class Strand(Struct):
    """A message or poll with what refers to it, by index. `holder` is -1 where the view doesn't hold it."""

    holder: int
    references: list[int] = []
    edits: list[int] = []
    retracted: bool = False


class Person(Struct, frozen=True):
    """Somebody in the view. `spans` are the first and last event of each time they were there."""

    name: str | None
    address: str
    hidden: bool
    spans: tuple[tuple[int, int], ...]
    messages: int
    invited: bool


class Reading:
    """The facts of one view."""

    def __init__(self, conversation: Conversation, *, complete: bool = False) -> None:
        self.conversation = conversation
        self.complete = complete
        """True where nobody is hidden from the reader."""
        self.events = [captured.event for captured in conversation.events]
        self.voices: dict[str, list[int]] = {}
        self.parents: dict[int, int] = {}
        self._names: dict[str, str] = {}
        self._referring: list[int] = []
        self._strands: dict[tuple[str, int], Strand] = {}
        self._strand_of: dict[int, Strand] = {}
        self._holders: dict[str, list[int]] = {}
        self.topic: str | None = None
        """The topic in force at the end."""
        self.initiator = -1
        """The event by which somebody started it: the first said, else the first done; -1 where nobody did any."""
        self._fold()

    def _fold(self) -> None:
        """One pass over the events; everything after it asks only for what is rare."""
        replies: list[tuple[int, str]] = []
        voices, names, topic = self.voices, self._names, self.conversation.roster.topic
        said_first = did_first = -1
        for index, event in enumerate(self.events):
            data, kind = event.data, event.type
            actor = data.actor
            if kind == SENT:
                message = data.message
                if message is not None and message.in_reply_to is not None:
                    replies.append((index, message.in_reply_to))
                if actor is not None:
                    if said_first < 0:
                        said_first = index
                    known = voices.get(actor.address)
                    if known is None:
                        voices[actor.address] = [index]
                    else:
                        known.append(index)
            elif kind in REFERENCES:
                self._referring.append(index)
            elif said_first < 0 and kind not in BARE and actor is not None:
                said_first = index
            if actor is not None:
                if did_first < 0:
                    did_first = index
                if actor.name is not None:
                    names[actor.address] = actor.name
            if data.conversation.topic is not None:
                topic = data.conversation.topic
            if kind == TOPIC_CHANGED and data.topic is not None:
                topic = data.topic
        self.initiator = did_first if said_first < 0 else said_first
        self.topic = topic or None
        if self._referring or replies:
            self._weave(replies)

    def _weave(self, replies: list[tuple[int, str]]) -> None:
        """Tie messages to what refers to them, and replies to their parents."""
        for index, event in enumerate(self.events):
            if event.type in (SENT, POLL_OPENED) and (key := target(event)) is not None:
                self._holders.setdefault(key, []).append(index)
        for index in self._referring:
            event = self.events[index]
            if (key := target(event)) is not None:
                strand = self._strand(key, self._holder(key, index))
                strand.references.append(index)
                strand.retracted = strand.retracted or event.type == RETRACTED
                if event.type == EDITED:
                    strand.edits.append(index)
                self._strand_of[index] = strand
        for index, parent in replies:
            self.parents[index] = self._holder(parent, index)

    def _strand(self, key: str, holder: int) -> Strand:
        strand = self._strands.setdefault((key, holder), Strand(holder))
        if holder >= 0:
            self._strand_of[holder] = strand
        return strand

    def _holder(self, key: str, index: int) -> int:
        """The last message of this id up to `index`, else the first after it; ids chosen by senders may repeat."""
        held = self._holders.get(key)
        return held[max(bisect_right(held, index) - 1, 0)] if held else -1

    def strand_of(self, index: int) -> Strand | None:
        return self._strand_of.get(index)

    @cached_property
    def woven(self) -> frozenset[int]:
        """The events whose telling depends on others."""
        return frozenset(self._strand_of) | self.parents.keys()

    @cached_property
    def retracted(self) -> frozenset[int]:
        """The messages and edits that were retracted."""
        found: set[int] = set()
        for strand in self._strands.values():
            if strand.retracted:
                found.update(strand.edits)
                if strand.holder >= 0 and self.events[strand.holder].type == SENT:
                    found.add(strand.holder)
        return frozenset(found)

    @cached_property
    def echoes(self) -> frozenset[int]:
        """Other events that name a retracted message: a source may repeat its text there."""
        gone = {key for (key, _), strand in self._strands.items() if strand.retracted}
        if not gone:
            return frozenset()
        return frozenset(
            index
            for index, event in enumerate(self.events)
            if event.data.message is not None and event.data.message.id in gone and event.type not in (SENT, EDITED)
        )

    def name(self, address: str) -> str | None:
        """The last name somebody bore."""
        return self._names.get(address) or self._carried.get(address)

    @cached_property
    def _carried(self) -> dict[str, str]:
        """Names of people who did nothing under them, by each of their addresses."""
        return {a: p.name for p in self.conversation.participations if p.name for a in p.addresses}

    @cached_property
    def guesses(self) -> dict[str, tuple[str, ...]]:
        """What had to be guessed of any event, by reason, with its values."""
        return guesses_of({mark for event in self.events if (mark := event.archiverguessed) is not None})

    # People

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Everybody present or invited, in order of first appearance, one row each."""
        found: dict[str, list[Participation]] = {}
        for participation in self.conversation.participations:
            found.setdefault(participation.addresses[-1], []).append(participation)
        made = [self._person(address, shared) for address, shared in found.items()]
        return tuple(sorted(made, key=_appearance))

    def _person(self, address: str, shared: list[Participation]) -> Person:
        last = shared[-1]
        name = self._names.get(address) or last.name
        if len(shared) == 1:
            return Person(name, address, last.hidden, (self._stayed(last),), self._said(last), last.invited)
        return Person(
            name=name,
            address=address,
            hidden=any(p.hidden for p in shared),
            spans=tuple(sorted([self._stayed(participation) for participation in shared])),
            messages=sum([self._said(participation) for participation in shared]),
            invited=all(p.invited for p in shared),
        )

    def _stayed(self, participation: Participation) -> tuple[int, int]:
        """Between which events somebody was there; a late reaction or edit prolongs nobody's stay."""
        first, last = participation.first, participation.last
        own = self._own
        if own is not None:
            low, high = bisect_left(own, first), bisect_right(own, last)
            if low < high:
                return own[low], own[high - 1]
        return first, last

    @cached_property
    def _own(self) -> list[int] | None:
        """The events that refer to no other; None where all are such."""
        if not self._referring:
            return None
        return [index for index, event in enumerate(self.events) if event.type not in REFERENCES]

    def _said(self, participation: Participation) -> int:
        count = 0
        for address in participation.addresses:
            if spoken := self.voices.get(address):
                count += bisect_right(spoken, participation.last) - bisect_left(spoken, participation.first)
        return count

    @cached_property
    def sender(self) -> Person | None:
        """Who started it; whoever comes first where nobody did anything."""
        people = self.people
        if self.initiator < 0 or (actor := self.events[self.initiator].data.actor) is None:
            return people[0] if people else None
        for participation in self.conversation.participations:
            if actor.address in participation.addresses and participation.mask >> self.initiator & 1:
                return next(person for person in people if person.address == participation.addresses[-1])
        return Person(actor.name, actor.address, actor.hidden, (), 0, False)

    def hides(self, who: Person | Participant) -> bool:
        return who.hidden and not self.complete

    def other(self, side: str | None) -> Person | None:
        """In a one-to-one, whoever isn't `side`; themselves where nobody else is there."""
        if side is None:
            return None
        own = normal(side)
        return next((p for p in self.people if normal(p.address) != own), self.people[0] if self.people else None)


def _appearance(person: Person) -> int:
    return person.spans[0][0]


def participants(event: Event) -> Iterator[Participant]:
    """Everybody an event names."""
    data = event.data
    if data.actor is not None:
        yield data.actor
    if data.subject is not None:
        yield data.subject
    yield from data.conversation.participants or ()
    if data.message is not None:
        yield from data.message.to or ()


def parties(conversation: Conversation) -> list[str]:
    """The normalised addresses of a one-to-one, sorted."""
    present = {presence.addresses[-1] for presence in conversation.roster.present}
    present.update([participation.addresses[-1] for participation in conversation.participations])
    return sorted({normal(address) for address in present})
