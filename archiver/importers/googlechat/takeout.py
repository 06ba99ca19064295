"""Google Takeout's Chat: `Groups/…/messages.json` with `group_info.json` beside it -> events.

Ids are Google's. Dates are English sentences in UTC. What was deleted is there with its state alone. Made from the
published layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from archiver.events import (
    EDITED,
    REACTED,
    RETRACTED,
    SENT,
    Attachment,
    Captured,
    Event,
    Message,
    Participant,
    Place,
    Rejected,
)
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.googlechat.message import File, Line, Person, files_of, time_of, versions_of
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import Room, told

KEPT = re.compile(r"(?!messages\.json$)[^/]+")
"""Below `Groups` each chat has a folder of its own."""


class Group(Struct):
    name: str | None = None
    members: list[Person] = []


class GoogleChat:
    name = "googlechat"
    title = "Google Chat (Takeout, Groups/…/messages.json)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def kept(self, document: Document) -> re.Pattern[str] | None:
        return KEPT if document.folders[-2:-1] == ("Groups",) else None

    def sniff(self, document: Document, head: bytes) -> bool:
        return head.lstrip().startswith(b"{") and b'"creator"' in head and b'"created_date"' in head

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        chat = _Chat(document, options, reading)
        number = 0
        yield from chat.faults
        try:
            for _, element in jsonfile.listed(document, ("",), "messages"):
                if element is not None:
                    number += 1
                    yield from chat.line(element, f"{document.place}: message {number}")
        except jsonfile.Broken as fault:
            yield document.unreadable(fault, chat.source)


class _Chat:
    """One conversation while it is read."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self.source = options.source or f"googlechat:{options.network or 'googlechat'}"
        self._document = document
        self._reading = reading
        self._people: dict[str, Participant] = {}
        self.faults: list[Rejected] = []
        beside = document.beside("group_info.json")
        self._group = self._info(beside) if beside is not None else Group()

    def _info(self, beside: Document) -> Group:
        try:
            return jsonfile.whole(beside, Group)
        except jsonfile.Broken as fault:
            self.faults.append(beside.unreadable(fault, self.source))
            return Group()

    def line(self, element: Any, position: str) -> Iterator[Captured | Rejected]:
        original = jsonfile.original(element)
        try:
            line = jsonfile.record(element, Line)
            files = [self._file(each) for each in files_of(line)]
            events = list(self._events(line, tuple(each.attachment for each in files)))
        except (jsonfile.Broken, EventError) as fault:
            yield Rejected(original, position, str(fault), self.source)
            return
        yield from told(events, self._reading, original, position, files)

    def _room(self, line: Line) -> Room:
        space, _, rest = line.message_id.partition("/")
        folder = self._document.folder
        identity = space if rest else folder or space
        members = tuple(person for each in self._group.members if (person := self._person(each)) is not None)
        if folder.startswith("DM ") and len(members) <= 2:
            return Room(self.source, Place(id=identity, kind="im", participants=members or None))
        topic = self._group.name or folder.removeprefix("Space ") or identity
        return Room(self.source, Place(id=identity, kind="group", topic=topic))

    def _events(self, line: Line, attachments: tuple[Attachment, ...]) -> Iterator[Event]:
        room, key, versions = self._room(line), line.message_id, versions_of(line)
        at, first = versions[0]
        quote = line.quoted_message_metadata
        actor = self._person(line.creator) if line.creator is not None else None
        answered = quote.message_id if quote is not None else None
        message = Message(id=key, text=first, in_reply_to=answered, thread=line.topic_id)
        yield room.event(key, SENT, at, actor, message=message, attachments=attachments or None)
        for number, (edited, text) in enumerate(versions[1:], 1):
            changed = Message(id=key, text=text)
            yield room.event(f"{key}/edited/{number}", EDITED, edited, actor, message=changed)
        if line.message_state == "DELETED":
            gone = time_of(line.deleted_date) if line.deleted_date else at
            guessed = None if line.deleted_date else "retracted"
            yield room.event(f"{key}/deleted", RETRACTED, gone, guessed=guessed, message=Message(id=key))
        for reaction in line.reactions:
            for email in reaction.reactor_emails:
                name = reaction.emoji.unicode or "?"
                who = self._people.get(email) or Participant(address=email)
                identity, message = f"{key}/reaction/{name}/{email}", Message(id=key)
                yield room.event(identity, REACTED, at, who, guessed="reacted", message=message, reaction=name)

    def _person(self, person: Person) -> Participant | None:
        address = person.email or person.name
        if not address:
            return None
        if person.user_type == "Bot":
            self._reading.nobody.add(address)
        return self._people.setdefault(address, Participant(address=address, name=person.name))

    def _file(self, file: File) -> Media:
        """On disk `?` and `&` of a name are written `_`."""
        name = file.export_name or file.original_name or ""
        kept = GoogleChat().kept(self._document)
        found = media(self._document, name or None, name=file.original_name, kept=kept)
        if found.held is None:
            found = media(self._document, re.sub("[?&]", "_", name) or None, name=file.original_name, kept=kept)
        return found
