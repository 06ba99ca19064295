"""Listings of a store: folders with counts, items with what they tell of themselves, one item with its text.

Items come newest first and one by one: of a large mailbox no more is read than somebody looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from archiver.events import SECOND
from archiver.exceptions import ItemError, UsageError
from archiver.inspection.filtering import Wanted, by_body, by_header
from archiver.inspection.item import ItemSummary, item_of
from archiver.inspection.messages import header, parsed, text_of
from archiver.store.protocol import Folders, Found, Where

HEADER = 64 * 1024
"""Bytes read where only the header is asked for."""


class FolderSummary(Struct, frozen=True):
    """One folder of a mailbox. Times in microseconds: of the first and the last item, None where it is empty."""

    mailbox: str
    folder: str
    items: int
    unseen: int
    bytes: int
    first: int | None
    last: int | None


class Shown(Struct, frozen=True):
    """One item to read: chosen headers, the plain text."""

    summary: ItemSummary
    headers: dict[str, str]
    text: str

    @property
    def head(self) -> list[str]:
        """Its headers, one a line; as they came from outside."""
        return [f"{name}: {value}" for name, value in self.headers.items()]

    @property
    def lines(self) -> list[str]:
        """Its text, line by line; as it came from outside."""
        return self.text.rstrip("\n").split("\n")


class Numbered(Struct, frozen=True, gc=False):
    """Where an item lies, its number in its mailbox (1 is the oldest), and when it began as its name tells."""

    number: int
    where: Where
    began: int


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
        start = began(item.name)
        start = item.modified if start is None else start
        first = start if first is None else min(first, start)
        last = item.modified if last is None else max(last, item.modified)
    return FolderSummary(mailbox, folder, count, unseen, size, first, last)


def began(name: str) -> int | None:
    """Our names begin with the second of the first event, most others' with that of their delivery."""
    seconds, dot, _ = name.partition(".")
    return int(seconds) * SECOND if dot and seconds.isdecimal() and len(seconds) < 12 else None


def numbered(store: Folders, mailbox: str) -> list[Numbered]:
    """Everything in a mailbox, newest first, by name alone: nothing is read but of names that tell no time."""
    dated: list[tuple[int, str, str]] = []
    for folder in _folders(store, mailbox):
        names = store.names(mailbox, folder)
        times = [began(name) for name in names]
        dated += [(time, name, folder) for time, name in zip(times, names, strict=True) if time is not None]
        silent = [Where(mailbox, folder, name) for time, name in zip(times, names, strict=True) if time is None]
        dated += [(read[0].modified, read[0].name, folder) for read in store.read_all(silent, 0) if read]
    dated.sort(reverse=True)
    return [
        Numbered(len(dated) - index, Where(mailbox, folder, name), began)
        for index, (began, name, folder) in enumerate(dated)
    ]


def items(store: Folders, mailbox: str, wanted: Wanted = Wanted()) -> Iterator[ItemSummary]:  # noqa: B008
    """The items of a mailbox that are wanted, newest first; a mailbox that isn't there is told at once."""
    return _items(store, numbered(store, mailbox), wanted)


def _items(store: Folders, found: list[Numbered], wanted: Wanted) -> Iterator[ItemSummary]:
    if wanted != Wanted():
        found = list(_fitting(store, found, wanted))
    reading = store.read_all(each.where for each in found)
    for each, read in zip(found, reading, strict=True):
        if read is None:  # moved away by its owner since
            continue
        item = item_of(each.number, each.where, *read)
        if by_body(item, lambda content=read[1]: text_of(parsed(content)), wanted):  # type: ignore[misc]
            yield item


def _fitting(store: Folders, found: list[Numbered], wanted: Wanted) -> Iterator[Numbered]:
    reading = store.read_all((each.where for each in found), HEADER)
    for each, read in zip(found, reading, strict=True):
        if read and by_header(item_of(each.number, each.where, *read, whole=False), wanted):
            yield each


def _folders(store: Folders, mailbox: str) -> list[str]:
    try:
        found = list(store.folders(mailbox))
    except ItemError as error:
        raise UsageError(str(error), hint="`archiver inspect` lists the mailboxes there are") from error
    if not found:
        raise UsageError(f"there is no mailbox {mailbox}", hint="`archiver inspect` lists those there are")
    return found


_SHOWN = ("Date", "From", "To", "Subject", "Message-ID", "References")


def content(store: Folders, item: ItemSummary) -> bytes:
    return store.read(item.mailbox, item.folder, item.name)


def show(store: Folders, item: ItemSummary) -> Shown:
    return shown(item, content(store, item))


def shown(item: ItemSummary, content: bytes) -> Shown:
    """As `show`, of bytes that were read already."""
    message = parsed(content)
    headers = {name: header(message, name) for name in _SHOWN if name in message}
    return Shown(item, headers, text_of(message))
