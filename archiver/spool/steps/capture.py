"""Events in: append, and the feeds they come by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from archiver.events import Captured, Outcome, Rejected
from archiver.spool import feeds, identities, runs
from archiver.spool.batch import Sealed
from archiver.spool.records import Appended, Feed, Reading
from archiver.spool.steps.opened import Opened, clock


class Capture(Opened):
    def append(
        self,
        batch: Sequence[Captured | Sealed | Rejected],
        feed: int,
        *,
        live: bool = False,
        now: int | None = None,
        backfill: runs.Step | None = None,
    ) -> Appended:
        """One transaction, durable when it returns; the same events again change nothing."""
        at = clock() if now is None else now
        with self._appending:
            return self._intake.append(batch, feed, live=live, now=at, backfill=backfill)

    def would_be(self, batch: Sequence[Sealed]) -> list[Outcome]:
        """What an append would say of each event, were it the only one: accepted, a duplicate, a conflict."""
        with self._connections.reading() as connection:
            return identities.would_be(connection, batch, self._others)

    def open_feed(
        self,
        name: str,
        kind: Literal["live", "import"],
        *,
        partial: bool = False,
        path: str | None = None,
        now: int | None = None,
    ) -> Feed:
        """A live source or an import run by its name; the same name again is the same feed, open again."""
        self._intake.memory.forget_touched()
        at = clock() if now is None else now
        return feeds.open_feed(self._connections, name, kind, at, partial=partial, owner=self.owner, path=path)

    def contact(self, feed: int, now: int) -> None:
        """A live source gave a sign of life and has told everything up to now."""
        feeds.contact(self._connections, feed, now)

    def note_reading(self, feed: int, reading: Reading) -> None:
        """How a live source stands; the last one is kept."""
        feeds.note_reading(self._connections, feed, reading)

    def readings(self) -> dict[int, Reading]:
        """The last of each live source, by its feed."""
        return feeds.readings(self._connections)

    def close_feed(self, feed: int, now: int) -> None:
        """An import is at its end, or given up: all places it gave events are due now."""
        self._intake.memory.forget_touched()
        feeds.close_feed(self._connections, feed, now)

    def feeds(self, *, only_open: bool = False) -> list[Feed]:
        return feeds.feeds(self._connections, only_open=only_open)
