"""Zulip's outgoing webhooks: what mentions a bot or is written to it. From the published format, not tried.

Ids are Zulip's, as in its export. Source: Zulip, "Outgoing webhooks".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from archiver.events import SENT, Event, Message, Participant, Place
from archiver.exceptions import EventError
from archiver.importers.telling import Room, from_milliseconds
from archiver.sources.webhooks.tokens import Tokened


class Person(Struct):
    id: int
    email: str | None = None
    full_name: str | None = None


class Said(Struct):
    id: int
    sender_id: int
    timestamp: float
    display_recipient: str | list[Person]
    sender_email: str | None = None
    sender_full_name: str | None = None
    content: str = ""
    subject: str = ""
    stream_id: int | None = None


class Posted(Struct):
    message: Said


class Zulip(Tokened):
    title = "Zulip's outgoing webhooks"
    kind = "zulip"
    reply = b'{"response_not_required": true}'

    def events(self, fields: dict[str, Any], received: int) -> Iterator[Event]:
        said = msgspec.convert(fields, Posted).message
        room, key = Room(self.source, _place(said)), str(said.id)
        actor = Participant(address=said.sender_email or str(said.sender_id), name=said.sender_full_name)
        at = from_milliseconds(said.timestamp * 1000)
        yield room.event(key, SENT, at, actor, message=Message(id=key, text=said.content))


def _place(said: Said) -> Place:
    """A channel's topic is a conversation of its own; else its people are."""
    if isinstance(said.display_recipient, str):
        if said.stream_id is None:
            raise EventError("a message of a channel without the channel's id")
        topic = f"#{said.display_recipient} > {said.subject}"
        return Place(id=f"{said.stream_id}/{said.subject}", kind="group", topic=topic, history="members")
    people = sorted(said.display_recipient, key=lambda each: each.id)
    parties = tuple(Participant(address=each.email or str(each.id), name=each.full_name) for each in people)
    identity = " ".join(str(each.id) for each in people)
    return Place(id=identity, kind="im" if len(people) <= 2 else "group", participants=parties)
