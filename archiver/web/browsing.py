"""The items of a mailbox that somebody asks for, a page at a time, and what else they could ask for.

Folder and month are told by names alone, whatever a mailbox holds. Who, where and what kind only headers tell: of the
newest items, as far as `REACH` goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from archiver.inspection.item import ItemSummary
from archiver.web.asked import Asked, Pages, paging
from archiver.web.catalogue import Catalogue, FolderCount, Listing, Month, months
from archiver.web.facts import Facts

PAGE = 50
REACH = 1_000
"""Items, the newest, whose headers are read to find and to count what is in them."""
_FACETS = 12
_MONTHS = 24


class Facet(Struct, frozen=True):
    """One value that items have, and how many of those looked at do. `label` is how people call it."""

    value: str
    label: str
    items: int


class Facets(Struct, frozen=True):
    """What could be asked for next."""

    folders: tuple[Facet, ...]
    kinds: tuple[Facet, ...]
    people: tuple[Facet, ...]
    rooms: tuple[Facet, ...]
    months: tuple[Facet, ...]


class Found(Struct, frozen=True):
    """One page. Kinds, people and rooms are those of the `looked` newest items; `partial` where there are more."""

    items: tuple[ItemSummary, ...]
    pages: Pages
    facets: Facets
    looked: int
    partial: bool


def browse(catalogue: Catalogue, listing: Listing, asked: Asked) -> Found:
    within = listing.within(asked.folder, asked.month)
    near = catalogue.facts(within[:REACH])
    chosen = within
    if asked.reads:
        near = [(each, facts) for each, facts in near if _fits(facts, asked)]
        chosen = [each for each, _ in near]
    pages = paging(asked.page, PAGE, len(chosen))
    by_month = months(chosen) if asked.filters else listing.months
    facets = _facets([facts for _, facts in near], listing.folders, by_month)
    return Found(
        items=tuple(catalogue.read(chosen[pages.start : pages.end])),
        pages=pages,
        facets=facets,
        looked=min(REACH, len(within)),
        partial=len(within) > REACH,
    )


def _fits(facts: Facts, asked: Asked) -> bool:
    return (
        asked.kind in ("", facts.kind)
        and asked.room in ("", facts.room)
        and (not asked.person or facts.has(asked.person))
        and (not asked.q or facts.tells(asked.q))
    )


def _facets(near: Sequence[Facts], folders: Sequence[FolderCount], by_month: Sequence[Month]) -> Facets:
    people = Counter(person for facts in near for person in facts.people)
    rooms = Counter(facts.room for facts in near if facts.room)
    kinds = Counter(facts.kind for facts in near)
    return Facets(
        folders=tuple(Facet(each.folder, each.folder, each.items) for each in folders),
        kinds=tuple(Facet(value, value, n) for value, n in kinds.most_common()),
        people=tuple(Facet(who.address, who.name or who.address, n) for who, n in people.most_common(_FACETS)),
        rooms=tuple(Facet(value, value, n) for value, n in rooms.most_common(_FACETS)),
        months=tuple(Facet(each.name, each.name, each.items) for each in by_month[:_MONTHS]),
    )
