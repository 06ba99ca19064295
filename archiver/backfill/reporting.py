"""What a backfill found and did: of all, per document and per conversation. Reads and writes nothing.

    batch, filings ─► Part ─► (kept with the batch) ─► Findings ─► Report

A report is the sum of its parts: a run that was interrupted goes on with those it had. Bounded: of the documents and
conversations beyond the first `MOST`, only the sums are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field, structs

from archiver.backfill.reading import EXCLUDED
from archiver.events import Outcome, Rejected
from archiver.filing.gathering import Tally
from archiver.filing.workers import Passage
from archiver.spool import Sealed
from archiver.spool.runs import CameOfIt, Run
from archiver.types import Delivery, DeliveryState, Destination, Filing

MOST = 10_000
"""Documents, and conversations, that are told one by one: half a KiB each of a backfill's memory."""
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


class DocumentReport(Counts):
    """One document. `whole` says that it was read to its end before, and not looked at again; `skipped` are the pieces
    that the spool has of that. `reasons` are why pieces were quarantined, by how often."""

    place: str = ""
    skipped: int = 0
    whole: bool = False
    excluded: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    guessed: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


class ConversationReport(Counts):
    """One room or chat of a source. Of its items, `filed` are in people's folders, `withheld` wait, for the gate or for
    a person; `reasons` are why, by how often."""

    source: str = ""
    conversation: str = ""
    filed: int = 0
    withheld: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class End(Struct, omit_defaults=True):
    """What is said of a document once it was read to its end. `whole` counts those that were before, and weren't looked
    at again; `excluded` are events left out, by the exclusion's number."""

    place: str = ""
    skipped: int = 0
    whole: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    guessed: dict[str, int] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)

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
    return End(passage.place, passage.skipped, int(passage.whole), ignored, dict(passage.guessed), excluded)


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
                _add(document.reasons, {piece.reason: 1})
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


class Report(Struct):
    """What a backfill did, also before it was interrupted; only `seconds`, and `items` and `renderings` of the `tally`,
    are of its last part. `tally.bytes` are those of the items in people's folders, `tally.waiting` conversations that
    aren't ready: the daemon files them.
    """

    run: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    cleaned: int = 0
    excluded: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    guessed: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    """Documents that were read to their end before."""
    resumed: int = 0
    """Events that this run had read already when it went on."""
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    documents: list[DocumentReport] = field(default_factory=list)
    conversations: list[ConversationReport] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """False where a person should look: exit status 1."""
        return not (self.conflicts or self.quarantined or self.tally.parked or self.tally.failed)


class Findings:
    """Gathers a report while a backfill goes on. `before` are the parts it had when it was interrupted, `resumed` the
    events in them."""

    def __init__(self, before: Iterable[Part] = (), resumed: int = 0) -> None:
        self._documents: dict[str, DocumentReport] = {}
        self._conversations: dict[tuple[str, str], ConversationReport] = {}
        self._ends: dict[str, End] = {}
        self._tally = Tally()
        self._resumed = resumed
        for part in before:
            self.add(part)
        self._own = {place: document.read for place, document in self._documents.items()}
        """Pieces of each document that the run itself had before it was interrupted."""

    @property
    def left_out(self) -> Counter[int]:
        """Events that exclusions kept out, by the exclusion's number."""
        found: Counter[int] = Counter()
        for end in self._ends.values():
            found.update({int(number): count for number, count in end.excluded.items()})
        return found

    def add(self, part: Part) -> None:
        for each in part.documents:
            document = self._document(each.place)
            document.add(each)
            _add(document.reasons, each.reasons)
        for room in part.rooms:
            self._conversation(room.source, room.conversation).add(room)
        for end in part.ends:
            self._end(end)
        if part.tally is not None:
            self._tally.add(part.tally)

    def _document(self, place: str) -> DocumentReport:
        place = place if len(self._documents) < MOST or place in self._documents else OTHERS
        return self._documents.setdefault(place, DocumentReport(place=place))

    def _end(self, end: End) -> None:
        """What a run left out it reads again when it goes on; of what it read to its end nothing more is said."""
        place = self._document(end.place).place
        known = self._ends.get(place)
        if known is not None and place == OTHERS:
            known.add(end)
        elif known is None or not end.whole:
            self._ends[place] = structs.replace(end, place=place)

    def _conversation(self, source: str, conversation: str) -> ConversationReport:
        key = source, conversation
        if key not in self._conversations and len(self._conversations) >= MOST:
            key = OTHERS, OTHERS
        found = self._conversations.get(key)
        if found is None:
            found = self._conversations[key] = ConversationReport(source=key[0], conversation=key[1])
        return found

    def came(self, results: Iterable[CameOfIt]) -> None:
        """What became of the items of the rooms."""
        for each in results:
            found = self._conversation(each.source, each.conversation)
            if each.state == "filed":
                found.filed += each.items
            elif each.state in ("withheld", "parked"):
                found.withheld += each.items
                _add(found.reasons, {each.reason or each.state: each.items})

    def report(self, run: Run, last: Tally, seconds: float) -> Report:
        """`last` is what the filing of this part of the run tells of itself."""
        self._tally.waiting, self._tally.failed = last.waiting, last.failed
        self._tally.items, self._tally.renderings = last.items, last.renderings
        sums = End()
        for end in self._ends.values():
            sums.add(end)
            self._tell_end(self._documents[end.place], end)
        return Report(
            run=run.number,
            accepted=run.accepted,
            duplicates=run.duplicates,
            conflicts=run.conflicts,
            quarantined=run.quarantined,
            cleaned=run.cleaned,
            excluded=sum(sums.excluded.values()),
            ignored=sums.ignored,
            guessed=sums.guessed,
            skipped=sums.whole,
            resumed=self._resumed,
            seconds=seconds,
            tally=self._tally,
            documents=list(self._documents.values()),
            conversations=sorted(
                self._conversations.values(), key=lambda each: (-each.read, each.source, each.conversation)
            ),
        )

    def _tell_end(self, document: DocumentReport, end: End) -> None:
        document.skipped, document.whole = max(0, end.skipped - self._own.get(end.place, 0)), end.whole > 0
        document.excluded = sum(end.excluded.values())
        _add(document.ignored, end.ignored)
        _add(document.guessed, end.guessed)


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    """A few are told one by one; the rest stands together."""
    for why, count in more.items():
        name = why if why in counts or len(counts) < _REASONS else OTHERS
        counts[name] = counts.get(name, 0) + count
