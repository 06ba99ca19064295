"""The items of a mailbox that somebody asks for, a page at a time, and what else they could ask for.

Folder and month are told by names alone, whatever a mailbox holds. Who, where and what kind headers tell, of as many
items as `REACH` says; of more, and of what was said, the search index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct

from archiver.inspection.item import ItemSummary
from archiver.inspection.listing import Numbered
from archiver.search import Hit, Marked
from archiver.web.asked import Asked, Pages, paging
from archiver.web.catalogue import Catalogue, FolderCount, Listing, Month, months
from archiver.web.facts import Facts
from archiver.web.seeking import LOOKED, PAGE, Sought

REACH = 1_000
"""Items, the newest, whose headers are read to count what is in them, and to find where there is no index."""
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


class Entry(Struct, frozen=True):
    """One item of a list, and what of it was found: its subject and a piece of its text, with marks."""

    item: ItemSummary
    subject: Marked
    excerpt: Marked


class Found(Struct, frozen=True):
    """One page; `pages` is None where only whether there are `more` is known. Kinds, people and rooms are those of the
    `looked` first items; `partial` where there are more. `behind` is how many the index doesn't know yet."""

    entries: tuple[Entry, ...]
    pages: Pages | None
    facets: Facets
    looked: int
    partial: bool
    more: bool = False
    behind: int = 0


def browse(catalogue: Catalogue, listing: Listing, asked: Asked, search: Callable[[], Sought] | None) -> Found:
    """`search` asks the index; None where there is none. What the newest items tell is found without it."""
    within = listing.within(asked.folder, asked.month)
    if search and (asked.q or (asked.reads and len(within) > REACH)):
        return _sought(catalogue, listing, asked, search())
    near = catalogue.facts(within[:REACH])
    chosen = within
    if asked.reads:
        near = [(each, facts) for each, facts in near if _fits(facts, asked) and facts.tells(asked.q)]
        chosen = [each for each, _ in near]
    pages = paging(asked.page, PAGE, len(chosen))
    by_month = months(chosen) if asked.filters else listing.months
    return Found(
        entries=tuple(map(_entry, catalogue.read(chosen[pages.start : pages.end]))),
        pages=pages,
        facets=_facets([facts for _, facts in near], listing.folders, by_month),
        looked=min(REACH, len(within)),
        partial=len(within) > REACH,
    )


def _sought(catalogue: Catalogue, listing: Listing, asked: Asked, sought: Sought) -> Found:
    near = [(each, facts) for each, facts in catalogue.facts([each for _, each in sought.near]) if _fits(facts, asked)]
    fitting = {each.where for each, facts in catalogue.facts([e for _, e in sought.page]) if _fits(facts, asked)}
    page = {each.where: (hit, each) for hit, each in sought.page if each.where in fitting}
    items = catalogue.read([each for _, each in page.values()])
    hits = {(each.where.folder, each.where.name): hit for hit, each in page.values()}
    found = [each for each, _ in near]
    return Found(
        entries=tuple(_entry(item, hits[item.folder, item.name]) for item in items),
        pages=None,
        facets=_facets([facts for _, facts in near], listing.folders, months(sorted(found, key=_newest))),
        looked=len(sought.near),
        partial=len(sought.near) >= LOOKED,
        more=sought.more,
        behind=sought.behind,
    )


def _newest(each: Numbered) -> int:
    return -each.began


def _entry(item: ItemSummary, hit: Hit | None = None) -> Entry:
    return Entry(item, hit.subject, hit.excerpt) if hit else Entry(item, Marked(item.subject), Marked(""))


def _fits(facts: Facts, asked: Asked) -> bool:
    return (
        asked.kind in ("", facts.kind)
        and asked.room in ("", facts.room)
        and (not asked.person or facts.has(asked.person))
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
