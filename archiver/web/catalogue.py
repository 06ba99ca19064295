"""What lies in the store as pages ask for it: by ids that are no paths, a page at a time, whatever a mailbox holds.

An item's id is what its name comes to, so a link keeps leading to it when its owner moves or flags it. Names alone say
when an item began; a page reads no more than it shows. What was listed is remembered for some seconds.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import blake2b
from itertools import groupby
from threading import Lock

from msgspec import Struct

from archiver.events import SECOND
from archiver.exceptions import UsageError
from archiver.inspection.item import ItemSummary, item_of
from archiver.inspection.listing import HEADER, Numbered, numbered
from archiver.store.protocol import Folders
from archiver.web.facts import Facts, facts_of
from archiver.web.parts import Parts

LARGEST = 128 * 1024 * 1024
"""Bytes of an item that a page takes apart; of a larger one only the header is read."""

_REMEMBERED = 5 * SECOND
_KEPT = 32
"""Listings of so many mailboxes are kept in memory."""
_FACTS = 50_000
"""Items whose header was read: they don't change under their names."""

_DAY = 86_400 * SECOND
_KEY = re.compile(r"[0-9]+\.K([0-9a-f]{32})\.conversation-archiver")
_ID = re.compile(r"[0-9a-f]{32}")


def id_of(name: str) -> str:
    """32 hexadecimal digits: our own items' key, which their Message-ID has too; of others' names a digest."""
    ours = _KEY.fullmatch(name)
    return ours[1] if ours else blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


class Month(Struct, frozen=True):
    """How many items began in a month, as `2016-12`."""

    name: str
    items: int


class FolderCount(Struct, frozen=True):
    """A folder: its items, and when the first and the last of them began, in microseconds."""

    folder: str
    items: int
    first: int
    last: int


class Listing:
    """Everything in one mailbox, newest first."""

    def __init__(self, found: list[Numbered]) -> None:
        self.found = found

    @cached_property
    def by_id(self) -> dict[str, int]:
        """Index of each; of a name that lies in two folders the first."""
        return {id_of(each.where.name): n for n, each in reversed(list(enumerate(self.found)))}

    @cached_property
    def months(self) -> list[Month]:
        return months(self.found)

    @cached_property
    def folders(self) -> tuple[FolderCount, ...]:
        times: dict[str, list[int]] = {}
        for each in self.found:
            times.setdefault(each.where.folder, []).append(each.began)
        return tuple(FolderCount(name, len(began), began[-1], began[0]) for name, began in sorted(times.items()))

    def within(self, folder: str = "", month: str = "") -> list[Numbered]:
        """Those of a folder and a month; an empty one stands for all."""
        return [
            each
            for each in self.found
            if (not folder or each.where.folder == folder) and (not month or month_of(each) == month)
        ]


def months(found: Sequence[Numbered]) -> list[Month]:
    """The newest first, as the items come."""
    return [Month(name, sum(1 for _ in group)) for name, group in groupby(found, month_of)]


def month_of(each: Numbered) -> str:
    return _month(each.began // _DAY)


@lru_cache(maxsize=16_384)
def _month(day: int) -> str:
    """Of a day counted from 1970 UTC; of one that no calendar has, the nearest that has."""
    return f"{datetime.fromtimestamp(min(max(day, -719_162), 2_932_896) * 86_400, UTC):%Y-%m}"


class Opened(Struct, frozen=True):
    """One item to be shown, with its neighbours by date. `parts` is None where it is too large to be taken apart."""

    id: str
    summary: ItemSummary
    content: bytes
    parts: Parts | None
    older: str
    newer: str


class Catalogue:
    """A store, read for pages. Safe for threads."""

    def __init__(self, store: Folders, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._lock = Lock()
        self._listings: OrderedDict[str, tuple[int, Listing]] = OrderedDict()
        self._facts: OrderedDict[tuple[str, str], Facts] = OrderedDict()

    def mailboxes(self) -> list[str]:
        return list(self._store.mailboxes())

    def folders(self, mailbox: str) -> tuple[FolderCount, ...]:
        """Those that hold something."""
        listing = self.listing(mailbox)
        return listing.folders if listing else ()

    def listing(self, mailbox: str, *, anew: bool = False) -> Listing | None:
        """None where there is no such mailbox."""
        now = self._clock()
        with self._lock:
            known = self._listings.get(mailbox)
        if known and not anew and 0 <= now - known[0] < _REMEMBERED:
            return known[1]
        try:
            listing = Listing(numbered(self._store, mailbox))
        except UsageError:
            return None
        with self._lock:
            self._listings[mailbox] = (now, listing)
            while len(self._listings) > _KEPT:
                self._listings.popitem(last=False)
        return listing

    def read(self, found: Sequence[Numbered]) -> list[ItemSummary]:
        """What each tells of itself; read whole."""
        reading = self._store.read_all((each.where for each in found), LARGEST)
        return [item_of(each.number, each.where, *read) for each, read in zip(found, reading, strict=True) if read]

    def facts(self, found: Sequence[Numbered]) -> list[tuple[Numbered, Facts]]:
        """What the header of each tells, remembered."""
        with self._lock:
            known = {each.where: self._facts.get((each.where.mailbox, each.where.name)) for each in found}
        unknown = [where for where, facts in known.items() if facts is None]
        for where, read in zip(unknown, self._store.read_all(unknown, HEADER), strict=True):
            known[where] = facts_of(read[1]) if read else None
        with self._lock:
            for where in unknown:
                if facts := known[where]:
                    self._facts[where.mailbox, where.name] = facts
            while len(self._facts) > _FACTS:
                self._facts.popitem(last=False)
        return [(each, facts) for each in found if (facts := known[each.where])]

    def open(self, mailbox: str, identity: str) -> Opened | None:
        """None where there is no such item, or no more."""
        if not _ID.fullmatch(identity):
            return None
        for anew in (False, True):
            listing = self.listing(mailbox, anew=anew)
            if listing is None:
                return None
            at = listing.by_id.get(identity)
            if at is not None and (opened := self._opened(listing, at, identity)):
                return opened
        return None

    def _opened(self, listing: Listing, at: int, identity: str) -> Opened | None:
        each = listing.found[at]
        (read,) = self._store.read_all([each.where], LARGEST)
        if read is None:
            return None
        found, content = read
        whole = found.size <= LARGEST
        return Opened(
            id=identity,
            summary=item_of(each.number, each.where, found, content, whole=whole),
            content=content,
            parts=Parts(content) if whole else None,
            older=_neighbour(listing.found, at + 1),
            newer=_neighbour(listing.found, at - 1),
        )


def _neighbour(found: Sequence[Numbered], at: int) -> str:
    return id_of(found[at].where.name) if 0 <= at < len(found) else ""
