"""One chatMessage of Microsoft Graph -> its events. Pure.

An administrator's export has the same objects with capital initials. Ids are unique in a chat or channel, live and in
any export alike. Source: Microsoft Graph, resource types chatMessage and eventMessageDetail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    REACTED,
    RETRACTED,
    SENT,
    TOPIC_CHANGED,
    Attachment,
    Event,
    Message,
    Participant,
    Place,
)
from archiver.hypertext import text_of
from archiver.importers.telling import Room

_Time = Annotated[datetime, Meta(tz=True)]
_EMOJI = re.compile(r"""<emoji\b[^<>]*\balt="([^"<>]*)"[^<>]*>""")
_WORDS = frozenset(("title", "subtitle", "text"))
_QUOTES = frozenset(("messageReference", "forwardedMessageReference"))


class Person(Struct):
    id: str | None = None
    displayName: str | None = None


class Identity(Struct):
    user: Person | None = None
    application: Person | None = None
    device: Person | None = None


class Body(Struct):
    contentType: str = "text"
    content: str | None = None


class Shared(Struct):
    id: str | None = None
    contentType: str | None = None
    contentUrl: str | None = None
    content: str | None = None
    name: str | None = None


class Reaction(Struct):
    reactionType: str = ""
    displayName: str | None = None
    createdDateTime: _Time | None = None
    user: Identity | None = None


class Change(Struct):
    """One entry of what was done to a message since it was sent."""

    modifiedDateTime: _Time | None = None
    actions: str = ""
    reaction: Reaction | None = None


class Channel(Struct):
    teamId: str | None = None
    channelId: str | None = None


class Detail(Struct):
    """What a system event says. Graph names its kind by type, an export by the one member that isn't null."""

    kind: str | None = None
    initiator: Identity | None = None
    members: list[Person] | None = None
    chatDisplayName: str | None = None
    channelDisplayName: str | None = None


class ChatMessage(Struct):
    id: str
    createdDateTime: _Time
    messageType: str = "message"
    replyToId: str | None = None
    lastEditedDateTime: _Time | None = None
    deletedDateTime: _Time | None = None
    subject: str | None = None
    from_: Identity | None = None
    body: Body | None = None
    attachments: list[Shared] | None = None
    reactions: list[Reaction] | None = None
    messageHistory: list[Change] | None = None
    chatId: str | None = None
    channelIdentity: Channel | None = None
    eventDetail: Detail | None = None


def normal(value: Any) -> Any:
    """The same with small initials and without what is empty; `from` and the kind of a system event by our names."""
    if isinstance(value, list):
        return [normal(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {_key(key): normal(inner) for key, inner in value.items() if inner is not None}
    if "eventDetail" in found and isinstance(found["eventDetail"], dict):
        found["eventDetail"] = _detail(found["eventDetail"])
    return found


def _key(key: str) -> str:
    key = key[:1].lower() + key[1:]
    return "from_" if key == "from" else key


def _detail(detail: dict[str, Any]) -> dict[str, Any]:
    kind = detail.get("@odata.type")
    if isinstance(kind, str):
        return {**detail, "kind": kind.rpartition(".")[2].removesuffix("EventMessageDetail")}
    for name, inner in detail.items():
        if isinstance(inner, dict) and name != "initiator":
            return {**inner, "kind": name, "initiator": detail.get("initiator")}
    return detail


_COMING = {"membersAdded": JOINED, "membersJoined": JOINED, "membersDeleted": LEFT, "membersLeft": LEFT}
_CALLS = {"callStarted": "call.started", "callEnded": "call.ended"}


class Teller:
    """Events of one tenant. `addresses` are people's mail addresses by id; `nobody` gathers those of applications."""

    def __init__(self, source: str, addresses: dict[str, Participant], nobody: set[str]) -> None:
        self._source = source
        self._addresses = addresses
        self._nobody = nobody

    def place(self, message: ChatMessage) -> Place | None:
        """A chat's id says what it is; None for a message that doesn't say where it stood."""
        if message.chatId:
            return self._chat(message.chatId)
        channel = message.channelIdentity
        if channel is None or not channel.channelId:
            return None
        return Place(id=channel.channelId, kind="group", history="members")

    def _chat(self, chat: str) -> Place:
        if chat.endswith("@unq.gbl.spaces") and "_" in chat:
            pair = chat.removeprefix("19:").partition("@")[0].split("_")
            people = sorted((self._person(each, None) for each in pair), key=lambda each: each.address)
            return Place(id=chat, kind="im", participants=tuple(people))
        return Place(id=chat, kind="conference" if "meeting_" in chat else "group", history="members")

    def events(self, message: ChatMessage, place: Place) -> Iterator[Event]:
        """In their order; none for what is no conversation."""
        room = Room(self._source, place)
        if message.messageType == "message":
            yield from self._said(message, room)
        elif message.eventDetail is not None:
            yield from self._system(message, room, message.eventDetail)

    def _said(self, message: ChatMessage, room: Room) -> Iterator[Event]:
        actor = self._actor(message.from_)
        answered = message.replyToId or _quoted(message)
        thread = message.replyToId
        said = Message(message.id, _text(message), _html(message), in_reply_to=answered, thread=thread)
        if message.deletedDateTime is not None:
            bare = Message(message.id, "", in_reply_to=answered, thread=thread)
            yield room.event(message.id, SENT, message.createdDateTime, actor, message=bare)
            key = f"{message.id}/deleted"
            yield room.event(key, RETRACTED, message.deletedDateTime, actor, message=Message(id=message.id))
            return
        files = tuple(_file(each) for each in message.attachments or () if _is_file(each))
        yield room.event(message.id, SENT, message.createdDateTime, actor, message=said, attachments=files or None)
        if message.lastEditedDateTime is not None:
            key = f"{message.id}/edited"
            changed = Message(id=message.id, text=said.text, html=said.html)
            yield room.event(key, EDITED, message.lastEditedDateTime, actor, message=changed)
        for reaction in message.reactions or ():
            yield from self._reacted(message, room, reaction)
        for change in message.messageHistory or ():
            if change.reaction is not None and change.reaction not in (message.reactions or ()):
                yield from self._reacted(message, room, change.reaction, change)

    def _reacted(
        self, message: ChatMessage, room: Room, reaction: Reaction, change: Change | None = None
    ) -> Iterator[Event]:
        """One that stands, or by `change` one that was given or taken back in the meantime."""
        who = self._actor(reaction.user)
        if who is None:
            return
        name = reaction.displayName or reaction.reactionType
        key = f"{message.id}/reaction/{reaction.reactionType}/{who.address}"
        stated = reaction.createdDateTime or (change.modifiedDateTime if change is not None else None)
        at, guessed = stated or message.createdDateTime, None if stated else "reacted"
        told = Message(id=message.id)
        if change is None:
            yield room.event(key, REACTED, at, who, guessed=guessed, message=told, reaction=name)
        else:
            key = f"{key}/{at.timestamp():.3f}"
            gone = change.actions == "reactionRemoved"
            yield room.event(key, REACTED, at, who, guessed=guessed, message=told, reaction=name, removed=gone)

    def _system(self, message: ChatMessage, room: Room, detail: Detail) -> Iterator[Event]:
        actor, at, kind = self._actor(detail.initiator), message.createdDateTime, detail.kind or ""
        if kind in _COMING:
            for each in detail.members or ():
                person = self._person(each.id or "", each.displayName) if each.id else None
                if person is not None:
                    subject = None if person == actor else person
                    yield room.event(f"{message.id}/{each.id}", _COMING[kind], at, actor, subject=subject)
        elif kind in _CALLS:
            yield room.event(message.id, _CALLS[kind], at, actor)
        elif kind in ("chatRenamed", "channelRenamed"):
            topic = detail.chatDisplayName or detail.channelDisplayName or ""
            yield room.event(message.id, TOPIC_CHANGED, at, actor, topic=topic)

    def _actor(self, identity: Identity | None) -> Participant | None:
        if identity is None:
            return None
        if identity.user is not None and identity.user.id:
            return self._person(identity.user.id, identity.user.displayName)
        application = identity.application or identity.device
        if application is None or not application.id:
            return None
        self._nobody.add(application.id)
        return Participant(address=application.id, name=application.displayName)

    def _person(self, identifier: str, name: str | None) -> Participant:
        known = self._addresses.get(identifier)
        return known if known is not None else Participant(address=identifier, name=name)


def _text(message: ChatMessage) -> str:
    body = message.body or Body()
    content = body.content or ""
    text = text_of(_EMOJI.sub(r"\1", content)) if body.contentType == "html" else content
    return "\n".join(filter(None, (message.subject, text, *map(_inside, message.attachments or ()))))


def _inside(shared: Shared) -> str:
    """What stands in an attachment alone: a message that is forwarded, the words of a card."""
    try:
        content = msgspec.json.decode(shared.content or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    if shared.contentType == "forwardedMessageReference" and isinstance(content, dict):
        return f"[forwarded] {text_of(str(content.get('originalMessageContent') or ''))}"
    if "card" in (shared.contentType or ""):
        return "\n".join(_words(content))
    return ""


def _words(card: Any) -> Iterator[str]:
    """Titles and texts of a card, in their order."""
    if isinstance(card, list):
        for each in card:
            yield from _words(each)
    elif isinstance(card, dict):
        for name, inner in card.items():
            if name in _WORDS and isinstance(inner, str):
                yield text_of(inner)
            else:
                yield from _words(inner)


def _html(message: ChatMessage) -> str | None:
    body = message.body
    return body.content if body is not None and body.contentType == "html" and body.content else None


def _quoted(message: ChatMessage) -> str | None:
    quotes = (each.id for each in message.attachments or () if each.contentType == "messageReference")
    return next((each for each in quotes if each), None)


def _is_file(shared: Shared) -> bool:
    return shared.contentType not in _QUOTES and bool(shared.name or shared.contentUrl)


def _file(shared: Shared) -> Attachment:
    return Attachment(name=shared.name or shared.contentType, url=shared.contentUrl)
