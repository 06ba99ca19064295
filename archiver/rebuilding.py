"""A filed item -> the conversation it shows, rebuilt from nothing but the item.

The events that the item carries go through the same fold and the same renderer as when they were new. What the item's
owner couldn't see, or what was redacted, is not in it and can't come back. Joins reading, folding and rendering; writes
nothing.
"""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage

import msgspec
from msgspec import structs

from archiver.conversation import Rules, conversations, order, survey
from archiver.events import Captured, Event, microseconds
from archiver.exceptions import UsageError
from archiver.rendering import ROSTER, lines_of
from archiver.types import Conversation, Look, Presence, Role, Roster

_UNBOUNDED = 2**62
_decode = msgspec.json.Decoder(Event).decode


def rebuild(item: bytes, rules: Rules, more: tuple[Captured, ...] = ()) -> tuple[Conversation, Look]:
    """The conversation as an item's owner saw it, and the look that renders it again; with `more` events added.

    Raises `UsageError` where the item carries no events, or damaged ones.
    """
    header = message_from_bytes(item, EmailMessage, policy=policy.default)
    roster, events = _events(item)
    events = sorted([*events, *more], key=order)
    if not events:
        raise UsageError("the item carries no events")
    partial = header.get("X-Archiver-Presence") == "inferred"
    # Where the conversation was bounded is known already: everything in the item belongs together.
    rules = structs.replace(
        rules, idle=_UNBOUNDED, span=_UNBOUNDED, silence=_UNBOUNDED, part_events=_UNBOUNDED, part_bytes=_UNBOUNDED
    )
    looked = survey(lambda: events, roster, rules, partial=partial)
    (conversation,) = conversations(events, looked, roster, rules, partial=partial)
    conversation = structs.replace(conversation, part=int(header.get("X-Archiver-Part", "1")))
    return conversation, _look(header, conversation)


def _events(item: bytes) -> tuple[Roster, list[Captured]]:
    roster = Roster()
    events: list[Captured] = []
    for number, line in enumerate(lines_of(item), 1):
        try:
            event = _decode(line)
        except msgspec.DecodeError as error:
            raise UsageError(f"the item's event {number} can't be read: {error}") from error
        if event.type == ROSTER:
            place = event.data.conversation
            present = tuple(Presence((who.address,), who.name, who.hidden) for who in place.participants or ())
            roster = Roster(present, place.topic)
        else:
            time = microseconds(event.time)
            events.append(Captured(event, time, time, line, number))
    return roster, events


def _look(header: EmailMessage, conversation: Conversation) -> Look:
    return Look(
        mask=(1 << len(conversation.events)) - 1,
        role=Role(str(header.get("X-Archiver-Role", Role.TOOK_PART))),
        side=header.get("X-Archiver-Side"),
        locale=str(header.get("X-Archiver-Locale", "en")),
        zone=str(header.get("X-Archiver-Zone", "UTC")),
        show_retracted=header.get("X-Archiver-Retracted") == "shown",
    )
