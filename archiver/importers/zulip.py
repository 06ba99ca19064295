"""Zulip's realm export: `realm.json` (people, channels, subscriptions), then messages-000001.json and on -> events.

Ids are Zulip's. A channel's topic is a conversation of its own. What an edited message said before is in the export.
Made from the published layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct

from archiver.events import EDITED, REACTED, SENT, Attachment, Captured, Event, Message, Participant, Place, Rejected
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import Room, from_milliseconds, told

_PAGE = re.compile(r"messages-\d+\.json")
KEPT = re.compile(r"uploads/.+")
_UPLOAD = re.compile(r"\[([^\]\n]*)\]\(/user_uploads/([^)\s]+)\)")
_PERSONAL, _CHANNEL, _DIRECT_GROUP = 1, 2, 3


class User(Struct):
    id: int
    full_name: str | None = None
    email: str | None = None
    delivery_email: str | None = None
    is_bot: bool = False


class Channel(Struct):
    id: int
    name: str


class Recipient(Struct):
    id: int
    type: int
    type_id: int


class Subscription(Struct):
    user_profile: int
    recipient: int


class Reaction(Struct):
    message: int
    user_profile: int
    emoji_name: str


class Realm(Struct):
    zerver_realm: list[dict[str, Any]] = []
    zerver_userprofile: list[User] = []
    zerver_userprofile_crossrealm: list[User] = []
    zerver_stream: list[Channel] = []
    zerver_recipient: list[Recipient] = []
    zerver_subscription: list[Subscription] = []
    zerver_reaction: list[Reaction] = []


class Edit(Struct):
    timestamp: float
    prev_content: str | None = None
    user_id: int | None = None


class Line(Struct):
    id: int
    sender: int
    recipient: int
    date_sent: float
    content: str = ""
    subject: str = ""
    edit_history: str | None = None


class Zulip:
    name = "zulip"
    title = "Zulip exports (realm.json, messages-000001.json …)"
    partial_presence = True
    ordered = False
    marks = frozenset(("realm.json",))

    def kept(self, document: Document) -> re.Pattern[str]:
        return KEPT

    def sniff(self, document: Document, head: bytes) -> bool:
        return document.name in self.marks and document.beside("messages-000001.json") is not None

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        try:
            realm = jsonfile.whole(document, Realm)
        except jsonfile.Broken as fault:
            yield document.unreadable(fault)
            return
        export = _Export(document, realm, options, reading)
        for page in sorted(
            (each for each in document.below() if _PAGE.fullmatch(each.name)), key=lambda each: each.name
        ):
            number = 0
            try:
                for _, element in jsonfile.listed(page, ("",), "zerver_message"):
                    if element is not None:
                        number += 1
                        yield from export.line(element, f"{page.place}: message {number}")
            except jsonfile.Broken as fault:
                yield page.unreadable(fault, export.source)


class _Export:
    """One export while it is read."""

    def __init__(self, document: Document, realm: Realm, options: Options, reading: Reading) -> None:
        name = next((str(each["string_id"]) for each in realm.zerver_realm if each.get("string_id")), "zulip")
        self.source = options.source or f"zulip:{options.network or name}"
        self._document = document
        self._reading = reading
        users = (*realm.zerver_userprofile, *realm.zerver_userprofile_crossrealm)
        self._people = {each.id: self._known(each) for each in users}
        self._channels = {each.id: each.name for each in realm.zerver_stream}
        self._recipients = {each.id: each for each in realm.zerver_recipient}
        self._subscribers: dict[int, list[int]] = {}
        for each in realm.zerver_subscription:
            self._subscribers.setdefault(each.recipient, []).append(each.user_profile)
        self._reactions: dict[int, list[Reaction]] = {}
        for reaction in realm.zerver_reaction:
            self._reactions.setdefault(reaction.message, []).append(reaction)

    def _known(self, user: User) -> Participant:
        person = Participant(address=user.delivery_email or user.email or str(user.id), name=user.full_name)
        if user.is_bot:
            self._reading.nobody.add(person.address)
        return person

    def line(self, element: Any, position: str) -> Iterator[Captured | Rejected]:
        original = jsonfile.original(element)
        try:
            line = jsonfile.record(element, Line)
            files = [self._file(*found) for found in _UPLOAD.findall(line.content)]
            events = list(self._events(line, tuple(each.attachment for each in files)))
        except (jsonfile.Broken, EventError) as fault:
            yield Rejected(original, position, str(fault), self.source)
            return
        yield from told(events, self._reading, original, position, files)

    def _events(self, line: Line, attachments: tuple[Attachment, ...]) -> Iterator[Event]:
        room, at, key, actor = (
            self._room(line),
            from_milliseconds(line.date_sent * 1000),
            str(line.id),
            self._person(line.sender),
        )
        edits = _edits(line)
        first = edits[0][0] if edits else line.content
        yield room.event(key, SENT, at, actor, message=Message(id=key, text=first), attachments=attachments or None)
        later = [*(text for text, _, _ in edits[1:]), line.content]
        for (_, when, who), text in zip(edits, later, strict=False):
            by = self._person(who) if who is not None else actor
            changed = Message(id=key, text=text)
            yield room.event(f"{key}/edited/{when.timestamp():.0f}", EDITED, when, by, message=changed)
        for reaction in self._reactions.get(line.id, ()):
            giver, name = self._person(reaction.user_profile), f":{reaction.emoji_name}:"
            identity = f"{key}/reaction/{reaction.emoji_name}/{reaction.user_profile}"
            yield room.event(identity, REACTED, at, giver, guessed="reacted", message=Message(id=key), reaction=name)

    def _room(self, line: Line) -> Room:
        recipient = self._recipients.get(line.recipient)
        if recipient is None:
            raise EventError(f"nothing says who recipient {line.recipient} is")
        if recipient.type == _CHANNEL:
            channel = self._channels.get(recipient.type_id, str(recipient.type_id))
            place = Place(
                id=f"{recipient.type_id}/{line.subject}",
                kind="group",
                topic=f"#{channel} > {line.subject}",
                history="members",
            )
            return Room(self.source, place)
        if recipient.type == _PERSONAL:
            people = sorted({line.sender, recipient.type_id})
        else:
            people = sorted({line.sender, *self._subscribers.get(line.recipient, ())})
        parties = tuple(map(self._person, people))
        kind = "im" if len(people) <= 2 else "group"
        return Room(self.source, Place(id=" ".join(map(str, people)), kind=kind, participants=parties))  # type: ignore[arg-type]

    def _person(self, identifier: int) -> Participant:
        return self._people.get(identifier) or Participant(address=str(identifier))

    def _file(self, name: str, path: str) -> Media:
        return media(self._document, path, folder="uploads", only_files=True, name=name or None)


def _edits(line: Line) -> list[tuple[str, datetime, int | None]]:
    """What it said before each edit, when that was made and by whom; oldest first."""
    if not line.edit_history:
        return []
    history = jsonfile.decoded(line.edit_history.encode("utf-8", "surrogatepass"), list[Edit])
    edits = [each for each in reversed(history) if each.prev_content is not None]
    return [(each.prev_content or "", from_milliseconds(each.timestamp * 1000), each.user_id) for each in edits]
