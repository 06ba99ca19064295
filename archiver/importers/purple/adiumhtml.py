"""Adium's older logs, `.AdiumHTMLLog`: a file a day, a line of HTML an entry -> events.

The day stands in the file's name, the lines have a time of day in the user's zone; whose log it is, in the folder's
(`SERVICE.ACCOUNT/PEER/`). What one sent is marked so. Made after published samples.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import unquote

from archiver.events import Captured, Participant, Rejected, guess_mark
from archiver.hypertext import text_of
from archiver.importers.document import Document
from archiver.importers.protocol import Options, Reading, fold_guess, zone_guess, zone_of
from archiver.importers.purple.log import Log, clock_of
from archiver.importers.purple.notices import is_of_no_event
from archiver.importers.telling import told
from archiver.importers.text import TextLine, charset_in, charset_of, text_lines

LINE_LIMIT = 1024 * 1024
OF_NO_EVENT = "notices of Adium's own"
NOT_UNDERSTOOD = "notices of Adium's own that aren't understood"
_NAME = re.compile(r"(?P<peer>.{1,500}?) \((?P<day>\d{4}[-|.]\d\d[-|.]\d\d)\)\.(?:AdiumHTMLLog|html)(?:\.gz)?")
_FOLDER = re.compile(r"(?P<service>[\w!-]{1,30})\.(?P<account>.{1,500})")
_BEGIN = '<div class="'
_ENTRY = re.compile(
    rf'{_BEGIN}(?P<kind>send|receive|status)[^"<>]{{0,100}}">'
    r'(?:<span class="timestamp">(?P<time>[^<]{1,40})</span> ?<span class="sender">(?P<name>[^<]{0,500})</span>'
    r'<pre class="message">(?P<words>.*)</pre>'
    r"|(?P<notice>.*) \((?P<at>[^()]{1,40})\))</div>\s*",
    re.DOTALL,
)


def is_theirs(head: bytes) -> bool:
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return begin.startswith(_BEGIN.encode()) and (b'<span class="sender">' in begin or b'class="status"' in begin[:30])


class Entry(NamedTuple):
    """`found` is None for lines that are none."""

    lines: list[TextLine]
    found: re.Match[str] | None

    @property
    def name(self) -> str:
        return html.unescape(self.found["name"] or "").strip().removesuffix(":") if self.found is not None else ""


class HtmlLog:
    """One log while it is read."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self._document = document
        self._reading = reading
        self._charset = charset_of(options)
        self._zone = zone_of(options)
        named = _NAME.fullmatch(document.name)
        self._day, guessed = self._dated(named)
        self._guessed = guess_mark(zone_guess(options), guessed)
        own, others = self._senders()
        peer = options.channel or (named["peer"] if named else document.folder or "chat")
        service, account = self._owner(peer)
        account = options.owner or account or next(iter(sorted(own)), "account")
        self._log = Log("adium", service.lower(), account, unquote(peer), len(others) > 1, options)

    def _dated(self, named: re.Match[str] | None) -> tuple[datetime, str | None]:
        if named is not None:
            try:
                day = datetime.fromisoformat(re.sub("[|.]", "-", named["day"]))
                return day.replace(tzinfo=self._zone), None
            except ValueError:
                pass
        at = datetime.fromtimestamp((self._document.date or self._reading.received) / 1_000_000, UTC)
        return datetime(at.year, at.month, at.day, tzinfo=self._zone), "day-of-file"

    def _owner(self, peer: str) -> tuple[str, str]:
        """The service and the account, as the folder above the peer's names them."""
        *_, above, folder = ("", "", *self._document.folders)
        found = _FOLDER.fullmatch(above) if folder == peer else None
        return (found["service"], unquote(found["account"])) if found is not None else ("", "")

    def _senders(self) -> tuple[set[str], set[str]]:
        """By what names the log's owner wrote, and others."""
        own, others = set[str](), set[str]()
        for entry in self._entries():
            if entry.found is not None and entry.name:
                (own if entry.found["kind"] == "send" else others).add(entry.name)
        return own, others

    def _entries(self) -> Iterator[Entry]:
        gathered: list[TextLine] = []
        size = 0
        for line in text_lines(self._document, self._charset, LINE_LIMIT):
            if line.text.startswith(_BEGIN) or line.fault or size > LINE_LIMIT:
                yield from self._closed(gathered)
                gathered, size = [], 0
            gathered.append(line)
            size += len(line.raw)
        yield from self._closed(gathered)

    def _closed(self, gathered: list[TextLine]) -> Iterator[Entry]:
        whole = "\n".join(line.text for line in gathered)
        if whole.strip("\ufeff \t\r\n"):
            found = None if any(line.fault for line in gathered) else _ENTRY.fullmatch(whole)
            yield Entry(gathered, found)

    def events(self) -> Iterator[Captured | Rejected]:
        for entry in self._entries():
            yield from self._tell(entry)

    def _tell(self, entry: Entry) -> Iterator[Captured | Rejected]:
        number, found = entry.lines[0].number, entry.found
        position, original = f"{self._document.place}:{number}", b"\n".join(line.raw for line in entry.lines)
        fault = next((line.fault for line in entry.lines if line.fault), "")
        at = self._time(found["time"] or found["at"]) if found is not None else None
        if found is None or at is None:
            why = fault or ("no entry of a log" if found is None else "no time")
            yield Rejected(original, position, why, self._log.source)
            return
        sequence, charset = f"{number:010d}", charset_in(entry.lines)
        guessed = guess_mark(self._guessed, fold_guess(at.replace(tzinfo=None), self._zone))
        self._reading.unnumbered += 1
        if found["name"] is None:
            words = text_of(found["notice"]).strip()
            notice = self._log.notice(at, sequence, words, guessed, charset)
            if notice is None:
                self._reading.ignored[OF_NO_EVENT if is_of_no_event(words) else NOT_UNDERSTOOD] += 1
                return
            yield from told([notice], self._reading, original, position)
            return
        who = self._person(entry.name, found["kind"] == "send")
        event = self._log.said(at, sequence, who, _text(found["words"]), guessed, charset=charset)
        yield from told([event], self._reading, original, position)

    def _person(self, name: str, is_own: bool) -> Participant:
        if is_own:
            return Participant(address=self._log.account, name=name or None)
        return Participant(address=name if self._log.is_room else self._log.peer, name=name or None)

    def _time(self, stamp: str) -> datetime | None:
        found = clock_of(stamp)
        return None if found is None or found.date else datetime.combine(self._day, found.time, self._zone)


def _text(words: str) -> str:
    """It is preformatted: ends of lines count."""
    return text_of(words.replace("\n", "<br>"))
