"""Adium's logs, `.chatlog` folders or files of XML (Unified Logging Format) -> events. Entries may be out of order.

Its older ones are `adiumhtml`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO
from xml.etree.ElementTree import Element, tostring

from archiver.events import Captured, Event, Participant, Rejected
from archiver.exceptions import EventError
from archiver.importers import xmlfile
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading, zoned
from archiver.importers.purple.adiumhtml import HtmlLog, is_theirs
from archiver.importers.purple.log import Log, is_picture
from archiver.importers.telling import told

_ULF = "{http://purl.org/net/ulf/ns/0.4-02}"
_ENTRIES = frozenset((f"{_ULF}message", f"{_ULF}event", f"{_ULF}status", f"{_ULF}action"))
HEAD = 4096
_BLOCKS = frozenset(("br", "div", "p"))


class Adium:
    name = "adium"
    title = "Adium's logs (.chatlog, .AdiumHTMLLog)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        return (b"<chat" in head and b"http://purl.org/net/ulf/ns/" in head) or is_theirs(head)

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        if is_theirs(document.head(HEAD)):
            yield from HtmlLog(document, options, reading).events()
            return
        log: _Reader | None = None
        try:
            senders = _senders(document)
            with document.open() as stream:
                for number, entry in enumerate(_entries(stream)):
                    if log is None:
                        log = _Reader(document, entry, senders, options, reading)
                    else:
                        yield from log.tell(number, entry)
        except xmlfile.Broken as fault:
            yield Rejected(
                document.head(xmlfile.ELEMENT_LIMIT),
                document.place,
                str(fault),
                log.source if log is not None else None,
            )


class _Entries(xmlfile.Elements[Element]):
    """The root as it begins, then each entry."""

    def is_kept(self, tag: str) -> bool:
        return self.depth == 2 and tag in _ENTRIES

    def made(self, element: Element) -> Element:
        return element

    def passed(self, tag: str, attributes: dict[str, str]) -> None:
        if self.depth == 1:
            if tag != f"{_ULF}chat":
                raise xmlfile.Broken("no log of Adium's")
            self.done.append(Element(tag, attributes))


def _entries(stream: BinaryIO) -> Iterator[Element]:
    return xmlfile.pieces(stream, _Entries())


def _senders(document: Document) -> set[str]:
    """Who ever said something: more than two are a room."""
    senders: set[str] = set()
    try:
        with document.open() as stream:
            senders.update(each.get("sender", "") for each in _entries(stream) if each.tag == f"{_ULF}message")
    except xmlfile.Broken:
        pass  # the reading itself says so
    return senders


class _Reader:
    def __init__(
        self, document: Document, root: Element, senders: set[str], options: Options, reading: Reading
    ) -> None:
        self._document = document
        self._reading = reading
        self._options = options
        account, service = root.get("account", ""), root.get("service", "")
        peer = options.channel or document.name.rpartition(".")[0].rpartition(" (")[0] or document.folder or "chat"
        is_room = bool(senders - {account, peer, ""})
        self._log = Log("adium", service.lower(), account or "account", peer, is_room, options)
        self.source = self._log.source

    def tell(self, number: int, entry: Element) -> Iterator[Captured | Rejected]:
        original, position = tostring(entry), f"{self._document.place}: entry {number}"
        try:
            files = self._files(entry)
            event = self._event(entry, f"{number:010d}", files)
        except EventError as fault:
            yield Rejected(original, position, str(fault), self.source)
            return
        if event is None:
            self._reading.ignored[f"{entry.get('type', 'other')[:40]} of Adium"] += 1
        else:
            yield from told([event], self._reading, original, position, files)

    def _event(self, entry: Element, sequence: str, files: list[Media]) -> Event | None:
        at, guessed = self._time(entry.get("time", ""))
        words = text(entry).strip("\n")
        if entry.tag not in (f"{_ULF}message", f"{_ULF}action"):
            return self._log.notice(at, sequence, words, guessed)
        self._reading.unnumbered += 1
        sender = entry.get("sender")
        if not sender:
            raise EventError("nothing says who said it")
        who = Participant(address=sender, name=entry.get("alias"))
        words = f"/me {words}" if entry.tag == f"{_ULF}action" else words
        return self._log.said(at, sequence, who, words, guessed, tuple(each.attachment for each in files))

    def _time(self, stamp: str) -> tuple[datetime, str | None]:
        """With the mark of what was guessed."""
        try:
            return zoned(datetime.fromisoformat(stamp), self._options)
        except ValueError as fault:
            raise EventError(f"no time: {stamp[:80]!a}") from fault

    def _files(self, entry: Element) -> list[Media]:
        images = [each.get("src") or "" for each in entry.iter(f"{_ULF}img")]
        return [media(self._document, each) for each in images if is_picture(each)]


def text(entry: Element) -> str:
    """Its words; what is a block begins a new line."""
    return "".join(_pieces(entry)).removeprefix("\n")


def _pieces(element: Element) -> Iterator[str]:
    if str(element.tag).removeprefix(_ULF) in _BLOCKS:
        yield "\n"
    yield element.text or ""
    for child in element:
        yield from _pieces(child)
        yield child.tail or ""
