"""What somebody looks for, asked of the search index: words with what else was chosen, a page at a time.

The index finds; what a header says, and where an item lies, decides once more, so that a room is that room alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from archiver.inspection.listing import Numbered
from archiver.search import Hit, Order, Query, Results, parse
from archiver.search.query import And
from archiver.search.words import sought
from archiver.web.asked import Asked
from archiver.web.catalogue import Listing, id_of, month_of

PAGE = 50
LOOKED = 200
"""Hits, the first, whose headers are read to count what is in them."""


class Search(Protocol):
    """Asks the index, in one mailbox or in all; `UsageError` for a query that can't be read."""

    def __call__(self, query: Query, mailbox: str | None, *, order: Order, limit: int, offset: int) -> Results: ...


class Sought(Struct, frozen=True):
    """`near` are the first hits, `page` those of the page asked for, each with where it lies; `more`: others follow.

    `behind` is how many items the index doesn't know yet.
    """

    near: tuple[tuple[Hit, Numbered], ...]
    page: tuple[tuple[Hit, Numbered], ...]
    more: bool
    behind: int


def order_of(asked: Asked) -> Order:
    return Order.RELEVANCE if asked.sort == "best" else Order.NEWEST


def query_of(asked: Asked) -> Query:
    """What was typed, and what was chosen beside it: each must hold."""
    chosen = [("with", asked.person), ("in", asked.room)]
    terms = [
        f'{field}:"{" ".join(value.replace(chr(34), " ").split())}"'
        for field, value in chosen
        if sought(value)  # a room called `#` has no word: there the header alone decides
    ]
    terms += [f"{field}:{value}" for field, value in (("kind", asked.kind), ("on", asked.month)) if value]
    parts = [parse(text).part for text in (asked.q, *terms) if text]
    return Query(asked.q, parts[0] if len(parts) == 1 else And(tuple(parts)))


def seek(search: Search, listing: Listing, mailbox: str, asked: Asked) -> Sought:
    query, order = query_of(asked), order_of(asked)
    first = search(query, mailbox, order=order, limit=LOOKED, offset=0)
    start = (asked.page - 1) * PAGE
    if start + PAGE <= len(first.hits):
        hits, more = first.hits[start : start + PAGE], start + PAGE < len(first.hits) or first.more is not None
    elif first.more is None:
        hits, more = first.hits[start:], False
    else:
        further = search(query, mailbox, order=order, limit=PAGE, offset=start)
        hits, more = further.hits, further.more is not None
    return Sought(
        near=_lying(listing, first.hits, asked), page=_lying(listing, hits, asked), more=more, behind=first.behind
    )


def _lying(listing: Listing, hits: Sequence[Hit], asked: Asked) -> tuple[tuple[Hit, Numbered], ...]:
    """Those that lie where it was asked for, each once."""
    found = []
    for hit in hits:
        at = listing.by_id.get(id_of(hit.name))
        if at is None:
            continue
        each = listing.found[at]
        if asked.folder in ("", each.where.folder) and asked.month in ("", month_of(each)):
            found.append((hit, each))
    return tuple(found)


def everywhere(search: Search, asked: Asked) -> Results:
    """In all mailboxes: no more than a page at a time."""
    return search(parse(asked.q), None, order=order_of(asked), limit=PAGE, offset=(asked.page - 1) * PAGE)
