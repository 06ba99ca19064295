"""What folding events into conversations must know beforehand, found by a first look over them (pure).

References go to messages that may come later, a session's silence shows only afterwards, and somebody invited may
come in a later part. Holds that look ahead, and which session and attendance an event belongs to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct, structs

from archiver.conversations.presence import Attendance
from archiver.conversations.rules import Rules, order
from archiver.events import (
    EDITED,
    ENDED,
    INVITED,
    POLL_OPENED,
    REFERENCES,
    SENT,
    STARTED,
    Captured,
    Event,
    Kind,
    target,
)
from archiver.types import Presence, Roster

_HOLDING = frozenset({SENT, POLL_OPENED})
"""What references refer to; only where there is none, something else of that id."""

PRUNE_AT = 1_000
"""Ended intervals that nobody asks for are dropped in lots of this many."""


class Reference(Struct, frozen=True):
    """An edit, reaction … and who was present at its own time, which decides who sees it."""

    captured: Captured
    present: tuple[Presence, ...]


class Survey(Struct, frozen=True):
    """What `conversations` must know beforehand.

    `references` stand by the id of the event they belong to; ids of references to messages that this place doesn't
    (any longer) hold are `orphans`: they are events of their own. `sessions` says when each was last heard of,
    `followed` which invitations somebody followed, if only in a later part of their conversation.
    """

    references: Mapping[str, tuple[Reference, ...]]
    orphans: frozenset[str]
    sessions: Mapping[str, int]
    followed: frozenset[str] = frozenset()


def survey(read: Callable[[], Iterable[Captured]], roster: Roster, rules: Rules, *, partial: bool = False) -> Survey:
    """Look ahead over the events of one place. `read` gives them in order, anew at each call."""
    sessions: dict[str, int] = {}
    refers = invites = False
    events = size = 0
    for captured in read():
        session = captured.event.data.conversation.session
        if session is not None:
            sessions[session] = captured.time
        refers = refers or captured.event.type in REFERENCES
        invites = invites or captured.event.type == INVITED
        events += 1
        size += len(captured.body)
    known = Survey({}, frozenset(), sessions)
    if refers:
        known = _resolve(_references(read(), roster, rules, partial), read(), sessions)
    if invites and (events > rules.part_events or size > rules.part_bytes):
        known = structs.replace(known, followed=_Followed(known, roster, rules, partial).found(read()))
    return known


def _references(events: Iterable[Captured], roster: Roster, rules: Rules, partial: bool) -> dict[str, list[Reference]]:
    """All references by what they refer to, with who was present at their own time."""
    found: dict[str, list[Reference]] = {}
    attendances = Attendances(roster, rules, partial)
    for ordinal, captured in enumerate(events):
        event = captured.event
        attendance = attendances.of(event, captured.time)
        attendance.apply(event, captured.time, ordinal)
        if event.type in REFERENCES and (key := target(event)) is not None:
            present = tuple(attendance.roster(captured.time))
            found.setdefault(key, []).append(Reference(captured, present))
        if len(attendance.past) > PRUNE_AT:
            attendance.prune(ordinal, ordinal, captured.time)
    return found


def _resolve(found: dict[str, list[Reference]], events: Iterable[Captured], sessions: dict[str, int]) -> Survey:
    """Give each reference to the last message of its id at or before it, else to the first after it.

    (Ids chosen by senders may repeat.)
    """
    holders: dict[str, list[Captured]] = {}
    mentions: dict[str, list[Captured]] = {}
    for captured in events:
        kind = captured.event.type
        if (kind == EDITED or kind not in REFERENCES) and (key := target(captured.event)) in found:
            (holders if kind in _HOLDING else mentions).setdefault(key, []).append(captured)
    references: dict[str, list[Reference]] = {}
    orphans: set[str] = set()
    for key, waiting in found.items():
        held = holders.get(key) or _stand_ins(mentions.get(key, ()))
        places = [order(captured) for captured in held]
        for reference in waiting:
            if not held or reference.captured.event.id == held[0].event.id:
                orphans.add(reference.captured.event.id)
                continue
            at = max(bisect_right(places, order(reference.captured)) - 1, 0)
            references.setdefault(held[at].event.id, []).append(reference)
    return Survey({k: tuple(v) for k, v in references.items()}, frozenset(orphans), sessions)


def _stand_ins(mentions: Sequence[Captured]) -> Sequence[Captured]:
    """What else may hold a message that isn't here: an event of another type, or the first edit, which has a text too.

    So a retraction finds every text that there still is.
    """
    return [c for c in mentions if c.event.type != EDITED] or mentions[:1]


class _Session(Struct):
    last: int
    ended: int | None = None


class Attendances:
    """Which attendance an event belongs to: the place's, or a conference instance's own.

    Also tells the session of events that name none: one still open, or ended a moment ago, takes them in.
    """

    def __init__(self, roster: Roster, rules: Rules, partial: bool) -> None:
        self._rules = rules
        self._stays = rules.partial_leave if partial else None
        self.shared = Attendance(roster, self._stays)
        self._instances: dict[str, Attendance] = {}
        self._sessions: dict[str, _Session] = {}

    def session(self, event: Event, time: int) -> str | None:
        own = event.data.conversation.session
        if own is None and not self._sessions:
            return None
        if own is None:
            own = next((s for s in reversed(self._sessions) if self._open(self._sessions[s], time)), None)
            if own is not None:
                self._sessions[own].last = time
            return own
        if own not in self._sessions or event.type == STARTED:
            self._sessions = {
                s: state for s, state in self._sessions.items() if state.ended is None and self._open(state, time)
            }
        state = self._sessions.setdefault(own, _Session(time))
        state.last = time
        if event.type == ENDED:
            state.ended = time
        return own

    def instance(self, session: str | None, kind: Kind) -> Attendance:
        """A session keeps the one it began with: a source may call the same place by several kinds."""
        if session is None:
            return self.shared
        if session not in self._instances:
            begins_empty = kind == "conference"
            self._instances[session] = Attendance(Roster(), self._stays) if begins_empty else self.shared
        return self._instances[session]

    def of(self, event: Event, time: int) -> Attendance:
        return self.instance(self.session(event, time), event.data.conversation.kind)

    def drop(self, session: str) -> None:
        self._instances.pop(session, None)

    def _open(self, state: _Session, time: int) -> bool:
        if state.ended is not None:
            return time - state.ended <= self._rules.tail
        return time - state.last <= self._rules.silence


class _Followed:
    """Finds the invitations whose guest came while their conversation went on, maybe in a later part of it."""

    def __init__(self, survey: Survey, roster: Roster, rules: Rules, partial: bool) -> None:
        self._orphans = survey.orphans
        self._rules = rules
        self._attendances = Attendances(roster, rules, partial)
        self._open: dict[str | None, dict[str, list[str]]] = {}
        self._found: set[str] = set()
        self._started = self._last = 0

    def found(self, events: Iterable[Captured]) -> frozenset[str]:
        """Their ids."""
        for ordinal, captured in enumerate(events):
            self._step(captured, ordinal)
        return frozenset(self._found)

    def _step(self, captured: Captured, ordinal: int) -> None:
        event, time = captured.event, captured.time
        session = self._attendances.session(event, time)
        attendance = self._attendances.instance(session, event.data.conversation.kind)
        attendance.apply(event, time, ordinal)
        attendance.past.clear()
        if event.type in REFERENCES and event.id not in self._orphans:
            return
        if session is None:
            if self._rules.cuts(self._started, self._last, time):
                self._open.pop(None, None)
                self._started = time
            if event.type not in REFERENCES:
                self._last = time
        waiting = self._open.get(session, {})
        for address in waiting.keys() & attendance.here.keys():
            self._found.update(waiting.pop(address))
        guest = event.data.subject
        if event.type == INVITED and guest is not None and guest.address not in attendance.here:
            self._open.setdefault(session, {}).setdefault(guest.address, []).append(event.id)
