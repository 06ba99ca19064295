"""Files of Matrix events: Element's JSON export, pages of `/messages`, answers to syncs, lists and lines -> events.

A file is read twice, in constant memory: `survey` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import structs

from archiver.events import Captured, Rejected, lines
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.matrix.event import Line, inner, server
from archiver.importers.matrix.survey import Room, Survey
from archiver.importers.matrix.telling import Telling, attachment, line_of, saved_at
from archiver.importers.media import Media, held
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import from_milliseconds, told

LINE_LIMIT = 16 * 1024 * 1024
FIRST_LINE = 4 * 1024 * 1024
"""Bytes in which the first of several lines has to end, for a file to be read line by line."""
_LISTS = ("messages", "chunk", "events")
_PREFIXES = ("item", *(f"{name}.item" for name in _LISTS))
_SIGNS = (b'"event_id"', b'"origin_server_ts"', b'"room_id"', b'"sender"', b'"m.room.', b'"chunk"', b'"exported_by"')
_HAD = ("join", "leave")
"""Rooms of which a sync tells what was said; of others it only says what they are."""
_FOLDERS = {"m.image": "images", "m.video": "videos", "m.audio": "audio"}
_SAVED = frozenset((*_FOLDERS.values(), "files", "stickers"))
KEPT = re.compile(rf"(?:{'|'.join(sorted(_SAVED))})/[^/]+")


class Piece(NamedTuple):
    """An event as it stands in the file, or why a line can't be read. `title` is what the file calls its room."""

    number: int
    element: Any
    title: str | None = None
    fault: str = ""


class Matrix:
    name = "matrix"
    title = "Matrix rooms (Element's JSON export, pages of a room's history, answers to syncs, dumps of events)"
    partial_presence = False
    ordered = False
    marks: frozenset[str] = frozenset()

    def kept(self, document: Document) -> re.Pattern[str]:
        return KEPT

    def sniff(self, document: Document, head: bytes) -> bool:
        if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
            return False
        if b'"next_batch"' in head:
            return b'"timeline"' in (more := document.head(jsonfile.CHUNK)) and b'"rooms"' in more
        return (b'"m.' in head and sum(sign in head for sign in _SIGNS) > 1) or b'"exported_by"' in head

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        rooms = _Rooms(document, options, reading)
        try:
            for piece in pieces(document):
                yield from rooms.tell(piece)
        except jsonfile.Broken as fault:
            yield document.unreadable(fault)


def pieces(document: Document) -> Iterator[Piece]:
    """Raises `Broken` where the file can't be read further."""
    head = document.head(FIRST_LINE)
    if _is_by_lines(head):
        yield from _by_lines(document)
    elif b'"room_name"' in head[: jsonfile.CHUNK]:
        said = (each for each in jsonfile.listed(document, ("",), "messages") if each[1] is not None)
        for number, (header, element) in enumerate(said, 1):
            title = header.get("room_name")
            yield Piece(number, element, title if isinstance(title, str) else None)
    else:
        number = 0
        for each in jsonfile.items(document, _PREFIXES):
            for element in _within(each):
                number += 1
                yield Piece(number, element)
        if not number:
            yield from (Piece(1, element) for element in _within(jsonfile.whole(document, dict[str, Any])))


def _is_by_lines(head: bytes) -> bool:
    """Whether the first line is an object by itself, and others follow."""
    first, _, rest = head.strip().partition(b"\n")
    try:
        jsonfile.decoded(first, dict[str, Any])
    except jsonfile.Broken:
        return False
    return bool(rest.strip())


def _by_lines(document: Document) -> Iterator[Piece]:
    with document.open() as stream:
        for number, raw, fault in lines(stream, LINE_LIMIT):
            if fault:
                yield Piece(number, raw, fault=fault)
            elif raw.strip():
                try:
                    yield from (Piece(number, each) for each in _within(jsonfile.decoded(raw, dict[str, Any])))
                except jsonfile.Broken as broken:
                    yield Piece(number, raw, fault=str(broken))


def _within(element: Any) -> Iterator[Any]:
    """An event, or the events of a page or of an answer to a sync."""
    if isinstance(element, dict) and "event_id" not in element:
        if isinstance(element.get("rooms"), dict):
            yield from _synced(element["rooms"])
            return
        for name in _LISTS:
            if isinstance(element.get(name), list):
                yield from element[name]
                return
    yield element


def _synced(rooms: dict[str, Any]) -> Iterator[Any]:
    """Events of an answer to a sync, each with its room: client-server API, "Syncing"."""
    for part in _HAD:
        for identity, room in inner(rooms, part).items():
            for name in ("state", "timeline"):
                events = inner(room, name).get("events")
                for each in events if isinstance(events, list) else ():
                    yield _placed(each, identity, is_state=name == "state") if isinstance(each, dict) else each


def _placed(event: dict[str, Any], room: str, *, is_state: bool) -> dict[str, Any]:
    """State stands there as the room was before: what was before that is as unknown as the time before."""
    known = {key: value for key, value in event.items() if key != "unsigned"} if is_state else event
    return {**known, "room_id": room}


class _Rooms:
    """A file's rooms while they are told."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self._document = document
        self._options = options
        self._reading = reading
        self._survey = Survey()
        self._files: dict[str, list[str]] = {}
        self._look()

    def _look(self) -> None:
        for each in self._document.below():
            *_, folder, name = ("", *each.within.split("/"))
            if folder in _SAVED:
                self._files.setdefault(folder, []).append(name)
        try:
            for piece in pieces(self._document):
                if not piece.fault:
                    self._note(piece)
        except jsonfile.Broken:
            return  # the second reading says so

    def _note(self, piece: Piece) -> None:
        try:
            line = line_of(piece.element)
            self._survey.note(line, self._room(line, piece))
        except EventError:
            return

    def _room(self, line: Line, piece: Piece) -> Room:
        identity = line.room_id or self._options.channel
        if not identity:
            raise EventError("no room: neither the event nor the options name one (--channel)")
        return self._survey.room(identity, piece.title)

    def tell(self, piece: Piece) -> Iterator[Captured | Rejected]:
        position = f"{self._document.place}: event {piece.number}"
        if piece.fault:
            yield Rejected(piece.element, position, piece.fault)
            return
        original, source = jsonfile.original(piece.element), self._options.source
        try:
            line = line_of(piece.element)
            room, files = self._room(line, piece), self._media(line)
            source = source or f"matrix:{self._options.network or room.server or server(line.sender) or 'matrix'}"
            self._survey.meet(line)
            at = from_milliseconds(line.origin_server_ts)
            shared = [each.attachment for each in files]
            events = list(Telling(source, room, self._survey, self._reading, line, at, shared).events())
        except EventError as fault:
            yield Rejected(original, position, str(fault), source)
            return
        yield from told(events, self._reading, original, position, files)

    def _media(self, line: Line) -> list[Media]:
        """On disk where it was saved beside the history, or by Element beside its export."""
        shared = attachment(line)
        if shared is None:
            return []
        local = saved_at(shared.url or "")
        saved = (local and self._document.beside(local)) or self._saved(line)
        if saved is None:
            return [Media(shared)]
        found = held(saved, name=shared.name, media_type=shared.media_type)
        return [structs.replace(found, attachment=structs.replace(found.attachment, url=shared.url))]

    def _saved(self, line: Line) -> Document | None:
        """Element names a file for its message's `body` and, in the exporter's words and zone, its date.

        Minutes and seconds are the same in every zone but a few: they tell apart what is called alike.
        """
        folder = "stickers" if line.type == "m.sticker" else _FOLDERS.get(line.text("msgtype"), "files")
        stem, dot, ending = line.text("body").rpartition(".")
        stem, ending = (stem, dot + ending) if dot else (ending, "")
        alike = [name for name in self._files.get(folder, ()) if stem and name.startswith(f"{stem}-")]
        alike = [name for name in alike if name.endswith(ending)]
        try:
            moment = from_milliseconds(line.origin_server_ts)
        except EventError:
            return None
        clock = [name for name in alike if any(f"{moment:%M{sign}%S}" in name for sign in ".-:")]
        found = clock if len(clock) == 1 else alike
        return self._document.shared(found[0], folder, only_files=True) if len(found) == 1 else None
