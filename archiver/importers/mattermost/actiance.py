"""Mattermost's compliance export for Actiance: `actiance_export.xml` with the files beside it -> events.

Made from the published exporter: a conversation a channel, in it who was or came there, messages, files, who left (at
the end of the export everybody). Ids are the posts'; people are known by mail address.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from archiver.events import Captured, Participant, Place, Rejected
from archiver.exceptions import EventError
from archiver.importers import xmlfile
from archiver.importers.document import Document
from archiver.importers.mattermost.compliance import Kind, Posts, Row
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import Room, told

_KINDS: dict[str, Kind] = {
    "Message": "post",
    "FileTransferStarted": "file",
    "ParticipantEntered": "joined",
    "ParticipantLeft": "left",
}
_SECONDS = 100_000_000_000
"""Older versions say seconds: as milliseconds, less than this would be before 1974."""


class _Element(NamedTuple):
    """The root or a conversation when it begins, or what stands in one. `texts` are its children's; its own is ""."""

    tag: str
    attributes: dict[str, str]
    texts: dict[str, str]


class _Dump(xmlfile.Target[_Element]):
    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[str, list[str]] = {}
        self._field: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        if self.depth <= 2:
            self.done.append(_Element(tag, attributes, {}))
            self.size = 0
        elif self.depth == 3:
            self._texts, self.size = {}, 0
        if self.depth in (3, 4):
            self._field = self._texts.setdefault(tag if self.depth == 4 else "", [])
            self.size += len(tag) + xmlfile.COST

    def data(self, text: str) -> None:
        super().data(text)
        if self.depth >= 3:
            self._field.append(text)
            self.size += len(text)

    def end(self, tag: str) -> None:
        if self.depth == 3:
            texts = {name: "".join(parts).strip("\r\n") for name, parts in self._texts.items()}
            self.done.append(_Element(tag, {}, texts))
        if self.depth == 4:
            self._field = self._texts.setdefault("", [])
        super().end(tag)


class MattermostActiance:
    name = "mattermost-actiance"
    title = "Mattermost compliance exports for Actiance (XML)"
    partial_presence = False
    ordered = False
    marks = frozenset(("actiance_export.xml",))

    def sniff(self, document: Document, head: bytes) -> bool:
        return b"<FileDump" in head

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        export = _Export(document, options, reading)
        try:
            with document.open() as stream:
                for number, element in enumerate(xmlfile.pieces(stream, _Dump())):
                    if number == 0 and element.tag != "FileDump":
                        raise xmlfile.Broken(f"its root is <{element.tag[:100]}>, not <FileDump>")
                    yield from export.take(element, f"{document.place}: element {number}")
        except xmlfile.Broken as fault:
            yield document.unreadable(fault, export.source)


class _Export:
    """One export while it is read: the channel it is in, and who was seen there."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self.source = options.source or f"mattermost:{options.network or 'mattermost'}"
        self._document = document
        self._reading = reading
        self._posts = Posts()
        self._topic = self._room = ""
        self._people: dict[str, Participant] = {}

    def take(self, element: _Element, position: str) -> Iterator[Captured | Rejected]:
        if element.tag == "Conversation":
            self._topic, self._room, self._people = element.attributes.get("Perspective", ""), "", {}
        elif element.tag == "RoomID":
            self._room = element.texts.get("", "").strip()
        elif element.tag in _KINDS:
            original = msgspec.json.encode({element.tag: element.texts})
            try:
                row = self._row(_KINDS[element.tag], element.texts)
                made = list(self._posts.events(row))
            except EventError as fault:
                yield Rejected(original, position, str(fault), self.source)
                return
            yield from told(made, self._reading, original, position, row.files)

    def _row(self, kind: Kind, texts: dict[str, str]) -> Row:
        """Raises `EventError`."""
        login = texts.get("LoginName", "")
        if not (self._room and login):
            raise EventError("nothing says in which room, or who")
        who = Participant(address=texts.get("CorporateEmailID") or login, name=login if "@" not in login else None)
        self._people[login] = who
        if texts.get("UserType") == "bot":
            self._reading.nobody.add(who.address)
        path = texts.get("FileName", "")
        post = texts.get("MessageId", "")
        if kind == "post" and not post:
            raise EventError("a message without an id")
        return Row(
            kind=kind,
            at=_number(texts.get("DateTimeUTC", "")),
            room=Room(self.source, self._place()),
            who=who,
            post=post,
            current=texts.get("EditedNewMsgId", ""),
            text=texts.get("Content", ""),
            updated=_number(texts.get("UpdatedDateTimeUTC") or "0"),
            update=texts.get("UpdatedType", ""),
            files=(self._file(path, texts.get("UserFileName")),) if kind == "file" else (),
            file=path,
        )

    def _file(self, path: str, name: str | None) -> Media:
        return media(self._document, path, only_files=True, name=name or None)

    def _place(self) -> Place:
        # `TYPE - NAME - ID`: the same post has the same identity in the CSV.
        identity = self._room.rpartition(" - ")[2]
        if self._room.startswith("direct"):
            people = tuple(self._people[key] for key in sorted(self._people))
            return Place(id=identity, kind="im", participants=people)
        return Place(id=identity, kind="group", topic=self._topic or None)


def _number(text: str) -> int:
    text = text.strip()
    if not (text.isdecimal() and len(text) < 20):
        raise EventError(f"no time: {text[:50]!r}")
    found = int(text)
    return found * 1000 if 0 < found < _SECONDS else found
