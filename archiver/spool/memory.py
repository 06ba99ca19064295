"""What a process remembers of places and sources between its appends: only what is committed."""

from __future__ import annotations

from typing import Protocol

from archiver.spool.batch import PlaceKey

_KNOWN_PLACES = 50_000
"""About 15 MiB of names at most; then the memory of them is dropped and fills again."""


class Learnt(Protocol):
    """What one batch found out, once it is committed; `reopened` where its feed had been closed."""

    new_places: dict[PlaceKey, int]
    new_sources: dict[str, int]
    touched: set[int]
    reopened: bool


class Memory:
    """What is committed, and so need not be asked for again: numbers of places and sources, places a feed touched."""

    def __init__(self) -> None:
        self.places: dict[PlaceKey, int] = {}
        self.sources: dict[str, int] = {}
        self.touched: set[int] = set()
        self.touched_by = 0

    def remember(self, feed: int, learnt: Learnt) -> None:
        if len(self.places) + len(learnt.new_places) > _KNOWN_PLACES:
            self.places.clear()
            self.touched.clear()
        self.places |= learnt.new_places
        self.sources |= learnt.new_sources
        if feed != self.touched_by or learnt.reopened:
            self.touched.clear()
            self.touched_by = feed
        self.touched |= learnt.touched

    def forget_places(self) -> None:
        """They are asked for anew, one by one."""
        self.places = {}
        self.sources = {}
        self.touched = set()

    def forget_touched(self) -> None:
        """A feed was opened or closed: which places it touched is asked anew."""
        self.touched.clear()
