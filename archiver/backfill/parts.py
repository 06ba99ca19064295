"""What one batch of a backfill, or some of its filings, add to its report. Reads and writes nothing.

A part is kept in the transaction of what it tells, so that a run that was interrupted goes on with those it had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct, field

from archiver.backfill.reading import EXCLUDED
from archiver.events import Outcome, Rejected
from archiver.filing.gathering import Tally
from archiver.filing.workers import Passage
from archiver.spool import Sealed
from archiver.types import Delivery, DeliveryState, Destination, Filing

T = TypeVar("T")
OTHERS = "(others)"
_REASONS = 5


class Counts(Struct):
    """What became of pieces of input. `quarantined` are those that can't be read; `new` counts the mended ones too."""

    read: int = 0
    new: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0

    def add(self, other: Counts) -> None:
        self.read += other.read
        self.new += other.new
        self.duplicate += other.duplicate
        self.conflict += other.conflict
        self.quarantined += other.quarantined

    def became(self, outcome: Outcome, count: int) -> None:
        self.read += count
        name = _COUNTED[outcome]
        setattr(self, name, getattr(self, name) + count)


_COUNTED = {
    Outcome.ACCEPTED: "new",
    Outcome.CLEANED: "new",
    Outcome.DUPLICATE: "duplicate",
    Outcome.CONFLICT: "conflict",
    Outcome.QUARANTINED: "quarantined",
}


class End(Struct, omit_defaults=True):
    """What is said of a document once it was read to its end. `whole` counts those that were before, and weren't looked
    at again; `excluded` are events left out, by the exclusion's number; `broke_off` is why it ended before its end."""

    place: str = ""
    skipped: int = 0
    whole: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    guessed: dict[str, int] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)
    broke_off: str = ""

    def add(self, other: End) -> None:
        self.skipped += other.skipped
        self.whole += other.whole
        for mine, more in (
            (self.ignored, other.ignored),
            (self.guessed, other.guessed),
            (self.excluded, other.excluded),
        ):
            for why, count in more.items():
                mine[why] = mine.get(why, 0) + count


def end_of(passage: Passage) -> End:
    ignored, excluded = {}, {}
    for why, count in passage.ignored.items():
        if why.startswith(EXCLUDED):
            excluded[why.removeprefix(EXCLUDED)] = count
        else:
            ignored[why] = count
    guessed, broke_off = dict(passage.guessed), passage.broke_off
    return End(passage.place, passage.skipped, int(passage.whole), ignored, guessed, excluded, broke_off)


class DocumentCounts(Counts, omit_defaults=True):
    """What a batch brought of one document; `reasons` are why pieces were quarantined, by how often."""

    place: str = ""
    reasons: dict[str, int] = field(default_factory=dict)


class RoomCounts(Counts, omit_defaults=True):
    """What a batch brought of one room or chat of a source."""

    source: str = ""
    conversation: str = ""


class Part(Struct, omit_defaults=True):
    """What one batch, or some filings, add to a report."""

    documents: list[DocumentCounts] = field(default_factory=list)
    rooms: list[RoomCounts] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    tally: Tally | None = None


class Told(Generic[T]):
    """Tells the spool, within a transaction, the part that comes of its results; `part` is the one told last."""

    def __init__(self, part_of: Callable[[T], Part]) -> None:
        self.part = Part()
        self._part_of = part_of

    def __call__(self, results: T) -> bytes:
        self.part = self._part_of(results)
        return msgspec.json.encode(self.part)


class Read(Struct):
    """Pieces of one document in a row, and what became of each; `end` where they are its last."""

    place: str
    pieces: Sequence[Sealed | Rejected]
    outcomes: Sequence[Outcome]
    end: End | None


def part_read(several: Iterable[Read]) -> Part:
    """What a batch adds."""
    documents: dict[str, DocumentCounts] = {}
    rooms: dict[tuple[str, str], RoomCounts] = {}
    ends = []
    for read in several:
        document = documents.setdefault(read.place, DocumentCounts(place=read.place))
        told = ((None if isinstance(p, Rejected) else (p.source, p.conversation)) for p in read.pieces)
        for (room, outcome), count in Counter(zip(told, read.outcomes, strict=True)).items():
            document.became(outcome, count)
            if room is not None:
                rooms.setdefault(room, RoomCounts(source=room[0], conversation=room[1])).became(outcome, count)
        for piece in read.pieces:
            if isinstance(piece, Rejected):
                add_few(document.reasons, {piece.reason: 1})
        if read.end is not None:
            ends.append(read.end)
    return Part([each for each in documents.values() if each.read], list(rooms.values()), ends)


def part_filed(filings: Sequence[Filing], ended: Sequence[Delivery]) -> Part:
    """What filings add, of whose deliveries these came to an end just now."""
    tally = Tally(
        conversations=len(filings),
        empty=sum(filing.empty for filing in filings),
        unowned=sum(not filing.empty and not filing.deliveries for filing in filings),
    )
    for delivery in ended:
        is_filed, is_withheld = delivery.state is DeliveryState.FILED, delivery.state is DeliveryState.WITHHELD
        tally.parked += delivery.state is DeliveryState.PARKED
        if delivery.destination is Destination.HISTORY:
            tally.copies += is_filed
            tally.bytes += delivery.size if is_filed else 0
            tally.withheld += is_withheld
        else:
            tally.archived += is_filed
            tally.unarchived += is_withheld
    return Part(tally=tally)


def add_few(counts: dict[str, int], more: dict[str, int]) -> None:
    """A few are told one by one; the rest stands together."""
    for why, count in more.items():
        name = why if why in counts or len(counts) < _REASONS else OTHERS
        counts[name] = counts.get(name, 0) + count
