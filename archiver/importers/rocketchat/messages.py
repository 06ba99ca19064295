"""Rocket.Chat's messages -> events. Ids are the database's own, as its webhooks tell them too.

Source: Rocket.Chat, message system types.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from msgspec import Struct, structs

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    REACTED,
    RETRACTED,
    SENT,
    STARTED,
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
from archiver.importers.cards import words_of
from archiver.importers.document import Document
from archiver.importers.media import Media
from archiver.importers.protocol import Options, Reading
from archiver.importers.rocketchat.dump import Files, records
from archiver.importers.telling import Room, told

_SAID = frozenset((None, "", "discussion-created", "message_pinned", "command"))
_COMING = {"uj": JOINED, "ut": JOINED, "au": JOINED, "ult": LEFT, "ul": LEFT, "ru": LEFT}
_NAMES_OTHER = frozenset(("au", "ru"))
_TOPICS = frozenset(("room_changed_topic", "r"))


class User(Struct):
    username: str | None = None
    name: str | None = None


class File(Struct):
    id_: str = ""
    name: str | None = None
    type: str | None = None


class Shown(Struct):
    """A file (`type`), a message that is quoted, an app's card."""

    type: str | None = None
    title: str | None = None
    title_link: str | None = None
    pretext: str | None = None
    text: str | None = None
    description: str | None = None
    fields: Any = None

    @property
    def words(self) -> str:
        """A file's title is its name, which is told with it."""
        card = structs.asdict(self) if self.type != "file" else {"text": self.text}
        return "\n".join(filter(None, (words_of(card), self.description)))


class Reaction(Struct):
    usernames: list[str] = []


class Line(Struct):
    id_: str
    rid: str
    ts: datetime
    u: User
    msg: str = ""
    t: str | None = None
    tmid: str | None = None
    file: File | None = None
    files: list[File] | None = None
    attachments: list[Shown] | None = None
    reactions: dict[str, Reaction] | None = None
    editedAt: datetime | None = None
    editedBy: User | None = None


class RocketChat:
    name = "rocketchat"
    title = "Rocket.Chat dumps (mongodump, BSON)"
    partial_presence = True
    ordered = False
    marks = frozenset(("rocketchat_message.bson",))

    def sniff(self, document: Document, head: bytes) -> bool:
        return document.name in self.marks

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        dump = _Dump(document, options, reading)
        number = 0
        try:
            for raw, record in records(document):
                number += 1
                yield from dump.message(raw, record, f"{document.place}: message {number}")
        except jsonfile.Broken as fault:
            yield Rejected(
                document.head(jsonfile.CHUNK), f"{document.place}: message {number + 1}", str(fault), dump.source
            )


class _Dump:
    """One dump while it is read: its people and rooms are known before its messages."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self.source = options.source or f"rocketchat:{options.network or 'rocketchat'}"
        self._reading = reading
        self._files = Files(document.beside("rocketchat_uploads.chunks.bson"))
        self._people: dict[str, Participant] = {}
        for user in _all(document.beside("users.bson")):
            self._know(user)
        self._rooms = {
            str(room.get("_id")): self._placed(room) for room in _all(document.beside("rocketchat_room.bson"))
        }

    def _know(self, user: dict[str, Any]) -> None:
        name = str(user.get("username") or user.get("_id"))
        emails = user.get("emails") or [{}]
        address = emails[0].get("address") if isinstance(emails[0], dict) else None
        self._people[name] = Participant(address=str(address or name), name=str(user.get("name") or name))
        if user.get("type") == "bot":
            self._reading.nobody.add(self._people[name].address)

    def _placed(self, room: dict[str, Any]) -> Place:
        identity, names = str(room.get("_id")), room.get("usernames") or []
        if room.get("t") == "d":
            people = tuple(self._person(str(each)) for each in sorted(map(str, names)))
            return Place(id=identity, kind="im" if len(people) <= 2 else "group", participants=people or None)
        return Place(id=identity, kind="group", topic=str(room.get("fname") or room.get("name") or identity))

    def _person(self, username: str) -> Participant:
        return self._people.get(username) or Participant(address=username, name=username)

    def message(self, raw: bytes, record: dict[str, Any], position: str) -> Iterator[Captured | Rejected]:
        try:
            line = jsonfile.record(_renamed(record), Line)
        except jsonfile.Broken as fault:
            yield Rejected(raw, position, str(fault), self.source)
            return
        room = Room(self.source, self._rooms.get(line.rid) or Place(id=line.rid, kind="group"))
        files = [self._file(each) for each in line.files or ([line.file] if line.file else []) if each.name]
        events = list(self._events(line, room, tuple(each.attachment for each in files)))
        if not events:
            self._reading.ignored[f"{line.t} of Rocket.Chat"] += 1
        yield from told(events, self._reading, raw, position, files)

    def _events(self, line: Line, room: Room, attachments: tuple[Attachment, ...]) -> Iterator[Event]:
        at, actor = _aware(line.ts), self._actor(line.u)
        if line.t in _SAID:
            yield from self._said(line, room, at, actor, attachments)
        elif line.t == "rm":
            yield room.event(line.id_, SENT, at, actor, message=Message(id=line.id_, text=""))
            gone = Message(id=line.id_)
            yield room.event(f"{line.id_}/removed", RETRACTED, at, guessed="retracted", message=gone)
        elif line.t in _COMING:
            subject = self._person(line.msg) if line.t in _NAMES_OTHER and line.msg else None
            yield room.event(line.id_, _COMING[line.t], at, actor, subject=subject)
        elif line.t in _TOPICS:
            yield room.event(line.id_, TOPIC_CHANGED, at, actor, topic=line.msg)
        elif line.t == "livechat-started":
            yield room.event(line.id_, STARTED, at, actor)

    def _said(
        self, line: Line, room: Room, at: datetime, actor: Participant | None, attachments: tuple[Attachment, ...]
    ) -> Iterator[Event]:
        words = [each.words for each in line.attachments or ()]
        message = Message(
            line.id_, "\n".join(filter(None, (line.msg, *words))), in_reply_to=line.tmid, thread=line.tmid
        )
        yield room.event(line.id_, SENT, at, actor, message=message, attachments=attachments or None)
        if line.editedAt is not None:
            changed = Message(id=line.id_, text=message.text)
            who = self._actor(line.editedBy) if line.editedBy else actor
            yield room.event(f"{line.id_}/edited", EDITED, _aware(line.editedAt), who, message=changed)
        for name, reaction in (line.reactions or {}).items():
            for username in reaction.usernames:
                key = f"{line.id_}/reaction/{name}/{username}"
                who = self._person(username)
                yield room.event(key, REACTED, at, who, guessed="reacted", message=Message(id=line.id_), reaction=name)

    def _actor(self, user: User) -> Participant | None:
        return self._person(user.username) if user.username else None

    def _file(self, file: File) -> Media:
        content = self._files.content(file.id_)
        if content is None:
            return Media(Attachment(name=f"{file.name} (not in the dump)", media_type=file.type))
        digest = sha256(content).hexdigest()
        shared = Attachment(name=file.name, media_type=file.type, size=len(content), sha256=digest)
        return Media(shared, (digest, content))


def _all(document: Document | None) -> Iterator[dict[str, Any]]:
    """What can be read of a collection that only tells more."""
    try:
        for _, record in records(document) if document is not None else ():
            yield record
    except jsonfile.Broken:
        return


def _renamed(value: Any) -> Any:
    """With `id_` for `_id`, and without what is empty."""
    if isinstance(value, dict):
        return {"id_" if key == "_id" else key: _renamed(each) for key, each in value.items() if each is not None}
    return [_renamed(each) for each in value] if isinstance(value, list) else value


def _aware(time: datetime) -> datetime:
    """BSON's times are in UTC and don't say so."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
