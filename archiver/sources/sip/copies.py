"""What a conference tells each of its people counts once: what one of them said, who came, who went. Pure, bounded.

How often something was said is at least how often any one of its people was told it. So who says the same again is
heard again, also where only the conference's copies are seen, and a copy that comes before what it is of hides nothing.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from msgspec import Struct, field

ECHO = 30.0
"""Seconds in which a conference passes on what it was told."""
REMEMBERED = 200_000


class _Words(Struct):
    """How often they were `said`, of these as copies alone `told`, and how often passed on to each (`legs`)."""

    due: float
    said: int = 0
    told: int = 0
    legs: Counter[str] = field(default_factory=Counter)


class Copies:
    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], _Words] = OrderedDict()

    def said(self, place: str, words: str, now: float) -> bool:
        """Whether a copy of it was told already."""
        known = self._of(place, words, now)
        if known.told:
            known.told -= 1
            return True
        known.said += 1
        return False

    def passed_on(self, place: str, words: str, leg: str, now: float) -> bool:
        """Whether it is known; else it counts as said. `leg` is who it was passed on to."""
        known = self._of(place, words, now)
        known.legs[leg] += 1
        if known.legs[leg] <= known.said:
            return True
        known.said += 1
        known.told += 1
        return False

    def sweep(self, now: float) -> None:
        while self._known and (len(self._known) > REMEMBERED or next(iter(self._known.values())).due <= now):
            self._known.popitem(last=False)

    def _of(self, place: str, words: str, now: float) -> _Words:
        found = self._known.pop((place, words), None)
        if found is None or found.due <= now:
            found = _Words(now + ECHO)
        found.due = now + ECHO
        self._known[place, words] = found
        return found
