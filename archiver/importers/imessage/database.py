"""chat.db (Mac) and sms.db (iPhone) -> events. A message's id is its own guid, in a chat of the phone's owner.

What belongs to a message (its chat, its attachments) is read beside it in the same order, so that memory stays flat.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from re import Pattern
from typing import Any

from msgspec import structs

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    REACTED,
    RETRACTED,
    SENT,
    TOPIC_CHANGED,
    Captured,
    Event,
    Message,
    Participant,
    Place,
    Rejected,
    guess_mark,
    moment,
)
from archiver.exceptions import EventError
from archiver.importers import jsonfile, sqlitefile
from archiver.importers.document import Document
from archiver.importers.imessage.edits import Version, history_of
from archiver.importers.imessage.row import KEPT, OPTIONAL, Row
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.sqlitefile import Database
from archiver.importers.telling import Room, told

HEAD = 64 * 1024
OWNER = "me"
"""How the owner is called where neither the database nor the user says it."""
APPLE = 978_307_200
"""Seconds from 1970 to 2001, from where Apple counts."""
_NANOSECONDS = 10**15
_UNIX = 1_100_000_000
"""Seconds above this are none since 2001 (it would be after 2035): then they are since 1970."""
_NEEDED = {"message": ("guid", "text", "handle_id", "is_from_me", "date"), "handle": ("id",), "chat": ("guid",)}
_FILE = ("filename", "mime_type", "transfer_name")
_REACTIONS = {2000: "❤️", 2001: "👍", 2002: "👎", 2003: "😂", 2004: "‼️", 2005: "❓"}
_NAMES = {"love": 2000, "like": 2001, "dislike": 2002, "laugh": 2003, "emphasize": 2004, "question": 2005}
_REMOVED = 1000


class IMessage:
    name = "imessage"
    title = "iMessage and SMS (chat.db, sms.db)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def kept(self, document: Document) -> Pattern[str]:
        return KEPT

    def sniff(self, document: Document, head: bytes) -> bool:
        return _is_theirs(sqlitefile.tables_of(document, head))

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        try:
            with sqlitefile.opened(document) as database:
                if not _is_theirs(database.tables):
                    raise sqlitefile.Broken("no messages of iMessage's in this database")
                yield from _Phone(document, database, options, reading).events()
        except sqlitefile.Broken as fault:
            yield Rejected(document.head(HEAD), document.place, str(fault), options.source)


def _is_theirs(tables: dict[str, tuple[str, ...]]) -> bool:
    joined = "chat_message_join" in tables
    return joined and all(set(columns) <= set(tables.get(name, ())) for name, columns in _NEEDED.items())


class _Beside:
    """Rows of another query in order of the same number, taken along."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, number: int) -> list[tuple[Any, ...]]:
        found = []
        while self._next is not None and self._next[0] <= number:
            if self._next[0] == number:
                found.append(self._next[1:])
            self._next = next(self._rows, None)
        return found


class _Phone:
    """One database while it is read."""

    def __init__(self, document: Document, database: Database, options: Options, reading: Reading) -> None:
        self._document = document
        self._database = database
        self._reading = reading
        self.source = options.source or f"imessage:{options.network or 'imessage'}"
        self._handles = {key: str(name) for key, name in database.rows("SELECT rowid, id FROM handle ORDER BY rowid")}
        known = options.owner or self._account()
        self._owner = known or OWNER
        self._owner_guess = None if known else f"owner={OWNER}"
        self._rooms = dict(self._chats())

    def _account(self) -> str:
        """The owner's address as the first message has it that has one; "" where none does."""
        if self._database.has("message", ("account",)):
            query = "SELECT rowid, account FROM message WHERE account IS NOT NULL ORDER BY rowid LIMIT 1"
            for _, account in self._database.rows(query):
                stated = str(account).removeprefix("E:").removeprefix("e:").removeprefix("P:").removeprefix("p:")
                if stated.strip(":+"):
                    return stated
        return ""

    def _chats(self) -> Iterator[tuple[object, Room]]:
        members: dict[Any, list[str]] = {}
        if "chat_handle_join" in self._database.tables:
            query = "SELECT rowid, chat_id, handle_id FROM chat_handle_join ORDER BY rowid"
            for _, chat, handle in self._database.rows(query):
                members.setdefault(chat, []).append(self._handles.get(handle, str(handle)))
        title = "display_name" if self._database.has("chat", ("display_name",)) else "NULL"
        query = "SELECT rowid, guid, NULL FROM chat ORDER BY rowid".replace("NULL", title)
        for number, guid, name in self._database.rows(query):
            everybody = sorted({self._owner, *members.get(number, ())})
            people = tuple(map(Participant, everybody))
            identity = f"{self._owner} {guid}"
            if len(people) <= 2:
                place = Place(id=identity, kind="im", participants=people)
            else:
                place = Place(id=identity, kind="group", topic=str(name) if name else None)
            yield number, Room(self.source, place, self._owner_guess)

    def events(self) -> Iterator[Captured | Rejected]:
        chats = _Beside(
            self._database.rows(
                "SELECT message_id, min(chat_id) FROM chat_message_join WHERE message_id IS NOT NULL"
                " GROUP BY message_id ORDER BY message_id"
            )
        )
        files = _Beside(self._attached())
        there = [each for each in OPTIONAL if self._database.has("message", (each,))]
        columns = ("guid", "text", "handle_id", "is_from_me", "date", *there)
        query = f"SELECT rowid, {', '.join(columns)} FROM message ORDER BY rowid"  # noqa: S608
        for values in self._database.rows(query, through="message"):
            row = Row(values[0], **dict(zip(columns, values[1:], strict=True)))
            chat = chats.of(row.number)
            yield from self._take(row, self._rooms.get(chat[0][0]) if chat else None, files.of(row.number))

    def _attached(self) -> Iterator[tuple[Any, ...]]:
        if not self._database.has("message_attachment_join", ("message_id",)):
            return iter(())
        columns = [f"a.{each}" if self._database.has("attachment", (each,)) else "NULL" for each in _FILE]
        return self._database.rows(
            f"SELECT j.message_id, {', '.join(columns)} FROM message_attachment_join j"  # noqa: S608
            " JOIN attachment a ON a.rowid = j.attachment_id WHERE j.message_id IS NOT NULL ORDER BY j.message_id"
        )

    def _take(self, row: Row, room: Room | None, attached: list[tuple[Any, ...]]) -> Iterator[Captured | Rejected]:
        position = f"{self._document.place}: message {row.number}"
        original = jsonfile.original(
            {key: str(value) for key, value in structs.asdict(row).items() if value is not None}
        )
        files = [self._file(*each) for each in attached]
        try:
            if room is None:
                raise EventError("it belongs to no chat")
            at = self._time(row.date)
            if _is_unix(row.date):
                room = structs.replace(room, guessed=guess_mark(room.guessed, "epoch"))
            events = list(self._events(row, room, at, files))
        except EventError as fault:
            yield Rejected(original, position, str(fault), self.source)
            return
        yield from told(events, self._reading, original, position, files)

    def _events(self, row: Row, room: Room, at: datetime, files: list[Media]) -> Iterator[Event]:
        kind = _reaction(row.associated_message_type)
        if kind is not None and row.associated_message_guid:
            yield from self._reacted(row, room, at, kind)
        elif row.item_type:
            yield from self._service(row, room, at)
        else:
            yield from self._said(row, room, at, files)

    def _said(self, row: Row, room: Room, at: datetime, files: list[Media]) -> Iterator[Event]:
        guid, actor = str(row.guid), self._author(row)
        words = "[text that can't be read]" if row.is_unreadable else row.words
        subject = f"{row.subject}\n" if isinstance(row.subject, str) and row.subject else ""
        answered = str(row.thread_originator_guid) if row.thread_originator_guid else None
        history = history_of(row.message_summary_info, row.whole) if row.date_edited else None
        first = history.first if history is not None else words
        message = Message(guid, f"{subject}{first}", in_reply_to=answered, thread=answered)
        shared = tuple(each.attachment for each in files) or None
        is_empty = row.date_edited and not (subject or words or files)
        yield room.event(guid, SENT, at, actor, message=message, attachments=shared)
        if history is not None and history.unsent and history.left:
            yield from self._unsent(row, room, at, actor, history.unsent)
        elif row.date_retracted or is_empty or (history is not None and history.is_gone):
            gone = self._time(row.date_retracted or row.date_edited)
            yield room.event(f"{guid}/retracted", RETRACTED, gone, actor, message=Message(guid))
            return
        if history is not None and (history.edits or history.unsent):
            yield from self._edits(guid, room, actor, history.edits, subject)
        elif row.date_edited:
            edited = self._time(row.date_edited)
            yield room.event(f"{guid}/edited", EDITED, edited, actor, message=Message(guid, f"{subject}{words}"))

    def _edits(
        self, guid: str, room: Room, actor: Participant, versions: tuple[Version, ...], subject: str
    ) -> Iterator[Event]:
        for number, (at, text) in enumerate(versions, 1):
            message = Message(guid, f"{subject}{text}")
            when = self._time(round(at * 1_000_000_000))
            yield room.event(f"{guid}/edited/{number}", EDITED, when, actor, message=message)

    def _unsent(self, row: Row, room: Room, at: datetime, actor: Participant, parts: dict[int, str]) -> Iterator[Event]:
        """Each such part as a message of its own that was taken back: the others stand."""
        gone = self._time(row.date_retracted or row.date_edited)
        for number, text in sorted(parts.items()):
            identity = f"{row.guid}/{number}"
            yield room.event(identity, SENT, at, actor, message=Message(identity, text))
            yield room.event(f"{identity}/retracted", RETRACTED, gone, actor, message=Message(identity))

    def _reacted(self, row: Row, room: Room, at: datetime, kind: int) -> Iterator[Event]:
        target = str(row.associated_message_guid).rpartition("/")[2].removeprefix("bp:")
        is_removed = kind >= 2000 + _REMOVED
        which = kind - _REMOVED if is_removed else kind
        reaction = _REACTIONS.get(which) or str(row.associated_message_emoji or "?")
        message, who = Message(target), self._author(row)
        yield room.event(str(row.guid), REACTED, at, who, message=message, reaction=reaction, removed=is_removed)

    def _service(self, row: Row, room: Room, at: datetime) -> Iterator[Event]:
        """1: somebody was added or removed, 2: the group was named, 3: somebody left."""
        guid, actor = str(row.guid), self._author(row)
        other = Participant(address=self._handles[row.other_handle]) if row.other_handle in self._handles else None
        if row.item_type == 1 and other is not None:
            yield room.event(guid, LEFT if row.group_action_type == 1 else JOINED, at, actor, subject=other)
        elif row.item_type == 2:
            yield room.event(guid, TOPIC_CHANGED, at, actor, topic=str(row.group_title or ""))
        elif row.item_type == 3 and not row.group_action_type:
            yield room.event(guid, LEFT, at, actor)
        else:
            self._reading.ignored["notices of Messages' own"] += 1

    def _author(self, row: Row) -> Participant:
        if row.is_from_me:
            return Participant(address=self._owner)
        if row.handle_id not in self._handles:
            raise EventError("nothing says who wrote it")
        return Participant(address=self._handles[row.handle_id])

    def _time(self, value: Any) -> datetime:
        if not isinstance(value, int):
            raise EventError(f"no time: {value!a}"[:200])
        try:
            if abs(value) >= _NANOSECONDS:
                return moment(APPLE * 1_000_000 + value // 1_000)
            if _is_unix(value):
                return moment(value * 1_000_000)
            return moment((APPLE + value) * 1_000_000)
        except OverflowError as fault:
            raise EventError(f"no time: {value}") from fault

    def _file(self, filename: Any, kind: Any, name: Any) -> Media:
        """It lies in `Attachments/` beside the database, wherever that was on the device."""
        path = str(filename or "")
        _, folder, rest = path.rpartition("Attachments/")
        return media(
            self._document,
            rest or None,
            folder=folder.rstrip("/"),
            only_files=bool(folder),
            name=str(name) if name else None,
            media_type=str(kind) if kind else None,
        )


def _is_unix(value: int) -> bool:
    """Whether a time counts from 1970: as Apple's own count it would be too large."""
    return _UNIX <= value < _NANOSECONDS


def _reaction(stated: Any) -> int | None:
    """2000 to 2006 given, 3000 to 3006 taken back; some tools write the name."""
    if isinstance(stated, str):
        known = _NAMES.get(stated)
        return known if known is not None or not stated.isdecimal() else _reaction(int(stated[:6]))
    if isinstance(stated, int) and (2000 <= stated <= 2006 or 3000 <= stated <= 3006):
        return stated
    return None
