"""What an export holds, file by file, with digests: `manifest.ndjson` for machines, `manifest.csv` for people.

In order of paths, whatever the order in which the files came. Kept on disk meanwhile, so that memory doesn't grow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from email.message import EmailMessage
from hashlib import sha256
from itertools import chain
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from archiver.events import moment
from archiver.exporting import spreadsheet
from archiver.exporting.records import LeftOut, Piece
from archiver.inspection.item import last_of
from archiver.inspection.messages import date_of, header, headers_of

NDJSON, CSV = "manifest.ndjson", "manifest.csv"


class Row(Struct, frozen=True):
    """One file, and the item it was made of. `path` is relative to the export; `item` is the SHA-256 of the item's
    exact bytes, the same as `sha256` where the file is the item itself. `first` and `last` are RFC 3339 in the item's
    own zone, empty where it tells no time. `left_out` says of a folder, which has no path and no file, why nothing of
    it could be taken."""

    path: str
    sha256: str
    bytes: int
    item: str
    mailbox: str
    folder: str
    name: str
    message_id: str
    source: str
    conversation: str
    kind: str
    first: str
    last: str
    subject: str
    left_out: str = ""


class About(Struct, frozen=True):
    """One item, as each of its files tells of it."""

    piece: Piece
    digest: str
    message: EmailMessage

    def row(self, path: str, content: bytes) -> Row:
        first, last = _span(self.message)
        return Row(
            path=path,
            sha256=sha256(content).hexdigest(),
            bytes=len(content),
            item=self.digest,
            mailbox=self.piece.mailbox,
            folder=self.piece.folder,
            name=self.piece.called,
            message_id=_field(self.message, "Message-ID"),
            source=unquote(_field(self.message, "X-Archiver-Source")),
            conversation=unquote(_field(self.message, "X-Archiver-Conversation")),
            kind=_field(self.message, "X-Archiver-Kind") or "mail",
            first=first,
            last=last,
            subject=_field(self.message, "Subject"),
        )


def _row_of(what: LeftOut) -> Row:
    nothing = dict.fromkeys(Row.__struct_fields__, "") | {"bytes": 0}
    return Row(**nothing | {"mailbox": what.mailbox, "folder": what.folder, "left_out": what.why})  # type: ignore[arg-type]


def about(piece: Piece, content: bytes, digest: str) -> About:
    return About(piece, digest, headers_of(content))


def _field(message: EmailMessage, name: str) -> str:
    """Without lone surrogates, which stand for bytes that nobody could read."""
    return header(message, name).strip().encode("utf-8", "replace").decode()


def _span(message: EmailMessage) -> tuple[str, str]:
    first = date_of(message)
    if first is None:
        return "", ""
    zone = message["Date"].datetime.tzinfo
    try:
        times = (moment(time).astimezone(zone) for time in (first, max(first, last_of(message, first))))
        began, ended = (time.isoformat(timespec="seconds") for time in times)
    except (OverflowError, ValueError):  # at the edge of the calendar
        return "", ""
    return began, ended


class Manifest:
    """Rows by path; a later one of the same path takes the place of an earlier one."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("")  # a file of SQLite's own, gone when it is closed
        self._rows.execute("CREATE TABLE row (path TEXT PRIMARY KEY, line BLOB NOT NULL) WITHOUT ROWID")
        self._left_out: dict[LeftOut, Row] = {}

    def add(self, rows: Iterable[Row]) -> None:
        lines = ((row.path, msgspec.json.encode(row)) for row in rows)
        self._rows.executemany("INSERT OR REPLACE INTO row VALUES (?, ?)", lines)

    def leave_out(self, what: LeftOut) -> None:
        """Told below the files."""
        self._left_out[what] = _row_of(what)

    def rows(self) -> Iterator[Row]:
        """Of files."""
        decode = msgspec.json.Decoder(Row).decode
        return (decode(line) for (line,) in self._rows.execute("SELECT line FROM row ORDER BY path"))

    def ndjson(self) -> Iterator[bytes]:
        lines = (line for (line,) in self._rows.execute("SELECT line FROM row ORDER BY path"))
        return (line + b"\n" for line in chain(lines, map(msgspec.json.encode, self._left_out.values())))

    def csv(self) -> Iterator[bytes]:
        return (line.encode() + b"\r\n" for line in spreadsheet.lines(Row, chain(self.rows(), self._left_out.values())))

    def close(self) -> None:
        self._rows.close()


def day_and_clock(time: str) -> str:
    """A time of a row as people read it, in the item's own zone."""
    return f"{time[:16].replace('T', ' ')} ({time[19:]})" if time else ""
