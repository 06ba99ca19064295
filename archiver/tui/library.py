"""The store and the search index as panes ask for them: each question in a thread, one of a kind at a time.

Who asks anew drops the question before; one that waits is then never asked. Holds no rule: `inspection` lists and
reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Event
from typing import Any, ParamSpec, Protocol, TypeVar

from msgspec import Struct

from archiver.inspection import ORDERS, ItemSummary
from archiver.inspection.item import item_of
from archiver.inspection.listing import HEADER, Numbered, numbered
from archiver.search import Order, Query, Results, parse
from archiver.store.protocol import Folders, Where

HITS = 500
"""Found ones that are listed."""
LARGEST = 64 * 1024 * 1024
"""Bytes of an item that is read; of a larger one only so many."""
_TELL_EVERY = 250
_WHOLE = ("messages",)
"""Orders by what no header tells."""

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


class Search(Protocol):
    """Asks the index, in one mailbox or in all; `UsageError` for a query that can't be read."""

    def __call__(self, query: Query, mailbox: str | None, *, order: Order, limit: int, offset: int) -> Results: ...


class Opened(Struct, frozen=True):
    """One item. `is_whole` is false where it is too large to be read whole."""

    summary: ItemSummary
    content: bytes
    is_whole: bool


class Library:
    """Every method raises `ArchiverError` or `OSError` where folders or index can't be read."""

    def __init__(self, store: Folders, search: Search) -> None:
        self._store = store
        self._search = search
        self._pools = {name: ThreadPoolExecutor(1, f"tui-{name}") for name in ("list", "read", "open", "sort", "find")}

    def close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    async def _ask(
        self, kind: str, question: Callable[_Asked, _Answer], *args: _Asked.args, **named: _Asked.kwargs
    ) -> _Answer:
        future = self._pools[kind].submit(question, *args, **named)
        return await asyncio.wrap_future(future)

    async def mailboxes(self) -> list[str]:
        return await self._ask("list", lambda: list(self._store.mailboxes()))

    async def contents(self, mailbox: str) -> list[Numbered]:
        """Everything in it, newest first, by name alone."""
        return await self._ask("list", numbered, self._store, mailbox)

    async def summaries(self, found: Sequence[Numbered]) -> dict[Where, ItemSummary]:
        """What each tells of itself; without those that have gone."""
        return await self._ask("read", _summaries, self._store, found)

    async def opened(self, where: Where, number: int = 0) -> Opened | None:
        """None where it has gone."""
        return await self._ask("open", _opened, self._store, where, number)

    async def ordered(self, found: Sequence[Numbered], order: str, tell: Callable[[int], None]) -> list[Numbered]:
        """Sorted by what each tells of itself; `tell` hears how many were asked."""
        loop, context, over = asyncio.get_running_loop(), copy_context(), Event()

        def heard(count: int) -> None:
            loop.call_soon_threadsafe(tell, count, context=context)

        try:
            return await self._ask("sort", _ordered, self._store, found, order, heard, over.is_set)
        finally:
            over.set()

    async def found(self, text: str, mailbox: str | None, order: Order) -> Results:
        """`UsageError` for what isn't a query, or not yet."""
        return await self._ask("find", lambda: self._search(parse(text), mailbox, order=order, limit=HITS, offset=0))


def _summaries(store: Folders, found: Sequence[Numbered]) -> dict[Where, ItemSummary]:
    reading = store.read_all((each.where for each in found), LARGEST)
    return {
        each.where: item_of(each.number, each.where, *read, whole=read[0].size <= LARGEST)
        for each, read in zip(found, reading, strict=True)
        if read
    }


def _opened(store: Folders, where: Where, number: int) -> Opened | None:
    (read,) = store.read_all([where], LARGEST)
    if read is None:
        return None
    found, content = read
    whole = found.size <= LARGEST
    return Opened(item_of(number, where, found, content, whole=whole), content, whole)


def _ordered(
    store: Folders,
    found: Sequence[Numbered],
    order: str,
    tell: Callable[[int], None],
    is_over: Callable[[], bool],
) -> list[Numbered]:
    key, whole = ORDERS[order], order in _WHOLE
    keyed: list[tuple[Any, int]] = []
    for at, read in enumerate(store.read_all((each.where for each in found), LARGEST if whole else HEADER)):
        if is_over():
            return []
        if at % _TELL_EVERY == 0:
            tell(at)
        if read:
            item = item_of(found[at].number, found[at].where, *read, whole=whole and read[0].size <= LARGEST)
            keyed.append((key(item), at))
    return [found[at] for _, at in sorted(keyed)]
