"""One message of a Slack export -> its events: what was said, shared, changed, taken back and reacted to.

An event's id is the channel's with the message's `ts`, which Slack's Events API calls by the same names: what was
captured live and what is read again later are one event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct, structs

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    REACTED,
    RETRACTED,
    SENT,
    TOPIC_CHANGED,
    Attachment,
    Data,
    Event,
    Message,
    Participant,
    Place,
    moment,
)
from archiver.exceptions import EventError
from archiver.importers.slack.cards import shown
from archiver.importers.slack.mrkdwn import plain

_PLAIN = (None, "bot_message", "me_message", "thread_broadcast", "reply_broadcast")
_SAID = frozenset((*_PLAIN, "file_share", "file_comment", "file_mention"))
COMING = frozenset(("channel_join", "group_join"))
_LEAVES = frozenset(("channel_leave", "group_leave"))
_TOPICS = frozenset(("channel_topic", "group_topic", "channel_name", "group_name"))


class Edited(Struct):
    ts: str
    user: str | None = None


class Reaction(Struct):
    name: str
    users: list[str] = []


class File(Struct):
    """`mode`: hosted, snippet, external; tombstone and hidden_by_limit for one that is gone."""

    id: str | None = None
    name: str | None = None
    title: str | None = None
    mimetype: str | None = None
    size: int | None = None
    mode: str | None = None
    url_private: str | None = None


class Profile(Struct):
    display_name: str | None = None
    real_name: str | None = None
    name: str | None = None


class Line(Struct):
    """A message as the export has it: what is used of it."""

    ts: str
    type: str | None = None
    subtype: str | None = None
    user: str | None = None
    bot_id: str | None = None
    username: str | None = None
    text: str | None = None
    attachments: Any = None
    blocks: Any = None
    thread_ts: str | None = None
    edited: Edited | None = None
    reactions: list[Reaction] | None = None
    files: list[File | None] | None = None
    file: File | None = None
    topic: str | None = None
    name: str | None = None
    user_profile: Profile | None = None
    bot_profile: Profile | None = None

    @property
    def shared(self) -> list[File]:
        return [each for each in (self.files or [self.file]) if each is not None]

    @property
    def who(self) -> str:
        """The id of who wrote it: a user, a bot, a bot's name."""
        return self.user or self.bot_id or self.username or ""

    @property
    def called(self) -> str | None:
        """The name that stands beside it, if any."""
        profile = self.user_profile or self.bot_profile
        return self.username or (profile and (profile.display_name or profile.real_name or profile.name)) or None


class Room(Struct, frozen=True):
    """A channel or direct conversation, with what is needed to speak of it."""

    source: str
    id: str
    place: Place
    person: Callable[[str, Line | None], Participant]
    name_of: Callable[[str], str]


def time_of(ts: str) -> int:
    """Microseconds of a `ts`, "seconds.microseconds". Raises `EventError`."""
    seconds, _, fraction = ts.partition(".")
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) <= 12 and (fraction or "0").isdecimal()):
        raise EventError(f"ts is no time: {ts!a}")
    return int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0"))


def events(line: Line, room: Room, attachments: tuple[Attachment, ...]) -> Iterator[Event] | None:
    """The events of a message in their order; None for what is no conversation. Raises `EventError`."""
    at = time_of(line.ts)
    if line.subtype in _SAID:
        return _said(line, room, at, attachments)
    if line.subtype == "tombstone":
        return _deleted(line, room, at)
    if line.subtype in COMING:
        return iter([_event(room, line.ts, JOINED, at, actor=_actor(line, room))])
    if line.subtype in _LEAVES:
        return iter([_event(room, line.ts, LEFT, at, actor=_actor(line, room))])
    if line.subtype in _TOPICS:
        topic = line.topic if line.topic is not None else line.name
        return iter([_event(room, line.ts, TOPIC_CHANGED, at, actor=_actor(line, room), topic=topic or "")])
    return None


def _said(line: Line, room: Room, at: int, attachments: tuple[Attachment, ...]) -> Iterator[Event]:
    text = _text(line, room)
    thread = line.thread_ts if line.thread_ts != line.ts else None
    message = Message(id=line.ts, text=text, in_reply_to=thread, thread=thread)
    actor = _actor(line, room)
    yield _event(room, line.ts, SENT, at, actor=actor, message=message, attachments=attachments or None)
    if line.edited is not None:
        yield edited(line, line.edited, room)
    yield from _reactions(line, room, at)


def _text(line: Line, room: Room) -> str:
    is_app = line.subtype == "bot_message" or line.bot_id is not None
    text = plain(shown(line.text or "", line.attachments, line.blocks, is_app=is_app), room.name_of)
    return f"/me {text}" if line.subtype == "me_message" else text


def edited(line: Line, edit: Edited, room: Room) -> Event:
    """`line` is the message as it is after this edit."""
    who = room.person(edit.user, None) if edit.user else _actor(line, room)
    changed = Message(id=line.ts, text=_text(line, room))
    return _event(room, f"{line.ts}/edited/{edit.ts}", EDITED, time_of(edit.ts), actor=who, message=changed)


def _reactions(line: Line, room: Room, at: int) -> Iterator[Event]:
    """An export says who reacted, never when: told at the time of the message."""
    for reaction in line.reactions or ():
        for user in reaction.users:
            yield structs.replace(reacted(room, line.ts, reaction.name, user, at), archiverguessed="reacted")


def reacted(room: Room, ts: str, name: str, user: str, at: int, *, removed: str | None = None) -> Event:
    """To the message of this `ts`. `removed` is the `ts` at which it was taken back, which only happens live."""
    return _event(
        room,
        f"{ts}/reaction/{name}/{user}" + (f"/removed/{removed}" if removed else ""),
        REACTED,
        at,
        actor=room.person(user, None),
        message=Message(id=ts),
        reaction=f":{name}:",
        removed=removed is not None,
    )


def _deleted(line: Line, room: Room, at: int) -> Iterator[Event]:
    """What stood here was deleted; the message that answers to it keeps its place."""
    yield _event(room, line.ts, SENT, at, actor=_actor(line, room), message=Message(id=line.ts, text=""))
    yield retracted(room, line.ts, at)


def retracted(room: Room, ts: str, at: int) -> Event:
    return _event(room, f"{ts}/deleted", RETRACTED, at, message=Message(id=ts))


def _actor(line: Line, room: Room) -> Participant | None:
    return room.person(line.who, line) if line.who else None


def _event(room: Room, name: str, type_: str, at: int, **data: object) -> Event:
    return Event(
        source=room.source,
        id=f"{room.id}/{name}",
        type=type_,
        time=moment(at),
        data=Data(conversation=room.place, **data),  # type: ignore[arg-type]
    )
