"""One recording -> the events of its meeting: room, session, times and identities; `action` says what each means.

Events come in the file's order with their own times and positions; a file doesn't promise that its times ascend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Annotated

import msgspec

from archiver.events import (
    ENDED,
    SECOND,
    SENT,
    STARTED,
    Captured,
    Data,
    Event,
    Place,
    Rejected,
    capture,
    chunks,
    microseconds,
    moment,
)
from archiver.exceptions import EventError
from archiver.importers import xmlfile
from archiver.importers.bigbluebutton import chat
from archiver.importers.bigbluebutton.action import Actions
from archiver.importers.bigbluebutton.recording import Element, elements
from archiver.importers.document import Document
from archiver.importers.meetings.start import Start, start_said
from archiver.importers.protocol import Options, Reading

HEAD = 64 * 1024
DEFAULT_HOST = "bigbluebutton"
MILLISECOND = SECOND // 1000
EARLIEST = 978_307_200_000
"""A `timestamp` before 2001 in epoch milliseconds is the server's own count (since about 2.0)."""

_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_START = re.compile(r".*-(\d{13})")
_FACTS = frozenset({"meeting", "metadata", "head"})


class BigBlueButton:
    name = "bigbluebutton"
    title = "BigBlueButton recordings (events.xml)"
    partial_presence = False
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        return b"<recording" in head or (b"<event " in head and b"eventname=" in head)

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        recording = _Recording(document, options, start_said(options), reading)
        try:
            with document.open() as stream:
                for element in elements(stream):
                    yield from recording.take(element)
            problem = recording.problem
        except xmlfile.Broken as fault:
            problem = str(fault)
        if problem:
            yield Rejected(_head(document), document.place, problem, recording.source)


def _head(document: Document) -> bytes:
    with document.open() as stream:
        first = next(chunks(stream, HEAD), b"")
    return first if isinstance(first, bytes) else b""


class _Recording:
    """One recording while it is read."""

    def __init__(self, document: Document, options: Options, said: Start | None, reading: Reading) -> None:
        self._document = document
        self._options = options
        self._said = said
        self._reading = reading
        self._guessed: str | None = None
        self._root = ""
        self._facts: dict[str, str] = {}
        self._position = 0
        self._base = ""
        self._count: int | None = None
        self._previous: int | None = None
        self._place = Place(id="", kind="conference")
        self._instance = 0
        self._over = False
        self._actions = Actions()

    @property
    def source(self) -> str:
        host = self._options.network or self._facts.get("bbb-origin-server-name") or DEFAULT_HOST
        return self._options.source or f"bbb:{host.lower()}"

    @property
    def problem(self) -> str:
        """Why nothing came of a file that could be read to its end."""
        if self._position:
            return ""
        if not self._root:
            return "the file is empty"
        if self._root not in ("recording", "events"):
            return f"no recording of BigBlueButton: its root is <{self._root}>"
        return "the recording holds no events"

    def take(self, element: Element) -> Iterator[Captured | Rejected]:
        if not self._root:
            self._root = element.tag
            self._facts = dict(element.attributes)
        elif element.tag in _FACTS:
            self._facts |= {f"{element.tag}.{key}": value for key, value in element.attributes.items()}
            self._facts |= element.attributes | element.texts
        elif element.tag == "event":
            self._position += 1
            try:
                yield from self._event(element)
            except EventError as reason:
                content = msgspec.json.encode({**element.attributes, **element.texts})
                yield Rejected(content, f"{self._document.place}:event {self._position}", str(reason), self.source)

    def _event(self, element: Element) -> Iterator[Captured]:
        at = self._time(element)
        if not self._base:
            self._base = self._identify(element)
        name = element.attributes.get("eventname", "")
        if not self._instance or (self._over and name == "ParticipantJoinEvent"):
            yield self._open(at)
        meant = list(self._actions.take(element, self._place))
        if not meant:
            self._reading.ignored[name] += 1
        for number, (type_, data) in enumerate(meant, 1):
            self._over = self._over or type_ == ENDED
            yield self._captured(number, type_, at, data)

    def _open(self, at: int) -> Captured:
        """A meeting begins: when its id says so, else with its first event."""
        self._instance += 1
        self._over = False
        room = self._facts.get("meeting.externalId") or self._facts.get("meetingId") or self._name_of_file()
        session = self._facts.get("meeting_id") or self._base
        topic = self._facts.get("meeting.name") or self._facts.get("meetingName") or self._facts.get("title")
        self._place = Place(
            id=room,
            kind="conference",
            topic=topic or None,
            session=session if self._instance == 1 else f"{session}/{self._instance}",
        )
        stated = self._stated_start()
        if self._instance == 1 and stated is not None and stated < at:
            at = stated
        return self._captured(0, STARTED, at, Data(conversation=self._place))

    def _captured(self, number: int, type_: str, at: int, data: Data) -> Captured:
        """`number` tells apart what comes of one recorded event, 0 being the meeting that it opens."""
        position = f"{self._position:06d}.{number}"
        identity = f"{self._base}/{position}"
        if type_ == SENT and data.message is not None and data.message.id:
            identity, at = chat.identity_of(self._base, data.message.id), chat.said_at(data.message.id, at)
        elif data.message is not None and not data.message.id:
            data = msgspec.structs.replace(data, message=msgspec.structs.replace(data.message, id=identity))
        event = Event(
            source=self.source,
            id=identity,
            type=type_,
            time=moment(at),
            data=data,
            sequence=position,
            archiverguessed=self._guessed,
        )
        captured = capture(event, received=self._reading.received, previous=self._previous)
        self._previous = captured.time
        if self._guessed is not None:
            self._reading.marks[self._guessed] += 1
        return captured

    def _identify(self, first: Element) -> str:
        """The meeting's own id; recordings of 2011 may have none: then what the first event says."""
        if own := self._facts.get("meeting_id"):
            return own
        said = [self._facts.get("title", ""), *first.attributes.values(), *first.texts.values()]
        return blake2b("\0".join(said).encode("utf-8", "replace"), digest_size=10).hexdigest()

    def _name_of_file(self) -> str:
        """Recordings lie as <meeting id>/events.xml."""
        if self._facts.get("meeting_id"):
            return self._facts["meeting_id"]
        name = self._document.name.split(".")[0]
        return self._document.folder if name == "events" else name

    def _stated_start(self) -> int | None:
        match = _START.fullmatch(self._facts.get("meeting_id", ""))
        return int(match[1]) * MILLISECOND if match else None

    def _time(self, element: Element) -> int:
        texts = element.texts
        try:
            if texts.get("timestampUTC"):
                return _possible(int(texts["timestampUTC"]))
            if texts.get("date"):
                return microseconds(msgspec.convert(texts["date"].strip(), _Time))
            stamp = int(element.attributes["timestamp"])
        except (KeyError, ValueError) as fault:
            raise EventError("an event without a time that can be read") from fault
        return _possible(stamp) if stamp >= EARLIEST else self._counted(stamp)

    def _counted(self, stamp: int) -> int:
        """The server's own count, from the start of the meeting on."""
        start = self._stated_start()
        if start is None and self._said is not None:
            start, self._guessed = microseconds(self._said.at), self._said.guessed
        if start is None:
            raise xmlfile.Broken(
                "times are the server's own count and nothing says when it began: say the day with --date"
            )
        if self._count is None:
            self._count = stamp
        return start + (stamp - self._count) * MILLISECOND


def _possible(milliseconds: int) -> int:
    try:
        moment(milliseconds * MILLISECOND)
    except OverflowError as fault:
        raise EventError(f"a time there is not: {milliseconds}") from fault
    return milliseconds * MILLISECOND
