"""The importer of XMPP archives: which file holds stanzas in which form."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import tostring

from msgspec import structs

from archiver.events import Captured, Event, Rejected
from archiver.exceptions import EventError
from archiver.importers import sqlitefile, xmlfile
from archiver.importers.document import Document
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import told
from archiver.importers.xmpp import stream, tables
from archiver.importers.xmpp.archive import Archive
from archiver.importers.xmpp.stanza import Envelope

_SIGNS = (b"urn:xmpp:pie:0", b"urn:xmpp:mam:", b"jabber:client")
HEAD = 64 * 1024


class Xmpp:
    name = "xmpp"
    title = "XMPP archives (MAM results, XEP-0227, Prosody's and ejabberd's SQLite)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        if head.startswith(sqlitefile.MAGIC):
            found = sqlitefile.tables_of(document, head)
            return _is(found, "prosodyarchive", tables.PROSODY) or _is(found, "archive", tables.EJABBERD)
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and any(sign in head for sign in _SIGNS)

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        archive = _Reader(document, options, reading)
        try:
            if document.head(len(sqlitefile.MAGIC)) == sqlitefile.MAGIC:
                yield from archive.database()
            else:
                yield from archive.text()
        except (xmlfile.Broken, sqlitefile.Broken) as fault:
            yield Rejected(document.head(HEAD), document.place, str(fault), options.source)


def _is(found: dict[str, tuple[str, ...]], table: str, columns: tuple[str, ...]) -> bool:
    return set(columns) <= set(found.get(table, ()))


class _Reader:
    """One document while it is read."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self._document = document
        self._options = options
        self._reading = reading
        self._archive = Archive(options, reading)
        self._number = 0

    def database(self) -> Iterator[Captured | Rejected]:
        with sqlitefile.opened(self._document) as database:
            if database.has("prosodyarchive", tables.PROSODY):
                rows = tables.prosody(database)
            elif database.has("archive", tables.EJABBERD):
                rows = tables.ejabberd(database)
            else:
                raise sqlitefile.Broken("no archive of Prosody's or ejabberd's in this database")
            for text, row in rows:
                yield from self._take(row, text.encode("utf-8", "replace"))

    def text(self) -> Iterator[Captured | Rejected]:
        with self._document.open() as opened:
            for piece in stream.found(opened):
                try:
                    row: Envelope | EventError = stream.enveloped(piece)
                except EventError as fault:
                    row = fault
                yield from self._take(row, tostring(piece.element))

    def _take(self, row: Envelope | EventError, original: bytes) -> Iterator[Captured | Rejected]:
        self._number += 1
        position = f"{self._document.place}: stanza {self._number}"
        try:
            if isinstance(row, EventError):
                raise row
            events = list(self._archive.events(row))
        except EventError as fault:
            yield Rejected(original, position, str(fault), self._options.source)
            return
        sequenced = [self._sequenced(each, index) for index, each in enumerate(events)]
        yield from told(sequenced, self._reading, original, position)

    def _sequenced(self, event: Event, index: int) -> Event:
        """Archives that keep whole seconds keep the order by their rows alone."""
        if event.time.microsecond:
            return event
        return structs.replace(event, sequence=f"{self._number:012d}.{index:04d}")
