"""Searching the index, and what is found, as it lies in the folders at this moment.

    Query ─► statement ─► documents ─► does a copy still lie there? ─► Hit, with an excerpt

Whatever the index says, an item that its owner has taken away, trashed or got a new version of is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec import Struct

from archiver.search.excerpt import Marked, excerpt, marked
from archiver.search.index import Index, Row
from archiver.search.query import Field, Query, Words, wanted_words
from archiver.search.statement import Order, Statement, statement
from archiver.store.protocol import Folders, Where

LIMIT = 50
_AT_ONCE = 100
"""Documents that are asked for at a time; a page of them is looked up in the folders."""
_DEEPEST = 10_000
"""Documents looked at for one page of hits, where ever so many have gone since they were indexed."""


class Hit(Struct, frozen=True):
    """One item found. `mailbox`, `folder` and `name` say where it lies, `others` how many more copies the index knows.

    Times in microseconds. `subject`, `people`, `room` and `files` are texts with marks, `excerpt` of what was said:
    all as they came from outside, to be neutralised by whoever shows them.
    """

    mailbox: str
    folder: str
    name: str
    others: int
    date: int
    last: int
    kind: str
    missed: bool
    has_file: bool
    subject: Marked
    people: Marked
    room: Marked
    files: Marked
    excerpt: Marked


class Results(Struct, frozen=True):
    """One page. `more` is the offset to ask for next, None at the end; `behind` how many items aren't searched yet.

    `made` is why an index that couldn't be used was made anew just now; else empty.
    """

    hits: tuple[Hit, ...]
    more: int | None
    behind: int = 0
    made: str = ""


def search(
    index: Index,
    store: Folders,
    query: Query,
    mailbox: str | None = None,
    *,
    order: Order = Order.NEWEST,
    limit: int = LIMIT,
    offset: int = 0,
) -> Results:
    """What is found in one mailbox, or in all: each document once, as long as one copy of it lies in a folder."""
    words = list(wanted_words(query.part))
    found = _found(index, store, statement(query.part, mailbox, order), mailbox, offset, limit + 1)
    page = list(islice(found, limit + 1))
    more = page[limit][0] if len(page) > limit else None
    return Results(tuple(_hit(row, copies, words) for _, row, copies in page[:limit]), more)


_Page = Iterator[tuple[int, Row, Sequence[Where]]]


def _found(index: Index, store: Folders, asked: Statement, mailbox: str | None, offset: int, most: int) -> _Page:
    """Documents with their offsets, and their copies from the first on that is there; at least `most`, if there are."""
    at_once = min(most, _AT_ONCE)
    for start in range(offset, offset + _DEEPEST, at_once):
        numbers = index.documents(asked.text, asked.page(at_once, start))
        offsets = {number: start + at for at, number in enumerate(numbers)}
        rows = [row for row in index.rows(numbers, mailbox) if row.copies]
        for row, is_there in zip(rows, _there(store, [row.copies[0] for row in rows]), strict=True):
            copies = row.copies if is_there else _left(store, row.copies)
            if copies:
                yield offsets[row.number], row, copies
        if len(numbers) < at_once:
            return


def _there(store: Folders, places: Sequence[Where]) -> list[bool]:
    return [lying is not None for lying in store.locate_all(places)]


def _left(store: Folders, copies: Sequence[Where]) -> list[Where]:
    return [where for where, is_there in zip(copies, _there(store, copies), strict=True) if is_there]


def _hit(row: Row, copies: Sequence[Where], words: list[Words]) -> Hit:
    document, texts, first = row.document, row.document.texts, copies[0]
    return Hit(
        mailbox=first.mailbox,
        folder=first.folder,
        name=first.name,
        others=len(copies) - 1,
        date=document.first,
        last=document.last,
        kind=document.kind,
        missed=document.missed,
        has_file=document.has_file,
        subject=marked(texts.subject, words, Field.SUBJECT),
        people=marked(texts.people, words, Field.WITH, Field.FROM),
        room=marked(texts.room, words, Field.IN),
        files=marked(texts.files, words, Field.FILE),
        excerpt=excerpt(texts.said, words),
    )
