"""Listings of a store: folders with counts, items with what their headers say, one item with its text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses

from msgspec import Struct

from archiver.events import SECOND, microseconds
from archiver.exceptions import UsageError
from archiver.store.protocol import Found, Store

_MISSED = "IPM.Note.Microsoft.Missed"


class FolderSummary(Struct, frozen=True):
    """One folder of a mailbox. Times in microseconds: of the first and the last item, None where it is empty."""

    mailbox: str
    folder: str
    items: int
    unseen: int
    bytes: int
    first: int | None
    last: int | None


class ItemSummary(Struct, frozen=True):
    """One item as its headers tell. `number` counts from 1 within the mailbox, by date."""

    number: int
    mailbox: str
    folder: str
    name: str
    message_id: str
    date: int
    subject: str
    sender: str
    people: int
    kind: str
    missed: bool
    flags: str
    unseen: bool
    size: int


class Shown(Struct, frozen=True):
    """One item to read: chosen headers, the plain text, the exact bytes."""

    summary: ItemSummary
    headers: dict[str, str]
    text: str
    content: bytes


def folders(store: Store, mailboxes: Iterable[str] | None = None) -> Iterator[FolderSummary]:
    """Every folder that holds something, of all mailboxes or the named ones."""
    for mailbox in store.mailboxes() if mailboxes is None else mailboxes:
        for folder in store.folders(mailbox):
            summary = _summary(mailbox, folder, store.items(mailbox, folder))
            if summary.items:
                yield summary


def _summary(mailbox: str, folder: str, found: Iterable[Found]) -> FolderSummary:
    count = unseen = size = 0
    first: int | None = None
    last: int | None = None
    for item in found:
        count += 1
        unseen += not item.seen
        size += item.size
        began = _began(item)
        first = began if first is None else min(first, began)
        last = item.modified if last is None else max(last, item.modified)
    return FolderSummary(mailbox, folder, count, unseen, size, first, last)


def _began(item: Found) -> int:
    """Our names begin with the second of the first event; others' don't say."""
    seconds, dot, _ = item.name.partition(".")
    if dot and seconds.isdecimal() and len(seconds) < 12:
        return int(seconds) * SECOND
    return item.modified


def items(store: Store, mailbox: str) -> list[ItemSummary]:
    """All items of a mailbox, by date."""
    found = [(folder, item) for folder in store.folders(mailbox) for item in store.items(mailbox, folder)]
    if not found and mailbox not in set(store.mailboxes()):
        raise UsageError(f"there is no mailbox {mailbox}", hint="`archiver inspect` lists those there are")
    found.sort(key=lambda each: (_began(each[1]), each[1].name))
    return [_item(store, number, mailbox, folder, item) for number, (folder, item) in enumerate(found, 1)]


def _item(store: Store, number: int, mailbox: str, folder: str, found: Found) -> ItemSummary:
    message = _parsed(store.read(mailbox, folder, found.name))
    people = [address for _, address in getaddresses([str(message.get(name, "")) for name in ("From", "To")])]
    return ItemSummary(
        number=number,
        mailbox=mailbox,
        folder=folder,
        name=found.name,
        message_id=str(message.get("Message-ID", "")),
        date=_date(message, found),
        subject=str(message.get("Subject", "")),
        sender=str(message.get("From", "")),
        people=len({address for address in people if address}),
        kind=str(message.get("X-Archiver-Kind", "mail")),
        missed=message.get("X-Archiver-Item-Class") == _MISSED,
        flags=found.flags,
        unseen=not found.seen,
        size=found.size,
    )


def _parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, EmailMessage, policy=policy.default)


def _date(message: EmailMessage, found: Found) -> int:
    stated = getattr(message.get("Date"), "datetime", None)
    return found.modified if stated is None or stated.tzinfo is None else microseconds(stated)


def find(store: Store, mailbox: str, wanted: str) -> ItemSummary:
    """One item by its number in the listing, or by a unique beginning of its name, key or Message-ID."""
    listed = items(store, mailbox)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(listed):
        return listed[int(wanted) - 1]
    bare = wanted.strip("<>")
    fitting = [each for each in listed if bare and _is_called(each, bare)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"{len(fitting)} items begin with {wanted}" if fitting else f"{mailbox} has no item {wanted}"
    raise UsageError(what, hint=f"`archiver inspect {mailbox}` lists its items")


def _is_called(item: ItemSummary, beginning: str) -> bool:
    key = item.name.partition(".K")[2]
    return any(name.startswith(beginning) for name in (item.name, key, item.message_id.strip("<>")) if name)


_SHOWN = ("Date", "From", "To", "Subject", "Message-ID", "References")


def show(store: Store, item: ItemSummary) -> Shown:
    content = store.read(item.mailbox, item.folder, item.name)
    message = _parsed(content)
    body = message.get_body(("plain", "html"))
    text = str(body.get_content()) if body is not None else ""
    headers = {name: str(message[name]) for name in _SHOWN if name in message}
    return Shown(item, headers, text, content)
