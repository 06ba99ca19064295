"""What a store is: the records that go in and come out, and the protocols that its implementations keep.

Holds no I/O. tests/contracts/store.py is the same contract as code; a new store joins it by giving its constructor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from archiver.exceptions import ArchiverError
from archiver.types import Item

Outcome = ArchiverError | None
"""What became of one `Put`: None is filed, durably; an error says why it is not, and that nothing half is visible."""


class Put(Struct, frozen=True):
    """One item for one folder of one mailbox.

    `flags` are Maildir letters (upper case: system flags; a-z: the folder's own keywords); without any the item
    arrives as new.
    """

    mailbox: str
    folder: str
    item: Item
    flags: str = "S"


class Where(Struct, frozen=True, gc=False):
    """An item by its computed name: what `locate` and `remove` ask for."""

    mailbox: str
    folder: str
    name: str


class Found(Struct, frozen=True):
    """An item as it lies in its folder now. `modified` is its date for IMAP, in microseconds."""

    name: str
    flags: str
    is_new: bool
    size: int
    modified: int

    @property
    def seen(self) -> bool:
        return "S" in self.flags

    @property
    def trashed(self) -> bool:
        """Its owner deleted it; the mail server has not expunged it yet."""
        return "T" in self.flags


class Folders(Protocol):
    """Items as they lie, to be read. Mailboxes are addresses, folders have `/` between levels, `INBOX` is a mailbox's
    own root. Asking for what isn't there makes nothing."""

    def locate(self, mailbox: str, folder: str, name: str) -> Found | None:
        """The item under its computed name; None if its owner moved, deleted or trashed it.

        None too where the mailbox can't be looked into: a put there fails and says why.
        """
        ...

    def locate_all(self, wanted: Sequence[Where]) -> list[Found | None]:
        """`locate` for many: a folder is listed once at most, however many of its items are asked for."""
        ...

    def mailboxes(self) -> Iterable[str]:
        """Addresses of what lies in the store, sorted."""
        ...

    def folders(self, mailbox: str) -> Iterable[str]:
        """Folders of a mailbox, sorted, `INBOX` among them."""
        ...

    def items(self, mailbox: str, folder: str) -> Iterator[Found]:
        """All that lies in a folder, sorted by name, others' messages and trashed ones too."""
        ...

    def read(self, mailbox: str, folder: str, name: str) -> bytes:
        """The bytes of one item, under whatever flags; `UsageError` if there is none."""
        ...

    def names(self, mailbox: str, folder: str) -> list[str]:
        """Base names of what lies in a folder, sorted. Asks for no file: some may be no item, or gone when read."""
        ...

    def read_all(self, wanted: Iterable[Where], limit: int = -1) -> Iterator[tuple[Found, bytes] | None]:
        """For each in order how it lies, and its first `limit` bytes (-1: all); None if there is none.

        One by one, as they are asked for; a folder is listed once at most, as long as nobody changes it.
        """
        ...


class Stamped(Folders, Protocol):
    """Folders that tell whether somebody has changed them, or put something in their way."""

    def stamp(self, mailbox: str, folder: str) -> str:
        """As long as it stays the same, the same names lie in the folder under the same flags; empty: nobody knows."""
        ...

    def blocked(self, mailbox: str) -> list[tuple[str, str]]:
        """Where something else stands in the place of a folder, or of its `new` or `cur`, and what it is."""
        ...


class Store(Folders, Protocol):
    """A place for items that are their owners'. Every method may be called again after a crash at any point of it."""

    def put(self, puts: Sequence[Put], *, careful: bool = False) -> list[Outcome]:
        """File each put; one outcome each, in order. What has None is durable when this returns.

        An item that lies there already under the same flags is filed. `careful` is for puts with an earlier
        attempt on record: such an item counts as filed wherever in its folder and under whatever flags or name
        (by Message-ID) it lies by now, trashed too. Without it no folder is listed.
        """
        ...

    def remove(self, mailbox: str, folder: str, name: str) -> bool:
        """Take out the item of exactly this computed name, durably; False if there is none."""
        ...

    def remove_all(self, unwanted: Sequence[Where]) -> list[bool]:
        """`remove` for many, with few syncs. Durable when it returns; where one fails, the others are done first."""
        ...
