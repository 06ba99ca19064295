"""The compliance archive: mailboxes of their own in a tree that only the daemon's user can enter (0700, files 0600).

    DATA/archive/<domain>/<local>/manifest.ndjson               what was filed, purged and erased, each line chained
    DATA/archive/<domain>/<local>/.Recoverable Items.Purges/    the items, every version

Nothing here replaces or moves an item, and none goes without a line that says so. Items are written anew,
linked neither to Conversation History, since one inode has one owner and one mode, nor between archives, so that what
damages one damages no other. Whom to archive, and what a hold keeps, others decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from archiver.exceptions import ItemError
from archiver.store.chain import Act, Tail, start
from archiver.store.change import Change, Placed, Receipt
from archiver.store.damage import Damage
from archiver.store.faults import fault
from archiver.store.folders import MaildirFolders
from archiver.store.grouping import locked_groups, room
from archiver.store.ledger import Remembered
from archiver.store.manifest import Manifest
from archiver.store.names import INBOX, Encoding, checked_name, file_name, folder_from_disk, normal_address
from archiver.store.protocol import Put, Where
from archiver.store.recording import Recording
from archiver.store.tree import Ownership, Tree
from archiver.store.verification import Verification
from archiver.types import Head

PURGES = "Recoverable Items/Purges"
"""The folder of the original that its owner doesn't see."""

GIB = 1024**3
_MIB = 1024**2
_UNKNOWN: Mapping[str, Head] = {}


class Usage(Struct, frozen=True):
    """Bytes that a mailbox's archive holds, by its manifest, and its limits."""

    held: int
    warning: int
    limit: int

    @property
    def is_nearly_full(self) -> bool:
        return self.held > self.warning

    def __str__(self) -> str:
        return f"{self.held // _MIB:,} MiB of the {self.limit // _MIB:,} MiB it may hold"


class ArchiveStore(MaildirFolders):
    """Archives below a mail root of their own.

    Every change takes the time, which its lines bear, and the heads that are on record elsewhere (`known`), and gives
    a `Receipt`: once its heads are noted too, what was done can't be undone unseen.
    """

    def __init__(
        self,
        template: str,
        *,
        data: Path,
        encoding: Encoding = "utf-7",
        domains: Sequence[str] = (),
        warning: int = 20 * GIB,
        limit: int = 30 * GIB,
    ) -> None:
        """`warning` and `limit` are bytes held by one mailbox; over the limit nothing more is filed in it."""
        super().__init__(template, data=data, ownership=Ownership(), encoding=encoding, domains=domains)
        self._warning = warning
        self._limit = limit
        self._remembered = Remembered()

    def put(
        self, puts: Sequence[Put], now: int, *, careful: bool = False, known: Mapping[str, Head] = _UNKNOWN
    ) -> Receipt:
        """File each. What has the outcome None is durable, and so is its line.

        `careful` is for puts with an earlier attempt on record: it may be anywhere between file and line.
        """
        changes = [Change(Act.FILED, Where(put.mailbox, put.folder, put.item.name), put) for put in puts]
        return self._make(changes, now, "", careful=careful, known=known)

    def finish(self, attempted: Iterable[Where], now: int, *, known: Mapping[str, Head] = _UNKNOWN) -> Receipt:
        """Give each of these its line if it lies there without: a put was killed in between. For the start."""
        return self._make([Change(Act.FILED, where) for where in attempted], now, "", careful=True, known=known)

    def purge(self, unwanted: Sequence[Where], now: int, why: str, *, known: Mapping[str, Head] = _UNKNOWN) -> Receipt:
        """Take out items whose time is over: first the line, then the file. Reads no item. Again, it ends the same."""
        return self._make([Change(Act.PURGED, where) for where in unwanted], now, why, careful=True, known=known)

    def erase(
        self, unwanted: Sequence[tuple[Where, Put | None]], now: int, why: str, *, known: Mapping[str, Head] = _UNKNOWN
    ) -> Receipt:
        """Take out items for what they hold of one person; a version without it, under its own name, may stand instead.

        What stands instead is durable first, then the line with both digests, then the old file goes.
        """
        if any(put and put.item.name == where.name for where, put in unwanted):
            raise ValueError("a version that differs bears another name")
        changes = [Change(Act.ERASED, where, put) for where, put in unwanted]
        return self._make(changes, now, why, careful=True, known=known)

    def _make(
        self, changes: Sequence[Change], now: int, why: str, *, careful: bool, known: Mapping[str, Head]
    ) -> Receipt:
        receipt = Receipt([None] * len(changes))
        makes = any(change.put for change in changes)
        try:
            for group in locked_groups(changes):
                with (
                    Tree(self.root, self._ownership, make=makes, room=room(), mended=self._mended) as tree,
                    Recording(tree, self._ownership, receipt, self._remembered, _first, known) as recording,
                ):
                    placed = list(self._changing(changes, group, receipt))
                    recording.make(placed, now, why, careful=careful, limit=self._limit)
                    recording.report(self._warning)
        except OSError as error:  # the mail root itself
            receipt.outcomes = [outcome or fault(error, str(self.root)) for outcome in receipt.outcomes]
        return receipt

    def _changing(self, changes: Sequence[Change], group: range, receipt: Receipt) -> Iterator[Placed]:
        for index in group:
            change = changes[index]
            checked_name(change.where.name)
            if change.put:
                file_name(checked_name(change.put.item.name), change.put.flags)
            try:
                place = self._place(change.where.mailbox, change.where.folder)
            except ItemError as error:
                receipt.outcomes[index] = error
                continue
            yield Placed(index, change, place, folder_from_disk(place.folder, self.encoding) or INBOX)

    def head(self, mailbox: str) -> Head | None:
        """Where a mailbox's manifest ends now; None where there is none."""
        tail = self._tail(mailbox)
        return tail.head if tail else None

    def usage(self, mailbox: str) -> Usage:
        """Reads no more than the manifest's last line."""
        tail = self._tail(mailbox)
        return Usage(tail.held if tail else 0, self._warning, self._limit)

    def nearly_full(self, mailboxes: Iterable[str]) -> Iterator[tuple[str, Usage]]:
        """Those whose archives hold more than the warning. One with a damaged manifest is `verify`'s business."""
        for mailbox in mailboxes:
            with suppress(ItemError):
                usage = self.usage(mailbox)
                if usage.is_nearly_full:
                    yield mailbox, usage

    def _tail(self, mailbox: str) -> Tail | None:
        with self._manifest(mailbox) as manifest:
            return manifest.find_tail() if manifest else None

    @contextmanager
    def _manifest(self, mailbox: str) -> Iterator[Manifest | None]:
        """To read; None where there is none."""
        with self._using() as tree:
            try:
                manifest = Manifest(tree.directory(self._existing(tree, mailbox)), _first(mailbox), writes=False)
            except FileNotFoundError:
                yield None
                return
            try:
                yield manifest
            finally:
                manifest.close()

    def recorded(self, mailbox: str) -> dict[tuple[str, str], str]:
        """The SHA-256 of everything that is there by its manifest, by folder and base name. Reads no item."""
        with self._manifest(mailbox) as manifest:
            there = manifest.contents().there if manifest else {}
        return {key: content.sha256 for key, content in there.items()}

    def verify(self, mailbox: str, heads: Iterable[Head] = ()) -> Iterator[Damage]:
        """Everything that is wrong with a mailbox's archive. Reads every item; others may file meanwhile.

        `heads` are those on record elsewhere: without one, nobody can tell that the manifest's end was cut off.
        """
        with self._using() as tree:
            parts = self._existing(tree, mailbox)
            first = None if parts == self._template.raw_parts(mailbox) else _first(mailbox)
            yield from Verification(tree, mailbox, parts, self.encoding).run(first, heads)


@lru_cache(maxsize=4096)
def _first(mailbox: str) -> Tail:
    return start("@".join(normal_address(mailbox)))
