"""Items that the archiver made, in EML files, mboxes and Maildirs -> the events they carry, with the files they hold.

A complete item of the archive gives its conversation's events back as they were; somebody's own item gives what they
saw of it, hidden people under their pseudonyms and retracted texts as digests. Who was present before the first event
is no event, and not given: where the item that saw them come is read too, its own events tell.

Items say who said what where, and no signature proves that they are ours. A header field is anybody's to write, so they
are known by the names that the archiver gives its files, by an export's manifest, or by being called so by the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from hashlib import sha256

from msgspec import structs

from archiver.events import Captured, Rejected, capture
from archiver.exceptions import EventError, UsageError
from archiver.importers.document import Document
from archiver.importers.mbox import Piece, is_mbox, mails
from archiver.importers.protocol import Options, Reading
from archiver.rendering.evidence import ROSTER, lines_of

_MARK = re.compile(rb"^X-Archiver-Key: ", re.MULTILINE)
_NAME = re.compile(r"[0-9]+\.K[0-9a-f]{32}\.conversation-archiver(?:$|[:.])")
SERVERS = re.compile(r"dovecot[-.]|subscriptions$|maildirfolder$|courierimap|(?:.*\.)?manifest\.(?:ndjson|csv)$")
"""What mail servers, the archive itself and exports keep beside messages."""
_PAGE = re.compile(rb"<!DOCTYPE html>", re.IGNORECASE)
_END = re.compile(rb"\n\r?\n")
_FIELD = re.compile(rb"[!-9;-~]+:")
_CONTENT_ID = re.compile(r"<([0-9a-f]{64})@")


class Items:
    name = "items"
    title = "our own items (EML files, mbox, Maildirs)"
    partial_presence = False
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        if _NAME.match(document.name) is not None:
            return True
        is_ours = is_item(head.partition(b"\n")[2] if is_mbox(head) else head)
        return is_ours and document.beside(f"{document.name}.manifest.ndjson") is not None

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        if SERVERS.match(document.name):
            reading.ignored["mail server's file"] += 1
            return
        with document.open() as stream:
            for number, piece in enumerate(mails(stream), 1):
                yield from _read(piece, f"{document.place}: mail {number}" if piece.start else document.place, reading)


def _read(piece: Piece, position: str, reading: Reading) -> Iterator[Captured | Rejected]:
    if piece.fault:
        yield Rejected(piece.content, position, piece.fault)
    elif is_item(piece.content):
        yield from events_of(piece.content, position, reading.received)
    elif _FIELD.match(piece.content):
        reading.ignored["message that isn't ours"] += 1
    elif _PAGE.match(piece.content):
        reading.ignored["page of an export"] += 1
    elif piece.content.strip():
        yield Rejected(piece.content, position, "this is no message")


def is_item(content: bytes) -> bool:
    """By its own header: a mail that carries an item of ours is none, nor is an mbox of them one."""
    return not content.startswith(b"From ") and _MARK.search(_END.split(content, 1)[0]) is not None


def events_of(content: bytes, position: str, received: int) -> Iterator[Captured | Rejected]:
    try:
        lines = lines_of(content)
    except UsageError as fault:
        yield Rejected(content, position, str(fault))
        return
    files = _files(message_from_bytes(content))
    for number, line in enumerate(lines, 1):
        try:
            captured = capture(line, received=received)
        except EventError as reason:
            yield Rejected(line, f"{position}: event {number}", str(reason))
            continue
        if number == 1 and captured.event.type == ROSTER and captured.event.id.startswith(f"{ROSTER}."):
            continue
        digests = (each.sha256 for each in captured.event.data.attachments or ())
        held = tuple((digest, files[digest]) for digest in dict.fromkeys(digests) if digest in files)
        yield structs.replace(captured, attached=held) if held else captured


def _files(message: Message) -> dict[str, bytes]:
    """Contents by SHA-256; one that isn't what it says it is doesn't count."""
    found: dict[str, bytes] = {}
    for part in message.walk():
        named = _CONTENT_ID.match(str(part.get("Content-ID", "")))
        content = part.get_payload(decode=True) if named else None
        if named and isinstance(content, bytes) and sha256(content).hexdigest() == named[1]:
            found[named[1]] = content
    return found
