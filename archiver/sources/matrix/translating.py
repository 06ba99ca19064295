"""A homeserver's transaction -> events for the spool, and what has to be asked for that. Asks nobody itself.

open ─► (who is in a room met for the first time, what is spoken of, files: asked) ─► tell ─► (the spool) ─► keep
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec
import structlog
from msgspec import Raw, Struct, structs

from archiver.events import EDITED, Captured, Event, Message, Rejected, capture
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.matrix.event import MESSAGES, Line, server, text
from archiver.importers.matrix.poll import CLOSED, OPENED, VOTED, Question, question_of
from archiver.importers.matrix.survey import Meant, Room, Survey
from archiver.importers.matrix.telling import Telling, attachment, fetchable, line_of
from archiver.importers.media import Media
from archiver.importers.protocol import Reading
from archiver.importers.telling import from_milliseconds, told
from archiver.sources.matrix.ledger import Entry, Ledger, Meaning, Waiting
from archiver.sources.matrix.rooms import STATE, Rooms, kept

log = structlog.get_logger("archiver.sources")

POSITION = "from the homeserver"
DEEPEST = 100


class Body(Struct):
    """Of a transaction; what else stands in it (typing, receipts, devices) is no conversation."""

    events: list[Raw] = []


class Stranger(Struct, frozen=True):
    """A room met for the first time: by which event, and as whom it may be asked what it is like."""

    room: str
    event: str
    users: tuple[str, ...]


class Unknown(Struct, frozen=True):
    """An event that another speaks of, and that isn't known (any more)."""

    event: str
    room: str
    user: str


class Opened(Struct, frozen=True):
    """A transaction, decoded: its events, what is none, and what has to be found out to tell them."""

    txn: str
    is_late: bool = False
    """Whether it was said before what is known already."""
    lines: tuple[Line, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    strangers: tuple[Stranger, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    files: tuple[Line, ...] = ()
    """Messages with a file that can be fetched."""


class Found(Struct, frozen=True):
    """What was asked: rooms' state (None: nobody may know it), which are direct, events spoken of, files by event.

    `context` is the state that a late event was said in: known, and told before.
    """

    state: Mapping[str, Sequence[object] | None] = {}
    direct: frozenset[str] = frozenset()
    events: Mapping[str, object] = {}
    files: Mapping[str, Media] = {}
    context: Sequence[object] = ()


class Translator:
    """One thread's at a time. `clock` gives microseconds since 1970; `network` names the source of every room."""

    def __init__(self, ledger: Ledger, clock: Callable[[], int], network: str = "") -> None:
        self._ledger = ledger
        self._clock = clock
        self._network = network
        self._rooms = Rooms(ledger.room)

    def told(self, events: Sequence[str]) -> set[str]:
        return set(self._ledger.meanings(events))

    def audience(self, identity: str, since: float) -> tuple[list[str], bool]:
        """Who was in a room at any time since then, and whether it shows whoever is in it what was said before."""
        room = self._rooms.get(identity).room
        return room.members(since), room.is_shared

    def open(self, txn: str, body: bytes, *, is_late: bool = False) -> Opened | None:
        """None for a transaction that came before, whole. Raises nothing for what a body holds.

        Of what `is_late` only events are taken: what was none when it came is in quarantine, and is looked at again
        and again.
        """
        try:
            events = msgspec.json.decode(body, type=Body).events
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
            # It comes from the homeserver: refused, it would come again for ever, and nothing after it.
            return Opened(txn, rejected=(Rejected(body, f"transaction {txn[:80]} {POSITION}", str(fault), None),))
        lines, rejected = self._lines(events)
        rejected = () if is_late else rejected
        if not rejected and self._ledger.knows(txn, _digest(lines)):
            return None
        return Opened(
            txn, is_late, lines, rejected, self._strangers(lines), self._unknown(lines), tuple(self._with_files(lines))
        )

    def _lines(self, events: Iterable[Raw]) -> tuple[tuple[Line, ...], tuple[Rejected, ...]]:
        lines: dict[str, Line] = {}
        rejected: list[Rejected] = []
        for raw in events:
            try:
                line = line_of(shallow(jsonfile.decoded(bytes(raw), dict[str, object])))
                if not line.room_id:
                    raise EventError("an event without a room")
                lines.setdefault(line.event_id, line)
            except (EventError, jsonfile.Broken) as fault:
                rejected.append(Rejected(bytes(raw), POSITION, str(fault), None))
        return tuple(lines.values()), tuple(rejected)

    def _strangers(self, lines: Sequence[Line]) -> tuple[Stranger, ...]:
        """Rooms of which the beginning isn't known, and doesn't stand here."""
        first: dict[str, Line] = {}
        users: dict[str, dict[str, None]] = {}
        for line in lines:
            room = line.room_id or ""
            first.setdefault(room, line)
            if line.sender:
                users.setdefault(room, {})[line.sender] = None
        return tuple(
            Stranger(room, line.event_id, tuple(users.get(room, ())))
            for room, line in first.items()
            if line.type != "m.room.create" and not self._rooms.get(room).met
        )

    def _unknown(self, lines: Sequence[Line]) -> tuple[Unknown, ...]:
        spoken = {key: line for line in lines if (key := _spoken_of(line))}
        missing = spoken.keys() - {line.event_id for line in lines}
        missing -= self._ledger.meanings(missing).keys()
        return tuple(Unknown(each, spoken[each].room_id or "", spoken[each].sender) for each in sorted(missing))

    def _with_files(self, lines: Sequence[Line]) -> Iterator[Line]:
        """Not those that were told without it before, and have it fetched later."""
        shared = [line for line in lines if fetchable(line)]
        later = self._ledger.waits_for(line.event_id for line in shared)
        return (line for line in shared if line.event_id not in later)

    def tell(self, opened: Opened, found: Found) -> list[Captured | Rejected]:
        """What there was before a room was met comes first, as the events that it was."""
        before = [self._meet(each, found.state[each.room]) for each in opened.strangers if each.room in found.state]
        lines = [*(line for state in before for line in state), *opened.lines]
        survey = self._survey(lines, opened, found)
        reading = Reading(self._clock())
        pieces: dict[str, Captured | Rejected] = {}
        for line in lines:
            for piece in self._told(line, survey, reading, found.files.get(line.event_id)):
                key = piece.event.id if isinstance(piece, Captured) else f" {len(pieces)}"
                pieces.setdefault(key, piece)
        return [*pieces.values(), *opened.rejected]

    def _meet(self, stranger: Stranger, state: Sequence[object] | None) -> list[Line]:
        """The room's state as lines, in order of time; what stood before each is as unknown as the time before."""
        lines = []
        for element in state or ():
            try:
                line = line_of(element)
            except EventError:
                continue  # the homeserver's own answer: told, or not to be had
            if line.type in STATE and line.state_key is not None:
                lines.append(structs.replace(line, room_id=stranger.room, unsigned=None))
        return sorted(lines, key=lambda line: line.origin_server_ts)

    def _survey(self, lines: Sequence[Line], opened: Opened, found: Found) -> Survey:
        """Everything is noted before anything is told: what a room is may stand behind its first event."""
        survey = Survey()
        for element in found.context:
            with suppress(EventError):
                line = line_of(element)
                met = self._rooms.get(line.room_id or "")
                met.noted += 1
                met.room.note(line)
        for line in lines:
            met = self._rooms.get(line.room_id or "")
            room, met.noted = met.room, met.noted + 1
            survey.rooms[room.id] = room
            room.direct = room.direct or room.id in found.direct
            survey.note(line, room)
            if line.type == "m.room.create" and self._rooms.get(room.predecessor).room.direct:
                room.direct = True
        for each in self._ledger.meanings(filter(None, map(_spoken_of, lines))).values():
            if each.type in OPENED:
                survey.polls.setdefault(each.id, msgspec.json.decode(each.key, type=Question))
            elif survey.meant.get(each.id) is None:
                survey.meant[each.id] = Meant(each.type, each.sender, each.is_edit, each.target, each.key)
        emptied = {line.event_id for line in lines if line.is_emptied and line.type in MESSAGES}
        survey.lost = emptied - self._ledger.meanings(emptied).keys()
        for key, element in found.events.items():
            with suppress(EventError):
                _note_spoken_of(survey, key, line_of(element))
        return survey

    def _told(self, line: Line, survey: Survey, reading: Reading, file: Media | None) -> Iterator[Captured | Rejected]:
        room = survey.rooms[line.room_id or ""]
        try:
            events = list(self._telling(line, room, survey, reading, file).events())
        except EventError as fault:
            yield Rejected(msgspec.json.encode(line), POSITION, str(fault), self._source(line, room))
            return
        except Exception as fault:
            # A bug; but with it nothing that anybody says would come any more, for as long as it isn't mended.
            log.exception("event not told", room=room.id, id=line.event_id)
            yield Rejected(msgspec.json.encode(line), POSITION, f"a fault of the archiver's: {fault!r}", None)
            return
        original = msgspec.json.encode(line)
        yield from told(events, reading, original, POSITION, [file] if file else ())

    def _telling(self, line: Line, room: Room, survey: Survey, reading: Reading, file: Media | None) -> Telling:
        shared = file.attachment if file else attachment(line)
        files = [shared] if shared is not None else []
        at = from_milliseconds(line.origin_server_ts)
        return Telling(self._source(line, room), room, survey, reading, line, at, files)

    def _source(self, line: Line, room: Room) -> str:
        return f"matrix:{self._network or room.server or server(line.sender) or 'matrix'}"

    def later(self, opened: Opened, found: Found, pieces: Iterable[Captured | Rejected]) -> list[Waiting]:
        """The messages, of those told, whose file could not be had in time."""
        said = {piece.event.id for piece in pieces if isinstance(piece, Captured)}
        return [
            Waiting(line.event_id, line.room_id or "", msgspec.json.encode(line), due=self._clock())
            for line in opened.files
            if line.event_id not in found.files and line.event_id in said
        ]

    def brought(self, waiting: Waiting, file: Media) -> Captured:
        """A file that came later, as an edit of its message that changes no word. Raises `EventError`."""
        line = msgspec.json.decode(waiting.body, type=Line)
        room = self._rooms.get(waiting.room).room
        survey = Survey()
        survey.rooms[room.id] = room
        (event,) = self._telling(line, room, survey, Reading(self._clock()), file).events()
        held = () if file.held is None else (file.held,)
        return structs.replace(capture(_completed(event), received=self._clock()), attached=held)

    def keep(self, opened: Opened, found: Found) -> None:
        """To be called once the spool has what was told."""
        lines = [
            *(line for each in opened.strangers for line in self._meet(each, found.state.get(each.room))),
            *opened.lines,
        ]
        rooms = {line.room_id or "": self._rooms.get(line.room_id or "") for line in lines}
        for identity in (*found.state, *(line.room_id or "" for line in lines if line.type == "m.room.create")):
            self._rooms.get(identity).met = True
        state = [
            (line.room_id or "", line.type, line.state_key, kept(line))
            for line in lines
            if line.state_key is not None and line.type in STATE and not (opened.is_late and self._is_over(line))
        ]
        entry = Entry(
            opened.txn,
            _digest(opened.lines),
            tuple((identity, each.met, each.room.direct) for identity, each in rooms.items()),
            tuple(state),
            tuple(map(_meaning, opened.lines)),
        )
        self._ledger.write(entry, self._clock())
        self._rooms.trim()

    def _is_over(self, line: Line) -> bool:
        """Whether what a state event says was already said otherwise."""
        known = self._ledger.state_of(line.room_id or "", line.type, line.state_key or "")
        return known is not None and msgspec.json.decode(known, type=Line).origin_server_ts > line.origin_server_ts


def shallow(element: dict[str, object]) -> dict[str, object]:
    """Raises `EventError` for what is nested so deeply that reading or writing it might fail somewhere."""
    level: list[object] = [element]
    for _ in range(DEEPEST):
        level = [inner for each in level if isinstance(each, dict | list) for inner in _within(each)]
        if not level:
            return element
    raise EventError(f"nested more than {DEEPEST} deep")


def _within(element: dict[str, object] | list[object]) -> Iterable[object]:
    return element.values() if isinstance(element, dict) else element


def _meant(line: Line) -> Meant:
    relation = line.relation
    return Meant(line.type, line.sender, bool(line.replaced), text(relation, "event_id"), text(relation, "key"))


def _digest(lines: Iterable[Line]) -> str:
    return jsonfile.digest([line.event_id for line in lines])


def _spoken_of(line: Line) -> str:
    """The event that an edit, a redaction or an answer to a poll speaks of."""
    return line.redacted or line.replaced or (line.referred if line.type in VOTED | CLOSED else "")


def _note_spoken_of(survey: Survey, key: str, line: Line) -> None:
    survey.meant[key] = _meant(line)
    if asked := question_of(line):
        survey.polls[key] = asked


def _meaning(line: Line) -> Meaning:
    if asked := question_of(line):
        return Meaning(line.event_id, line.type, line.sender, False, "", msgspec.json.encode(asked).decode())
    meant = _meant(line)
    return Meaning(line.event_id, meant.type, meant.sender, meant.is_edit, meant.target, meant.key)


def _completed(event: Event) -> Event:
    """Of the message's own time, so that who saw it sees its file."""
    data = event.data
    assert data.message is not None
    message = Message(data.message.id, data.message.text, data.message.html)
    return structs.replace(event, id=f"{event.id}/file", type=EDITED, data=structs.replace(data, message=message))
