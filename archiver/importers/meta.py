"""message_N.json of Instagram and Messenger downloads, and the files of Messenger's encrypted chats -> events.

There are no ids: an event's is its time, a digest of who said what, and which of several equal ones it is. People are
known by their names alone. Texts are UTF-8 written as if it were Latin-1, and mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec import Raw, Struct

from archiver.events import (
    JOINED,
    LEFT,
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
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import Numbering, Room, told

_NAME = re.compile(r"message_\d+\.json")
_COMING = {"Subscribe": JOINED, "Unsubscribe": LEFT}
_KINDS = ("photos", "videos", "audio_files", "files", "gifs")


class Person(Struct):
    name: str = ""


class Reaction(Struct):
    """`timestamp` is in seconds; older downloads don't tell it."""

    reaction: str = ""
    actor: str = ""
    timestamp: int | None = None


class File(Struct):
    uri: str = ""


class Share(Struct):
    link: str | None = None
    share_text: str | None = None


class Line(Struct):
    timestamp_ms: int
    sender_name: str = ""
    type: str | None = None
    users: list[Person] = []
    content: str | None = None
    photos: list[File] = []
    videos: list[File] = []
    audio_files: list[File] = []
    files: list[File] = []
    gifs: list[File] = []
    sticker: File | None = None
    share: Share | None = None
    reactions: list[Reaction] = []
    is_unsent: bool = False
    call_duration: int | None = None


class Secret(Struct):
    """A message of an encrypted chat, whose download has other names for the same."""

    timestamp: int
    senderName: str = ""
    text: str | None = None
    media: list[File] = []
    reactions: list[Reaction] = []
    isUnsent: bool = False

    def plain(self) -> Line:
        return Line(
            timestamp_ms=self.timestamp,
            sender_name=self.senderName,
            content=self.text,
            files=self.media,
            reactions=self.reactions,
            is_unsent=self.isUnsent,
        )


class Thread(Struct):
    """`threadName` is that of an encrypted chat."""

    messages: list[Raw]
    participants: list[Person | str] = []
    title: str | None = None
    thread_path: str | None = None
    threadName: str | None = None

    @property
    def names(self) -> list[str]:
        return [mended(each if isinstance(each, str) else each.name) for each in self.participants]


_CHATS = "messages"
"""The folder of a download that holds all chats."""
KEPT = re.compile(r"(?:audio|files|gifs|media|photos|videos)/[^/]+")


class Meta:
    name = "meta"
    title = "Instagram and Messenger downloads (message_1.json, encrypted chats)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def kept(self, document: Document) -> re.Pattern[str]:
        return KEPT

    def sniff(self, document: Document, head: bytes) -> bool:
        return head.lstrip().startswith(b"{") and (
            b'"sender_name"' in head
            or (b'"participants"' in head and (b'"senderName"' in head or _NAME.fullmatch(document.name) is not None))
        )

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        try:
            thread = jsonfile.whole(document, Thread)
        except jsonfile.Broken as fault:
            yield document.unreadable(fault)
            return
        room = _Room(document, thread, options, reading)
        for number, raw in reversed(list(enumerate(thread.messages, 1))):
            yield from room.line(bytes(raw), f"{document.place}: message {number}")


def mended(text: str) -> str:
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


class _Room:
    """One file of a chat while it is read, oldest message first."""

    def __init__(self, document: Document, thread: Thread, options: Options, reading: Reading) -> None:
        product = "instagram" if "instagram" in document.place.lower() else "messenger"
        self.source = options.source or f"{product}:{options.network or product}"
        self._document = document
        self._reading = reading
        self._numbering = Numbering()
        people = tuple(Participant(address=name, name=name) for name in sorted(set(thread.names)) if name)
        where = thread.thread_path or thread.threadName or document.folder or "chat"
        if len(people) == 2:
            place = Place(id=where, kind="im", participants=people)
        else:
            place = Place(id=where, kind="group", topic=mended(thread.title) if thread.title else None)
        self._room = Room(self.source, place)

    def line(self, raw: bytes, position: str) -> Iterator[Captured | Rejected]:
        try:
            is_secret = b'"senderName"' in raw
            line = jsonfile.decoded(raw, Secret).plain() if is_secret else jsonfile.decoded(raw, Line)
            files = self._files(line)
            events = list(self._events(line, tuple(each.attachment for each in files)))
        except (jsonfile.Broken, EventError) as fault:
            yield Rejected(raw, position, str(fault), self.source)
            return
        yield from told(events, self._reading, raw, position, files)

    def _events(self, line: Line, attachments: tuple[Attachment, ...]) -> Iterator[Event]:
        at = _time(line.timestamp_ms)
        key = self._key(line)
        actor = _person(line.sender_name)
        if line.call_duration is not None:
            yield self._room.event(f"{key}/call", "call.started", at, actor)
            return
        if line.type in _COMING:
            yield from self._came(line, key, at, actor)
            return
        message = Message(id=key, text=_text(line))
        yield self._room.event(key, SENT, at, actor, message=message, attachments=attachments or None)
        if line.is_unsent:
            yield self._room.event(f"{key}/unsent", RETRACTED, at, actor, guessed="retracted", message=Message(id=key))
        for reaction in line.reactions:
            who, name = _person(reaction.actor), mended(reaction.reaction)
            identity = f"{key}/reaction/{name}/{who.address if who else ''}"
            given = None if reaction.timestamp is None else _time(reaction.timestamp * 1_000)
            guessed = "reacted" if given is None else None
            yield self._room.event(
                identity, REACTED, given or at, who, guessed=guessed, message=Message(id=key), reaction=name
            )

    def _came(self, line: Line, key: str, at: datetime, actor: Participant | None) -> Iterator[Event]:
        for number, user in enumerate(line.users):
            subject = _person(user.name)
            yield self._room.event(f"{key}/{number}", _COMING[line.type or ""], at, actor, subject=subject)

    def _key(self, line: Line) -> str:
        self._reading.unnumbered += 1
        base = f"{line.timestamp_ms}-{jsonfile.digest([line.sender_name, line.content])}"
        return self._numbering.key(base)

    def _files(self, line: Line) -> list[Media]:
        given = [each for kind in _KINDS for each in getattr(line, kind)] + ([line.sticker] if line.sticker else [])
        return [self._file(each.uri) for each in given]

    def _file(self, uri: str) -> Media:
        """Paths begin at the download's root; what was sent lies in its folder of chats, as this file does."""
        if "://" in uri:
            return Media(Attachment(url=uri))
        _, below, within = f"/{uri}".rpartition(f"/{self._document.folder}/")
        path = within if below and KEPT.fullmatch(within) else uri
        found = media(self._document, path, name=uri.rpartition("/")[2] or "a file", kept=KEPT)
        _, below, path = f"/{uri}".partition(f"/{_CHATS}/")
        if found.held is None and below and _CHATS in self._document.folders:
            up = self._document.folders[::-1].index(_CHATS)
            found = media(self._document, path, folder="/".join([".."] * up), name=found.attachment.name)
        return found


def _text(line: Line) -> str:
    share = line.share or Share()
    return "\n".join(mended(each) for each in (line.content, share.share_text, share.link) if each)


def _person(name: str) -> Participant | None:
    name = mended(name)
    return Participant(address=name, name=name) if name else None


def _time(milliseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError) as fault:
        raise EventError(f"timestamp_ms is no time: {milliseconds}") from fault
