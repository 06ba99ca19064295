"""A filed item -> the conversation it shows, rebuilt from nothing but the item.

The events that the item carries go through the same fold and the same renderer as when they were new. What the item's
owner couldn't see, or what was redacted, is not in it and can't come back. Joins reading, folding and rendering; writes
nothing.
"""

from __future__ import annotations

from datetime import datetime
from email import message_from_bytes
from email.message import Message
from urllib.parse import unquote

import msgspec
from msgspec import Struct, convert, json

from archiver.conversations.projection import Bounds, gather
from archiver.conversations.rules import Rules, order
from archiver.events import Captured, Event, Kind, Participant, microseconds
from archiver.exceptions import UsageError
from archiver.rendering import ROSTER, lines_of, spelling
from archiver.types import Conversation, Look, Presence, Role, Roster

_decode = json.Decoder(Event).decode


def rebuild(item: bytes | Message, rules: Rules, more: tuple[Captured, ...] = ()) -> tuple[Conversation, Look]:
    """The conversation as an item's owner saw it, and the look that renders it again; with `more` events added.

    Who has parsed the item already gives that. Raises `UsageError` where it carries no events, or damaged ones.
    """
    header = item if isinstance(item, Message) else message_from_bytes(item)
    roster, session, events = carried(header)
    if more:
        # By time alone, and stable: ids in an item may have been veiled, which is no reason to change places.
        events = sorted([*events, *more], key=_moment)
    if not events:
        raise UsageError("the item carries no events")
    try:
        conversation = gather(events, roster, rules, _bounds(header, session, events[0]))
        return conversation, _look(header, conversation)
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"the item's header fields are damaged: {error}") from error


def _moment(captured: Captured) -> tuple[int, bool, str]:
    return order(captured)[:3]


class _Found(Participant, frozen=True):
    """Somebody the roster's line names."""

    acted: datetime | None = None


class _Place(Struct, frozen=True):
    participants: tuple[_Found, ...] = ()
    topic: str | None = None
    session: str | None = None


class _Data(Struct, frozen=True):
    conversation: _Place


class _RosterLine(Struct, frozen=True):
    data: _Data


_decode_roster = json.Decoder(_RosterLine).decode


def carried(item: bytes | Message) -> tuple[Roster, str | None, list[Captured]]:
    """Roster and session of the first line, if that is the roster's, and the events."""
    roster, session = Roster(), None
    events: list[Captured] = []
    for number, line in enumerate(lines_of(item), 1):
        try:
            event = _decode(line)
            if event.type == ROSTER and number == 1:
                place = _decode_roster(line).data.conversation
                roster, session = Roster(tuple(map(_presence, place.participants)), place.topic), place.session
                continue
        except msgspec.DecodeError as error:
            raise UsageError(f"the item's event {number} can't be read: {error}") from error
        time = microseconds(event.time)
        events.append(Captured(event, time, time, line, number))
    return roster, session, events


def _presence(found: _Found) -> Presence:
    acted = None if found.acted is None else microseconds(found.acted)
    return Presence((found.address,), found.name, found.hidden, None, acted)


def _bounds(header: Message, session: str | None, first: Captured) -> Bounds:
    if session is None and "X-Archiver-Session" in header:
        session = unquote(str(header["X-Archiver-Session"]))
    return Bounds(
        kind=convert(str(header.get("X-Archiver-Kind", first.event.data.conversation.kind)), Kind),
        session=session,
        part=int(header.get("X-Archiver-Part", "1")),
        partial=header.get("X-Archiver-Presence") == "inferred",
    )


def _look(header: Message, conversation: Conversation) -> Look:
    return Look(
        mask=(1 << len(conversation.events)) - 1,
        role=Role(str(header.get("X-Archiver-Role", Role.TOOK_PART))),
        side=_side(header, conversation),
        locale=str(header.get("X-Archiver-Locale", "en")),
        zone=str(header.get("X-Archiver-Zone", "UTC")),
        show_retracted=header.get("X-Archiver-Retracted") == "shown",
        complete=header.get("X-Archiver-Transcript") == "complete",
    )


def _side(header: Message, conversation: Conversation) -> str | None:
    """The owner's address, by how the header spells it: of one too long it has only the beginning."""
    if "X-Archiver-Side" not in header:
        return None
    spelt = str(header["X-Archiver-Side"])
    known = (address for p in conversation.participations for address in p.addresses)
    return next((address for address in known if spelling(address) == spelt), unquote(spelt))
