"""Captions with speakers, as Teams and Zoom write them -> who said what in a meeting.

A speaker stands in a voice tag (Teams) or before a colon (Zoom). Teams' `metadataContent` has JSON in its cues, with
times of their own. An event's id is the meeting's start, its place in it and a digest of what was said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

import msgspec
from msgspec import Struct

from archiver.events import Captured, Participant, Place, Rejected
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.meetings.cues import Block, Cue, blocks, spoken
from archiver.importers.meetings.start import Start, start_of, title_of, told_beside
from archiver.importers.protocol import Options, Reading, zone_of
from archiver.importers.telling import Numbering, Room, told
from archiver.importers.text import Charset, charset_of

SAMPLE = 500
"""Cues by which it is told how speakers are written."""
NOTES = 64 * 1024
"""Characters of notes that are looked at for when it began."""
SPOKEN = "speech.transcribed"

_SIGNATURE = re.compile(rb"(?:\xef\xbb\xbf)?WEBVTT(?:[ \t\r\n]|$)")
_NAMED = re.compile(r"([^:<>\n]{1,80}): +(.*)", re.DOTALL)


class Spoken(Struct):
    """A cue of Teams' metadata content."""

    startDateTime: datetime
    endDateTime: datetime | None = None
    speakerName: str = ""
    spokenText: str = ""
    spokenLanguage: str | None = None


class _Survey(NamedTuple):
    """What a first reading of the beginning tells. `colons`: speakers stand before a colon."""

    head: bytes
    notes: str
    cues: bool
    colons: bool
    own: datetime | None
    """The first time a cue states by itself."""


class WebVtt:
    name = "webvtt"
    title = "captions with speakers (WebVTT of Teams and Zoom)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def named(self, document: Document) -> Iterator[str]:
        yield from told_beside(document)

    def sniff(self, document: Document, head: bytes) -> bool:
        return _SIGNATURE.match(head) is not None

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        zone_of(options)
        charset = charset_of(options)
        survey = _surveyed(document, charset)
        if survey is None:
            return
        start = start_of(document, options, survey.notes) or (Start(survey.own) if survey.own else None)
        if not _SIGNATURE.match(survey.head):
            yield Rejected(survey.head, document.place, "no WebVTT: the first line isn't WEBVTT")
        elif start is None and survey.cues:
            why = "nothing tells when the meeting began: say it with --date YYYY-MM-DDTHH:MM and --zone"
            yield Rejected(survey.head, document.place, why)
        elif start is not None:
            yield from _Meeting(document, survey, start, options, reading).events(charset)


def _surveyed(document: Document, charset: Charset) -> _Survey | None:
    """None for a file with nothing in it."""
    head: bytes | None = None
    notes, own = "", None
    cues = voices = named = 0
    for block in islice(blocks(document, charset), SAMPLE):
        head = block.raw if head is None else head
        notes += block.note[: NOTES - len(notes)]
        if block.cue is None:
            continue
        cues += 1
        voices += "<v" in block.cue.text
        named += _NAMED.match(block.cue.text) is not None
        own = _own(block.cue) if cues == 1 else own
    return None if head is None else _Survey(head, notes, cues > 0, not voices and named * 2 > cues, own)


def _own(cue: Cue) -> datetime | None:
    found = _metadata(cue)
    return found.startDateTime if found is not None and found.startDateTime.tzinfo else None


def _metadata(cue: Cue) -> Spoken | None:
    if not cue.text.lstrip().startswith("{"):
        return None
    try:
        return msgspec.json.decode(cue.text, type=Spoken)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


class _Said(NamedTuple):
    name: str
    text: str
    at: datetime
    until: datetime | None
    language: str | None = None


class _Meeting:
    """One file while it is read."""

    def __init__(self, document: Document, survey: _Survey, start: Start, options: Options, reading: Reading) -> None:
        self._document = document
        self._survey = survey
        self._start = start.at
        self._reading = reading
        self._numbering = Numbering()
        self._stamp = f"{start.at:%Y%m%dT%H%M%SZ}"
        title = title_of(document, options)
        place = Place(id=title, kind="conference", topic=title, session=self._stamp)
        self._room = Room(options.source or f"webvtt:{options.network or 'webvtt'}", place, start.guessed)

    def events(self, charset: Charset) -> Iterator[Captured | Rejected]:
        count = 0
        for block in blocks(self._document, charset):
            position = f"{self._document.place}:{block.number}"
            if block.fault:
                yield Rejected(block.raw, position, block.fault, self._room.source)
                continue
            if block.cue is None:
                continue
            try:
                said = list(self._said(block.cue))
            except EventError as fault:
                yield Rejected(block.raw, position, str(fault), self._room.source)
                continue
            for each in said:
                count += 1
                yield from self._told(each, count, block, position)
            if not said:
                self._reading.ignored["cues without words"] += 1

    def _told(self, said: _Said, count: int, block: Block, position: str) -> Iterator[Captured | Rejected]:
        actor = Participant(address=said.name, name=said.name) if said.name else None
        self._reading.unnumbered += 1
        offset = round((said.at - self._start) / timedelta(milliseconds=1))
        key = self._numbering.key(f"{self._stamp}/{offset}-{jsonfile.digest([said.name, said.text])}")
        event = self._room.event(
            key,
            SPOKEN,
            said.at,
            actor,
            sequence=f"{count:08d}",
            guessed=None if actor is not None else "speaker",
            charset=block.charset,
            text=said.text,
            until=said.until,
            language=said.language,
        )
        yield from told([event], self._reading, block.raw, position)

    def _said(self, cue: Cue) -> Iterator[_Said]:
        own = _metadata(cue)
        if own is not None and own.startDateTime.tzinfo and own.spokenText:
            until = own.endDateTime if own.endDateTime is not None and own.endDateTime.tzinfo else None
            yield _Said(own.speakerName, own.spokenText, own.startDateTime, until, own.spokenLanguage)
            return
        at, until = self._time(cue.start), self._time(cue.end)
        for name, text in spoken(cue.text):
            named = _NAMED.match(text) if self._survey.colons and not name else None
            yield _Said(named[1].strip(), named[2], at, until) if named else _Said(name, text, at, until)

    def _time(self, milliseconds: int) -> datetime:
        try:
            return self._start + timedelta(milliseconds=milliseconds)
        except OverflowError as fault:
            raise EventError("a cue after the end of time") from fault
