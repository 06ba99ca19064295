"""What goes for good: one person's words, what is older than it may be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from archiver.events import Captured
from archiver.spool import aging, erasing, forgetting
from archiver.spool.database import faults
from archiver.spool.records import AgedDelivery, Journalled, LocalItem, Rostered
from archiver.spool.steps.opened import Opened
from archiver.types import Roster


class Erasure(Opened):
    def journalled(self) -> Iterator[list[Journalled]]:
        """Every delivery there ever was, lot by lot."""
        return erasing.journal(self._connections)

    def rostered(self) -> Iterator[Rostered]:
        """Every place that ever had events."""
        return erasing.places(self._connections)

    def drop_forgotten(self) -> None:
        """Rows of events forgotten already, which a crash has left."""
        forgetting.remove_all(self._connections)

    def rewrite_events(self, events: Sequence[Captured]) -> None:
        """Events by their numbers, without what is erased of them. Their identities stay."""
        erasing.rewrite(self._connections, events)

    def rewrite_place(self, place: int, conversation: str, roster: Roster | None) -> None:
        erasing.rewrite_place(self._connections, place, conversation, roster)

    def rewrite_whispers(self, place: int, without: Callable[[list[str]], Sequence[str]]) -> None:
        """Between whom forgotten whispers of a place were."""
        erasing.rewrite_whispers(self._connections, place, without)

    def rewrite_conflicts(self, without: erasing.Without) -> int:
        return erasing.conflicts(self._connections, without)

    def drop_quarantined(self, is_theirs: erasing.IsTheirs) -> int:
        """Contents that are somebody's; that something was wrong with them stays on record."""
        with faults(self.data):
            return erasing.quarantined(self._connections, self._quarantine, is_theirs)

    def forget_person(
        self, mailbox: str, pseudonym: str, text: erasing.Text, is_them: Callable[[str, str], bool]
    ) -> None:
        """What the journal has of a mailbox stands under a pseudonym from now on."""
        erasing.forget_person(self._connections, mailbox, pseudonym, text, is_them)

    def hold_only(self, holder: str, digests: Iterable[str]) -> None:
        """These contents, and no others, stay while `holder` needs them."""
        erasing.hold_only(self._connections, holder, digests)

    def replace_local(self, old: LocalItem, name: str, sha256: str, content: bytes, left: str) -> None:
        """Another content for an item of the local archive, which is no longer that of the person `left`."""
        erasing.replace_local(self._connections, old, name, sha256, content, left)

    def rename_deliveries(self, items: Iterable[tuple[int, str, int]], now: int) -> None:
        """Number, and the name and size of the item that stands there now; no name: it was taken out."""
        erasing.renamed(self._connections, items, now)

    def scrub(self) -> None:
        """Nothing of what was removed stays in the file's free pages or its write-ahead log. Needs room for a copy."""
        erasing.scrub(self._connections)

    # Retention

    def aged(self, before: int, mailbox: str | None = None) -> Iterator[list[AgedDelivery]]:
        """Filed deliveries, of one mailbox if it is named, whose conversations ended before this time; lot by lot."""
        return aging.aged(self._connections, before, mailbox)

    def archived(self, mailbox: str, names: Iterable[str]) -> set[str]:
        """Those of these base names that are items of deliveries to the mailbox's archive."""
        return aging.archived(self._connections, mailbox, names)

    def purged(self, deliveries: Collection[int], now: int) -> None:
        """The items of these deliveries were taken out because their time was over."""
        aging.purged(self._connections, deliveries, now)

    def checkpoint(self) -> None:
        """Housekeeping: bring the write-ahead log into the file."""
        self._connections.checkpoint()
