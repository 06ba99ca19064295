"""Keeping the index as the folders are: what the journal's queue names is looked at, or a whole mailbox gone through.

    queue (written with the journal) ─► the places it names ─┐
                                                             ├► read ─► document ─► Index.change
    folders of a mailbox ─► names that came, names that went ─┘

What lies in the folder decides, not what was recorded of it. Everything may be done again, and ends when time is over:
what is left then is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import structlog

from archiver.exceptions import ArchiverError
from archiver.search.document import digest_of, document_of
from archiver.search.index import Index, Seen, Visit
from archiver.store.protocol import Folders, Found, Stamped, Where
from archiver.types import Destination

log = structlog.get_logger(__name__)

_AT_ONCE = 500
"""Items of one transaction."""
_HEAVY = 16 * 1024 * 1024
"""Bytes after which a transaction ends before."""
_LARGEST = 64 * 1024 * 1024
"""Bytes of an item that are read: its owner can have planted it."""


class Change(Protocol):
    """One entry of the queue: something was filed at this place, or taken out of it."""

    @property
    def number(self) -> int: ...
    @property
    def mailbox(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def name(self) -> str: ...


class Backlog(Protocol):
    """How many entries wait."""

    @property
    def entries(self) -> int: ...


class Queue(Protocol):
    """What the journal says has changed in one kind of folder."""

    def unindexed(self, destination: Destination, limit: int) -> Sequence[Change]:
        """The oldest of it."""
        ...

    def indexed(self, numbers: Iterable[int]) -> None:
        """Done: they leave the queue."""
        ...

    def index_backlog(self, destination: Destination) -> Backlog: ...


IsOver = Callable[[], bool]
"""Whether there is no more time."""


def within(seconds: float, stopping: IsOver = lambda: False) -> IsOver:
    end = time.monotonic() + seconds
    return lambda: stopping() or time.monotonic() >= end


def never() -> bool:
    return False


def catch_up(queue: Queue, destination: Destination, index: Index, store: Stamped, is_over: IsOver) -> int:
    """Take in what the queue names; how many entries were done."""
    done = 0
    while not is_over() and (changes := queue.unindexed(destination, _AT_ONCE)):
        places = dict.fromkeys(Where(change.mailbox, change.folder, change.name) for change in changes)
        look_at(index, store, list(places))
        queue.indexed([change.number for change in changes])
        done += len(changes)
    return done


def go_through(index: Index, store: Stamped, mailboxes: Iterable[str], is_over: IsOver) -> int:
    """Make the index what the folders of these mailboxes are; how many items are left to read when time is over.

    A folder that nobody has changed since is not listed; what its owner has moved, copied or put there is found. Small
    mailboxes are taken in together: FTS5 is slow with many small changes.
    """
    places: list[Where] = []
    visits: list[Visit] = []
    left = 0
    for visit, differing in _differences(index, store, mailboxes):
        if is_over():
            left += len(differing)
            continue
        places += differing
        visits.append(visit)
        if len(places) >= _AT_ONCE:
            left += _take_in(index, store, places, visits, is_over)
            places, visits = [], []
    return left + _take_in(index, store, places, visits, is_over)


def _differences(index: Index, store: Stamped, mailboxes: Iterable[str]) -> Iterator[tuple[Visit, list[Where]]]:
    """Folders that have changed since, each with the names that the index has and the folder hasn't, or vice versa."""
    for mailbox in mailboxes:
        folders = set(store.folders(mailbox))
        for folder in sorted(folders | index.folders(mailbox)):
            stamp = store.stamp(mailbox, folder)
            if not stamp or stamp != index.stamp(mailbox, folder):
                names = set(store.names(mailbox, folder)) if folder in folders else set()
                differing = sorted(names ^ index.names(mailbox, folder), reverse=True)
                yield Visit(mailbox, folder, stamp), [Where(mailbox, folder, name) for name in differing]


def _take_in(index: Index, store: Stamped, places: Sequence[Where], visits: Sequence[Visit], is_over: IsOver) -> int:
    for start in range(0, len(places), _AT_ONCE):
        if is_over():
            return len(places) - start
        look_at(index, store, places[start : start + _AT_ONCE])
    index.went_through(visits)
    return 0


def look_at(index: Index, store: Folders, places: Sequence[Where]) -> None:
    """Take in what lies at these places now; forget what doesn't."""
    seen: list[Seen] = []
    gone: list[Where] = []
    parsed: set[bytes] = set()
    weight = 0
    for where, read in _reading(store, places):
        if read is None:
            gone.append(where)
            continue
        digest = digest_of(read[1])
        is_known = digest in parsed or index.has(digest)
        seen.append(Seen(where, digest, None if is_known else document_of(*read)))
        parsed.add(digest)
        weight += len(read[1])
        if weight > _HEAVY:
            index.change(seen, gone)
            seen, gone, weight = [], [], 0
    index.change(seen, gone)


def _reading(store: Folders, places: Sequence[Where]) -> Iterator[tuple[Where, tuple[Found, bytes] | None]]:
    """What can't be read is told, and left as the index has it."""
    left = list(places)
    while left:
        done = 0
        try:
            for where, read in zip(left, store.read_all(left, _LARGEST), strict=True):
                done += 1
                yield where, read
            return
        except ArchiverError as error:
            log.warning("not indexed", mailbox=left[done].mailbox, item=left[done].name, why=str(error))
            left = left[done + 1 :]
