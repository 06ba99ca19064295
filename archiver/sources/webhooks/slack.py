"""Slack's Events API. From the published format, not tried against the product.

Source: docs.slack.dev, "Verifying requests from Slack" (v0 signatures), "The Events API" (url_verification,
event_callback), events message, reaction_added and reaction_removed. A message is an export's line with its channel,
so `archiver.importers.slack.message` reads both. Who joins and leaves comes as a message too, as in an export: the
events member_joined_channel and member_left_channel would tell it twice.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from archiver.events import SECOND, Attachment, Captured, Event, Participant, Place, Rejected, capture
from archiver.exceptions import EventError
from archiver.importers.slack import message as lines
from archiver.importers.slack.message import File, Line, Room
from archiver.sources.webhooks.product import Delivery
from archiver.sources.webhooks.signing import Keys, forged, same

WINDOW = 5 * 60 * SECOND
"""How old or how far ahead a signed time may be: what is older is a replay."""


class Envelope(Struct):
    """What every delivery is."""

    type: str = ""
    challenge: str | None = None
    team_id: str | None = None
    event: Raw = Raw(b"{}")


class Happened(Struct):
    type: str = ""


class Said(Line):
    """A message event. A change has the message as it is now in `message`, a deletion its `deleted_ts`."""

    channel: str = ""
    message: Line | None = None
    deleted_ts: str | None = None
    event_ts: str | None = None


class Item(Struct):
    type: str = ""
    channel: str = ""
    ts: str = ""


class Reacted(Struct):
    user: str
    reaction: str
    event_ts: str
    item: Item


class Slack:
    title = "Slack's Events API"
    reply = b""
    gaps = None

    def __init__(self, keys: Keys, network: str = "") -> None:
        self._keys = keys
        self._network = network

    @property
    def source(self) -> str:
        return f"slack:{self._network or 'workspace'}"

    def admit(self, delivery: Delivery) -> str | None:
        self._verify(delivery)
        try:
            envelope = msgspec.json.decode(delivery.body, type=Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # signed, and kept for a person
        return (envelope.challenge or "") if envelope.type == "url_verification" else None

    def _verify(self, delivery: Delivery) -> None:
        stamp = delivery.headers.get("x-slack-request-timestamp", "")
        if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
            raise forged("a request must have Slack's X-Slack-Request-Timestamp")
        signed = b"v0:" + stamp.encode() + b":" + delivery.body
        expected = [f"v0={hmac.new(key, signed, hashlib.sha256).hexdigest()}" for key in self._keys]
        if not same(delivery.headers.get("x-slack-signature", ""), as_one_of=expected):
            raise forged("X-Slack-Signature is not that of this request")
        if abs(delivery.received - int(stamp) * SECOND) > WINDOW:
            raise forged("it was signed more than five minutes ago", "replayed")

    def read(self, delivery: Delivery) -> Iterator[Captured | Rejected]:
        envelope = msgspec.json.decode(delivery.body, type=Envelope)
        if envelope.type != "event_callback":
            return
        source = f"slack:{self._network or envelope.team_id or 'workspace'}"
        for event in _events(bytes(envelope.event), source):
            yield capture(event, received=delivery.received, original=delivery.body, position="Slack's Events API")


def _events(content: bytes, source: str) -> Iterator[Event]:
    match msgspec.json.decode(content, type=Happened).type:
        case "message":
            yield from _said(msgspec.json.decode(content, type=Said), source)
        case "reaction_added" | "reaction_removed" as type_:
            reacted = msgspec.json.decode(content, type=Reacted)
            if reacted.item.type == "message":
                room, added = _room(reacted.item.channel, source), type_ == "reaction_added"
                at = None if added else reacted.event_ts
                yield lines.reacted(
                    room, reacted.item.ts, reacted.reaction, reacted.user, lines.time_of(reacted.event_ts), removed=at
                )


def _said(said: Said, source: str) -> Iterator[Event]:
    room = _room(said.channel, source)
    now = said.message
    if said.subtype == "message_deleted" and said.deleted_ts:
        yield lines.retracted(room, said.deleted_ts, lines.time_of(said.event_ts or said.ts))
    elif said.subtype == "message_changed" and now is not None and now.subtype == "tombstone":
        # Others answered to it: its place is kept.
        yield lines.retracted(room, now.ts, lines.time_of(said.event_ts or said.ts))
    elif said.subtype == "message_changed" and now is not None:
        # Also told where only a link was unfolded, or an answer counted: then nobody edited it.
        if now.edited is not None:
            yield lines.edited(now, now.edited, room)
    else:
        yield from lines.events(said, room, tuple(map(_file, said.shared))) or ()


def _room(channel: str, source: str) -> Room:
    if not channel:
        raise EventError("a message without a channel")
    place = Place(id=channel, kind="im" if channel.startswith("D") else "group", history="members")
    return Room(source, channel, place, _person, str)


def _person(identifier: str, line: Line | None) -> Participant:
    return Participant(address=identifier, name=line.called if line is not None else None)


def _file(file: File) -> Attachment:
    return Attachment(name=file.name or file.title, media_type=file.mimetype, size=file.size, url=file.url_private)
