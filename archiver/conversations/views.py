"""A conversation -> what each mailbox's owner could see of it, and what they were in it (pure).

Holds who sees what: presence, whispers, missed, and what says something at all. How conversations come about is not
its business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from archiver.conversations.rules import Rules
from archiver.events import BARE, EDITED, REFERENCES, parties, target
from archiver.types import Conversation, Participation, Role, View

NOTHING: Mapping[str, frozenset[str]] = MappingProxyType({})


def is_content(conversation: Conversation) -> bool:
    """False for what is only joins, leaves and topics: such a conversation is not filed."""
    return any(content(conversation))


def views(
    conversation: Conversation,
    mailbox_of: Callable[[str], str | None],
    rules: Rules,
    whispered: Mapping[str, frozenset[str]] = NOTHING,
) -> tuple[View, ...]:
    """What the owner of each mailbox could see: the union of what their addresses could, whispers only to the parties.

    `mailbox_of` says None for people without a mailbox; `whispered` between whom messages were that are forgotten. A
    view without content is left out, but for a missed one.
    """
    seen: dict[str, _Seen] = {}
    for participation in conversation.participations:
        for address in participation.voices if conversation.partial else participation.addresses:
            mailbox = mailbox_of(address)
            if mailbox is not None:
                seen.setdefault(mailbox, _Seen()).add(participation)
    whispers = [(1 << index, who, set(map(mailbox_of, who))) for index, who in _whispers(conversation, whispered)]
    said, marks = content(conversation)
    made: list[View] = []
    for mailbox, one in seen.items():
        mask = one.mask
        for bit, who, mailboxes in whispers:
            if mask & bit and mailbox not in mailboxes and not one.bears(who, bit):
                mask &= ~bit
        # Marks alone make an item only where the conversation has nothing else: late ones, to a forgotten message.
        if mask & (said or marks) or (mask and one.invited_only and (said or marks)):
            side = min(one.addresses) if conversation.kind == "im" else None
            made.append(View(mailbox, frozenset(one.addresses), mask, _role(conversation, one, rules), side))
    return tuple(made)


class _Seen:
    """One mailbox's share while it is gathered."""

    __slots__ = ("addresses", "invited_only", "mask", "shares")

    def __init__(self) -> None:
        self.mask = 0
        self.shares: list[Participation] = []
        self.addresses: set[str] = set()
        self.invited_only = True

    def add(self, participation: Participation) -> None:
        self.mask |= participation.mask
        self.shares.append(participation)
        self.addresses.update(participation.addresses)
        self.invited_only = self.invited_only and participation.invited

    def bears(self, who: frozenset[str], bit: int) -> bool:
        """True where they went by the name of a party then: every name a participation bore is the same person,
        but once another bears it, it is theirs no longer."""
        return any(share.mask & bit and not who.isdisjoint(share.addresses) for share in self.shares)


def _role(conversation: Conversation, one: _Seen, rules: Rules) -> Role:
    if one.invited_only:
        return Role.MISSED
    if conversation.kind != "im" or _acted(conversation, one.addresses) or not _says_anew(conversation):
        return Role.TOOK_PART
    return Role.TOOK_PART if one.addresses & awake(conversation, rules) else Role.MISSED


def _says_anew(conversation: Conversation) -> bool:
    """False for nothing but changes to what was said elsewhere, which nobody can miss."""
    return any(captured.event.type not in REFERENCES | BARE for captured in conversation.events)


def awake(conversation: Conversation, rules: Rules) -> frozenset[str]:
    """Who did something so shortly before a one-to-one that they can't have missed it. Nobody elsewhere."""
    if conversation.kind != "im":
        return frozenset()
    since = conversation.started - rules.missed_quiet
    found = (p.addresses for p in conversation.roster.present if p.acted is not None and p.acted >= since)
    return frozenset(address for addresses in found for address in addresses)


def _acted(conversation: Conversation, addresses: set[str]) -> bool:
    """True where one of them did something in the conversation itself; a later reaction or edit answers nothing."""
    for captured in conversation.events:
        actor = captured.event.data.actor
        if actor is not None and actor.address in addresses and captured.event.type not in REFERENCES:
            return True
    return False


def absent(conversation: Conversation) -> set[str]:
    """The messages and polls that references in it refer to and that it doesn't hold."""
    targets: dict[bool, set[str]] = {False: set(), True: set()}
    for captured in conversation.events:
        if (key := target(captured.event)) is not None:
            targets[captured.event.type in REFERENCES].add(key)
    return targets[True] - targets[False]


def _whispers(conversation: Conversation, forgotten: Mapping[str, frozenset[str]]) -> list[tuple[int, frozenset[str]]]:
    """The events that only some may see, and who: whispers, and what refers to one, a `forgotten` one too."""
    messages = [
        (index, captured.event, captured.event.data.message)
        for index, captured in enumerate(conversation.events)
        if captured.event.data.message is not None
    ]
    if not forgotten and all(message.to is None for _, _, message in messages):
        return []
    whispered = dict(forgotten)
    for _, event, message in messages:
        if event.type not in REFERENCES and (only := parties(event)) is not None:
            whispered[message.id] = only
    found: list[tuple[int, frozenset[str]]] = []
    for index, event, message in messages:
        may_see = whispered.get(message.id) if event.type in REFERENCES else None
        if (own := parties(event)) is not None:
            may_see = own if may_see is None else may_see & own
        if may_see is not None:
            found.append((index, may_see))
    return found


def content(conversation: Conversation) -> tuple[int, int]:
    """Masks of what says something by itself, and of mere marks on what was said (reactions, votes, retractions)."""
    said = marks = 0
    for index, captured in enumerate(conversation.events):
        kind = captured.event.type
        if kind in REFERENCES and kind != EDITED:
            marks |= 1 << index
        elif kind not in BARE:
            said |= 1 << index
    return said, marks
