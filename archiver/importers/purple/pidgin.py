"""Pidgin's logs, HTML and text: one conversation a file -> events.

The day and the zone stand in the file's name, the lines have a time of day. Names are what people were called; in HTML
the colour tells who is the account's owner, in text only the names do.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from urllib.parse import unquote

from msgspec import Struct

from archiver.events import Attachment, Captured, Participant, Rejected, guess_mark, microseconds
from archiver.hypertext import text_of
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading, fold_guess, in_turn, zone_guess, zone_of
from archiver.importers.purple.log import Log, clock_of, is_picture
from archiver.importers.purple.notices import is_of_no_event
from archiver.importers.telling import told
from archiver.importers.text import Charset, TextLine, charset_in, charset_of, text_lines

LINE_LIMIT = 1024 * 1024
_NAME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)\.(?P<time>\d{6})(?P<zone>[+-]\d{4})?[^.]{0,20}\.(?P<form>html?|txt)(?:\.gz)?"
)
_HEADER = re.compile(r"Conversation with (?P<peer>.{1,500}) at (?P<date>.{1,100}) on (?P<account>.{1,500})")
_PROTOCOL = re.compile(r" \((?P<protocol>[\w.-]{1,50})\)\s*(?:</|$)")
_STAMP = r"\((?P<time>[^()\n]{4,40})\)"
_HTML = re.compile(
    rf'(?:<font color="#(?P<colour>[0-9A-Fa-f]{{6}})">)?<font size="2">{_STAMP}</font> ?'
    r"(?:<b>(?P<name>\*\*\*[^<]{1,300}|[^<]{1,300}(?=:</b>)):?</b></font>(?P<words>.*)|<b>(?P<notice>.*))",
    re.DOTALL,
)
_TEXT = re.compile(rf"{_STAMP} (?:(?P<name>[^:\n]{{1,200}}): (?P<words>.*)|(?P<notice>.*))", re.DOTALL)
_IMAGE = re.compile(r'<img\b[^>]{0,1000}?\bsrc="([^"<>]{1,500})"', re.IGNORECASE)
_OWNER = {"16569e": True, "a82f2f": False}
"""By the colour of a name, whether it is the account's owner; other colours (actions, whispers) don't tell."""
_ACTION = "***"
OF_NO_EVENT = "notices of Pidgin's own"
NOT_UNDERSTOOD = "notices of Pidgin's own that aren't understood"
BACK = timedelta(hours=1)
"""How far a clock goes back before that means the next day: more than the end of summer time."""


class Line(Struct, frozen=True):
    """`name` is None in a notice; `is_own` None where the form doesn't tell."""

    time: str
    name: str | None
    words: str
    is_own: bool | None = None
    charset: Charset | None = None


class Pidgin:
    name = "pidgin"
    title = "Pidgin's logs (HTML, text)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        named = _NAME.fullmatch(document.name) is not None
        return named and (b'<font size="2">(' in head or b"\n(" in head or b"<h3>" in head)

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        log = _Reader(document, options, reading)
        count = 0
        for number, raw in log.lines():
            if isinstance(raw, Rejected):
                yield raw
            else:
                count += 1
                yield from log.tell(number, raw)
        if not count and document.head(1):
            yield Rejected(document.head(LINE_LIMIT), document.place, "no line of a Pidgin log")


class _Reader:
    """One log while it is read."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self._document = document
        self._reading = reading
        self._charset = charset_of(options)
        head = document.head(8192).decode("utf-8", "replace").partition("\n")[0]
        named = _NAME.fullmatch(document.name)
        self._is_html = head.lstrip().lower().startswith("<html") or bool(named and named["form"].startswith("htm"))
        stated = _zone(named)
        self._zone = stated or zone_of(options)
        self._assumed: dict[str | None, None] = {} if stated else {zone_guess(options): None}
        self._told_by_names = False
        self._start = self._day(named, options, reading)
        self._last = self._start
        protocol, account, peer = self._parties(head)
        is_room = any(folder.endswith(".chat") for folder in document.folders[-1:])
        self._log = Log("pidgin", protocol, account, options.channel or peer, is_room, options)
        self._own = self._own_names()

    def _day(self, named: re.Match[str] | None, options: Options, reading: Reading) -> datetime:
        if named is not None:
            try:
                start = datetime.strptime(f"{named['day']} {named['time']}", "%Y-%m-%d %H%M%S")
                return start.replace(tzinfo=self._zone)
            except ValueError:
                pass
        day = datetime.fromtimestamp((self._document.date or reading.received) / 1_000_000, self._zone)
        self._assumed["day-of-file"] = None
        return day.replace(hour=0, minute=0, second=0, microsecond=0)

    def _parties(self, head: str) -> tuple[str, str, str]:
        """Protocol, account, peer: from the first line in English logs, else from the folders."""
        line = text_of(head.partition("<h3>")[2] or head) if self._is_html else head
        found, named = _HEADER.search(line), list(_PROTOCOL.finditer(line))
        folders = ("", "", "", *self._document.folders)[-3:]
        protocol = named[-1]["protocol"] if named else folders[0]
        account = found["account"][: named[-1].start() - found.start("account")] if found and named else ""
        peer = found["peer"] if found else unquote(folders[2].removesuffix(".chat"))
        return protocol, account or unquote(folders[1]), peer

    def lines(self) -> Iterator[tuple[int, Line | Rejected]]:
        """Each message with all its lines; the header is passed over."""
        gathered: list[TextLine] = []
        size = 0
        for line in text_lines(self._document, self._charset, LINE_LIMIT):
            if line.fault:
                yield from self._closed(gathered)
                gathered = []
                yield line.number, self._rejected(line, line.fault)
            elif self._matched(line.text) is not None:
                yield from self._closed(gathered)
                gathered, size = [line], len(line.raw)
            elif gathered and size < LINE_LIMIT:
                gathered.append(line)
                size += len(line.raw)
            elif gathered or (line.number > 1 and self._plain(line.text)):
                why = "a message of too many lines" if gathered else "before the first message"
                yield line.number, self._rejected(line, why)
        yield from self._closed(gathered)

    def _rejected(self, line: TextLine, why: str) -> Rejected:
        log = getattr(self, "_log", None)
        return Rejected(line.raw, f"{self._document.place}:{line.number}", why, log.source if log is not None else None)

    def _matched(self, text: str) -> re.Match[str] | None:
        return (_HTML if self._is_html else _TEXT).match(text)

    def _closed(self, gathered: list[TextLine]) -> Iterator[tuple[int, Line]]:
        found = self._matched("\n".join(line.text for line in gathered))
        if found is None:
            return
        name, words = found["name"], found["words"] if found["name"] else found["notice"]
        own = None
        if self._is_html:
            own = _OWNER.get((found["colour"] or "").lower())
            name = html.unescape(name) if name else None
            words = words.removesuffix("</body></html>").rstrip()
        elif name is None and words.startswith(_ACTION):
            name, _, words = words.partition(" ")
        yield gathered[0].number, Line(found["time"], name, words, own, charset_in(gathered))

    def _own_names(self) -> frozenset[str]:
        """By what names the log's owner is meant: by their colour, else by the account's name, else not the peer's."""
        names, own, others = set[str](), set[str](), set[str]()
        for _, line in self.lines():
            if isinstance(line, Rejected) or not line.name:
                continue
            names.add(name := _name(line))
            if line.is_own or _is_called(name, self._log.account):
                own.add(name)
            if line.is_own is False or _is_called(name, self._log.peer):
                others.add(name)
        if names - others and others and not own and not self._log.is_room:
            self._told_by_names = True
            own = names - others
        return frozenset(own)

    def tell(self, number: int, line: Line) -> Iterator[Captured | Rejected]:
        position = f"{self._document.place}:{number}"
        original = f"({line.time}) {line.name or ''}: {line.words}".encode("utf-8", "replace")
        at = self._time(line.time)
        if at is None:
            yield Rejected(original, position, f"no time: {line.time!a}", self._log.source)
            return
        sequence = f"{number:010d}"
        guessed = guess_mark(*self._assumed, fold_guess(at.replace(tzinfo=None), self._zone))
        self._reading.unnumbered += 1
        if line.name is None:
            words = self._plain(line.words)
            notice = self._log.notice(at, sequence, words, guessed, line.charset)
            if notice is None:
                self._reading.ignored[OF_NO_EVENT if is_of_no_event(words) else NOT_UNDERSTOOD] += 1
            else:
                yield from told([notice], self._reading, original, position)
            return
        files = self._files(line.words)
        shared: tuple[Attachment, ...] = tuple(each.attachment for each in files)
        name = _name(line)
        text = self._plain(line.words)
        text = f"/me {text}" if line.name.startswith(_ACTION) else text
        author = "author" if self._told_by_names and line.is_own is None else None
        who = self._person(name, line.is_own)
        event = self._log.said(at, sequence, who, text, guess_mark(guessed, author), shared, line.charset)
        yield from told([event], self._reading, original, position, files)

    def _plain(self, words: str) -> str:
        return text_of(words).strip() if self._is_html else words.rstrip()

    def _person(self, name: str, is_own: bool | None) -> Participant:
        log = self._log
        if is_own or (is_own is None and name in self._own):
            return Participant(address=log.account, name=name)
        if log.is_room:
            return Participant(address=name, name=name)
        return Participant(address=log.peer, name=name)

    def _time(self, stamp: str) -> datetime | None:
        """A time of day follows the line before; one with a date, of a message that came late, stands alone."""
        found = clock_of(stamp)
        if found is None:
            return None
        clock = datetime.combine(self._last.date(), found.time, self._last.tzinfo)
        if found.date:
            try:
                return datetime.combine(datetime.fromisoformat(found.date), clock.timetz())
            except ValueError:
                return None
        clock = in_turn(clock.replace(tzinfo=None), self._zone, microseconds(self._last)).replace(tzinfo=self._zone)
        if clock < self._last - BACK:
            self._assumed["next-day"] = None
            clock += timedelta(days=1)
        self._last = max(self._last, clock)
        return clock

    def _files(self, words: str) -> list[Media]:
        found = [html.unescape(each) for each in _IMAGE.findall(words)] if self._is_html else []
        return [media(self._document, each) for each in found if is_picture(each)]


def _name(line: Line) -> str:
    return (line.name or "").removeprefix(_ACTION).removesuffix(" <AUTO-REPLY>")


def _is_called(name: str, address: str) -> bool:
    return name.casefold() in (address.casefold(), address.partition("@")[0].casefold())


def _zone(named: re.Match[str] | None) -> tzinfo | None:
    """That a log's name states."""
    stated = named["zone"] if named is not None else None
    if not stated:
        return None
    minutes = int(stated[1:3]) * 60 + int(stated[3:])
    if minutes >= 24 * 60:
        return None
    return timezone(timedelta(minutes=-minutes if stated[0] == "-" else minutes))
