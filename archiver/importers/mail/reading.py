"""The importer of mails: tells them from other texts, and gives each to what reads mails live."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import structs

from archiver.events import SECOND, Captured, Rejected, microseconds
from archiver.importers.document import Document
from archiver.importers.items import SERVERS
from archiver.importers.mbox import Piece, is_mbox, mails
from archiver.importers.protocol import Options, Reading
from archiver.sources.decoding import date
from archiver.sources.mail import read_mail

DEFAULT_NAME = "mail"
"""What live intake by SMTP calls itself in its events' source where nothing else is configured."""

# RFC 5322, 4.5: of old, blanks may stand before the colon.
_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]{0,20}:")
_TELLING = frozenset(
    (b"from", b"to", b"date", b"subject", b"message-id", b"received", b"return-path", b"mime-version", b"delivered-to")
)
_ENOUGH = 2
_SENDER = re.compile(rb"^Return-Path:\s*<?([^<>\s]{1,320})>?\s*$", re.IGNORECASE | re.MULTILINE)
# maildir(5): seconds since 1970, then what makes it unique.
_UNIQUE = re.compile(r"(\d{9,11})\.[^.]")
_CLOCK = re.compile(rb"[A-Z][a-z]{2},? [A-Z\d].*")


class Mail:
    name = "mail"
    title = "mails (EML, mbox, Maildir): transcripts, journal reports, single messages"
    partial_presence = False
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        """By its header: nothing but fields, two of which every mail has."""
        begin = head.partition(b"\n")[2] if is_mbox(head) else head
        named: set[bytes] = set()
        for line in begin.splitlines()[: -1 if len(head) >= 4096 else None]:
            if not line.strip():
                break
            field = _FIELD.match(line)
            if field is None and not (named and line[:1] in b" \t"):
                return False
            if field is not None:
                named.add(field[1].lower())
        return len(named & _TELLING) >= _ENOUGH

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        source = options.source or f"smtp:{options.network or DEFAULT_NAME}"
        if SERVERS.match(document.name):
            reading.ignored["mail server's file"] += 1
            return
        if document.folder == "tmp" and _UNIQUE.match(document.name):
            reading.ignored["mail that was never delivered whole (tmp of a Maildir)"] += 1
            return
        with document.open() as stream:
            for number, piece in enumerate(mails(stream), 1):
                position = f"{document.place}: mail {number}" if piece.start else document.place
                for each in _events(piece, document, source, reading, position):
                    yield structs.replace(each, position=position) if isinstance(each, Rejected) else each


def _events(
    piece: Piece, document: Document, source: str, reading: Reading, position: str
) -> Iterator[Captured | Rejected]:
    fault = piece.fault or ("" if piece.start or _FIELD.match(piece.content) else "this is no mail")
    if fault:
        if piece.content.strip() or piece.fault:
            yield Rejected(piece.content, position, fault, source)
        return
    header = piece.content.partition(b"\n\n")[0]
    sender = _SENDER.search(header)
    read = read_mail(
        piece.content,
        source=source,
        received=reading.received,
        arrived=_arrived(piece, document),
        sender=sender[1].decode("ascii", "replace") if sender else "",
        events="none",  # who wrote them isn't known: anybody can put a mail into somebody's mailbox
    )
    for each in read:
        if isinstance(each, Captured) and each.event.archiverguessed is not None:
            reading.marks[each.event.archiverguessed] += 1
        yield each


def _arrived(piece: Piece, document: Document) -> int | None:
    """When a mail that states no time was delivered: a file must tell the same whenever it is read."""
    if piece.start:
        stated = _CLOCK.search(piece.start)
        found = date(stated[0].decode("ascii", "replace")) if stated else None
        return microseconds(found) if found is not None else document.date
    unique = _UNIQUE.match(document.name)
    return int(unique[1]) * SECOND if unique else document.date
