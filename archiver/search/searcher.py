"""Search as a reader meets it: the index brought up to date first, for as long as anybody waits, and then asked.

open (made anew where it can't be used) ─► what has changed ─► search, with how much is not searched yet
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from archiver.exceptions import EnvironmentFault, ItemError, TryLater, UsageError
from archiver.search.index import Broken, Index
from archiver.search.indexing import IsOver, Queue, catch_up, go_through, never, within
from archiver.search.query import Query, parse
from archiver.search.searching import LIMIT, Results, search
from archiver.search.statement import Order
from archiver.store.protocol import Stamped
from archiver.types import Destination

PATIENCE = 2.0
"""Seconds that a search waits for the index."""
_Answer = TypeVar("_Answer")


class Searcher:
    """One kind of folders with its index: people's own, or the compliance archives. Safe to use from several threads.

    `queue` is the spool's; None where there is none: then only the folders tell what has changed.
    """

    def __init__(
        self, data: Path, store: Stamped, destination: Destination = Destination.HISTORY, queue: Queue | None = None
    ) -> None:
        self.path = data / "index" / f"{destination.value}.db"
        self._store = store
        self.destination = destination
        self._queue = queue

    def search(
        self,
        query: Query | str,
        mailbox: str | None = None,
        *,
        order: Order = Order.NEWEST,
        limit: int = LIMIT,
        offset: int = 0,
        patience: float = PATIENCE,
    ) -> Results:
        """In one mailbox, or in all. Raises `UsageError` for a query that can't be read and for no mailbox."""
        asked = parse(query) if isinstance(query, str) else query
        if mailbox is not None:
            self._require(mailbox)

        def answer(index: Index) -> Results:
            behind = self._refreshed(index, mailbox, within(patience))
            found = search(index, self._store, asked, mailbox, order=order, limit=limit, offset=offset)
            return Results(found.hits, found.more, behind, index.made)

        return self._with_index(answer)

    def _require(self, mailbox: str) -> None:
        try:
            found = list(self._store.folders(mailbox))
        except ItemError as error:
            raise UsageError(str(error), hint="`archiver inspect` lists the mailboxes there are") from error
        if not found:
            raise UsageError(f"there is no mailbox {mailbox}", hint="`archiver inspect` lists those there are")

    def keep_up(self, seconds: float, stopping: IsOver = never) -> int:
        """Take in what has changed; with a new index, what lies in all mailboxes. How much is left after so long."""
        return self._with_index(lambda index: self._refreshed(index, None, within(seconds, stopping)))

    def rebuild(self, mailbox: str | None = None) -> int:
        """Go through the folders of one mailbox, or of all with an index made anew; how many items it has then."""
        if mailbox is None:
            Index.remove(self.path)
        else:
            self._require(mailbox)

        def rebuilt(index: Index) -> int:
            go_through(index, self._store, [mailbox] if mailbox else self._store.mailboxes(), never)
            index.is_whole = index.is_whole or mailbox is None
            return index.count

        return self._with_index(rebuilt)

    def scrub(self) -> None:
        """After an erasure: take in what has gone, and leave no word of it in the file."""
        if not self.path.exists():
            return

        def scrubbed(index: Index) -> None:
            self._refreshed(index, None, never)
            go_through(index, self._store, sorted(index.mailboxes()), never)
            index.scrub()

        try:
            self._with_index(scrubbed)
        except TryLater:  # somebody searches just now: better no index than words left in it
            Index.remove(self.path)

    def _with_index(self, use: Callable[[Index], _Answer]) -> _Answer:
        try:
            with self._opened() as index:
                return use(index)
        except Broken as broken:  # told by what is asked of it, not yet by its opening
            Index.remove(self.path)
            with Index.open(self.path, made=str(broken)) as index:
                return use(index)

    def _opened(self) -> Index:
        try:
            return Index.open(self.path)
        except TryLater:
            raise
        except EnvironmentFault as fault:  # who may only read asks it as it is
            if not self.path.exists():
                raise EnvironmentFault(
                    f"there is no search index yet, and none can be made here: {fault}",
                    hint="search once as the archiver's own user, or run its daemon: each makes one",
                ) from fault
            return Index.open(self.path, readonly=True)

    def _refreshed(self, index: Index, mailbox: str | None, is_over: IsOver) -> int:
        """How much is not searched yet. Where another process writes the index just now, it is asked as it is."""
        if index.readonly:
            return self._queued()
        try:
            if mailbox is not None:
                return go_through(index, self._store, [mailbox], is_over)
            if self._queue is not None:
                catch_up(self._queue, self.destination, index, self._store, is_over)
                if index.is_whole:  # what came since is in the queue
                    return self._queued()
            return self._gone_through(index, is_over) + self._queued()
        except TryLater:
            return self._queued()

    def _gone_through(self, index: Index, is_over: IsOver) -> int:
        """Mailboxes that this index has not seen yet; how many items of them are left."""
        unvisited = sorted(set(self._store.mailboxes()) - index.visited())
        left = go_through(index, self._store, unvisited, is_over)
        index.is_whole = not left
        return left

    def _queued(self) -> int:
        return 0 if self._queue is None else self._queue.index_backlog(self.destination).entries
