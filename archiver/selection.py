"""Which rooms of an input, and which time of them, are wanted; and who was there when that time began (pure).

Who sees what is said depends on what happened before, and who came in live may leave after. So the first words that are
wanted of a room say who was there, and who was there and leaves later is told as well.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, json, structs, to_builtins

from archiver.conversations.presence import Attendance
from archiver.conversations.rules import Rules
from archiver.conversations.survey import Attendances
from archiver.events import BARE, LEFT, RENAMED, Captured, Event, Participant, Rejected, fits
from archiver.types import Roster

OTHER_ROOMS = "of other rooms"
EARLIER = "from before"
LATER = "from later"

_write = json.Encoder(order="sorted").encode


class Selection(Struct, frozen=True):
    """`rooms` are patterns (`*`, `?`) of the source's own ids, none for all. What happened is wanted from `since` on
    and before `until`, microseconds since 1970, None for no bound."""

    rooms: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    def passes_over(self, captured: Captured) -> str:
        """Why it isn't wanted; "" for what is."""
        if self.rooms and not any(fits(captured.event.data.conversation.id, each) for each in self.rooms):
            return OTHER_ROOMS
        if self.since is not None and captured.time < self.since:
            return EARLIER
        return LATER if self.until is not None and captured.time >= self.until else ""


EVERYTHING = Selection()


class Picking:
    """Of one reading, whose pieces come in the order of the input; `partial` as its importer says of itself."""

    def __init__(self, selection: Selection, rules: Rules, *, partial: bool) -> None:
        self._selection = selection
        self._has_bounds = selection.since is not None or selection.until is not None
        self._rules = rules
        self._partial = partial
        self._rooms: dict[tuple[str, str], _Room] = {}

    def of(self, piece: Captured | Rejected) -> tuple[Captured | Rejected, str]:
        """The piece as it is to be taken, and why it is passed over, "" where it isn't. What can't be read is always
        told, as nobody knows what it was."""
        if isinstance(piece, Rejected):
            return piece, ""
        why = self._selection.passes_over(piece)
        if why == OTHER_ROOMS or not self._has_bounds:
            return piece, why
        key = piece.event.source, piece.event.data.conversation.id
        if key not in self._rooms:
            self._rooms[key] = _Room(self._rules, partial=self._partial)
        return self._rooms[key].of(piece, why)


class _Room:
    """Who is in it, as far as pieces come in the order of their time; of which instances of it, a conference's, that
    isn't told yet though something was passed over; and of which something is wanted."""

    def __init__(self, rules: Rules, *, partial: bool) -> None:
        self._attendances = Attendances(Roster(), rules, partial)
        self._jitter = rules.idle
        self._partial = partial
        self._untold: set[Attendance] = set()
        self._begun: set[Attendance] = set()
        self._last = 0
        self._count = 0

    def of(self, captured: Captured, why: str) -> tuple[Captured, str]:
        event, time = captured.event, captured.time
        if time < self._last - self._jitter:
            return captured, why
        attendance = self._attendances.of(event, time)
        if why == LATER:
            if attendance not in self._begun or not _leaves(event, attendance):
                return captured, why
            why = ""
        elif why == EARLIER:
            self._untold.add(attendance)
        elif attendance in self._untold and event.type not in BARE:
            self._untold.discard(attendance)
            captured = _introduced(captured, attendance, partial=self._partial)
        if not why:
            self._begun.add(attendance)
        self._count += 1
        self._last = max(self._last, time)
        attendance.apply(event, time, self._count)
        attendance.past.clear()
        return captured, why


def _leaves(event: Event, attendance: Attendance) -> bool:
    """Or is called otherwise from now on, by which one would leave."""
    data = event.data
    who = data.actor if event.type == RENAMED else data.subject or data.actor if event.type == LEFT else None
    return who is not None and who.address in attendance.here


def _introduced(captured: Captured, attendance: Attendance, *, partial: bool) -> Captured:
    """With who is there, and what it is about, where the event doesn't say so itself. None of this is compared where an
    event comes again (event-format.md)."""
    event = captured.event
    place = event.data.conversation
    here = attendance.roster(captured.time)
    # Where leaves aren't told, who did something is there for a while after it; only who is known otherwise stays.
    present = tuple(
        Participant(each.addresses[-1], each.name, each.hidden) for each in here if not partial or each.acted is None
    )
    known: dict[str, Any] = {}
    if place.participants is None and present:
        known["participants"] = present
    if place.topic is None and attendance.topic is not None:
        known["topic"] = attendance.topic
    return _knowing(captured, known) if known else captured


def _knowing(captured: Captured, known: dict[str, Any]) -> Captured:
    """With more known of its place; what our records don't name of an event stays in it."""
    event = captured.event
    data = structs.replace(event.data, conversation=structs.replace(event.data.conversation, **known))
    body = json.decode(captured.body)
    body["data"]["conversation"] |= to_builtins(known)
    return structs.replace(captured, event=structs.replace(event, data=data), body=_write(body))
