"""What importers of chats share: making events of a room, and taking them in or rejecting what they were made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct

from archiver.events import Captured, Data, Event, Participant, Place, Rejected, capture, guess_mark, moment
from archiver.exceptions import EventError
from archiver.importers.media import Media, holding
from archiver.importers.protocol import Reading
from archiver.importers.text import Charset, undecodable

REMEMBERED = 100_000

ENCRYPTED = "[encrypted, content not available]"
"""The text of a message that only its readers' devices could have read."""


def told(
    events: Iterable[Event], reading: Reading, original: bytes, position: str, files: Iterable[Media] = ()
) -> Iterator[Captured | Rejected]:
    """Each event by itself; `original` is the piece of input they came of, `position` where it stands.

    Raises nothing: a piece that can't be used is rejected whole.
    """
    files = tuple(files)
    for event in events:
        try:
            notes = undecodable(event)
            captured = capture(event, received=reading.received, original=original, notes=notes, position=position)
        except EventError as reason:
            yield Rejected(original, position, str(reason), event.source)
            continue
        if event.archiverguessed is not None:
            reading.marks[event.archiverguessed] += 1
        yield holding(captured, *files) if files and event.data.attachments else captured


class Room(Struct, frozen=True):
    """A place of one source, which its events are made for; their ids begin with its own.

    `guessed` is the mark of what had to be guessed of all of them.
    """

    source: str
    place: Place
    guessed: str | None = None

    def event(
        self,
        key: str,
        type_: str,
        at: datetime,
        actor: Participant | None = None,
        *,
        sequence: str | None = None,
        stated: str | None = None,
        guessed: str | None = None,
        charset: Charset | None = None,
        **data: Any,
    ) -> Event:
        """`data` are further members of the event's data, `guessed` the mark of what was guessed of it alone.

        `stated` is the time as the source has it, where another has to stand for it; `charset` what its text had to be
        read in.
        """
        if charset is not None:
            guessed = guess_mark(guessed, charset.guess)
        return Event(
            source=self.source,
            id=f"{self.place.id}/{key}",
            type=type_,
            time=at,
            data=Data(conversation=self.place, actor=actor, **data),
            sequence=sequence,
            archivertime=stated,
            archivercharset=charset.name if charset is not None else None,
            archiverguessed=guess_mark(self.guessed, guessed) if guessed else self.guessed,
        )


class Numbering:
    """Keys where a format has no ids: of equal ones the second is told from the first by its number.

    So a longer version of the same file gives the same keys, as long as equal ones keep their order. No more than the
    last `REMEMBERED` are compared: a base begins with its time, and what is equal stands together.
    """

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def key(self, base: str, within: str = "") -> str:
        """`within` is the room, where bases of several are told apart by no more than that."""
        counted = f"{within}\0{base}"
        again = self._seen[counted] = self._seen.pop(counted, 0) + 1
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return base if again == 1 else f"{base}-{again}"


def from_milliseconds(milliseconds: float) -> datetime:
    """Raises `EventError` for what is no time."""
    try:
        return moment(round(milliseconds * 1_000))
    except (ValueError, OverflowError) as fault:
        raise EventError(f"no time: {milliseconds} milliseconds since 1970") from fault
