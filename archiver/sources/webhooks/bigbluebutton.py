"""BigBlueButton's webhooks (bbb-webhooks). From the published format, not tried against the product.

A callback is a form: `event` is a JSON array, `timestamp` when it was first tried, `domain` the server. Its `checksum`
is over the callback's URL as it was registered, the body as it is sent, and the server's secret; or the secret comes as
a bearer token (`auth2_0`). A callback is tried again for as long as it takes, with its first timestamp: an old one is
no replay, and one that comes twice is a duplicate.

Source: bigbluebutton/bbb-webhooks, callback emitter and its example of mapped events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from archiver.events import (
    ENDED,
    JOINED,
    LEFT,
    POLL_OPENED,
    POLL_VOTED,
    SENT,
    STARTED,
    Captured,
    Event,
    Message,
    Participant,
    Place,
    Poll,
    Rejected,
    capture,
    microseconds,
    moment,
)
from archiver.exceptions import EventError
from archiver.importers.bigbluebutton import chat
from archiver.importers.bigbluebutton.action import SCREEN_SHARED, SCREEN_UNSHARED
from archiver.importers.bigbluebutton.text import plain
from archiver.importers.telling import Room, from_milliseconds
from archiver.sources.webhooks.product import Delivery
from archiver.sources.webhooks.signing import Keys, forged, same

PUBLIC = "MAIN-PUBLIC-GROUP-CHAT"
_FIELDS = 20
_ALGORITHMS = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
"""A server says which by the length of what it sends."""
_BARE = {
    "meeting-created": STARTED,
    "meeting-ended": ENDED,
    "meeting-screenshare-started": SCREEN_SHARED,
    "meeting-screenshare-stopped": SCREEN_UNSHARED,
}
_COMING = {"user-joined": JOINED, "user-left": LEFT}
REMEMBERED = 100_000


class Meeting(Struct, rename="kebab"):
    internal_meeting_id: str
    external_meeting_id: str
    name: str | None = None


class User(Struct, rename="kebab"):
    internal_user_id: str
    external_user_id: str | None = None
    name: str | None = None


class Chat(Struct):
    id: str
    sender: User
    message: str = ""


class Answer(Struct):
    id: int
    key: str = ""


class Asked(Struct):
    id: str
    question: str | None = None
    answers: list[Answer] = []
    answerIds: list[int] = []


class Attributes(Struct, rename="kebab"):
    meeting: Meeting
    user: User | None = None
    chat_message: Chat | None = None
    chat_id: str = ""
    poll: Asked | None = None


class Stamp(Struct):
    ts: int


class Happened(Struct):
    id: str
    event: Stamp
    attributes: Any = field(default=None)


class Mapped(Struct):
    data: Happened


class BigBlueButton:
    """`url` is the callback's, as it was registered, without a checksum."""

    title = "BigBlueButton's webhooks"
    reply = b""
    gaps = None

    def __init__(self, keys: Keys, network: str = "", url: str = "") -> None:
        self._keys = keys
        self._network = network.lower()
        self._url = url.encode()
        self._people: dict[str, Participant] = {}

    @property
    def source(self) -> str:
        return f"bbb:{self._network or 'bigbluebutton'}"

    def admit(self, delivery: Delivery) -> str | None:
        if not (self._signed(delivery) or self._borne(delivery)):
            raise forged("the checksum is not that of this callback's URL, body and secret")
        return None

    def _signed(self, delivery: Delivery) -> bool:
        try:
            given = parse_qs(delivery.query, max_num_fields=_FIELDS).get("checksum", [""])[-1]
        except ValueError:  # more fields than anybody needs
            return False
        algorithm = _ALGORITHMS.get(len(given))
        if algorithm is None:
            return False
        content = self._url + delivery.body
        return same(given, as_one_of=[hashlib.new(algorithm, content + key).hexdigest() for key in self._keys])

    def _borne(self, delivery: Delivery) -> bool:
        expected = [f"Bearer {key.decode()}" for key in self._keys]
        return same(delivery.headers.get("authorization", ""), as_one_of=expected)

    def read(self, delivery: Delivery) -> Iterator[Captured | Rejected]:
        """A callback's events each by itself: one that can't be read takes no other with it."""
        try:
            form = parse_qs(delivery.body.decode(), max_num_fields=_FIELDS)
        except ValueError as fault:
            raise EventError(f"no form: {fault}") from fault
        source = f"bbb:{self._network or form.get('domain', ['bigbluebutton'])[0].lower()}"
        for content in form.get("event") or _none():
            for each in msgspec.json.decode(content, type=list[msgspec.Raw]):
                yield from self._one(bytes(each), source, delivery.received)

    def _one(self, content: bytes, source: str, received: int) -> Iterator[Captured | Rejected]:
        position = f"from {self.title}"
        try:
            happened = msgspec.json.decode(content, type=Mapped).data
            for event in self._events(happened, source):
                yield capture(event, received=received, original=content, position=position)
        except (EventError, msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
            yield Rejected(content, position, str(fault), source)

    def _events(self, happened: Happened, source: str) -> Iterator[Event]:
        """None for what is no conversation: voice, cameras, raised hands, what becomes of a recording."""
        kind = happened.id
        if kind not in _BARE and kind not in _COMING and kind not in _SAID:
            return
        told = msgspec.convert(happened.attributes, Attributes)
        room, at = _room(told.meeting, source), from_milliseconds(happened.event.ts)
        key = f"{told.meeting.internal_meeting_id}/{kind}"
        if kind in _BARE:
            yield room.event(f"{key}/{happened.event.ts}", _BARE[kind], at)
        elif kind in _COMING and told.user is not None:
            actor = self._person(told.user)
            yield room.event(f"{key}/{told.user.internal_user_id}/{happened.event.ts}", _COMING[kind], at, actor)
        elif kind == "chat-group-message-sent" and told.chat_message is not None:
            # Who reads a private chat isn't told: to be shown to nobody else, it is shown to nobody.
            if told.chat_id == PUBLIC:
                yield _said(told.chat_message, room, happened.event.ts, self._person(told.chat_message.sender))
        elif kind == "poll-started" and told.poll is not None:
            by = self._person(told.user) if told.user is not None else None
            asked = Poll(told.poll.id, plain(told.poll.question or "") or None, _options(told.poll))
            yield room.event(f"{key}/{told.poll.id}", POLL_OPENED, at, by, poll=asked)
        elif kind == "poll-responded" and told.poll is not None and told.user is not None:
            # A poll that is secret doesn't say so here: who answered what is never told.
            chosen = Poll(told.poll.id, choice=tuple(told.poll.answerIds))
            name = f"{key}/{told.poll.id}/{told.user.internal_user_id}/{happened.event.ts}"
            yield room.event(name, POLL_VOTED, at, poll=chosen)
        else:
            raise EventError(f"{kind} without what it is about")

    def _person(self, user: User) -> Participant:
        """Who writes in the chat is only told by the connection: who that is was told when they came."""
        known = self._people.get(user.internal_user_id)
        if user.external_user_id is None:
            return known or Participant(address=user.internal_user_id, name=user.name)
        name = user.name or (known.name if known is not None else None)
        person = Participant(address=user.external_user_id, name=name)
        self._people[user.internal_user_id] = person
        while len(self._people) > REMEMBERED:
            self._people.pop(next(iter(self._people)), None)
        return person


_SAID = frozenset(("chat-group-message-sent", "poll-started", "poll-responded"))


def _said(message: Chat, room: Room, told: int, author: Participant) -> Event:
    """As its recording has it, with the same id and time."""
    at = moment(chat.said_at(message.id, microseconds(from_milliseconds(told))))
    said = Message(id=message.id, text=plain(message.message))
    event = room.event(message.id, SENT, at, author, message=said)
    return replace(event, id=chat.identity_of(room.place.session or "", message.id))


def _none() -> list[str]:
    raise EventError("a callback without events")


def _room(meeting: Meeting, source: str) -> Room:
    place = Place(
        id=meeting.external_meeting_id,
        kind="conference",
        topic=meeting.name or None,
        session=meeting.internal_meeting_id,
    )
    return Room(source, place)


def _options(asked: Asked) -> tuple[str, ...] | None:
    return tuple(each.key for each in asked.answers) or None
