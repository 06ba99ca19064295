"""What a backfill found and did: of all, per document and per conversation. Reads and writes nothing.

Bounded: of the documents and conversations beyond the first `MOST`, only the sums are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from archiver.backfill.reading import EXCLUDED
from archiver.events import Outcome, Rejected
from archiver.filing.gathering import Tally
from archiver.filing.workers import Passage
from archiver.spool import Sealed
from archiver.spool.runs import CameOfIt, Run

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

    def add(self, outcome: Outcome, count: int) -> None:
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


class Report(Struct):
    """What a backfill did. What was accepted, and what not, is of the whole run, also of what it did before it was
    interrupted; documents, conversations and the `tally` are those of its last part. `tally.waiting` are conversations
    that aren't ready: the daemon files them.
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
    """Pieces of input that this run had in the spool already when it went on."""
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    documents: list[DocumentReport] = field(default_factory=list)
    conversations: list[ConversationReport] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """False where a person should look: exit status 1."""
        return not (self.conflicts or self.quarantined or self.tally.parked or self.tally.failed)


class Findings:
    """Gathers a report while a backfill goes on."""

    def __init__(self) -> None:
        self.left_out: Counter[int] = Counter()
        """Events that exclusions kept out, by the exclusion's number."""
        self._documents: dict[str, DocumentReport] = {}
        self._conversations: dict[tuple[str, str], ConversationReport] = {}
        self._ignored: Counter[str] = Counter()
        self._guessed: Counter[str] = Counter()
        self._skipped = self._resumed = 0

    def document(self, passage: Passage, *, ended: bool) -> DocumentReport:
        """That of a passage; at its end with what is said of it."""
        place = passage.place if len(self._documents) < MOST or passage.place in self._documents else OTHERS
        found = self._documents.setdefault(place, DocumentReport(place=place))
        if ended:
            self._end(found, passage)
        return found

    def _end(self, found: DocumentReport, passage: Passage) -> None:
        found.skipped += passage.skipped
        found.whole = passage.whole
        self._skipped += passage.whole
        self._resumed += 0 if passage.whole else passage.skipped
        for why, count in passage.ignored.items():
            if why.startswith(EXCLUDED):
                self.left_out[int(why.removeprefix(EXCLUDED))] += count
                found.excluded += count
            else:
                found.ignored[why] = found.ignored.get(why, 0) + count
                self._ignored[why] += count
        _add(found.guessed, passage.guessed)
        self._guessed.update(passage.guessed)

    def count(self, document: DocumentReport, pieces: Sequence[Sealed | Rejected], outcomes: Sequence[Outcome]) -> None:
        told = ((None if isinstance(p, Rejected) else (p.source, p.conversation)) for p in pieces)
        for (room, outcome), count in Counter(zip(told, outcomes, strict=True)).items():
            document.add(outcome, count)
            if room is not None:
                self._conversation(*room).add(outcome, count)
        for piece in pieces:
            if isinstance(piece, Rejected):
                _add(document.reasons, {piece.reason: 1})

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

    def report(self, run: Run, tally: Tally, seconds: float) -> Report:
        return Report(
            run.number,
            run.accepted,
            run.duplicates,
            run.conflicts,
            run.quarantined,
            run.cleaned,
            sum(self.left_out.values()),
            dict(self._ignored),
            dict(self._guessed),
            self._skipped,
            self._resumed,
            seconds,
            tally,
            list(self._documents.values()),
            sorted(self._conversations.values(), key=lambda each: (-each.read, each.source, each.conversation)),
        )


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    """A few are told one by one; the rest stands together."""
    for why, count in more.items():
        name = why if why in counts or len(counts) < _REASONS else OTHERS
        counts[name] = counts.get(name, 0) + count
