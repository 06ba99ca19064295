"""Mattermost's compliance export as CSV: `posts.csv` with the files beside it, in a zip a batch -> events.

Made from the published exporter. Columns are found by their names: later versions have more. Who is in a direct channel
is told by a first reading, since each of its events carries both.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from archiver.events import Captured, Participant, Place, Rejected, lines
from archiver.exceptions import EventError
from archiver.importers.document import Document
from archiver.importers.mattermost.compliance import Kind, Posts, Row
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import Room, told

LINE_LIMIT = 512 * 1024
FIRST = "Post Creation Time"
_KINDS: dict[str, Kind] = {
    "attachment": "file",
    "enter": "joined",
    "previously-joined": "joined",
    "leave": "left",
}
_FILE = re.compile(r"(?P<name>.*?) ?\((?P<path>files/[^()]+)\)")
_DIRECT = frozenset(("direct", "D"))
_HISTORY = frozenset(("public", "private", "O", "P", "open"))


class _Read(NamedTuple):
    """A row as it stands: cells by column, the bytes it came of, the line it ends at, what is wrong with it."""

    cells: dict[str, str]
    raw: bytes
    number: int
    fault: str = ""


class MattermostTable:
    name = "mattermost-csv"
    title = "Mattermost compliance exports (posts.csv)"
    partial_presence = False
    ordered = False
    marks = frozenset(("posts.csv",))

    def sniff(self, document: Document, head: bytes) -> bool:
        return head.removeprefix(b"\xef\xbb\xbf").lstrip(b'"').startswith(FIRST.encode())

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        yield from _Export(document, options, reading).events()


def _rows(document: Document) -> Iterator[_Read]:
    """The rows below the header."""
    taken: list[bytes] = []
    broken: list[str] = []
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        with document.open() as stream:
            for count, raw, fault in lines(stream, LINE_LIMIT):
                number = count
                taken.append(raw)
                if fault:
                    broken.append(fault)
                yield raw.decode("utf-8", "replace") + "\n"

    reader = csv.reader(texts())
    columns: list[str] | None = None
    while True:
        fault = ""
        try:
            cells = next(reader, None)
        except csv.Error as error:
            cells, fault = [], f"not a row of CSV: {error}"
        if cells is None:
            return
        raw, problem = b"\n".join(taken), next(iter(broken), fault)
        taken.clear()
        broken.clear()
        if columns is None:
            columns = cells
            if FIRST not in cells:
                yield _Read({}, raw, number, problem or f"no column {FIRST}")
                return
        elif problem or raw.strip():
            yield _Read(dict(zip(columns, cells, strict=False)), raw, number, problem)


class _Export:
    """One table while it is read."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self._source = options.source or f"mattermost:{options.network or 'mattermost'}"
        self._document = document
        self._reading = reading
        self._posts = Posts()
        self._parties = self._directs()

    def _directs(self) -> dict[str, dict[str, Participant]]:
        found: dict[str, dict[str, Participant]] = {}
        for row in _rows(self._document):
            if row.cells.get("Channel Type") in _DIRECT:
                person = _person(row.cells)
                found.setdefault(row.cells.get("Channel Id", ""), {})[person.address] = person
        return found

    def events(self) -> Iterator[Captured | Rejected]:
        for read in _rows(self._document):
            position = f"{self._document.place}:{read.number}"
            try:
                if read.fault:
                    raise EventError(read.fault)
                row = self._row(read.cells)
                made = list(self._posts.events(row)) if row is not None else []
            except EventError as fault:
                if read.raw.strip() or read.fault:
                    yield Rejected(read.raw, position, str(fault), self._source)
                continue
            yield from told(made, self._reading, read.raw, position, row.files if row is not None else ())

    def _row(self, cells: dict[str, str]) -> Row | None:
        """Raises `EventError`; None for what is no event, which is counted."""
        type_ = cells.get("Post Type", "")
        if type_ == "deleted attachment":
            self._reading.ignored["deleted files"] += 1
            return None
        if not cells.get("Channel Id"):
            raise EventError("a row without a channel")
        kind = _KINDS.get(type_, "post")
        if kind in ("post", "file") and not cells.get("Post Id"):
            raise EventError("a post without an id")
        person = _person(cells)
        if cells.get("User Type") == "bot":
            self._reading.nobody.add(person.address)
        text = cells.get("Post Message", "")
        attached = _FILE.fullmatch(text) if kind == "file" else None
        files = (self._file(attached["path"], attached["name"]),) if attached is not None else ()
        return Row(
            kind=kind,
            at=_number(cells.get(FIRST, ""), FIRST),
            room=Room(self._source, self._place(cells)),
            who=person,
            post=cells.get("Post Id", ""),
            current=cells.get("Edited By Post Id", ""),
            root=cells.get("Replied to Post Id", ""),
            text=text,
            updated=_number(cells.get("Post Update Time") or "0", "Post Update Time"),
            update=cells.get("Post Update Type", ""),
            files=files,
            file=attached["path"].rpartition("/")[2] if attached is not None else text,
        )

    def _file(self, path: str, name: str) -> Media:
        return media(self._document, path, only_files=True, name=name)

    def _place(self, cells: dict[str, str]) -> Place:
        identity, type_ = cells["Channel Id"], cells.get("Channel Type", "")
        if type_ in _DIRECT:
            parties = self._parties.get(identity, {})
            return Place(id=identity, kind="im", participants=tuple(parties[key] for key in sorted(parties)))
        topic = cells.get("Channel Display Name") or cells.get("Channel Name") or None
        history = "members" if type_ in _HISTORY else "present"
        return Place(id=identity, kind="group", topic=topic, history=history)  # type: ignore[arg-type]


def _person(cells: dict[str, str]) -> Participant:
    name = cells.get("Username") or None
    return Participant(address=cells.get("User Email") or name or cells.get("User Id") or "?", name=name)


def _number(text: str, column: str) -> int:
    if not (text.isdecimal() and len(text) < 20):
        raise EventError(f"{column} is no time: {text[:50]!r}")
    return int(text)
