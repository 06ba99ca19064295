"""One group of changes to archives: files durable, then the lines that say so, then what is to go goes.

    lock manifests ─► judge ─► Batch (draft, SYNC, link, SYNC) ─► lines ─► SYNC ─► unlink ─► SYNC ─► unlock

All of it under the lock of each mailbox's manifest, taken in one order. Whatever step is the last one, the same changes
made again come to the same end: a file without its line gets it, a line whose file should be gone takes it away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType

from archiver.exceptions import ArchiverError, ItemError, OverQuota
from archiver.store import manifest
from archiver.store.batch import Batch
from archiver.store.chain import Act, Content, Entry, Tail, digest
from archiver.store.change import Placed, Receipt
from archiver.store.damage import Code, Damage
from archiver.store.faults import fault
from archiver.store.ledger import Ledger, Remembered
from archiver.store.manifest import Manifest
from archiver.store.removal import Removal
from archiver.store.search import Search
from archiver.store.syncing import make_durable
from archiver.store.tree import Ownership, Parts, Tree
from archiver.types import Head, Item


class Recording:
    """Works on one group within one `Tree`."""

    def __init__(
        self,
        tree: Tree,
        ownership: Ownership,
        receipt: Receipt,
        remembered: Remembered,
        first: Callable[[str], Tail],
        known: Mapping[str, Head],
    ) -> None:
        self._tree = tree
        self._ownership = ownership
        self._receipt = receipt
        self._outcomes = receipt.outcomes
        self._remembered = remembered
        self._first = first
        self._known = known
        self._search = Search(tree, _ours)
        self._ledgers: dict[Parts, Ledger] = {}
        self._digests: dict[tuple[str, bytes], str] = {}
        self._is_durable = True
        """Whether the lines were synced: a head that a crash could take back must not go on record."""

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for ledger in self._ledgers.values():
            ledger.close(sound=error is None)

    def make(self, placed: Sequence[Placed], now: int, why: str, *, careful: bool, limit: int) -> None:
        self._open(placed)
        accepted = [each for each in placed if self._is_accepted(each, limit, careful=careful)]
        lying = self._file(accepted, careful=careful)
        for each in accepted:
            if self._outcomes[each.number] is None:
                self._enter(each, why, lies=each.number in lying, careful=careful)
        self._write(accepted, now)
        self._take_out([each for each in accepted if each.change.act is not Act.FILED])

    def report(self, warning: int) -> None:
        for ledger in self._ledgers.values():
            tail = ledger.manifest.tail
            for mailbox in ledger.spellings:
                if self._is_durable and tail.length and mailbox not in self._receipt.damages:
                    self._receipt.heads[mailbox] = tail.head
                if tail.held > warning:
                    self._receipt.nearly_full[mailbox] = tail.held

    def _open(self, placed: Iterable[Placed]) -> None:
        """In one order everywhere, so that two processes never wait for each other."""
        for each in sorted(placed, key=lambda each: each.place.mailbox):
            mailbox, address = each.place.mailbox, each.change.mailbox
            try:
                if mailbox not in self._ledgers:
                    self._ledgers[mailbox] = self._ledger(mailbox, address)
                if address not in self._ledgers[mailbox].spellings:
                    self._ledgers[mailbox].spellings[address] = None
                    self._compare(self._ledgers[mailbox].manifest, address)
            except FileNotFoundError as error:  # only where nothing is made
                if each.change.act is not Act.FILED:
                    self._refuse(each, _unknown())
                elif each.change.put:
                    self._outcomes[each.number] = fault(error, _path(mailbox))
            except OSError as error:
                self._outcomes[each.number] = fault(error, _path(mailbox))
            except ItemError as error:
                self._refuse(each, error)
            except ArchiverError as error:
                self._outcomes[each.number] = error

    def _ledger(self, mailbox: Parts, address: str) -> Ledger:
        opened = Manifest(self._tree.directory(mailbox), self._first(address), writes=True)
        try:
            opened.find_tail()
        except BaseException:
            opened.close()
            raise
        return Ledger(mailbox, opened, self._remembered)

    def _compare(self, opened: Manifest, address: str) -> None:
        """Whether the manifest still holds what is on record of it: a damage is told, and filing goes on."""
        known, length = self._known.get(address), opened.tail.length
        if known is None or address in self._receipt.damages:
            return
        if length < known.length:
            code, found = Code.CUT, f"it ends here, and line {known.length:,} is on record"
        elif known.length and digest(opened.line_before(length - known.length)) != known.digest:
            code, found = Code.REWRITTEN, f"line {known.length:,} is not the one on record"
        else:
            return
        self._receipt.damages[address] = Damage(code, address, f"{manifest.NAME}: line {length}", found)

    def _is_accepted(self, each: Placed, limit: int, *, careful: bool) -> bool:
        ledger = self._ledgers.get(each.place.mailbox)
        if ledger is None or self._outcomes[each.number] is not None:
            return False
        item = each.change.item
        if each.change.act is not Act.FILED:
            known = each.key in ledger.contents.there or each.key in ledger.contents.gone
            if not known:
                self._refuse(each, _unknown())
            return known
        if item is None or (careful and each.key in ledger.contents.there):
            return True
        if ledger.held + len(item.content) > limit and each.key not in ledger.contents.there:
            self._refuse(each, OverQuota(f"the archive is full: {ledger.held:,} of {limit:,} bytes", hint=_FULL))
            return False
        ledger.held += len(item.content)
        return True

    def _refuse(self, each: Placed, error: ItemError) -> None:
        where = each.change.where
        made = type(error)(f"{where.mailbox}: {where.folder}/{where.name}: {error}", hint=error.hint)
        self._outcomes[each.number] = made

    def _file(self, accepted: Iterable[Placed], *, careful: bool) -> set[int]:
        """Numbers of the items that lay there before."""
        puts = [(each.number, each.change.put, each.place) for each in accepted if each.change.put]
        # An archive's file is nobody else's: what damages one, in whichever way, damages no other.
        batch = Batch(self._tree, self._ownership, self._search if careful else None, links=False)
        try:
            batch.file(puts, self._outcomes)
        finally:
            batch.close()
        return batch.lying

    def _enter(self, each: Placed, why: str, *, lies: bool, careful: bool) -> None:
        """The line of a change, unless there is one already. `lies`: its item lay there before."""
        ledger, act, item = self._ledgers[each.place.mailbox], each.change.act, each.change.item
        try:
            content = self._read_back(each, item) if lies or item is None else self._said(item)
        except ItemError as error:
            self._refuse(each, error)
        except OSError as error:
            self._outcomes[each.number] = fault(error, each.place.path)
        else:
            if act is not Act.FILED:
                if known := ledger.contents.there.get(each.key):
                    ledger.enter(Entry(act, each.folder, known, why, content))
            elif content and not ((lies or careful) and ledger.contents.there.get(each.key) == content):
                ledger.enter(Entry(act, each.folder, content))

    def _read_back(self, each: Placed, item: Item | None) -> Content | None:
        """What lay there before: its line, if it has none yet, must say what it is, and it may be another's."""
        if item is None and each.change.act is not Act.FILED:
            return None
        name = item.name if item else each.change.where.name
        at = self._search.find(each.place, name)
        found = self._search.content(each.place, at[0]) if at else None
        lies = Content(name, digest(found), len(found)) if found is not None else None
        if item and lies != self._said(item):
            raise ItemError("another file lies under this name", hint="see `archiver inspect --verify`")
        return lies

    def _said(self, item: Item) -> Content:
        key = item.name, item.content
        if key not in self._digests:
            self._digests[key] = digest(item.content)
        return Content(item.name, self._digests[key], len(item.content))

    def _write(self, accepted: Sequence[Placed], now: int) -> None:
        """Also what is on record already is synced: who wrote it may have been killed before."""
        for mailbox, ledger in self._ledgers.items():
            try:
                if ledger.entries:
                    ledger.manifest.append(ledger.entries, now)
            except OSError as error:
                ledger.forget()
                self._fail(accepted, error, mailbox)
        ledgers = self._ledgers.values()
        descriptors = [ledger.manifest.descriptor for ledger in ledgers]
        descriptors += [self._tree.directory(each.mailbox) for each in ledgers if each.manifest.is_new]
        try:
            make_durable(descriptors, len(descriptors), self._tree.file_systems, all_of_it=False)
        except OSError as error:
            self._is_durable = False
            self._fail(accepted, error, None)

    def _fail(self, accepted: Iterable[Placed], error: OSError, mailbox: Parts | None) -> None:
        for each in accepted:
            if mailbox in (None, each.place.mailbox) and self._outcomes[each.number] is None:
                self._outcomes[each.number] = fault(error, f"{_path(each.place.mailbox)}/{manifest.NAME}")

    def _take_out(self, going: Iterable[Placed]) -> None:
        removal = Removal(self._tree, self._search)
        removed: list[Placed] = []
        for each in going:
            if self._outcomes[each.number] is not None:
                continue
            try:
                removal.take_out(each.place, each.change.where.name)
                removed.append(each)
            except OSError as error:
                self._outcomes[each.number] = fault(error, each.place.path)
        try:
            removal.sync()
        except OSError as error:
            self._fail(removed, error, None)


_FULL = "raise the limit, or purge what may go; what is not archived stays in the spool"


def _unknown() -> ItemError:
    return ItemError("the manifest knows no such item", hint="only what it knows can be taken out; see --verify")


def _ours(_: str) -> bool:
    """No file is looked into for a Message-ID: nobody moves or copies what lies in an archive."""
    return True


def _path(mailbox: Parts) -> str:
    return "/".join(mailbox)
