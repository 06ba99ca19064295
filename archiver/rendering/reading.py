"""What every rendering of one conversation shares: which events belong together, who said what, who is hidden.

Found once a conversation, asked for by each view as bit masks over the events (bit i is event i). Makes no words.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property

from msgspec import Struct

from archiver.events import (
    BARE,
    EDITED,
    POLL_OPENED,
    REFERENCES,
    RENAMED,
    RETRACTED,
    SENT,
    TOPIC_CHANGED,
    Event,
    Participant,
    target,
)
from archiver.rendering.headers import bare, normal
from archiver.types import Conversation, Participation, Presence

HIDDEN = "hidden"
"""What stands for the address of somebody hidden who has no name."""


class Strand(Struct):
    """A message or poll with what refers to it. `holder` is -1 where the conversation doesn't hold it."""

    holder: int
    references: int = 0
    retractions: int = 0
    edits: int = 0

    @property
    def mask(self) -> int:
        return self.references | (1 << self.holder if self.holder >= 0 else 0)


class _Topic(Struct):
    """A topic from the event that first names it on, and all events in a row that name it."""

    first: int
    text: str
    mask: int = 0


class Person(Struct, frozen=True):
    """Somebody as one view knows them. `spans` are first and last visible event of each time they were there."""

    name: str | None
    address: str
    hidden: bool
    spans: tuple[tuple[int, int], ...]
    messages: int
    invited: bool


class Reading:
    """The facts of one conversation. Everything that depends on a view takes its mask."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.events = [captured.event for captured in conversation.events]
        self.content = 0
        self._referring = 0
        self._topics: list[_Topic] = []
        self.voices: dict[str, int] = {}
        self.touch: dict[int, int] = {}
        self.strands: dict[tuple[str, int], Strand] = {}
        self.parents: dict[int, int] = {}
        self._nameless: dict[str, int] = {}
        self._names: dict[str, list[tuple[int, str | None]]] = {}
        self._holders: dict[str, list[int]] = {}
        self._people: dict[int, tuple[Person, ...]] = {}
        self._fold()
        self.touchy = bits(self.touch)
        self.hidden = self._hidden()

    def _fold(self) -> None:
        """One pass over the events; everything after it asks only for what is rare."""
        referring: list[int] = []
        replies: list[tuple[int, str]] = []
        voices, names, nameless = self.voices, self._names, self._nameless
        topic, content = self.conversation.roster.topic, 0
        for index, event in enumerate(self.events):
            data, kind = event.data, event.type
            actor = data.actor
            if kind == SENT:
                message = data.message
                if message is not None and message.in_reply_to is not None:
                    replies.append((index, message.in_reply_to))
                if actor is not None:
                    bit = 1 << index
                    content |= bit
                    voices[actor.address] = voices.get(actor.address, 0) | bit
            elif kind in REFERENCES:
                referring.append(index)
            elif kind not in BARE and actor is not None:
                content |= 1 << index
            if data.subject is not None or (data.message is not None and data.message.to is not None):
                for other in participants(event):
                    if other.name is None:
                        nameless[other.address] = nameless.get(other.address, 0) | 1 << index
            if actor is not None:
                if actor.name is None:
                    nameless[actor.address] = nameless.get(actor.address, 0) | 1 << index
                known = names.get(actor.address)
                if known is None:
                    names[actor.address] = [(index, actor.name)]
                elif known[-1][1] != actor.name and actor.name is not None:
                    known.append((index, actor.name))
            said = data.conversation.topic
            if kind == TOPIC_CHANGED and data.topic is not None:
                said = data.topic
            if said is not None:
                if said != topic:
                    topic = said
                    self._topics.append(_Topic(index, said))
                if self._topics:
                    self._topics[-1].mask |= 1 << index
        self.content = content
        self._referring = bits(referring)
        if referring or replies:
            self._find_holders()
            self._weave(referring, replies)

    def _find_holders(self) -> None:
        for index, event in enumerate(self.events):
            if event.type in (SENT, POLL_OPENED) and (key := target(event)) is not None:
                self._holders.setdefault(key, []).append(index)

    def _weave(self, referring: list[int], replies: list[tuple[int, str]]) -> None:
        """Tie messages to what refers to them, and replies to their parents."""
        for index in referring:
            event = self.events[index]
            key = target(event)
            if key is not None:
                strand = self._strand(key, self._holder(key, index))
                strand.references |= 1 << index
                strand.retractions |= (event.type == RETRACTED) << index
                strand.edits |= (event.type == EDITED) << index
        for strand in self.strands.values():
            for index in indices(strand.mask):
                self.touch[index] = strand.mask
        for index, parent in replies:
            holder = self._holder(parent, index)
            self.parents[index] = holder
            if holder >= 0:
                self.touch[index] = self.touch.get(index, 0) | self.touch.get(holder, 0) | 1 << holder

    def _strand(self, key: str, holder: int) -> Strand:
        return self.strands.setdefault((key, holder), Strand(holder))

    def _holder(self, key: str, index: int) -> int:
        """The last message of this id up to `index`, else the first after it; ids chosen by senders may repeat."""
        held = self._holders.get(key)
        return held[max(bisect_right(held, index) - 1, 0)] if held else -1

    def strand_of(self, index: int) -> Strand | None:
        if index not in self.touch:
            return None
        key = target(self.events[index])
        return None if key is None else self.strands.get((key, self._holder(key, index)))

    def concealed(self, mask: int, show_retracted: bool) -> int:
        """The events whose content a view hides, because it shows their retraction."""
        if show_retracted or not self.strands:
            return 0
        hidden = 0
        for strand in self.strands.values():
            if strand.retractions & mask:
                hidden |= (strand.mask & ~strand.references) | strand.edits
        return hidden & mask

    def topic(self, mask: int) -> str | None:
        """The topic in force at the end of a view; one changed while its owner was away is unknown to it."""
        known = self.topic_before(first_bit(mask))
        for topic in reversed(self._topics):
            if topic.mask & mask:
                return topic.text or None
        return known or None

    def topic_before(self, first: int) -> str | None:
        known = self.conversation.roster.topic
        for topic in self._topics:
            if topic.first >= first:
                break
            known = topic.text
        return known

    def name(self, address: str, mask: int) -> str | None:
        """The name somebody bore last, as far as a view shows."""
        known = self._names.get(address)
        if known is None:
            return None
        if len(known) == 1:
            return known[0][1]
        return next((name for index, name in reversed(known) if mask >> index & 1), known[0][1])

    def lasting_name(self, address: str) -> str | None:
        """What to call somebody where an event doesn't say: the last name they bore in the conversation."""
        return self.name(address, -1)

    def borrowed(self, mask: int) -> list[tuple[str, str | None]]:
        """The names and veils that a view's text takes from elsewhere in the conversation; its key covers them."""
        names = [(a, self.lasting_name(a)) for a, where in self._nameless.items() if where & mask]
        return [pair for pair in names if pair[1] is not None] + sorted(self.hidden.items())

    def initiator(self, mask: int) -> str | None:
        """Who started what a view shows: the first to say something, else the first to do anything."""
        content = mask & self.content
        for index in (first_bit(content),) if content else indices(mask):
            actor = self.events[index].data.actor
            if actor is not None:
                return actor.address
        return None

    def other(self, side: str | None, mask: int) -> Person | None:
        """In a one-to-one, whoever isn't `side`; themselves where nobody else is there."""
        if side is None:
            return None
        own = normal(side)
        people = self.people(mask)
        return next((p for p in people if normal(p.address) != own), people[0] if people else None)

    def people(self, mask: int) -> tuple[Person, ...]:
        """Everybody a view shows as present or invited, in order of first appearance, one row each."""
        if mask not in self._people:
            self._people[mask] = self._find_people(mask)
        return self._people[mask]

    def _find_people(self, mask: int) -> tuple[Person, ...]:
        found: dict[str, list[Participation]] = {}
        for participation in self.conversation.participations:
            if participation.mask & mask:
                addresses = participation.addresses
                address = addresses[0] if len(addresses) == 1 else self.person_address(participation, mask)
                found.setdefault(address, []).append(participation)
        return tuple(self._person(address, shared, mask) for address, shared in found.items())

    def person_address(self, participation: Participation, mask: int) -> str:
        """The last of their addresses that the view has come to know."""
        if len(participation.addresses) == 1:
            return participation.addresses[0]
        known = participation.addresses[0]
        for index in indices(participation.mask & mask):
            event = self.events[index]
            for who in (event.data.actor, event.data.subject if event.type == RENAMED else None):
                if who is not None and who.address in participation.addresses:
                    known = who.address
        return known

    def _person(self, address: str, shared: list[Participation], mask: int) -> Person:
        spans: list[tuple[int, int]] = []
        messages = 0
        for participation in shared:
            seen = participation.mask & mask
            # A late reaction or edit prolongs nobody's stay.
            stayed = seen & ~self._referring or seen
            spans.append((first_bit(stayed), stayed.bit_length() - 1))
            for one in participation.addresses:
                messages += (self.voices.get(one, 0) & seen).bit_count()
        hidden = any(p.hidden for p in shared) or address in self.hidden
        name = self.name(address, mask) or shared[-1].name
        return Person(name, address, hidden, tuple(sorted(spans)), messages, all(p.invited for p in shared))

    def _hidden(self) -> dict[str, str]:
        """What to write in place of each address that no item may contain."""
        conversation = self.conversation
        found: dict[str, str] = {}
        known: list[Presence | Participation] = [*conversation.roster.present, *conversation.participations]
        for who in known:
            if who.hidden:
                for address in who.addresses:
                    found[address] = who.name or HIDDEN
        if any(b'"hidden"' in captured.body for captured in conversation.events):
            for event in self.events:
                for participant in participants(event):
                    if participant.hidden:
                        found[participant.address] = participant.name or found.get(participant.address, HIDDEN)
        for address in list(found):
            # The address without its resource or scheme says as much.
            if "@" in (short := bare(address)) and short != conversation.place:
                found.setdefault(short, found[address])
        return found

    @cached_property
    def _veiling(self) -> re.Pattern[str]:
        """Addresses with a domain wherever they stand, others (a nick may be any word) where they stand alone."""
        longest = sorted(self.hidden, key=len, reverse=True)
        patterns = (re.escape(a) if "@" in a else rf"(?<![\w.+@-]){re.escape(a)}(?![\w.@-])" for a in longest)
        return re.compile("|".join(patterns))

    def veil(self, text: str) -> str:
        """Take hidden addresses out of an identifier."""
        if not self.hidden:
            return text
        return self._veiling.sub(lambda found: self.hidden[found[0]], text)


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
    present = {address for presence in conversation.roster.present for address in presence.addresses[-1:]}
    present.update(participation.addresses[-1] for participation in conversation.participations)
    return sorted({normal(address) for address in present})


def first_bit(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def indices(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def bits(these: Iterable[int]) -> int:
    mask = 0
    for index in these:
        mask |= 1 << index
    return mask
