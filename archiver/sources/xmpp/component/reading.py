"""Elements that a component gets -> pieces for the spool. What is refused is counted only: anybody may write to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from xml.etree.ElementTree import Element, tostring

from archiver.events import Captured, Event, Rejected
from archiver.exceptions import EventError
from archiver.importers.protocol import Reading
from archiver.importers.telling import told
from archiver.importers.xmpp.memory import Memory
from archiver.importers.xmpp.stanza import kind
from archiver.sources.xmpp.component.copies import Copies, Refused
from archiver.sources.xmpp.component.stream import Spoilt
from archiver.sources.xmpp.record import Record
from archiver.sources.xmpp.telling import Telling

Pieces = list[Captured | Rejected]


class Reader:
    """`sources` are those that it may tell of."""

    def __init__(
        self,
        source: str,
        copies: Copies,
        memory: Memory,
        conferences: tuple[str, ...],
        sources: frozenset[str],
        clock: Callable[[], int],
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.copies = copies
        self.source = source
        self._memory = memory
        self._conferences = conferences
        self._sources = sources
        self._clock = clock

    def pieces(self, elements: Iterable[Element | Spoilt], now: float, *, is_last: bool = False) -> Pieces:
        """`now` as `Copies` has it. Blocks. Raises `TryLater` where what is remembered can't be looked up."""
        reading = Reading(self._clock())
        telling = Telling(self._memory, self._conferences, reading)
        found: Pieces = []
        for each in elements:
            found += self._of(each, telling, reading, now)
        waited = self.copies.rest() if is_last else self.copies.due(now)
        for record in waited:
            found += self._told(record, telling, reading)
        return found

    def _of(
        self, element: Element | Spoilt, telling: Telling, reading: Reading, now: float
    ) -> Iterator[Captured | Rejected]:
        envelope = element.element if isinstance(element, Spoilt) else element
        if kind(envelope) != "message":
            return
        try:
            self.copies.admit(envelope)
            if isinstance(element, Spoilt):
                raise EventError(element.reason)
            for record in self.copies.records(element, reading.received, now):
                yield from self._told(record, telling, reading)
        except Refused as fault:
            self.refused[str(fault)] += 1
        except EventError as fault:
            yield self._rejected(envelope, str(fault))

    def _told(self, record: Record, telling: Telling, reading: Reading) -> Iterator[Captured | Rejected]:
        original = (record.stanza or "").encode("utf-8", "replace")
        try:
            events = list(map(self._checked, telling.events(record)))
        except (EventError, RecursionError) as fault:
            yield Rejected(original, f"a copy from {record.host}", str(fault), f"xmpp:{record.host}")
            return
        yield from told(events, reading, original, f"a copy from {record.host}")

    def _checked(self, event: Event) -> Event:
        """A stanza can't name another's source."""
        if event.source not in self._sources:
            raise EventError(f"it would be of {event.source}, which this source may not tell of")
        return event

    def _rejected(self, element: Element, reason: str) -> Rejected:
        return Rejected(tostring(element), "a copy of a stanza", reason, self.source)
