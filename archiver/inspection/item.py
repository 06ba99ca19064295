"""One item as its own header and events tell it. Pure: reads what it is given, and no folder."""

from __future__ import annotations

from datetime import datetime
from email.message import Message
from urllib.parse import unquote

from msgspec import DecodeError, Raw, Struct, json

from archiver.events import SECOND, SENT, microseconds
from archiver.exceptions import UsageError
from archiver.inspection.messages import attached, date_of, header, headers_of, parts_of, people_of
from archiver.rendering.evidence import FILE_NAME, lines_of
from archiver.store.protocol import Found, Where

UNPACKED = 64 * 1024 * 1024
"""Bytes of events in an item that are looked at: ours have a tenth, and its owner can have planted another."""

_MISSED = "IPM.Note.Microsoft.Missed"


class ItemSummary(Struct, frozen=True):
    """One item as it tells itself. `number` counts from 1 within the mailbox, by date.

    `date` and `last` are the times of the first and last event, `minutes` the begun ones between. `messages` and
    `files` are told by what it carries; `messages` is None where that are no events of ours. `files` were shared,
    whether their contents were ever had or not; of an item without events, those that hang on it. `guessed` are the
    reasons of what had to be guessed, "" for none.
    """

    number: int
    mailbox: str
    folder: str
    name: str
    message_id: str
    date: int
    last: int
    subject: str
    sender: str
    recipients: str
    people: int
    kind: str
    room: str
    source: str
    missed: bool
    minutes: int
    messages: int | None
    files: int
    guessed: str
    flags: str
    unseen: bool
    size: int

    @property
    def marks(self) -> tuple[str, ...]:
        """What stands out about it, in words."""
        marks = {
            "missed": self.missed,
            "unread": self.unseen,
            "file": self.files > 0,
            "flagged": "F" in self.flags,
            "deleted": "T" in self.flags,
            "guessed": bool(self.guessed),
        }
        return tuple(word for word, is_so in marks.items() if is_so)


def item_of(number: int, where: Where, found: Found, content: bytes, *, whole: bool = True) -> ItemSummary:
    """From its bytes, or where `whole` is false from their beginning: then nothing of what it carries is told."""
    message = headers_of(content)
    parts = parts_of(content if whole else b"")
    date = date_of(message)
    began = found.modified if date is None else date
    last = max(began, last_of(message, began))
    messages, files = _counted(parts)
    return ItemSummary(
        number=number,
        mailbox=where.mailbox,
        folder=where.folder,
        name=found.name,
        message_id=header(message, "Message-ID"),
        date=began,
        last=last,
        subject=header(message, "Subject"),
        sender=header(message, "From"),
        recipients=header(message, "To"),
        people=len(people_of(message)),
        kind=header(message, "X-Archiver-Kind") or "mail",
        room=unquote(header(message, "X-Archiver-Conversation")),
        source=unquote(header(message, "X-Archiver-Source")),
        missed=is_missed(message),
        minutes=-(-(last - began) // (60 * SECOND)),
        messages=messages,
        files=files,
        guessed=header(message, "X-Archiver-Guessed"),
        flags=found.flags,
        unseen=not found.seen,
        size=found.size,
    )


def is_missed(message: Message) -> bool:
    return header(message, "X-Archiver-Item-Class") == _MISSED


def last_of(message: Message, began: int) -> int:
    """When the last of its events was; `began` where it doesn't say."""
    try:
        return microseconds(datetime.fromisoformat(header(message, "X-Archiver-Last")))
    except (ValueError, OverflowError):
        return began


class _Shared(Struct, frozen=True):
    attachments: tuple[Raw, ...] | None = None


class _Counted(Struct, frozen=True):
    type: str
    data: _Shared = _Shared()


_decode = json.Decoder(_Counted).decode


def _counted(parts: Message) -> tuple[int | None, int]:
    """How many messages were said in it, and files shared. None where it carries no events, or damaged ones."""
    try:
        events = [_decode(line) for line in lines_of(parts, UNPACKED)]
    except (UsageError, DecodeError):
        return None, sum(name != FILE_NAME for name in attached(parts))
    return sum(each.type == SENT for each in events), sum(len(each.data.attachments or ()) for each in events)
