"""RSMF 2.0 (Relativity Short Message Format): a mail with `rsmf.zip`, or what is in that, unpacked -> events.

`rsmf_manifest.json` names participants, conversations and events; the files lie beside it. Made from the published
layout. Files of one conversation, a day each as a rule, are one place where they name their collection; a conversation
without that is known by its id, platform and title.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO

from msgspec import Raw, Struct, structs

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    REACTED,
    RETRACTED,
    SENT,
    Captured,
    Event,
    Message,
    Participant,
    Place,
    Rejected,
)
from archiver.exceptions import EventError, UsageError
from archiver.importers import jsonfile
from archiver.importers.archive import Zip
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading, zoned
from archiver.importers.telling import Numbering, Room, told
from archiver.sources.parts import read_parts

MANIFEST = "rsmf_manifest.json"
LARGEST = 256 * 1024 * 1024
"""Bytes of one .rsmf file: makers cut them far below, as reviewing software wants them small."""

_HEADER = re.compile(rb"^X-RSMF-Version:", re.IGNORECASE | re.MULTILINE)
_END = re.compile(rb"\n\r?\n")
_MOVES = {"join": JOINED, "leave": LEFT}


class Person(Struct):
    id: str
    display: str | None = None
    email: str | None = None
    account_id: str | None = None

    def participant(self) -> Participant:
        return Participant(address=self.email or self.account_id or self.display or self.id, name=self.display or None)


class Talk(Struct):
    id: str
    display: str | None = None
    platform: str = ""
    type: str = ""
    participants: list[str] = []


class Held(Struct):
    id: str
    display: str | None = None


class Reaction(Struct):
    value: str
    participants: list[str] = []


class Edit(Struct):
    timestamp: str
    participant: str | None = None
    previous: str = ""
    new: str = ""


class Custom(Struct):
    name: str = ""
    value: str = ""


class Line(Struct):
    type: str
    timestamp: str
    conversation: str | None = None
    id: str | None = None
    body: str | None = None
    participant: str | None = None
    parent: str | None = None
    deleted: bool = False
    attachments: list[Held] = []
    reactions: list[Reaction] = []
    edits: list[Edit] = []
    custom: list[Custom] = []


class Manifest(Struct):
    events: list[Raw]
    conversations: list[Talk]
    participants: list[Person] = []
    eventcollectionid: str | None = None


class Rsmf:
    name = "rsmf"
    title = "RSMF 2.0 (Relativity Short Message Format)"
    partial_presence = True
    ordered = False
    marks = frozenset((MANIFEST,))

    def sniff(self, document: Document, head: bytes) -> bool:
        if document.name in self.marks:
            return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        return _HEADER.search(_END.split(head, 1)[0]) is not None

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        try:
            inner = document if document.name in self.marks else _inside(document)
            yield from _Sheet(inner, jsonfile.whole(inner, Manifest), options, reading).events()
        except (jsonfile.Broken, EventError, UsageError) as fault:
            yield document.unreadable(fault)


def _inside(document: Document) -> Document:
    """The manifest in the zip that the mail brings. Raises `Broken`, `EventError`, `UsageError`."""
    mail = read_parts(jsonfile.content(document, LARGEST))
    zips = [part for part in mail.parts if part.content.startswith(b"PK\x03\x04")]
    for part in zips:
        tree = Zip(document.place, BytesIO(part.content))
        if tree.holds(MANIFEST):
            return Document(tree, MANIFEST)
    raise jsonfile.Broken(f"an RSMF file without a zip that holds {MANIFEST}")


class _Sheet:
    """One manifest while it is read."""

    def __init__(self, document: Document, found: Manifest, options: Options, reading: Reading) -> None:
        self._document = document
        self._found = found
        self._reading = reading
        self._options = options
        self._numbering = Numbering()
        self._people = {each.id: each.participant() for each in found.participants}
        self._named = {each.name: each for each in self._people.values() if each.name}
        self._rooms = {each.id: self._room(each, options) for each in found.conversations}
        self._begun: set[str] = set()
        # Ids of events are those of one file: the next one of the same conversation may count from 1 again.
        self._keys: dict[str, str] = {}
        self._source = options.source or f"rsmf:{options.network or 'rsmf'}"

    def _room(self, talk: Talk, options: Options) -> Room:
        collection = self._found.eventcollectionid or jsonfile.digest([talk.platform, talk.display, talk.type])
        source = options.source or f"rsmf:{options.network or talk.platform or 'rsmf'}"
        people = tuple(self._people[each] for each in sorted(set(talk.participants)) if each in self._people)
        kind = "im" if talk.type == "direct" and len(people) == 2 else "group"
        topic = talk.display if kind == "group" else None
        place = Place(id=f"{collection} {talk.id}", kind=kind, topic=topic, participants=people or None)  # type: ignore[arg-type]
        return Room(source, place)

    def events(self) -> Iterator[Captured | Rejected]:
        for number, raw in enumerate(self._found.events, 1):
            position = f"{self._document.place}: event {number}"
            try:
                line = jsonfile.decoded(bytes(raw), Line)
                files = [self._file(each) for each in line.attachments]
                made = list(self._made(line, self._where(line), f"{number:08d}", files))
            except (jsonfile.Broken, EventError) as fault:
                yield Rejected(bytes(raw), position, str(fault), self._source)
                continue
            if not made:
                self._reading.ignored[f"{line.type} of RSMF"] += 1
            yield from told(made, self._reading, bytes(raw), position, files)

    def _file(self, shared: Held) -> Media:
        return media(self._document, shared.id, only_files=True, name=shared.display)

    def _where(self, line: Line) -> Room:
        """A group's people stand with its first event, both of a direct one with each. An event may leave out where."""
        rooms = self._rooms
        only = next(iter(rooms.values())) if len(rooms) == 1 and line.conversation is None else None
        room = only or rooms.get(line.conversation or "")
        if room is None:
            raise EventError(f"a conversation the manifest doesn't know: {line.conversation}")
        if room.place.kind == "group" and room.place.id in self._begun:
            return structs.replace(room, place=structs.replace(room.place, participants=None))
        self._begun.add(room.place.id)
        return room

    def _made(self, line: Line, room: Room, sequence: str, files: list[Media]) -> Iterator[Event]:
        (at, guessed), actor = self._time(line.timestamp), self._person(line.participant)
        room = structs.replace(room, guessed=guessed) if guessed else room
        identity = line.id or jsonfile.digest([line.type, line.participant, line.body])
        key = self._numbering.key(f"{line.timestamp}-{identity}")
        if line.id:
            self._keys[line.id] = key
        if line.type in _MOVES:
            yield room.event(key, _MOVES[line.type], at, actor, sequence=sequence)
        elif line.body or files or line.type == "message":
            yield from self._message(line, room, key, at, actor, sequence, files)

    def _message(
        self,
        line: Line,
        room: Room,
        key: str,
        at: datetime,
        actor: Participant | None,
        sequence: str,
        files: list[Media],
    ) -> Iterator[Event]:
        answered = self._keys.get(line.parent or "", line.parent)
        edits = sorted(line.edits, key=lambda each: each.timestamp)
        text = edits[0].previous if edits and edits[0].previous else line.body or ""
        message = Message(id=key, text=text, in_reply_to=answered, thread=answered, to=self._to(line))
        shared = tuple(each.attachment for each in files) or None
        yield room.event(key, SENT, at, actor, sequence=sequence, message=message, attachments=shared)
        for number, edit in enumerate(edits, 1):
            changed = Message(id=key, text=edit.new or line.body or "", to=message.to)
            who = self._person(edit.participant) or actor
            when, guessed = self._time(edit.timestamp)
            own = structs.replace(room, guessed=guessed)
            yield own.event(f"{key}/edit/{number}", EDITED, when, who, message=changed)
        yield from self._rest(line, room, key, at, actor, Message(id=key))

    def _rest(
        self, line: Line, room: Room, key: str, at: datetime, actor: Participant | None, message: Message
    ) -> Iterator[Event]:
        for reaction in line.reactions:
            for who in reaction.participants:
                name = f"{key}/reaction/{reaction.value}/{who}"
                by, value = self._person(who), reaction.value
                yield room.event(name, REACTED, at, by, guessed="reacted", message=message, reaction=value)
        if line.deleted:
            yield room.event(f"{key}/deleted", RETRACTED, at, actor, guessed="retracted", message=message)

    def _to(self, line: Line) -> tuple[Participant, ...] | None:
        """Whom a whisper was for, as our own export says it."""
        said = next((each.value for each in line.custom if each.name == "only to"), "")
        names = [name.strip() for name in said.split(",") if name.strip()]
        return tuple(self._named.get(name) or Participant(address=name) for name in names) or None

    def _person(self, identity: str | None) -> Participant | None:
        if not identity:
            return None
        return self._people.get(identity) or Participant(address=identity)

    def _time(self, stated: str) -> tuple[datetime, str | None]:
        """With the mark of what was guessed of it."""
        try:
            found = datetime.fromisoformat(stated)
        except ValueError as fault:
            raise EventError(f"no time: {stated[:100]}") from fault
        return zoned(found, self._options)
