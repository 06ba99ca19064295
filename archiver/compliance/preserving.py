"""What holds cover is copied into the compliance archive before its owner can delete it.

    file       under a hold: the copy, DURABLE, then the item becomes visible to its owner
    replace    what a newer version takes out is copied first, else the newer version waits
    take       a new hold: what lies in its mailbox already, in whichever folder its owner has it

Joins holds, the mail tree and the archive. A copy is a file of its own, never a link: one inode has one owner and mode.
Holds no rule of what a hold covers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, TypeVar

import structlog
from msgspec import Struct, structs

from archiver.decisions import holding
from archiver.decisions.holding import Facts, Whose
from archiver.events import SECOND
from archiver.exceptions import ArchiverError, EnvironmentFault, ItemError, OverQuota, UsageError
from archiver.filing import rebuilding
from archiver.filing.archives import Memory, Record, note, refusal, why_not
from archiver.rendering import is_ours
from archiver.spool import Spool
from archiver.store import LARGEST, PURGES, ArchiveStore, MaildirStore
from archiver.store.protocol import Found, Outcome, Put, Store, Where
from archiver.types import Hold, Item

log = structlog.get_logger(__name__)

T = TypeVar("T")

_AT_ONCE = 100
_BYTES = 16 * 1024 * 1024
UNDER_WAY = 60 * SECOND
"""Who read the holds before one was placed has put its items by then."""


def _now() -> int:
    return time.time_ns() // 1_000


_TOO_LARGE = f"it has more than {LARGEST:,} bytes, which no item has"


class NotKept(ItemError):
    """An item that a hold covers waits, because its copy can't be kept; the message is the reason to withhold it."""


class Keeper:
    """Tells what holds cover, files copies of it in archives, and has their heads noted."""

    def __init__(self, archive: ArchiveStore, register: Memory, record: Record, whose: Whose) -> None:
        self._archive = archive
        self.register = register
        self._record = record
        self._whose = whose
        self._facts = lru_cache(maxsize=4)(self._facts_of)
        """One item goes to many mailboxes in a row."""

    def covers(self, holds: Sequence[Hold], content: bytes) -> bool:
        """Whether one of the holds on a mailbox covers an item."""
        return bool(holding.covering(holds, lambda: self._facts(content)))

    def _facts_of(self, content: bytes) -> Facts | None:
        try:
            roster, _, events = rebuilding.carried(content)
        except UsageError:
            return None
        there = (address for each in roster.present for address in each.addresses)
        return holding.facts_of(events, self._whose, there)

    def keep(self, copies: Sequence[Put]) -> list[Outcome]:
        """One outcome each; what has None is durable. What is there already stays as it is.

        Where something else lies under an item's name (another renderer's version of it), the copy gets one of its own.
        """
        outcomes = self._put(copies)
        again = {i: _renamed(copies[i]) for i, error in enumerate(outcomes) if _is_taken(error)}
        for index, outcome in zip(again, self._put(list(again.values())), strict=True):
            outcomes[index] = outcome
        return outcomes

    def _put(self, copies: Sequence[Put]) -> list[Outcome]:
        if not copies:
            return []
        try:
            known = self.register.heads({copy.mailbox for copy in copies})
            receipt = self._archive.put(copies, _now(), known=known)
            note(self._record, receipt)
        except (ArchiverError, OSError) as error:
            receipt = refusal(error, len(copies))
        return receipt.outcomes


class HeldStore:
    """The mail tree as filing sees it: nothing that a hold covers becomes visible, or goes, before it is kept."""

    def __init__(self, store: Store, keeper: Keeper) -> None:
        self._store = store
        self._keeper = keeper

    def put(self, puts: Sequence[Put], *, careful: bool = False) -> list[Outcome]:
        refused = self._refused(puts)
        done = iter(self._store.put([p for i, p in enumerate(puts) if i not in refused], careful=careful))
        return [refused[index] if index in refused else next(done) for index in range(len(puts))]

    def _refused(self, puts: Sequence[Put]) -> dict[int, NotKept]:
        """Those whose copy can't be kept, and why: they stay out of their owners' sight until it can."""
        held = self._keeper.register.standing_holds({put.mailbox for put in puts})
        if not held:
            return {}
        copies = {
            index: Put(put.mailbox, PURGES, put.item)
            for index, put in enumerate(puts)
            if self._keeper.covers(held.get(put.mailbox, ()), put.item.content)
        }
        outcomes = zip(copies, self._keeper.keep(list(copies.values())), strict=True)
        return {index: NotKept(why_not(error, puts[index].mailbox)) for index, error in outcomes if error is not None}

    def remove(self, mailbox: str, folder: str, name: str) -> bool:
        return self.remove_all([Where(mailbox, folder, name)])[0]

    def remove_all(self, unwanted: Sequence[Where]) -> list[bool]:
        """Raises `NotKept` where one can't be kept: then none is removed. `unkept` tells before."""
        for error in self.unkept(unwanted).values():
            raise error
        return self._store.remove_all(unwanted)

    def unkept(self, unwanted: Sequence[Where]) -> dict[Where, NotKept]:
        """Keep what holds cover of what is about to go; those whose copies can't be kept, and why."""
        if not unwanted:
            return {}
        held = self._keeper.register.standing_holds({where.mailbox for where in unwanted})
        if not held:
            return {}
        wanted = [where for where in unwanted if where.mailbox in held]
        errors: dict[Where, NotKept] = {}
        for lot in _in_lots(self._copies(held, wanted, errors), lambda each: len(each[1].item.content)):
            for (where, _), error in zip(lot, self._keeper.keep([copy for _, copy in lot]), strict=True):
                if error is not None:
                    errors[where] = NotKept(why_not(error, where.mailbox))
        return errors

    def _copies(
        self, held: Mapping[str, tuple[Hold, ...]], wanted: Sequence[Where], errors: dict[Where, NotKept]
    ) -> Iterator[tuple[Where, Put]]:
        """Of what is larger than any item of ours nothing is read: it stays, and is told."""
        lying = [
            (where, found)
            for where, found in zip(wanted, self._store.locate_all(wanted), strict=True)
            if found is not None
        ]
        errors |= {where: NotKept(f"{where.name}: {_TOO_LARGE}") for where, found in lying if found.size > LARGEST}
        sound = [where for where, _ in lying if where not in errors]
        for where, read in zip(sound, self._store.read_all(sound, LARGEST), strict=True):
            if read is not None and self._keeper.covers(held[where.mailbox], read[1]):
                yield where, _copy(where.mailbox, *read)

    def locate(self, mailbox: str, folder: str, name: str) -> Found | None:
        return self._store.locate(mailbox, folder, name)

    def locate_all(self, wanted: Sequence[Where]) -> list[Found | None]:
        return self._store.locate_all(wanted)

    def mailboxes(self) -> Iterable[str]:
        return self._store.mailboxes()

    def folders(self, mailbox: str) -> Iterable[str]:
        return self._store.folders(mailbox)

    def items(self, mailbox: str, folder: str) -> Iterator[Found]:
        return self._store.items(mailbox, folder)

    def read(self, mailbox: str, folder: str, name: str) -> bytes:
        return self._store.read(mailbox, folder, name)

    def names(self, mailbox: str, folder: str) -> list[str]:
        return self._store.names(mailbox, folder)

    def read_all(self, wanted: Iterable[Where], limit: int = -1) -> Iterator[tuple[Found, bytes] | None]:
        return self._store.read_all(wanted, limit)


class Taken(Struct):
    """What was done for a new hold: items `kept`, those that could not be, and whether all was looked at."""

    kept: int = 0
    failed: int = 0
    whole: bool = True


def take_all(
    spool: Spool, history: MaildirStore, keeper: Keeper, now: int, stopping: Callable[[], bool] = lambda: False
) -> int:
    """Take what lies in the mailboxes of new holds; how many items were kept."""
    kept = 0
    for hold in spool.untaken_holds():
        if stopping():
            break
        try:
            kept += take_one(spool, hold, history, keeper, now, stopping).kept
        except ArchiverError as error:  # one mailbox that can't be looked into must not stop the others
            log.error("hold not taken", hold=hold.number, mailbox=hold.mailbox, why=str(error), hint=error.hint)
    return kept


def take_one(
    spool: Spool,
    hold: Hold,
    history: MaildirStore,
    keeper: Keeper,
    now: int,
    stopping: Callable[[], bool] = lambda: False,
) -> Taken:
    """Take one, and note that it is taken once nothing of it can be missing.

    While somebody files, who may have read the holds before it was placed, it is taken again and again until they must
    have seen it; so is one of which something failed.
    """
    quiet = not spool.is_filing()
    taken = take(spool, hold, history, keeper, stopping)
    if taken.whole and not taken.failed and (quiet or now >= hold.placed + UNDER_WAY):
        spool.take_hold(hold.number, now)
        log.info("kept under a hold", hold=hold.number, mailbox=hold.mailbox, items=taken.kept)
    return taken


def take(
    spool: Spool, hold: Hold, history: MaildirStore, keeper: Keeper, stopping: Callable[[], bool] = lambda: False
) -> Taken:
    """Keep what a hold covers of all that lies in its mailbox, wherever its owner moved it. Again, it adds nothing.

    What bears a name that was never filed there (moved, copied, put back) anybody can have written: that gets one made
    from its content, so that it never stands in the place of what was filed, or will be.
    """
    taken, filed = Taken(), {delivery.name for delivery in spool.deliveries(hold.mailbox)}
    for lot in _in_lots(_readable(hold, history, keeper, taken), lambda copy: len(copy.item.content)):
        if not taken.whole:
            break
        _keep(keeper, [copy if copy.item.name in filed else _renamed(copy) for copy in lot], taken)
        taken.whole = not stopping()
    return taken


def _readable(hold: Hold, history: MaildirStore, keeper: Keeper, taken: Taken) -> Iterator[Put]:
    for copy in _lying(hold, history, keeper):
        if isinstance(copy, Unread):
            taken.failed += 1
            log.error("not kept under a hold", mailbox=hold.mailbox, item=copy.where, why=copy.why)
        else:
            yield copy


def _in_lots(copies: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """So that neither many small ones nor a few large ones fill the memory."""
    lot: list[T] = []
    size = 0
    for copy in copies:
        lot.append(copy)
        size += size_of(copy)
        if len(lot) >= _AT_ONCE or size >= _BYTES:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot


def _keep(keeper: Keeper, lot: Sequence[Put], taken: Taken) -> None:
    for copy, error in zip(lot, keeper.keep(lot), strict=True):
        taken.kept += error is None
        taken.failed += error is not None
        if error is not None:
            log.error("not kept under a hold", mailbox=copy.mailbox, item=copy.item.name, why=str(error))


class Unread(NamedTuple):
    """What can't be looked into: the folders and items beside it are kept all the same."""

    where: str
    why: str


def _lying(hold: Hold, history: MaildirStore, keeper: Keeper) -> Iterator[Put | Unread]:
    """In every directory that can be a folder: one whose name is none is shown by no mail server, and hides nothing."""
    try:
        directories = history.directories(hold.mailbox)
    except ItemError:  # an address that no mailbox can have: nothing was ever filed for it
        return
    for directory in directories:
        try:
            yield from _lying_in(directory, hold, history, keeper)
        except EnvironmentFault as error:
            yield Unread(f"{directory!a}", str(error))


def _lying_in(directory: str, hold: Hold, history: MaildirStore, keeper: Keeper) -> Iterator[Put | Unread]:
    for found, content in history.messages_in(hold.mailbox, directory, is_ours, LARGEST):
        if content is None:
            yield Unread(f"{directory!a}/{found.name}", f"it can't be read, or has more than {LARGEST:,} bytes")
        elif keeper.covers([hold], content):
            yield _copy(hold.mailbox, found, content)


def _copy(mailbox: str, found: Found, content: bytes) -> Put:
    """Under the item's own name."""
    return Put(mailbox, PURGES, Item("", found.name, "", "", 0, found.modified, True, content))


def _renamed(copy: Put) -> Put:
    item = copy.item
    name = f"{item.changed // SECOND}.H{sha256(item.content).hexdigest()[:32]}.conversation-archiver"
    return structs.replace(copy, item=structs.replace(item, name=name))


def _is_taken(error: Outcome) -> bool:
    return isinstance(error, ItemError) and not isinstance(error, OverQuota)
