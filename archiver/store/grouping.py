"""How much goes between two syncs: ranges of puts that keep descriptors, locks and dirty pages bounded. No I/O."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from archiver.types import Item

_MOST = 500
"""Drafts between two syncs; each holds a descriptor."""

_BYTES = 64 * 1024 * 1024


class Piece(Protocol):
    """What is grouped: it may bring an item, and it is for one mailbox."""

    @property
    def item(self) -> Item | None: ...
    @property
    def mailbox(self) -> str: ...


def _share(of: int, most: int) -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(most, soft // of if soft > 0 else most)


def room() -> int:
    """Directories of folders open at a time; a group for more mailboxes opens some of them twice."""
    return max(4, _share(4, 2 * _MOST))


def groups(pieces: Sequence[Piece]) -> Iterator[range]:
    """Groups of so many different items, for any number of mailboxes.

    A draft without O_TMPFILE holds two descriptors; a quarter of all is for directories, one for spool and sockets.
    """
    return _ranges(pieces, max(1, _share(4, _MOST)), None, _shared)


def locked_groups(pieces: Sequence[Piece]) -> Iterator[range]:
    """Groups whose mailboxes each hold one descriptor more, and a lock that others may wait for. Every item of each is
    a draft of its own."""
    most = max(1, _share(8, _MOST))
    return _ranges(pieces, most, most, _own)


def _shared(_: str, item: Item) -> object:
    return item.name


def _own(mailbox: str, item: Item) -> object:
    return mailbox, item.name


def _ranges(
    pieces: Sequence[Piece], most: int, most_mailboxes: int | None, draft: Callable[[str, Item], object]
) -> Iterator[range]:
    """`draft` tells those apart that are written each."""
    start, size = 0, 0
    drafts: set[object] = set()
    mailboxes: set[str] = set()
    for index, piece in enumerate(pieces):
        item = piece.item if piece.item is None or draft(piece.mailbox, piece.item) not in drafts else None
        fresh = most_mailboxes is not None and piece.mailbox not in mailboxes
        if (item and (len(drafts) >= most or size >= _BYTES)) or (fresh and len(mailboxes) == most_mailboxes):
            yield range(start, index)
            start, size, item = index, 0, piece.item
            drafts.clear()
            mailboxes.clear()
        if item:
            drafts.add(draft(piece.mailbox, item))
            size += len(item.content)
        mailboxes.add(piece.mailbox)
    if start < len(pieces):
        yield range(start, len(pieces))
