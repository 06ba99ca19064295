"""result.json of Telegram Desktop: one chat or a whole account -> events.

Message ids are unique in a chat. Those of private chats and basic groups are each account's own, so there the account
stands in the conversation's id: by `owner`, by what the export says of it, else by who writes besides the peer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, structs

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    POLL_CLOSED,
    POLL_OPENED,
    REACTED,
    SENT,
    STARTED,
    TOPIC_CHANGED,
    Attachment,
    Captured,
    Event,
    Message,
    Participant,
    Place,
    Poll,
    Rejected,
    guess_mark,
)
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading, zone_of, zoned
from archiver.importers.telegram.line import Line, Question, plain
from archiver.importers.telling import Room, told

_CHATS = ("", "chats.list.item", "left_chats.list.item")
_PRIVATE = frozenset(("personal_chat", "bot_chat", "saved_messages"))
_GLOBAL = frozenset(("private_supergroup", "public_supergroup", "private_channel", "public_channel"))
_COMING = {
    "invite_members": JOINED,
    "join_group_by_link": JOINED,
    "join_group_by_request": JOINED,
    "remove_members": LEFT,
}
KEPT = re.compile(
    r"(?:chats/chat_\d+/)?(?:contacts|files|photos|round_video_messages|stickers|video_files|voice_messages)/[^/]+"
)
_NOT_INCLUDED = "(File"
"""How the text begins that stands in place of a path."""


class Chat(Struct):
    """A chat's head. Exports of other tools may lack all of it."""

    name: str | None = None
    type: str = ""
    id: int | str | None = None


class Telegram:
    name = "telegram"
    title = "Telegram exports (result.json)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def kept(self, document: Document) -> re.Pattern[str]:
        return KEPT

    def sniff(self, document: Document, head: bytes) -> bool:
        if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or b'"guild"' in head:
            return False
        return b'"date_unixtime"' in head or b'"text_entities"' in head or b'"personal_information"' in head

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        zone_of(options)
        try:
            yield from _chats(document, options, reading)
        except jsonfile.Broken as fault:
            yield document.unreadable(fault)


def _chats(document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
    account = options.owner or _account(document)
    room: _Room | None = None
    number = 0
    for header, element in jsonfile.listed(document, _CHATS, "messages"):
        if element is None:
            chat = jsonfile.record({key: header[key] for key in ("name", "type", "id") if key in header}, Chat)
            room, number = _Room(document, chat, account, options, reading), 0
        elif room is not None:
            number += 1
            yield from room.line(element, f"{document.place}: {room.title}, message {number}")
    if room is None:
        raise jsonfile.Broken("no list of messages")


def _account(document: Document) -> str:
    """Whose export it is: as stated, else who writes in a private chat and isn't its peer; "" where nothing tells."""
    try:
        for header, element in jsonfile.listed(document, _CHATS, "messages"):
            personal = header.get("personal_information")
            if isinstance(personal, dict) and personal.get("user_id"):
                return f"user{personal['user_id']}"
            if header.get("type") != "personal_chat" or not isinstance(element, dict):
                continue
            writer = element.get("from_id")
            if isinstance(writer, str) and writer != f"user{header.get('id')}":
                return writer
    except jsonfile.Broken:
        pass  # the reading itself says so, behind what comes before
    return ""


class _Room:
    """One chat while it is read."""

    def __init__(self, document: Document, chat: Chat, account: str, options: Options, reading: Reading) -> None:
        self.source = options.source or f"telegram:{options.network or 'telegram'}"
        self.title = chat.name or str(chat.id or "chat")
        self._document = document
        self._options = options
        self._reading = reading
        self._people: dict[str, str] = {}
        self._room = Room(self.source, self._placed(chat, account))

    def _placed(self, chat: Chat, account: str) -> Place:
        own = f"{account} " if account and chat.type not in _GLOBAL else ""
        if chat.type in _PRIVATE:
            peer = Participant(address=f"user{chat.id}", name=chat.name)
            parties = {peer.address: peer} | ({account: Participant(address=account)} if account else {})
            return Place(id=f"{own}{chat.id}", kind="im", participants=tuple(parties[key] for key in sorted(parties)))
        return Place(id=f"{own}{chat.id or chat.name or 'chat'}", kind="group", topic=chat.name)

    def line(self, element: Any, position: str) -> Iterator[Captured | Rejected]:
        original = jsonfile.original(element)
        try:
            line = jsonfile.record(element, Line)
            at, guessed = self._time(line.date_unixtime, line.date)
            room = structs.replace(self._room, guessed=guessed) if guessed else self._room
            files = self._files(line)
            events = list(self._events(line, room, at, tuple(each.attachment for each in files)))
        except (jsonfile.Broken, EventError) as fault:
            yield Rejected(original, position, str(fault), self.source)
            return
        if not events:
            self._reading.ignored[f"{line.action or line.type} of Telegram"] += 1
        sequence = f"{line.id:020d}" if line.id is not None and line.id >= 0 else None
        sequenced = [structs.replace(each, sequence=each.sequence or sequence) for each in events]
        yield from told(sequenced, self._reading, original, position, files)

    def _time(self, unix: str | None, local: str | None) -> tuple[datetime, str | None]:
        """Of seconds since 1970, or of the exporter's local time without a zone; with the mark of what was guessed."""
        try:
            if unix is not None:
                return datetime.fromtimestamp(int(unix), UTC), None
            stated = datetime.fromisoformat(local or "")
        except (ValueError, OverflowError, OSError) as fault:
            raise EventError(f"no time: {unix or local!a}") from fault
        return zoned(stated, self._options)

    def _events(self, line: Line, room: Room, at: datetime, attachments: tuple[Attachment, ...]) -> Iterator[Event]:
        key = self._key(line, at)
        if line.type == "message":
            yield from self._said(line, room, key, at, attachments)
        elif line.type == "service":
            yield from self._service(line, room, key, at)

    def _key(self, line: Line, at: datetime) -> str:
        if line.id is not None:
            return str(line.id)
        self._reading.unnumbered += 1
        return f"{at:%Y%m%dT%H%M%S}-{jsonfile.digest([line.from_, line.text])}"

    def _said(
        self, line: Line, room: Room, key: str, at: datetime, attachments: tuple[Attachment, ...]
    ) -> Iterator[Event]:
        actor = self._person(line.from_id, line.from_)
        answered = str(line.reply_to_message_id) if line.reply_to_message_id is not None else None
        text = line.words
        message = Message(id=key, text=text, in_reply_to=answered)
        yield room.event(key, SENT, at, actor, message=message, attachments=attachments or None)
        if line.edited_unixtime or line.edited:
            edited, guessed = self._time(line.edited_unixtime, line.edited)
            changed = Message(id=key, text=text)
            yield self._room.event(f"{key}/edited", EDITED, edited, actor, guessed=guessed, message=changed)
        if line.poll is not None:
            yield from self._asked(line.poll, room, key, at, actor)
        yield from self._reactions(line, room, key, at)

    def _asked(self, asked: Question, room: Room, key: str, at: datetime, actor: Participant | None) -> Iterator[Event]:
        """Of one that is still open, how often each was chosen so far is no result."""
        options = tuple(plain(each.text) for each in asked.answers)
        poll = Poll(id=key, question=plain(asked.question), options=options)
        yield room.event(f"{key}/poll", POLL_OPENED, at, actor, poll=poll)
        if asked.closed:
            mark = guess_mark(room.guessed, "closed")
            result = structs.replace(poll, tally=asked.tally)
            yield self._room.event(f"{key}/poll/closed", POLL_CLOSED, at, None, guessed=mark, poll=result)
        elif votes := sum(asked.tally or ()):
            self._reading.ignored["votes in polls that are open"] += votes

    def _reactions(self, line: Line, room: Room, key: str, at: datetime) -> Iterator[Event]:
        """Only the latest of each kind are told with who gave them."""
        for reaction in line.reactions:
            name = reaction.emoji or f"[{reaction.type}]"
            if (unknown := reaction.count - len(reaction.recent)) > 0:
                self._reading.ignored["reactions without who gave them"] += unknown
            for recent in reaction.recent:
                who = self._person(recent.from_id, None)
                when, guessed = (
                    self._time(None, recent.date) if recent.date else (at, guess_mark(room.guessed, "reacted"))
                )
                message = Message(id=key)
                if who is not None:
                    identity = f"{key}/reaction/{name}/{who.address}"
                    yield self._room.event(
                        identity, REACTED, when, who, guessed=guessed, message=message, reaction=name
                    )

    def _service(self, line: Line, room: Room, key: str, at: datetime) -> Iterator[Event]:
        actor = self._person(line.actor_id, line.actor)
        if line.action in _COMING:
            yield from self._came(line.members or [None], _COMING[line.action], room, key, at, actor)
        elif line.action in ("create_group", "create_channel", "migrate_from_group"):
            yield room.event(key, STARTED, at, actor)
            yield from self._came(line.members or [], JOINED, room, key, at, actor)
        elif line.action == "edit_group_title":
            yield room.event(key, TOPIC_CHANGED, at, actor, topic=line.title or "")
        elif line.action in ("phone_call", "group_call"):
            yield room.event(key, "call.started", at, actor)
            duration = line.duration if line.duration_seconds is None else line.duration_seconds
            if duration is not None:
                yield room.event(f"{key}/ended", "call.ended", _later(at, duration), None)

    def _came(
        self, members: list[str | None], type_: str, room: Room, key: str, at: datetime, actor: Participant | None
    ) -> Iterator[Event]:
        """Members of a group are told by their names alone."""
        for number, name in enumerate(members):
            subject = self._named(name) if name else None
            guessed = "person" if name and name not in self._people else None
            yield room.event(f"{key}/{number}", type_, at, actor, guessed=guessed, subject=subject)

    def _person(self, identifier: str | None, name: str | None) -> Participant | None:
        if not identifier and not name:
            return None
        if identifier and name:
            self._people[name] = identifier
        return Participant(address=identifier or name or "", name=name)

    def _named(self, name: str) -> Participant:
        return Participant(address=self._people.get(name, name), name=name)

    def _files(self, line: Line) -> list[Media]:
        path = line.photo or line.file or line.contact_vcard
        if path is None:
            return []
        if path.startswith(_NOT_INCLUDED):
            name = line.file_name or ("photo" if line.photo else "file")
            return [Media(Attachment(name=f"{name} (not in the export)", media_type=line.mime_type))]
        return [media(self._document, path, name=line.file_name, media_type=line.mime_type, kept=KEPT)]


def _later(at: datetime, seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(at.timestamp() + seconds, UTC)
    except (ValueError, OverflowError, OSError) as fault:
        raise EventError(f"no time: {seconds} seconds later") from fault
