"""Which captured events are left out, because their source, room or actor is excluded at that time (pure).

The time that counts is when something happened, not when it came: reading an old export brings nothing back that was
left out when it was said. Holds no store; whose mailbox an address is, is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from archiver.events import LEFT, RETRACTED, Captured, Event, Rejected, fits
from archiver.types import Exclusion

_KNOWN_SOURCES = 10_000

Whose = Callable[[str, str], str | None]
"""The mailbox, or else the normal address, of an address of a source."""


class Sieve:
    """Tells of each piece of input the exclusion it falls under; for one list of exclusions."""

    def __init__(self, exclusions: Iterable[Exclusion], whose: Whose) -> None:
        self._people: dict[str, list[Exclusion]] = {}
        self._places: list[Exclusion] = []
        for each in exclusions:
            if each.person:
                self._people.setdefault(each.person, []).append(each)
            else:
                self._places.append(each)
        self._whose = whose
        self._of_source: dict[str, list[Exclusion]] = {}

    def __bool__(self) -> bool:
        return bool(self._people or self._places)

    def of(self, piece: Captured | Rejected, now: int) -> Exclusion | None:
        """None: it is taken. What can't be read has no time but `now`, and nothing but, perhaps, its source."""
        if isinstance(piece, Rejected):
            whole = (each for each in self._at(piece.source or "") if not each.conversation)
            return _first(whole, now)
        return _first(self._candidates(piece.event), piece.time)

    def _candidates(self, event: Event) -> Iterator[Exclusion]:
        room = event.data.conversation.id
        yield from (each for each in self._at(event.source) if each.conversation in ("", room))
        if self._people:
            for address in _acting(event):
                yield from self._people.get(self._whose(event.source, address) or "", ())

    def _at(self, source: str) -> list[Exclusion]:
        if source not in self._of_source:
            if len(self._of_source) >= _KNOWN_SOURCES:
                self._of_source.clear()
            self._of_source[source] = [each for each in self._places if covers(each, source)]
        return self._of_source[source]


def covers(exclusion: Exclusion, source: str) -> bool:
    """Whether a source is one of those that an exclusion names."""
    return fits(source, exclusion.source)


def concerning(exclusions: Iterable[Exclusion], source: str, conversation: str, person: str) -> tuple[Exclusion, ...]:
    """Those that one person, or one place of a source, falls under, whenever they are in force."""
    return tuple(
        each
        for each in exclusions
        if (each.person == person if each.person else covers(each, source)) and each.conversation in ("", conversation)
    )


def beside(exclusions: Iterable[Exclusion], mailbox: str, now: int) -> tuple[Exclusion, ...]:
    """Those in force that may leave out what a hold on a mailbox would keep: its owner's words, or whole places."""
    in_force = (each for each in exclusions if each.until is None or now < each.until)
    return tuple(each for each in in_force if each.person in ("", mailbox))


def _acting(event: Event) -> Iterator[str]:
    """Whose doing it is, and whom it brings in. What only takes away stays: a leave, a retraction of earlier words."""
    if event.type not in (LEFT, RETRACTED):
        yield from (each.address for each in (event.data.actor, event.data.subject) if each is not None)


def _first(exclusions: Iterable[Exclusion], time: int) -> Exclusion | None:
    in_force = (each for each in exclusions if each.since <= time and (each.until is None or time < each.until))
    return next(in_force, None)
