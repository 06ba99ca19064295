"""Contents of files, forgetting, and the local archive."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from archiver.spool import exports, files, forgetting, kept, local
from archiver.spool.database import faults
from archiver.spool.records import Exported, LocalCopy, LocalItem
from archiver.spool.steps.opened import Opened
from archiver.types import Destination, Filing


class Contents(Opened):
    # Contents and forgetting

    def blob(self, sha256: str) -> bytes | None:
        """An attachment's content; None if it isn't here."""
        if not files.is_digest(sha256):
            return None
        with faults(self.data):
            return self._blobs.read(files.blob_path(sha256))

    def hold_blobs(self, holder: str, digests: Iterable[str]) -> None:
        """These contents stay while `holder` ("delivery:12") needs them."""
        kept.hold_blobs(self._connections, holder, digests)

    def drop_blobs(self, holder: str) -> None:
        kept.drop_blobs(self._connections, holder)

    def sweep_blobs(self) -> int:
        """Remove contents that nothing needs any more; how many."""
        return kept.sweep_blobs(self._connections, self._blobs)

    def forget(
        self,
        now: int,
        window: int,
        fold: forgetting.Fold,
        *,
        cache: forgetting.Cache | None = None,
        after: int = 0,
        limit: int = 200,
    ) -> forgetting.Forgotten:
        """Let events filed longer than `window` ago leave, a few places at a time; call on with its `after`.

        With a `cache`, conversations of which nobody has an item, and nobody is archived, go when its interval is over.
        """
        return forgetting.forget(
            self._connections, self.owner, now, window, fold, cache=cache, after=after, limit=limit
        )

    def recalled(self, place: int, targets: Iterable[str]) -> list[tuple[str, Filing]]:
        """The filings that hold texts of these messages though their events are forgotten."""
        return kept.recalled(self._connections, place, targets)

    def whispered(self, place: int, targets: Iterable[str]) -> dict[str, frozenset[str]]:
        """Between whom these messages were, where they were whispers and their events are forgotten."""
        return kept.whispered(self._connections, place, targets)

    # The local archive

    def keep_local(self, copies: Sequence[LocalCopy], now: int) -> None:
        """Complete items for people who are archived here; those that are there already stay as they are."""
        local.keep(self._connections, copies, now)

    def local_items(
        self, *, since: int | None = None, until: int | None = None, mailbox: str | None = None, exported: bool = True
    ) -> Iterator[LocalItem]:
        """Without their contents: all with events in [since, until), or one mailbox's, or those not exported yet."""
        return local.items(self._connections, since, until, mailbox, exported=exported)

    def local_content(self, number: int) -> bytes | None:
        return local.content(self._connections, number)

    def local_deliveries(self, numbers: Iterable[int]) -> list[int]:
        """Numbers of the filed deliveries of these items of the local archive."""
        return local.deliveries(self._connections, numbers)

    def only_local(self, mailbox: str) -> int:
        """How many items of the local archive are for a mailbox whose own archive never got them."""
        return local.only_here(self._connections, mailbox)

    def mark_exported(self, numbers: Iterable[int], now: int) -> None:
        local.mark_exported(self._connections, numbers, now)

    def note_exported(self, items: Collection[Exported]) -> None:
        """Items of mailboxes and their archives that are durable elsewhere."""
        exports.note(self._connections, items)

    def exported(self, destination: Destination, wanted: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these (mailbox, base name) that were exported."""
        return exports.exported(self._connections, destination, wanted)

    def drop_local(self, numbers: Iterable[int]) -> int:
        """Take these out of the local archive for good; how many there were."""
        return local.drop(self._connections, numbers)
