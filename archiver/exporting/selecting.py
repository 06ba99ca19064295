"""Items that somebody chose, as they lie in folders now: a mailbox, what filters leave of it, one conversation, a
search's result. Others' messages too.

    DOMAIN/LOCAL/history/DAY/NAME     Conversation History: the same place as of everything the journal filed
    DOMAIN/LOCAL/archive/DAY/NAME     with the archive's folders instead of people's own
    DOMAIN/LOCAL/FOLDER-DIGEST/…      other folders
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from archiver.exporting.origins import blocked_in, contents_of, day, note, parts_of
from archiver.exporting.records import LeftOut, Piece, Wanted
from archiver.inspection.listing import began
from archiver.rendering import is_base_name
from archiver.spool import Spool
from archiver.store import PURGES, ArchiveStore
from archiver.store.names import escape
from archiver.store.protocol import Stamped, Where
from archiver.types import Destination

_KNOWN = {(Destination.HISTORY, "Conversation History"): "history", (Destination.ARCHIVE, PURGES): "archive"}


class Chosen:
    """Where there is no spool, nothing is noted. What is noted are items of ours, wherever their owner keeps them."""

    def __init__(
        self,
        spool: Spool | None,
        store: Stamped,
        kind: Destination,
        chosen: Iterable[Where],
        mailbox: str | None = None,
    ) -> None:
        """`mailbox` is where they were chosen from; None: from all."""
        self._spool = spool
        self._store = store
        self._chosen = chosen
        self._destination = kind
        self._mailbox = mailbox
        self._recorded: dict[str, dict[tuple[str, str], str]] = {}

    def pieces(self, wanted: Wanted) -> Iterator[Piece]:
        """`wanted` is nothing but what was chosen."""
        return (self._piece(where) for where in self._chosen)

    def _piece(self, where: Where) -> Piece:
        first = began(where.name)
        parts = parts_of(where.mailbox, self._called(where.folder))
        return Piece(
            parts=(*parts, day(first)) if first is not None else parts,
            name=where.name,
            sha256=self._digest(where),
            mailbox=where.mailbox,
            folder=where.folder,
            stem="" if is_base_name(where.name) else escape(where.name, 150),
        )

    def _called(self, folder: str) -> str:
        """Read by people, and no other folder's: names alike but for case or a sign differ in their digests."""
        if known := _KNOWN.get((self._destination, folder)):
            return known
        digest = sha256(folder.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        words = re.sub(r"[^a-z0-9]+", "-", folder.casefold()).strip("-")[:60]
        return f"{words or 'folder'}-{digest}"

    def _digest(self, where: Where) -> str | None:
        """In the archive what no line tells of is nothing that was archived: it has the digest of nothing."""
        if not isinstance(self._store, ArchiveStore):
            return None
        if where.mailbox not in self._recorded:
            self._recorded = {where.mailbox: self._store.recorded(where.mailbox)}
        return self._recorded[where.mailbox].get((where.folder, where.name), "")

    def blocked(self, wanted: Wanted) -> Iterator[LeftOut]:
        return blocked_in(self._store, self._mailbox)

    def contents(self, pieces: Sequence[Piece]) -> Iterator[bytes | None]:
        return contents_of(self._store, pieces)

    def note(self, done: Sequence[tuple[Piece, str]], now: int) -> None:
        if self._spool is not None:
            note(self._spool, self._destination, [each for each in done if not each[0].stem], now)
