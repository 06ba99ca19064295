"""A filed item -> the conversation it shows, rebuilt from nothing but the item.

The events that the item carries go through the same fold and the same renderer as when they were new. What the item's
owner couldn't see, or what was redacted, is not in it and can't come back. Joins reading, folding and rendering; writes
nothing.
"""

from __future__ import annotations

from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import json

from archiver.conversation import Rules, gather, order
from archiver.events import Captured, Event, microseconds
from archiver.exceptions import UsageError
from archiver.rendering import ACTED, ROSTER, lines_of
from archiver.types import Conversation, Look, Presence, Role, Roster

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
    conversation = gather(
        events,
        roster,
        rules,
        partial=header.get("X-Archiver-Presence") == "inferred",
        session=None if "X-Archiver-Session" not in header else unquote(str(header["X-Archiver-Session"])),
        part=int(header.get("X-Archiver-Part", "1")),
    )
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
            present = json.decode(line)["data"]["conversation"].get("participants", ())
            roster = Roster(tuple(map(_presence, present)), event.data.conversation.topic)
        else:
            time = microseconds(event.time)
            events.append(Captured(event, time, time, line, number))
    return roster, events


def _presence(participant: dict[str, Any]) -> Presence:
    acted = participant.get(ACTED)
    time = None if acted is None else microseconds(datetime.fromisoformat(acted))
    return Presence((participant["address"],), participant.get("name"), participant.get("hidden", False), None, time)


def _look(header: EmailMessage, conversation: Conversation) -> Look:
    return Look(
        mask=(1 << len(conversation.events)) - 1,
        role=Role(str(header.get("X-Archiver-Role", Role.TOOK_PART))),
        side=None if "X-Archiver-Side" not in header else unquote(str(header["X-Archiver-Side"])),
        locale=str(header.get("X-Archiver-Locale", "en")),
        zone=str(header.get("X-Archiver-Zone", "UTC")),
        show_retracted=header.get("X-Archiver-Retracted") == "shown",
    )
