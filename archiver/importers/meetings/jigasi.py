"""Jigasi's transcript of a Jitsi meeting (JSON) -> who came, went and said what.

Made from the published layout. People are known by mail address where the meeting knows it, else by their account's
id, else by name. Of what was recognised bit by bit the last counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import Raw, Struct

from archiver.events import ENDED, JOINED, LEFT, STARTED, Captured, Event, Participant, Place, Rejected, microseconds
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.meetings.webvtt import SPOKEN
from archiver.importers.protocol import Options, Reading, zoned
from archiver.importers.telling import Numbering, Room, from_milliseconds, told

_TYPES = {"START": STARTED, "END": ENDED, "JOIN": JOINED, "LEAVE": LEFT}


class Person(Struct):
    name: str | None = None
    id: str | None = None
    email: str | None = None
    identity_userid: str | None = None

    def participant(self) -> Participant | None:
        address = self.email or self.identity_userid or self.name or self.id
        return Participant(address=address, name=self.name or None) if address else None


class Alternative(Struct):
    text: str = ""
    confidence: float = 0.0


class Line(Struct):
    event: str
    timestamp: int | str
    participant: Person | None = None
    transcript: list[Alternative] = []
    language: str | None = None
    message_id: str | None = None
    is_interim: bool = False


class Transcript(Struct):
    events: list[Raw]
    room_name: str = ""
    room_url: str | None = None
    start_time: str | int | None = None
    initial_participants: list[Person] = []


class Jigasi:
    name = "jigasi"
    title = "transcripts of Jitsi meetings (Jigasi, JSON)"
    partial_presence = False
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        known = (b'"room_name"', b'"initial_participants"', b'"is_interim"', b'"room_url"')
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and sum(each in head for each in known) >= 2

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        try:
            found = jsonfile.whole(document, Transcript)
            yield from _Meeting(document, found, options, reading).events()
        except (jsonfile.Broken, EventError) as fault:
            yield document.unreadable(fault)


class _Meeting:
    """One transcript while it is read."""

    def __init__(self, document: Document, found: Transcript, options: Options, reading: Reading) -> None:
        self._document = document
        self._found = found
        self._reading = reading
        self._options = options
        self._numbering = Numbering()
        netloc, _, path = (found.room_url or "").partition("://")[2].partition("/")
        host = options.network or netloc.lower() or "jitsi"
        # `room@conference.host` inside, `https://host/room` outside: the room is the same.
        name = (
            options.channel or found.room_name.partition("@")[0] or path.partition("?")[0].strip("/") or document.name
        )
        started = found.start_time if found.start_time is not None else _first(found)
        self._session = f"{self._time(started)[0]:%Y%m%dT%H%M%S.%fZ}"
        people = tuple(who for each in found.initial_participants if (who := each.participant()) is not None)
        source = options.source or f"jitsi:{host}"
        self._room = Room(source, Place(id=name, kind="conference", topic=name, session=self._session))
        self._with_people = Room(
            source, Place(id=name, kind="conference", topic=name, session=self._session, participants=people or None)
        )

    def events(self) -> Iterator[Captured | Rejected]:
        last = self._last()
        for number, raw in enumerate(self._found.events, 1):
            position = f"{self._document.place}: event {number}"
            try:
                line = jsonfile.decoded(bytes(raw), Line)
                if last.get(line.message_id, number) != number:
                    self._reading.ignored["results that later ones replaced"] += 1
                    continue
                event = self._event(line, number)
            except (jsonfile.Broken, EventError) as fault:
                yield Rejected(bytes(raw), position, str(fault), self._room.source)
                continue
            if event is None:
                self._reading.ignored[f"{line.event} of Jigasi"] += 1
            else:
                yield from told([event], self._reading, bytes(raw), position)

    def _last(self) -> dict[str | None, int]:
        """Where the last result of each thing said stands."""
        found: dict[str | None, int] = {}
        for number, raw in enumerate(self._found.events, 1):
            try:
                line = jsonfile.decoded(bytes(raw), Line)
            except jsonfile.Broken:
                continue
            if line.message_id:
                found[line.message_id] = number
        return found

    def _event(self, line: Line, number: int) -> Event | None:
        at, guessed = self._time(line.timestamp)
        actor = line.participant.participant() if line.participant is not None else None
        data: dict[str, Any] = {"sequence": f"{number:08d}", "guessed": guessed}
        # Who was there before the transcript began stands with its first event.
        room = self._with_people if number == 1 else self._room
        address = actor.address if actor is not None else ""
        if line.event in _TYPES:
            key = self._numbering.key(f"{self._session}/{microseconds(at)}-{line.event.lower()}-{address}")
            return room.event(key, _TYPES[line.event], at, actor, **data)
        if line.event != "SPEECH":
            return None
        best = max(line.transcript, key=lambda each: each.confidence, default=Alternative())
        if not best.text.strip():
            return None
        known = line.message_id or f"{microseconds(at)}-{jsonfile.digest([address, best.text])}"
        key = self._numbering.key(f"{self._session}/{known}")
        return room.event(key, SPOKEN, at, actor, text=best.text, language=line.language, **data)

    def _time(self, stated: str | int | None) -> tuple[datetime, str | None]:
        """Of milliseconds since 1970, or ISO text; with the mark of what was guessed. Raises `EventError`."""
        text = str(stated).strip()
        if text.isdecimal() and len(text) < 20:
            return from_milliseconds(int(text)), None
        try:
            found = datetime.fromisoformat(text)
        except ValueError as fault:
            raise EventError(f"no time: {text[:100]}") from fault
        return zoned(found, self._options)


def _first(found: Transcript) -> str | int | None:
    """The time of the first event, where the transcript states no start."""
    for raw in found.events[:1]:
        return jsonfile.decoded(bytes(raw), Line).timestamp
    raise jsonfile.Broken("a transcript without a start and without events")
