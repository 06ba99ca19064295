"""Pictures of numbers as geometry for SVG: a year of days, bars, columns. Pure; makes no words and no markup.

Sizes are in the units of the picture's own view box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from msgspec import Struct

_EPOCH = date(1970, 1, 1)
CELL, STEP = 11, 14
"""Side of one day's square, and from one to the next."""
_LEFT, _TOP = 32, 20
LEVELS = 4
"""Shades besides that of nothing."""


class Day(Struct, frozen=True):
    """One square: where, which day (2016-12-19), how many, and its shade from 0 to `LEVELS`."""

    x: int
    y: int
    day: str
    count: int
    level: int


class Label(Struct, frozen=True):
    x: int
    y: int
    text: str


class Year(Struct, frozen=True):
    """A calendar, a column a week from Monday on."""

    year: int
    width: int
    height: int
    days: tuple[Day, ...]
    months: tuple[Label, ...]
    weekdays: tuple[Label, ...]
    total: int
    most: int


def year_of(day: int) -> int:
    """Of a day counted from 1970; one that no calendar has is in none: 0."""
    try:
        return (_EPOCH + timedelta(days=day)).year
    except OverflowError:
        return 0


def calendar(counts: Mapping[int, int], year: int) -> Year:
    """`counts` by days since 1970 UTC."""
    first, last = date(year, 1, 1), date(year, 12, 31)
    offset = first.weekday()
    length = (last - first).days + 1
    start = (first - _EPOCH).days
    found = [counts.get(start + n, 0) for n in range(length)]
    most = max(found)
    days = tuple(
        Day(*_at(n + offset), (first + timedelta(days=n)).isoformat(), count, level(count, most))
        for n, count in enumerate(found)
    )
    begins = [((date(year, m, 1) - first).days + offset) for m in range(1, 13)]
    months = tuple(
        Label(_at(at)[0] if at % 7 == 0 else _at(at)[0] + STEP, _TOP - 8, f"{date(year, m, 1):%b}")
        for m, at in enumerate(begins, 1)
    )
    weekdays = tuple(Label(0, _TOP + STEP * n + CELL - 2, name) for n, name in ((0, "Mon"), (2, "Wed"), (4, "Fri")))
    weeks = (length + offset + 6) // 7
    return Year(year, _LEFT + STEP * weeks, _TOP + STEP * 7, days, months, weekdays, sum(found), most)


def _at(n: int) -> tuple[int, int]:
    return _LEFT + STEP * (n // 7), _TOP + STEP * (n % 7)


def level(count: int, most: int) -> int:
    """A shade: whatever isn't nothing has one, and only what comes near the most has the last."""
    return 0 if count <= 0 else min(LEVELS, 1 + (count * LEVELS - 1) // max(most, 1))


class Bar(Struct, frozen=True):
    """`length` is its share of the longest, in per mille."""

    label: str
    value: int
    length: int
    note: str = ""


def bars(rows: Sequence[tuple[str, int, str]]) -> tuple[Bar, ...]:
    """Of (label, value, note); what isn't nothing is never too short to be seen."""
    most = max((value for _, value, _ in rows), default=0)
    return tuple(
        Bar(label, value, max(8, value * 1000 // most) if value and most else 0, note) for label, value, note in rows
    )
