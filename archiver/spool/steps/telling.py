"""What is told: failures to archive, notices, and all that status counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archiver.spool import dropping, failures, figures, filed, files, mark, notices, reading, status, tracing
from archiver.spool.database import faults
from archiver.spool.records import (
    Conflict,
    Dropped,
    Figures,
    Kept,
    MailboxCount,
    ParkedFiling,
    ParkedPlace,
    Placed,
    PutOff,
    Quarantined,
    SourceCount,
    Stranger,
    Totals,
    Traced,
    Untold,
)
from archiver.spool.steps.opened import Opened
from archiver.types import Delivery, DeliveryState, Failure


class Telling(Opened):
    # Failures to archive

    def note_failures(self, failed: Iterable[tuple[int, str]], now: int) -> None:
        """Deliveries to an archive, by number, that could not be made, each with the reason."""
        failures.note(self._connections, failed, now)

    def failures(self) -> list[Failure]:
        """What waits since it could not be archived, by source."""
        return failures.failures(self._connections)

    def people(self, source: str, conversation: str) -> frozenset[str]:
        """The addresses that are known of a place; reads its events."""
        return reading.people(self._connections, source, conversation)

    def count_put_off(self, pool: str, events: int, now: int) -> None:
        """Events of a pool's sources that critical mode refused."""
        failures.count_put_off(self._connections, pool, events, now)

    def put_off(self) -> list[PutOff]:
        return failures.put_off(self._connections)

    def untold(self) -> list[Untold]:
        """Who is archived and wasn't told so."""
        return notices.untold(self._connections)

    def begin_notices(self, mailboxes: Iterable[str], now: int) -> None:
        notices.begin(self._connections, mailboxes, now)

    def finish_notices(self, mailboxes: Iterable[str], now: int) -> None:
        """They were told, and never are again."""
        notices.finish(self._connections, mailboxes, now)

    # Status

    def sources(self) -> list[SourceCount]:
        return status.sources(self._connections)

    def mailboxes(self) -> list[MailboxCount]:
        return status.mailboxes(self._connections)

    def withheld(self) -> list[Kept]:
        return status.kept(self._connections, "withheld")

    def dropped(self, *, limit: int = 1_000) -> list[Dropped]:
        """The newest first."""
        return dropping.dropped(self._connections, limit=limit)

    def parked(self) -> list[Kept]:
        return status.kept(self._connections, "parked")

    def parked_filings(self) -> list[ParkedFiling]:
        return status.parked_filings(self._connections)

    def parked_places(self) -> list[ParkedPlace]:
        return status.parked_places(self._connections)

    def quarantined(self, *, limit: int = 1_000) -> list[Quarantined]:
        """The newest first."""
        return status.quarantined(self._connections, limit=limit)

    def quarantined_content(self, file: str) -> bytes | None:
        with faults(self.data):
            return self._quarantine.read(file) if files.is_digest(file.rpartition("/")[2]) else None

    def conflicts(self, *, limit: int = 1_000) -> list[Conflict]:
        return status.conflicts(self._connections, limit=limit)

    def strangers(self, *, limit: int = 1_000) -> list[Stranger]:
        return status.strangers(self._connections, limit=limit)

    def placed(self, conversation: str, source: str | None = None) -> list[Placed]:
        return tracing.placed(self._connections, conversation, source)

    def traced(self, place: int, mailbox: str, *, limit: int = 100) -> list[Traced]:
        """What became of a place's conversations for one mailbox; the newest first. Masks are left out."""
        return tracing.traced(self._connections, place, mailbox, limit)

    def deliveries(self, mailbox: str | None = None, *, after: int = 0) -> Iterator[Delivery]:
        """All that Conversation History ever got, or should have: of one mailbox or of all, numbers above `after`."""
        return filed.deliveries(self._connections, mailbox, after)

    def delivery_state(self, number: int) -> DeliveryState | None:
        return filed.state_of(self._connections, number)

    def attempt_again(self, number: int, now: int) -> bool:
        """Let a run file once more what is there no more; False where its events are forgotten."""
        return filed.attempt_again(self._connections, number, now)

    def setback(self) -> mark.Setback | None:
        """That its file is older than what was filed, for as long as this matters."""
        return mark.read(self._connections)

    def totals(self) -> Totals:
        return status.totals(self._connections)

    def figures(self, now: int, *, rooms: int = 10) -> Figures:
        """For pictures of the whole: goes through the journal, so it is asked for seldom."""
        return figures.figures(self._connections, now, rooms)
