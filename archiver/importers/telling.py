"""Events that an importer made -> captured, or rejected with what they were made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archiver.events import Captured, Event, Rejected, capture
from archiver.exceptions import EventError
from archiver.importers.media import Media, holding
from archiver.importers.protocol import Reading


def told(
    events: Iterable[Event], reading: Reading, original: bytes, position: str, files: Iterable[Media] = ()
) -> Iterator[Captured | Rejected]:
    """Each event by itself; `original` is the piece of input they came of, `position` where it stands.

    Raises nothing: a piece that can't be used is rejected whole.
    """
    files = tuple(files)
    for event in events:
        try:
            captured = capture(event, received=reading.received, original=original, position=position)
        except EventError as reason:
            yield Rejected(original, position, str(reason), event.source)
            continue
        yield holding(captured, *files) if files and event.data.attachments else captured
