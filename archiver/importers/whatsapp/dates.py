"""In which order a chat writes day, month and year: decided from the whole file, never from one line. Pure.

A year of four digits tells its own place. Where all three numbers are short, an order counts if every date there is
valid in it; of several, the one in which time goes back least, then the one usual for the separator.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from archiver.importers.whatsapp.line import Start

DAY_FIRST, MONTH_FIRST, YEAR_FIRST = "day first", "month first", "year first"
_PLACES = {DAY_FIRST: (2, 1, 0), MONTH_FIRST: (2, 0, 1), YEAR_FIRST: (0, 1, 2)}
_BUDDHIST = 543
"""Years of the Thai calendar are ahead by so many."""
_CENTURY = 2000


class Orders:
    """Weighs the orders while a file is read. No date is after `latest`."""

    def __init__(self, latest: date) -> None:
        self._latest = latest
        self._possible = dict.fromkeys(_PLACES, 0)
        self._last: dict[str, date] = {}
        self._separators: set[str] = set()
        self.asked = 0

    def add(self, start: Start) -> None:
        if start.widths[0] == 4:
            return
        self._separators.add(start.separator.strip())
        self.asked += 1
        for order in tuple(self._possible):
            day = _day(start, order)
            if day is None or day > self._latest:
                self._possible.pop(order)
                continue
            self._possible[order] += day < self._last.get(order, day)
            self._last[order] = day

    def decide(self) -> tuple[str, bool]:
        """The order, and whether another fits as well."""
        possible = [order for order in self._usual() if order in self._possible]
        if not possible:
            return DAY_FIRST, True
        least = min(self._possible[order] for order in possible)
        best = [order for order in possible if self._possible[order] == least]
        return best[0], len(best) > 1

    def _usual(self) -> Iterable[str]:
        """Which is tried first. Short years come first only with dashes, or where nothing else can be meant."""
        if self._separators == {"-"}:
            return YEAR_FIRST, DAY_FIRST, MONTH_FIRST
        usual = (DAY_FIRST, MONTH_FIRST)
        return usual if self._possible.keys() & {*usual} else (YEAR_FIRST,)


def day_of(start: Start, order: str) -> date | None:
    """None where there is no such day."""
    return _day(start, YEAR_FIRST if start.widths[0] == 4 else order)


def _day(start: Start, order: str) -> date | None:
    year, month, day = (start.numbers[place] for place in _PLACES[order])
    width = start.widths[_PLACES[order][0]]
    if width not in (2, 4):
        return None
    if width == 2:
        year += _CENTURY
    elif year > 2400:
        year -= _BUDDHIST
    try:
        return date(year, month, day)
    except ValueError:
        return None
