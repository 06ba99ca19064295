"""The Maildir store's twin in memory: same protocol, same contract, no files. For tests and dry runs.

Besides the protocol it has what a mail client does to items (`reflag`, `move`, `expunge`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from archiver.exceptions import ArchiverError, ItemError, UsageError
from archiver.store.names import INBOX, checked_name, file_name, folder_from_disk, folder_on_disk, normal_address
from archiver.store.protocol import Found, Outcome, Put, Where
from archiver.types import Item


class Kept(Struct, frozen=True):
    """An item in its folder, with the flags it has now; `name` is another's once a client has copied it."""

    name: str
    flags: str
    item: Item

    @property
    def found(self) -> Found:
        return Found(self.name, self.flags, not self.flags, len(self.item.content), self.item.changed)


class MemoryStore:
    """Mailboxes in `refusing` answer every put with their error."""

    def __init__(self, refusing: Mapping[str, ArchiverError] | None = None) -> None:
        self.refusing = dict(refusing or {})
        self._boxes: dict[str, dict[str, dict[str, Kept]]] = {}

    def put(self, puts: Sequence[Put], *, careful: bool = False) -> list[Outcome]:
        return [self._put(put, careful) for put in puts]

    def _put(self, put: Put, careful: bool) -> Outcome:
        flags = file_name(checked_name(put.item.name), put.flags)[1].partition(":2,")[2]
        try:
            mailbox, folder = _key(put.mailbox, put.folder)
        except ItemError as error:
            return error
        if put.mailbox in self.refusing:
            return self.refusing[put.mailbox]
        kept = self._boxes.setdefault(mailbox, {INBOX: {}}).setdefault(folder, {})
        known = careful and any(each.item.message_id == put.item.message_id for each in kept.values())
        if not known:
            kept.setdefault(put.item.name, Kept(put.item.name, flags, put.item))
        return None

    def locate(self, mailbox: str, folder: str, name: str) -> Found | None:
        kept = self._folder(mailbox, folder).get(name)
        return kept.found if kept and not kept.found.trashed else None

    def locate_all(self, wanted: Sequence[Where]) -> list[Found | None]:
        return [self.locate(where.mailbox, where.folder, where.name) for where in wanted]

    def remove(self, mailbox: str, folder: str, name: str) -> bool:
        return self._folder(mailbox, folder).pop(checked_name(name), None) is not None

    def remove_all(self, unwanted: Sequence[Where]) -> list[bool]:
        return [self.remove(where.mailbox, where.folder, where.name) for where in unwanted]

    def mailboxes(self) -> list[str]:
        return sorted(self._boxes)

    def folders(self, mailbox: str) -> list[str]:
        return sorted(self._boxes.get(_key(mailbox, INBOX)[0], {}))

    def items(self, mailbox: str, folder: str) -> Iterator[Found]:
        kept = self._folder(mailbox, folder)
        for name in sorted(kept):
            yield kept[name].found

    def read(self, mailbox: str, folder: str, name: str) -> bytes:
        kept = self._folder(mailbox, folder).get(name)
        if kept is None:
            raise UsageError(f"no item {name!r} in folder {folder!r} of {mailbox}", mailbox=mailbox, item=name)
        return kept.item.content

    def names(self, mailbox: str, folder: str) -> list[str]:
        return sorted(self._folder(mailbox, folder))

    def stamp(self, mailbox: str, folder: str) -> str:
        return ""

    def read_all(self, wanted: Iterable[Where], limit: int = -1) -> Iterator[tuple[Found, bytes] | None]:
        for where in wanted:
            kept = self._folder(where.mailbox, where.folder).get(where.name)
            yield (kept.found, kept.item.content[: None if limit < 0 else limit]) if kept else None

    def blocked(self, mailbox: str) -> list[tuple[str, str]]:
        return []

    def reflag(self, mailbox: str, folder: str, name: str, flags: str) -> None:
        kept = self._folder(mailbox, folder)
        kept[name] = replace(kept[name], flags="".join(sorted(set(flags))))

    def move(self, mailbox: str, folder: str, name: str, target: str, new_name: str) -> None:
        """As a mail server does: it gets another base name."""
        kept = self._folder(mailbox, folder).pop(name)
        box, folder = _key(mailbox, target)
        self._boxes[box].setdefault(folder, {})[new_name] = replace(kept, name=new_name)

    def expunge(self, mailbox: str, folder: str, name: str) -> None:
        del self._folder(mailbox, folder)[name]

    def _folder(self, mailbox: str, folder: str) -> dict[str, Kept]:
        try:
            box, folder = _key(mailbox, folder)
        except ItemError:
            return {}
        return self._boxes.get(box, {}).get(folder, {})


def _key(mailbox: str, folder: str) -> tuple[str, str]:
    """As they would stand on disk, read back: so that equal places there are equal here."""
    directory = folder_on_disk(folder)
    return "@".join(normal_address(mailbox)), folder_from_disk(directory) or INBOX
