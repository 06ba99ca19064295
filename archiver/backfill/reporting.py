"""The report of a backfill: of all, per document and per conversation. Reads and writes nothing.

    batch, filings ─► Part ─► (kept with the batch) ─► Findings ─► Report

A report is the sum of its parts. Bounded: of the documents and conversations beyond the first `MOST`, only the sums are
kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct, field, structs

from archiver.backfill.parts import OTHERS, Counts, End, Part, add_few
from archiver.backfill.resemblance import Resemblance
from archiver.filing.gathering import Tally
from archiver.importers.leaving import Leavings, Left
from archiver.spool.runs import CameOfIt, Run

MOST = 10_000
"""Documents, and conversations, that are told one by one: half a KiB each of a backfill's memory."""


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
    broke_off: str = ""
    """Why it couldn't be read, or not to its end; what was read of it counts."""


class ConversationReport(Counts):
    """One room or chat of a source. Of its items, `filed` are in people's folders, `withheld` wait, for the gate or for
    a person; `reasons` are why, by how often."""

    source: str = ""
    conversation: str = ""
    filed: int = 0
    withheld: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


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
    left: list[Left] = field(default_factory=list)
    """What lay in the paths and was left alone; of a command that reads several formats, in its first report."""
    documents: list[DocumentReport] = field(default_factory=list)
    conversations: list[ConversationReport] = field(default_factory=list)
    resembling: list[Resemblance] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """False where a person should look: exit status 1."""
        found = self.conflicts or self.quarantined or self.tally.parked or self.tally.failed
        return not (found or any(each.is_fault for each in self.left))


class Findings:
    """Gathers a report while a backfill goes on. `before` are the parts it had when it was interrupted, `resumed` the
    events in them, `leavings` what is left alone."""

    def __init__(self, before: Iterable[Part] = (), resumed: int = 0, leavings: Leavings | None = None) -> None:
        self._leavings = leavings or Leavings()
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
            add_few(document.reasons, each.reasons)
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
                add_few(found.reasons, {each.reason or each.state: each.items})

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
            left=self._leavings.told,
            documents=list(self._documents.values()),
            conversations=sorted(
                self._conversations.values(), key=lambda each: (-each.read, each.source, each.conversation)
            ),
        )

    def _tell_end(self, document: DocumentReport, end: End) -> None:
        document.skipped, document.whole = max(0, end.skipped - self._own.get(end.place, 0)), end.whole > 0
        document.excluded = sum(end.excluded.values())
        document.broke_off = end.broke_off
        if end.broke_off:
            self._leavings(end.place, end.broke_off, is_fault=True)
        add_few(document.ignored, end.ignored)
        add_few(document.guessed, end.guessed)
