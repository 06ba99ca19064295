"""Items as RSMF 2.0 files, which reviewing software takes in: a mail whose attachment `rsmf.zip` holds the manifest and
the files, with counts and dates in its header (X-RSMF-…). One a file, `NAME.rsmf`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from email.message import Message
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec

from archiver import __version__
from archiver.exporting.files import entry
from archiver.exporting.folders import Files, FolderForm
from archiver.exporting.records import Piece
from archiver.exporting.shortmessages import VERSION, Held, Sheet, sheet_of
from archiver.inspection.messages import header, parts_of
from archiver.rendering.evidence import Line, lines_of
from archiver.rendering.headers import clean, unstructured
from archiver.rendering.mime import Part, base64_lines, lines, multipart, text_part
from archiver.web.parts import File, Parts

_LONGEST = 100_000
"""Characters of a header field: a room of a thousand people."""
_UNPACKED = 64 * 1024 * 1024
"""Bytes of events that an item carries: ours have a tenth, and its owner can have planted another."""
_COPIED = ("Date", "From", "To", "Subject", "Message-ID")


def rsmf(root: Path) -> FolderForm:
    """Not the items themselves, so that they don't count as exported."""
    return FolderForm(root, rsmf_files, exact=False)


def rsmf_files(piece: Piece, content: bytes) -> Files | None:
    """None of a message that carries no events of ours, or damaged ones."""
    item = parts_of(content)
    try:
        found = [_decode(line) for line in lines_of(item, _UNPACKED)]
    except Exception:  # no events, damaged ones, or parts that the parser fails on
        return None
    return [(".rsmf", _message(piece, content, item, found))] if found else None


_decode = msgspec.json.Decoder(Line).decode


def _message(piece: Piece, content: bytes, item: Message, found: Sequence[Line]) -> bytes:
    parts = Parts(content)
    named = {sha256(file.content).hexdigest(): (_held(file), file) for file in parts.files}
    sheet = sheet_of(
        found,
        {digest: held for digest, (held, _) in named.items()},
        subject=clean(header(parts.message, "Subject"), 1_000),
        mailbox=piece.mailbox,
    )
    used = {held.id for event in sheet.events for held in event.attachments}
    files = [(held.id, file.content) for held, file in named.values() if held.id in used]
    boundary = f"=_{sha256(content).hexdigest()[:40]}"
    whole = multipart("mixed", boundary, [text_part("plain", lines(parts.text)), _attachment(_packed(sheet, files))])
    return whole.message(_fields(item, piece, sheet))


def _held(file: File) -> Held:
    """In the zip by a number and what its sender called it, which has no way out of a folder."""
    return Held(f"{file.number:04}-{file.name}", file.name, len(file.content))


def _packed(sheet: Sheet, files: Sequence[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        archive.writestr(entry("rsmf_manifest.json"), msgspec.json.encode(sheet))
        for name, content in files:
            archive.writestr(entry(name), content)
    return packed.getvalue()


def _attachment(packed: bytes) -> Part:
    fields = (
        'Content-Type: application/zip; name="rsmf.zip"\nContent-Transfer-Encoding: base64\n'
        'Content-Disposition: attachment; filename="rsmf.zip"\n'
    )
    return Part(fields, [base64_lines(packed)])


def _fields(item: Message, piece: Piece, sheet: Sheet) -> str:
    """What the item's own header says of who and when, then what the format asks for."""
    copied = "".join(f"{name}: {_ascii(item[name])}\n" for name in _COPIED if name in item)
    times = sorted(event.timestamp for event in sheet.events)
    held = sum(len(event.attachments) for event in sheet.events)
    said = {
        "Version": VERSION,
        "Generator": f"conversation-archiver/{__version__}",
        "BeginDate": times[0] if times else "",
        "EndDate": times[-1] if times else "",
        "EventCount": str(len(sheet.events)),
        "AttachmentCount": str(held),
        "Application": sheet.conversations[0].platform,
        "Custodian": piece.mailbox,
        "Participants": ", ".join(person.display for person in sheet.participants),
        "EventCollectionID": sheet.eventcollectionid,
    }
    told = "".join(unstructured(f"X-RSMF-{name}", value, _LONGEST) for name, value in said.items() if value)
    return f"{copied}{told}MIME-Version: 1.0\n"


def _ascii(value: object) -> str:
    """Folded as it stands; lines of it can't end the field, which the parser has seen to."""
    return str(value).encode("ascii", "replace").decode()
