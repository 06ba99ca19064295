"""Zoom's chat.txt -> what was written in a meeting.

Three forms: `HH:MM:SS From A to B : text` (old clients), `HH:MM:SS From A to B:` with the text on indented lines below
(new ones), `HH:MM:SS<tab>A:<tab>text` (cloud recordings, counted from their start). From, to and Everyone are in the
writer's language. There is no date: the folder's or file's name tells it, or `--date`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import time, timedelta, tzinfo
from typing import NamedTuple

from archiver.events import SECOND, SENT, Captured, Message, Participant, Place, Rejected, guess_mark, moment
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.irc.clock import Clock
from archiver.importers.meetings.start import Start, start_of, title_of
from archiver.importers.protocol import Options, Reading, zone_guess, zone_of
from archiver.importers.telling import Numbering, Room, told
from archiver.importers.text import LINE_LIMIT, Charset, TextLine, charset_in, charset_of, text_lines

MESSAGE_LIMIT = 512 * 1024
DAY = 86_400 * SECOND

_CLOCK = r"(?P<hour>\d\d):(?P<minute>[0-5]\d):(?P<second>[0-5]\d)"
_FROM = r"(?:From|from|Von|De|Da|Van|Från|Fra|Od|От|Kimden|Dari|Từ|自|從|从|來自|来自|送信者)"
_TO = r"(?:to|To|an|An|à|À|a|para|per|naar|till|til|do|для|кому|kime|ke|đến|至|到|發送至|收信者)"
# Names begin and end with no blank, so that blanks between them divide in one way: else a line of blanks takes hours.
_NAME = r"[^ \t](?:[^\t]{0,198}?[^ \t])??"
_WHO, _WHOM = rf"(?P<who>{_NAME})", rf"(?P<whom>{_NAME})"
_MARK = r"(?P<mark>\([^()\n]{1,60}\))"
_END = rf"[ \t]*(?:{_MARK}[ \t]*)?:(?P<text>.*)"
_FORMS = (
    # Two blanks stand round the names: so it is told in any language.
    re.compile(rf"{_CLOCK}[ \t]+[^\s<*\[({{-]\S{{0,39}} {{2,9}}{_WHO} {{2,9}}\S{{1,40}} {{2,9}}{_WHOM}{_END}"),
    re.compile(rf"{_CLOCK}[ \t]+{_FROM}[ \t]+{_WHO}[ \t]+{_TO}[ \t]+{_WHOM}{_END}"),
    re.compile(rf"{_CLOCK}[ \t]+{_FROM}[ \t]+{_WHO}{_END}"),
    re.compile(rf"{_CLOCK}\t[ \t]*{_WHO}:\t(?P<text>.*)"),
)
_EVERYBODY = frozenset(
    {
        *("everyone", "everybody", "all", "alle", "allen", "jeder", "tous", "todos", "tutti", "iedereen", "alla"),
        *("wszyscy", "всем", "все", "herkes", "所有人", "每个人", "全員", "모두"),
    }
)


class Line(NamedTuple):
    """The first line of a message. `whom` is "" where it says nobody."""

    clock: time | None
    seconds: int
    who: str
    whom: str
    marked: bool
    text: str


def line_of(text: str) -> Line | None:
    if len(text) > LINE_LIMIT or not text[:2].isdigit():
        return None
    for form in _FORMS:
        found = form.fullmatch(text)
        if found is None:
            continue
        names = found.groupdict()
        hour, minute, second = (int(names[key]) for key in ("hour", "minute", "second"))
        clock = time(hour, minute, second) if hour < 24 else None
        whom = (names.get("whom") or "").strip()
        marked = bool(names.get("mark"))
        seconds = (hour * 60 + minute) * 60 + second
        return Line(clock, seconds, names["who"].strip(), whom, marked, names["text"].strip())
    return None


class ZoomChat:
    name = "zoomchat"
    title = "Zoom's chat of a meeting (chat.txt)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        text = head.decode("utf-8-sig", "replace").lstrip()
        return line_of(text.partition("\n")[0].rstrip("\r")) is not None

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        zone, charset = zone_of(options), charset_of(options)
        begun = (line_of(line.text) for line in text_lines(document, charset))
        authors = {line.who for line in begun if line is not None}
        start = start_of(document, options)
        if not authors or start is None:
            head = document.head(LINE_LIMIT)
            why = "nothing tells the day of the meeting: say it with --date" if authors else "no line begins a message"
            if head.strip():
                yield Rejected(head, document.place, why)
            return
        yield from _Chat(document, start, frozenset(authors), options, zone, reading).events(charset)


class _Chat:
    """One file while it is read."""

    def __init__(
        self,
        document: Document,
        start: Start,
        authors: frozenset[str],
        options: Options,
        zone: tzinfo,
        reading: Reading,
    ) -> None:
        self._document = document
        self._start = start
        self._authors = authors
        self._owner = options.owner
        self._reading = reading
        self._numbering = Numbering()
        self._count = 0
        self._guessed = start.guessed
        local = start.at.astimezone(zone).replace(tzinfo=None)
        # Whoever wrote before the recording began still wrote on that day.
        self._clock = Clock(local.replace(hour=0, minute=0, second=0), zone, reading.received + DAY)
        title = title_of(document, options)
        self._session = f"{start.at:%Y%m%dT%H%M%SZ}"
        place = Place(id=title, kind="conference", topic=title, session=self._session)
        self._room = Room(options.source or f"zoom:{options.network or 'zoom'}", place)
        self._zone_guess = (
            None if start.cloud else guess_mark(zone_guess(options), "day-of-name" if start.named else None)
        )

    def events(self, charset: Charset) -> Iterator[Captured | Rejected]:
        first: Line | None = None
        gathered: list[TextLine] = []
        size = 0
        for given in text_lines(self._document, charset):
            number, raw, text, _, fault = given
            line = line_of(text)
            if line is not None:
                yield from self._told(first, gathered)
                first, gathered, size = line, [], 0
            if fault:
                # What goes on with a message is part of it: half of one would be another message.
                whole = b"\n".join(each.raw for each in (*gathered, given))
                yield Rejected(whole, f"{self._document.place}:{number}", fault, self._room.source)
                first, gathered = None, []
            elif first is not None and size <= MESSAGE_LIMIT:
                gathered.append(given)
            elif raw.strip():
                why = "before the first message" if first is None else "a message of too many lines"
                yield Rejected(raw, f"{self._document.place}:{number}", why, self._room.source)
            size += len(raw)
        yield from self._told(first, gathered)

    def _told(self, line: Line | None, gathered: list[TextLine]) -> Iterator[Captured | Rejected]:
        if line is None:
            return
        original = b"\n".join(each.raw for each in gathered)
        position = f"{self._document.place}:{gathered[0].number}"
        rest = [each.text.removeprefix("\t").rstrip() for each in gathered[1:]]
        if not self._tell_time(line):
            yield Rejected(original, position, "a time of day there is not", self._room.source)
            return
        self._count += 1
        text = "\n".join([line.text, *rest] if line.text else rest).strip("\n")
        base = f"{self._session}/{line.seconds}-{jsonfile.digest([line.who, line.whom, text])}"
        key = self._numbering.key(base)
        to, doubt = self._to(line)
        raised = None if self._start.cloud else self._clock.raised
        event = self._room.event(
            key,
            SENT,
            self._now,
            self._person(line.who),
            sequence=f"{self._count:08d}",
            stated=raised.isoformat() if raised is not None else None,
            guessed=guess_mark(self._guessed, doubt),
            charset=charset_in(gathered),
            message=Message(id=key, text=text, to=to),
        )
        self._reading.unnumbered += 1
        yield from told([event], self._reading, original, position)

    def _tell_time(self, line: Line) -> bool:
        if self._start.cloud:
            self._now = self._start.at + timedelta(seconds=line.seconds)
            return True
        if line.clock is None:
            return False
        self._clock.set(line.clock)
        self._now = moment(self._clock.now)
        self._guessed = guess_mark(self._zone_guess, self._clock.guessed)
        return True

    def _to(self, line: Line) -> tuple[tuple[Participant, ...] | None, str | None]:
        """Whom alone it was for, and the mark of that not being certain."""
        if not line.whom or line.whom.casefold() in _EVERYBODY:
            return None, None
        if line.marked or line.whom in self._authors:
            return (self._person(line.whom),), None
        return None, "recipients"

    def _person(self, name: str) -> Participant:
        if name == "Me" and self._owner:
            return Participant(address=self._owner)
        return Participant(address=name, name=name)
