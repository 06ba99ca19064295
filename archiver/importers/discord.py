"""JSON files of DiscordChatExporter, one channel each -> events.

Ids are Discord's snowflakes, so that any export of a channel gives the same ones. Who is in a channel isn't exported:
presence is partial. Of an edited message only the last text is there; what was deleted is absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    REACTED,
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
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import Room, told

_Time = Annotated[datetime, Meta(tz=True)]
_SAID = frozenset(("Default", "Reply"))
_RENAMED = "Changed the channel name: "
"""How the exporter tells that in every language of Discord's."""
_COMING = {"RecipientAdd": JOINED, "GuildMemberJoin": JOINED, "RecipientRemove": LEFT}
_DIRECT = frozenset(("DirectTextChat", "DirectGroupTextChat"))
KEPT = re.compile(r"[^/]+\.json_Files/[^/]+")


class Author(Struct):
    id: str
    name: str = ""
    nickname: str | None = None
    isBot: bool = False


class File(Struct):
    url: str = ""
    fileName: str | None = None
    fileSizeBytes: int | None = None


class Emoji(Struct):
    name: str = ""
    code: str | None = None


class Reaction(Struct):
    emoji: Emoji
    count: int = 0
    users: list[Author] = []


class Reference(Struct):
    messageId: str | None = None
    type: str | None = None


class Field(Struct):
    name: str | None = None
    value: str | None = None


class Embed(Struct):
    title: str | None = None
    url: str | None = None
    description: str | None = None
    fields: list[Field] = []

    @property
    def words(self) -> str:
        fields = (f"{each.name or ''}: {each.value or ''}" for each in self.fields)
        return "\n".join(filter(None, (" ".join(filter(None, (self.title, self.description, self.url))), *fields)))


class Sticker(Struct):
    name: str = ""


class Forwarded(Struct):
    content: str = ""
    attachments: list[File] = []
    embeds: list[Embed] = []
    stickers: list[Sticker] = []

    @property
    def text(self) -> str:
        return "\n".join(_words(self))


class Line(Struct):
    id: str
    type: str
    timestamp: _Time
    author: Author
    content: str = ""
    timestampEdited: _Time | None = None
    callEndedTimestamp: _Time | None = None
    attachments: list[File] = []
    embeds: list[Embed] = []
    stickers: list[Sticker] = []
    reactions: list[Reaction] = []
    mentions: list[Author] = []
    reference: Reference | None = None

    forwardedMessage: Forwarded | None = None

    @property
    def text(self) -> str:
        """What was written; a bot's may stand in its embeds alone, a forwarded one in that alone."""
        forwarded = f"[forwarded] {self.forwardedMessage.text}" if self.forwardedMessage is not None else ""
        return "\n".join((*_words(self), *filter(None, [forwarded])))

    @property
    def answered(self) -> str | None:
        """A message that is forwarded is referred to as well."""
        return self.reference.messageId if self.reference is not None and self.reference.type != "Forward" else None

    @property
    def files(self) -> list[File]:
        return [*self.attachments, *(self.forwardedMessage.attachments if self.forwardedMessage is not None else ())]

    @property
    def is_said(self) -> bool:
        """Kinds that the exporter has no name for are numbers: commands and what answers them, among others."""
        return self.type in _SAID or (self.type.isdecimal() and bool(self.text or self.files))


def _words(line: Line | Forwarded) -> Iterator[str]:
    embeds = [each.words for each in line.embeds] if not line.content else []
    return filter(None, [line.content, *embeds, *(f"[{each.name}]" for each in line.stickers)])


class Named(Struct):
    id: str
    name: str = ""
    type: str = ""


class Discord:
    name = "discord"
    title = "Discord channels (DiscordChatExporter, JSON)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def kept(self, document: Document) -> re.Pattern[str]:
        return KEPT

    def sniff(self, document: Document, head: bytes) -> bool:
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b'"guild"' in head and b'"channel"' in head

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        try:
            yield from _messages(document, options, reading)
        except jsonfile.Broken as fault:
            yield document.unreadable(fault)


def _messages(document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
    room: _Room | None = None
    number = 0
    for header, element in jsonfile.listed(document, ("",), "messages"):
        if element is None:
            room = _Room(document, header, options, reading)
        elif room is not None:
            number += 1
            yield from room.line(element, f"{document.place}: message {number}")
    if room is None:
        raise jsonfile.Broken("no list of messages")


class _Room:
    """One channel while it is read."""

    def __init__(self, document: Document, header: dict[str, Any], options: Options, reading: Reading) -> None:
        guild = jsonfile.record(header.get("guild") or {"id": "0"}, Named)
        channel = jsonfile.record(header.get("channel"), Named)
        tenant = "direct" if guild.id == "0" else guild.id
        self.source = options.source or f"discord:{options.network or tenant}"
        self._document = document
        self._reading = reading
        self._channel = channel
        topic = channel.name if channel.type in _DIRECT else f"#{channel.name}"
        if channel.type == "DirectTextChat":
            place = Place(id=channel.id, kind="im", participants=self._parties())
        else:
            place = Place(id=channel.id, kind="group", topic=topic)
        self._room = Room(self.source, place)

    def _parties(self) -> tuple[Participant, ...]:
        """Who ever wrote here: a direct chat has both in every event."""
        found = {}
        try:
            for _, element in jsonfile.listed(self._document, ("",), "messages"):
                with suppress(jsonfile.Broken):  # told where it is read
                    author = jsonfile.record(element, Line).author
                    found[author.id] = self._person(author)
        except jsonfile.Broken:
            pass  # the reading itself says so, behind what comes before
        return tuple(found[key] for key in sorted(found))

    def line(self, element: Any, position: str) -> Iterator[Captured | Rejected]:
        original = jsonfile.original(element)
        try:
            line = jsonfile.record(element, Line)
        except jsonfile.Broken as fault:
            yield Rejected(original, position, str(fault), self.source)
            return
        files = [self._file(each) for each in line.files]
        events = list(self._events(line, tuple(each.attachment for each in files)))
        if not events:
            self._reading.ignored[f"{line.type} of Discord"] += 1
        yield from told(events, self._reading, original, position, files)

    def _events(self, line: Line, attachments: tuple[Attachment, ...]) -> Iterator[Event]:
        actor = self._person(line.author)
        if line.is_said:
            message = Message(id=line.id, text=line.text, in_reply_to=line.answered)
            yield self._room.event(
                line.id, SENT, line.timestamp, actor, message=message, attachments=attachments or None
            )
            if line.timestampEdited is not None:
                changed = Message(id=line.id, text=line.text)
                yield self._room.event(f"{line.id}/edited", EDITED, line.timestampEdited, actor, message=changed)
            yield from self._reactions(line)
        elif line.type in _COMING:
            who = [self._person(each) for each in line.mentions] or [actor]
            for each in who:
                subject = None if each == actor else each
                yield self._room.event(
                    f"{line.id}/{each.address}", _COMING[line.type], line.timestamp, actor, subject=subject
                )
        elif line.type == "ChannelNameChange" and line.content.startswith(_RENAMED):
            topic = line.content.removeprefix(_RENAMED)
            yield self._room.event(line.id, TOPIC_CHANGED, line.timestamp, actor, topic=topic)
        elif line.type == "Call":
            yield self._room.event(f"{line.id}/call", "call.started", line.timestamp, actor)
            if line.callEndedTimestamp is not None:
                yield self._room.event(f"{line.id}/ended", "call.ended", line.callEndedTimestamp, None)

    def _reactions(self, line: Line) -> Iterator[Event]:
        for reaction in line.reactions:
            name = reaction.emoji.name or reaction.emoji.code or "?"
            for user in reaction.users:
                key = f"{line.id}/reaction/{name}/{user.id}"
                message = Message(id=line.id)
                at, who = line.timestamp, self._person(user)
                yield self._room.event(key, REACTED, at, who, guessed="reacted", message=message, reaction=name)
            if (unknown := reaction.count - len(reaction.users)) > 0:
                self._reading.ignored["reactions without who gave them"] += unknown

    def _person(self, author: Author) -> Participant:
        if author.isBot:
            self._reading.nobody.add(author.id)
        return Participant(address=author.id, name=author.nickname or author.name or None)

    def _file(self, file: File) -> Media:
        """On disk where the export brought the files along, else a link."""
        if "://" not in file.url:
            return media(self._document, file.url, name=file.fileName, kept=KEPT)
        return Media(Attachment(name=file.fileName, size=file.fileSizeBytes, url=file.url))
