"""The whole in pictures: what the journal counts, as geometry and words for the page. Reads nothing itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from archiver.spool.records import Figures, Totals
from archiver.web.charts import Bar, Year, bars, calendar, year_of

CLASSES = ("1 min", "3 min", "5 min", "15 min", "1 h", "6 h", "1 day")
"""How `figures.BOUNDS` are called."""


class YearCount(Struct, frozen=True):
    year: int
    conversations: int


class Overview(Struct, frozen=True):
    """`totals` are the status's own; all of it is empty where there is no spool beside the mailboxes."""

    totals: Totals | None = None
    years: tuple[YearCount, ...] = ()
    rooms: tuple[Bar, ...] = ()
    latencies: tuple[Bar, ...] = ()
    waiting: tuple[Bar, ...] = ()
    days: tuple[tuple[int, int], ...] = ()

    def chosen(self, year: int | None) -> Year | None:
        """The calendar of that year, else of the last one that has anything."""
        known = [each.year for each in self.years]
        if not known:
            return None
        return calendar(dict(self.days), year if year in known else known[-1])


def overview_of(figures: Figures, totals: Totals, age: Callable[[int], str]) -> Overview:
    years: Counter[int] = Counter()
    for day, count in figures.days:
        years[year_of(day)] += count
    del years[0]
    rooms = [(room.conversation, room.conversations, f"{room.kind}, {room.source}") for room in figures.rooms]
    labels = [f"up to {name}" for name in CLASSES] + ["longer: read from old events"]
    waiting = [(each.source, each.places, f"the first for {age(each.longest)}") for each in figures.waiting]
    return Overview(
        totals=totals,
        years=tuple(YearCount(*each) for each in sorted(years.items())),
        rooms=bars(rooms),
        latencies=bars([(label, n, "") for label, n in zip(labels, figures.latencies, strict=True)]),
        waiting=bars(waiting),
        days=figures.days,
    )
