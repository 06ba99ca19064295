"""Skype's export (messages.json, also inside its tar) -> events.

Ids are Skype's own. Contents are HTML with tags of its own: quotes, calls, files, people. Made from the published
types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from typing import Annotated, Any

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
    Captured,
    Event,
    Message,
    Participant,
    Place,
    Rejected,
)
from archiver.hypertext import text_of
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import ENCRYPTED, Room, told

_Time = Annotated[datetime, Meta(tz=True)]
_QUOTE = re.compile(r"<quote\b[^<>]*?\bmessageid=[\"'](\d+)[\"'].*?</quote>", re.DOTALL)
_EDIT_MARK = re.compile(r"<e_m\b[^<>]*>(?:</e_m>)?")
_NAME = re.compile(r"<OriginalName\b[^<>]*?\bv=\"([^\"]*)\"")
_TARGET = re.compile(r"<target>([^<]*)</target>")
_INITIATOR = re.compile(r"<initiator>([^<]*)</initiator>")
_VALUE = re.compile(r"<value>([^<]*)</value>")
_CALL = re.compile(r"<partlist\b[^<>]*\btype=\"(started|ended|missed)\"")
_CONTACT = re.compile(r"<c\b[^<>]*?\bf=\"([^\"]*)\"")
_ENCRYPTED = "EndToEndEncryption/EncryptedText"
_COMING = {"ThreadActivity/AddMember": JOINED, "ThreadActivity/DeleteMember": LEFT}


class Reactor(Struct):
    mri: str
    time: str | int | None = None


class Emotion(Struct):
    key: str
    users: list[Reactor] = []


class Properties(Struct):
    edittime: str | int | None = None
    deletetime: str | int | None = None
    emotions: list[Emotion] = []


class Line(Struct, rename={"from_": "from"}):
    id: str
    originalarrivaltime: _Time
    messagetype: str = "Text"
    from_: str = ""
    displayName: str | None = None
    content: str | None = None
    properties: Properties | None = None


class ThreadProperties(Struct):
    topic: str | None = None


class Head(Struct):
    id: str
    displayName: str | None = None
    threadProperties: ThreadProperties | None = None
    userId: str | None = None


class Skype:
    name = "skype"
    title = "Skype exports (messages.json)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        return head.lstrip().startswith(b"{") and b'"conversations"' in head and b'"userId"' in head

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        source = options.source or f"skype:{options.network or 'skype'}"
        room: _Conversation | None = None
        number = 0
        try:
            for header, element in jsonfile.listed(document, ("", "conversations.item"), "MessageList"):
                if element is None:
                    room, number = _Conversation(jsonfile.record(header, Head), source, options, reading), 0
                elif room is not None:
                    number += 1
                    yield from room.line(element, f"{document.place}: {room.title}, message {number}")
        except jsonfile.Broken as fault:
            yield document.unreadable(fault, source)


class _Conversation:
    """One conversation while it is read."""

    def __init__(self, head: Head, source: str, options: Options, reading: Reading) -> None:
        self.title = head.displayName or head.id
        self._reading = reading
        self._source = source
        own = options.owner or head.userId
        if head.id.startswith("19:"):
            topic = (head.threadProperties.topic if head.threadProperties else None) or head.displayName
            place = Place(id=head.id, kind="group", topic=unescape(topic) if topic else None)
        else:
            people = {head.id: Participant(address=head.id, name=head.displayName)}
            if own:
                people[own] = Participant(address=own)
            # Each side's export names the other: both together are the place.
            pair = " ".join(sorted(people))
            place = Place(id=pair, kind="im", participants=tuple(people[key] for key in sorted(people)))
        self._room = Room(source, place)

    def line(self, element: Any, position: str) -> Iterator[Captured | Rejected]:
        original = jsonfile.original(element)
        try:
            line = jsonfile.record(element, Line)
        except jsonfile.Broken as fault:
            yield Rejected(original, position, str(fault), self._source)
            return
        events = list(self._events(line))
        if not events:
            self._reading.ignored[f"{line.messagetype} of Skype"] += 1
        yield from told(events, self._reading, original, position)

    def _events(self, line: Line) -> Iterator[Event]:
        at, content = line.originalarrivaltime, line.content or ""
        actor = self._person(line.from_, line.displayName) if line.from_ else None
        if line.messagetype in _COMING:
            who = _INITIATOR.search(content)
            by = self._person(unescape(who[1]), None) if who else actor
            for target in _TARGET.findall(content):
                person = self._person(unescape(target), None)
                key = f"{line.id}/{person.address}"
                subject = None if person == by else person
                yield self._room.event(key, _COMING[line.messagetype], at, by, subject=subject)
        elif line.messagetype == "ThreadActivity/TopicUpdate":
            topic = _VALUE.search(content)
            yield self._room.event(line.id, TOPIC_CHANGED, at, actor, topic=unescape(topic[1]) if topic else "")
        elif line.messagetype == "Event/Call":
            call = _CALL.search(content)
            if call:
                kind = "ended" if call[1] == "ended" else "started"
                yield self._room.event(line.id, f"call.{kind}", at, actor)
        elif line.messagetype == _ENCRYPTED:
            yield self._room.event(line.id, SENT, at, actor, message=Message(id=line.id, text=ENCRYPTED))
        elif line.messagetype.startswith(("Text", "RichText", "Poll", "PopCard")):
            yield from self._said(line, at, actor, content)

    def _said(self, line: Line, at: datetime, actor: Participant | None, content: str) -> Iterator[Event]:
        properties = line.properties or Properties()
        deleted, edited = _time(properties.deletetime), _time(properties.edittime)
        quote = _QUOTE.search(content)
        contacts = (f"[contact: {unescape(each)}]" for each in _CONTACT.findall(content))
        text = "\n".join(filter(None, (text_of(_EDIT_MARK.sub("", _QUOTE.sub("", content))), *contacts)))
        name = _NAME.search(content)
        files = (Attachment(name=f"{unescape(name[1])} (not in the export)"),) if name else None
        message = Message(id=line.id, text=text, in_reply_to=quote[1] if quote else None)
        yield self._room.event(line.id, SENT, at, actor, message=message, attachments=files)
        if deleted is not None:
            yield self._room.event(f"{line.id}/deleted", RETRACTED, deleted, actor, message=Message(id=line.id))
        elif edited is not None or _EDIT_MARK.search(content):
            changed = Message(id=line.id, text=text)
            guessed = "edited" if edited is None else None
            yield self._room.event(f"{line.id}/edited", EDITED, edited or at, actor, guessed=guessed, message=changed)
        for emotion in properties.emotions:
            yield from self._reacted(line, emotion)

    def _reacted(self, line: Line, emotion: Emotion) -> Iterator[Event]:
        for user in emotion.users:
            given, who = _time(user.time), self._person(user.mri, None)
            key, guessed = f"{line.id}/reaction/{emotion.key}/{user.mri}", "reacted" if given is None else None
            at, message = given or line.originalarrivaltime, Message(id=line.id)
            yield self._room.event(key, REACTED, at, who, guessed=guessed, message=message, reaction=emotion.key)

    def _person(self, identifier: str, name: str | None) -> Participant:
        if identifier.startswith("28:"):
            self._reading.nobody.add(identifier)
        return Participant(address=identifier, name=name)


def _time(milliseconds: str | int | None) -> datetime | None:
    try:
        return None if not milliseconds else datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
