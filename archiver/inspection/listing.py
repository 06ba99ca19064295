"""Listings of a store: folders with counts, items with what their headers say, one item with its text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from msgspec import Struct

from archiver.events import SECOND
from archiver.exceptions import ItemError, UsageError
from archiver.inspection.messages import date_of, header, headers_of, parsed, people_of, text_of
from archiver.store.protocol import Folders, Found

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
    """One item to read: chosen headers, the plain text."""

    summary: ItemSummary
    headers: dict[str, str]
    text: str


def folders(store: Folders, mailboxes: Iterable[str] | None = None) -> Iterator[FolderSummary]:
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


def items(store: Folders, mailbox: str) -> list[ItemSummary]:
    """All items of a mailbox, by date."""
    found = [(folder, item) for folder in _folders(store, mailbox) for item in store.items(mailbox, folder)]
    found.sort(key=lambda each: (_began(each[1]), each[1].name, each[0]))
    listed: list[ItemSummary] = []
    for folder, item in found:
        with suppress(UsageError):  # moved away by its owner since
            content = store.read(mailbox, folder, item.name)
            listed.append(_item(len(listed) + 1, mailbox, folder, item, content))
    return listed


def _folders(store: Folders, mailbox: str) -> list[str]:
    try:
        found = list(store.folders(mailbox))
    except ItemError as error:
        raise UsageError(str(error), hint="`archiver inspect` lists the mailboxes there are") from error
    if not found:
        raise UsageError(f"there is no mailbox {mailbox}", hint="`archiver inspect` lists those there are")
    return found


def _item(number: int, mailbox: str, folder: str, found: Found, content: bytes) -> ItemSummary:
    message = headers_of(content)
    date = date_of(message)
    return ItemSummary(
        number=number,
        mailbox=mailbox,
        folder=folder,
        name=found.name,
        message_id=header(message, "Message-ID"),
        date=found.modified if date is None else date,
        subject=header(message, "Subject"),
        sender=header(message, "From"),
        people=len(people_of(message)),
        kind=header(message, "X-Archiver-Kind") or "mail",
        missed=header(message, "X-Archiver-Item-Class") == _MISSED,
        flags=found.flags,
        unseen=not found.seen,
        size=found.size,
    )


def find(store: Folders, mailbox: str, wanted: str) -> ItemSummary:
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


def content(store: Folders, item: ItemSummary) -> bytes:
    return store.read(item.mailbox, item.folder, item.name)


def show(store: Folders, item: ItemSummary) -> Shown:
    message = parsed(content(store, item))
    headers = {name: header(message, name) for name in _SHOWN if name in message}
    return Shown(item, headers, text_of(message))
