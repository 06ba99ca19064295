"""Where exports come from: the local archive, people's Conversation History, their compliance archives.

    local     DAY/NAME.eml                          by the day (UTC) on which a conversation began
    history   DOMAIN/LOCAL/history/DAY/NAME.eml     what the journal filed, and its owner left where it was
    archive   DOMAIN/LOCAL/archive/DAY/NAME.eml     whatever the manifest knows, copies that holds left there too

Reads contents one at a time, and nothing of what is not wanted. How files are written is their form's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archiver.events import moment
from archiver.exporting.records import LeftOut, Piece, Wanted
from archiver.inspection.listing import began
from archiver.spool import FOREVER, Spool
from archiver.spool.records import Exported
from archiver.store import LARGEST, PURGES, ArchiveStore, MaildirStore
from archiver.store.names import escape, normal_address
from archiver.store.protocol import Folders, Stamped, Where
from archiver.types import Destination


class LocalArchive:
    """Its items are marked where they stand."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def pieces(self, wanted: Wanted) -> Iterator[Piece]:
        found = self._spool.local_items(
            since=wanted.since, until=wanted.until, mailbox=wanted.mailbox, exported=not wanted.fresh
        )
        for item in found:
            yield Piece((day(item.first),), item.name, item.sha256, number=item.number)

    def blocked(self, wanted: Wanted) -> Iterator[LeftOut]:
        return iter(())

    def contents(self, pieces: Sequence[Piece]) -> Iterator[bytes | None]:
        return (self._spool.local_content(piece.number) for piece in pieces)

    def note(self, done: Sequence[tuple[Piece, str]], now: int) -> None:
        self._spool.mark_exported([piece.number for piece, _ in done], now)


class History:
    """Conversation History, of one mailbox or of all."""

    def __init__(self, spool: Spool, store: MaildirStore) -> None:
        self._spool = spool
        self._store = store

    def pieces(self, wanted: Wanted) -> Iterator[Piece]:
        for page in self._spool.aged(FOREVER, wanted.mailbox):
            filed = [
                Piece(
                    (*parts_of(each.mailbox, "history"), day(_first(each.name, each.started))),
                    each.name,
                    None,
                    each.mailbox,
                    each.folder,
                )
                for each in page
                if each.destination is Destination.HISTORY and wanted.has(each.started, each.ended)
            ]
            yield from _fresh(self._spool, Destination.HISTORY, filed) if wanted.fresh else filed

    def blocked(self, wanted: Wanted) -> Iterator[LeftOut]:
        return blocked_in(self._store, wanted.mailbox)

    def contents(self, pieces: Sequence[Piece]) -> Iterator[bytes | None]:
        return contents_of(self._store, pieces)

    def note(self, done: Sequence[tuple[Piece, str]], now: int) -> None:
        note(self._spool, Destination.HISTORY, done, now)


class OwnArchives:
    """The compliance archives, of one mailbox or of all, as their manifests have them."""

    def __init__(self, spool: Spool, archive: ArchiveStore) -> None:
        self._spool = spool
        self._archive = archive

    def pieces(self, wanted: Wanted) -> Iterator[Piece]:
        for mailbox in self._archive.mailboxes() if wanted.mailbox is None else [wanted.mailbox]:
            found = list(self._of(mailbox, wanted))
            yield from _fresh(self._spool, Destination.ARCHIVE, found) if wanted.fresh else found

    def _of(self, mailbox: str, wanted: Wanted) -> Iterator[Piece]:
        """What no line tells of is nothing that was archived: it has the digest of nothing."""
        recorded = self._archive.recorded(mailbox)
        for found in self._archive.items(mailbox, PURGES):
            first = _first(found.name, found.modified)
            if wanted.has(first, found.modified):
                digest = recorded.get((PURGES, found.name), "")
                yield Piece((*parts_of(mailbox, "archive"), day(first)), found.name, digest, mailbox, PURGES)

    def blocked(self, wanted: Wanted) -> Iterator[LeftOut]:
        return blocked_in(self._archive, wanted.mailbox)

    def contents(self, pieces: Sequence[Piece]) -> Iterator[bytes | None]:
        return contents_of(self._archive, pieces)

    def note(self, done: Sequence[tuple[Piece, str]], now: int) -> None:
        note(self._spool, Destination.ARCHIVE, done, now)


def parts_of(mailbox: str, what: str) -> tuple[str, ...]:
    local, domain = normal_address(mailbox)
    return escape(domain), escape(local), what


def _first(name: str, otherwise: int) -> int:
    first = began(name)
    return otherwise if first is None else first


def day(time: int) -> str:
    return moment(time).date().isoformat()


def _fresh(spool: Spool, destination: Destination, pieces: Sequence[Piece]) -> Iterable[Piece]:
    known = spool.exported(destination, [(piece.mailbox, piece.name) for piece in pieces])
    return (piece for piece in pieces if (piece.mailbox, piece.name) not in known)


def contents_of(store: Folders, pieces: Sequence[Piece]) -> Iterator[bytes | None]:
    """What somebody planted under an item's name, larger than any item, is not read into memory."""
    wanted = [Where(piece.mailbox, piece.folder, piece.name) for piece in pieces]
    for read in store.read_all(wanted, LARGEST + 1):
        yield read[1] if read and len(read[1]) <= LARGEST else None


def blocked_in(store: Stamped, mailbox: str | None) -> Iterator[LeftOut]:
    """In one mailbox, or in all."""
    for each in store.mailboxes() if mailbox is None else [mailbox]:
        yield from (LeftOut(each, folder, f"it is {what}") for folder, what in store.blocked(each))


def note(spool: Spool, destination: Destination, done: Sequence[tuple[Piece, str]], now: int) -> None:
    spool.note_exported([Exported(piece.mailbox, destination, piece.name, digest, now) for piece, digest in done])
