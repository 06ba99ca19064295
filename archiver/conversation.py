"""Events of one place -> conversations with their participations, and each mailbox's view of them (pure).

A conversation is a pure function of the events of its place and of the roster that earlier, forgotten events add up
to; nothing in memory decides. The events are read twice, in order and as a stream: `survey` finds what needs
foresight (references to earlier messages, when a session is last heard of), `conversations` cuts. Memory is bounded by
one part of each open conversation and by the references.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct, structs

from archiver.events import (
    BARE,
    EDITED,
    ENDED,
    INVITED,
    JOINED,
    POLL_OPENED,
    REFERENCES,
    SECOND,
    SENT,
    STARTED,
    Captured,
    Event,
    Kind,
    parties,
    target,
)
from archiver.presence import Attendance, Interval, topic_after
from archiver.types import Conversation, Participation, Presence, Role, Roster, View

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
FOREVER = 2**62
NOTHING: Mapping[str, frozenset[str]] = MappingProxyType({})

_HOLDING = frozenset({SENT, POLL_OPENED})
"""What references refer to; only where there is none, something else of that id."""

_PRUNE_AT = 1_000
"""Ended intervals that nobody asks for are dropped in lots of this many."""


class Rules(Struct, frozen=True):
    """How conversations are bounded. Times in microseconds, sizes in bytes of canonical JSON."""

    idle: int = 10 * MINUTE
    """A pause longer than this ends a conversation without a session."""
    span: int = 12 * HOUR
    """No conversation without a session is longer; what comes later starts the next."""
    silence: int = 4 * HOUR
    """A session whose end was never seen is ready after this silence."""
    tail: int = 5 * MINUTE
    """What comes this long after a session's end, before another start, still belongs to it."""
    part_events: int = 1_000
    part_bytes: int = 5 * 1024 * 1024
    partial_leave: int = 30 * MINUTE
    """Where leaves are not recorded, someone is taken to have left this long after their last own event."""
    missed_quiet: int = HOUR
    """A one-to-one is missed by a party silent in it and this long before."""

    def cuts(self, started: int, last: int, time: int) -> bool:
        """Whether something at `time` begins another conversation than the one without a session so far."""
        return time - last > self.idle or time - started >= self.span


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


def order(captured: Captured) -> tuple[int, bool, str, str]:
    """Sort key of events within a place: time, then sequence (absent first), then id, bytewise.

    Code points sort as their UTF-8 bytes do.
    """
    sequence = captured.event.sequence
    return captured.time, sequence is not None, sequence or "", captured.event.id


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
    attendances = _Attendances(roster, rules, partial)
    for ordinal, captured in enumerate(events):
        event = captured.event
        attendance = attendances.of(event, captured.time)
        attendance.apply(event, captured.time, ordinal)
        if event.type in REFERENCES and (key := target(event)) is not None:
            present = tuple(attendance.roster(captured.time))
            found.setdefault(key, []).append(Reference(captured, present))
        if len(attendance.past) > _PRUNE_AT:
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


def conversations(
    events: Iterable[Captured], survey: Survey, roster: Roster, rules: Rules, *, partial: bool = False
) -> Iterator[Conversation]:
    """Cut the events of one place, in order, into conversations; the open ones come last.

    Whether one can be filed is for the caller to say, by its `ripe`.
    """
    fold = _Fold(survey, roster, rules, partial)
    for ordinal, captured in enumerate(events):
        yield from fold.step(captured, ordinal)
    yield from fold.rest()


def fold_roster(events: Iterable[Captured], roster: Roster, rules: Rules, *, partial: bool = False) -> Roster:
    """The roster that `events`, about to be forgotten, leave behind."""
    attendances = _Attendances(roster, rules, partial)
    last = 0
    for ordinal, captured in enumerate(events):
        attendances.of(captured.event, captured.time).apply(captured.event, captured.time, ordinal)
        last = captured.time
    shared = attendances.shared
    shared.arrive(FOREVER, 0)
    return Roster(tuple(shared.roster(last)), shared.topic, shared.topic_since)


class _Session(Struct):
    last: int
    ended: int | None = None


class _Attendances:
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
        if session is None or kind != "conference":
            return self.shared
        if session not in self._instances:
            self._instances[session] = Attendance(Roster(), self._stays)
        return self._instances[session]

    def of(self, event: Event, time: int) -> Attendance:
        return self.instance(self.session(event, time), event.data.conversation.kind)

    def drop(self, session: str) -> None:
        self._instances.pop(session, None)

    def _open(self, state: _Session, time: int) -> bool:
        if state.ended is not None:
            return time - state.ended <= self._rules.tail
        return time - state.last <= self._rules.silence


def _heard(captured: Captured) -> int:
    """When an event counts: a date in the future blocks nothing."""
    return min(captured.time, captured.received) if captured.received else captured.time


def _restarts(event: Event, since: int, tail: int) -> bool:
    """Whether an event this long after its session's end says that it goes on: then it isn't ready at that end."""
    if event.type == STARTED:
        return True
    return since > tail and event.type not in REFERENCES and (event.type == JOINED or event.type not in BARE)


class _Followed:
    """Finds the invitations whose guest came while their conversation went on, maybe in a later part of it."""

    def __init__(self, survey: Survey, roster: Roster, rules: Rules, partial: bool) -> None:
        self._orphans = survey.orphans
        self._rules = rules
        self._attendances = _Attendances(roster, rules, partial)
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


class _Run:
    """A conversation being gathered: the events of its current part."""

    def __init__(self, attendance: Attendance, session: str | None, started: int) -> None:
        self.attendance = attendance
        self.session = session
        self.started = started
        self.part = 0
        self.last = started
        self.heard = 0
        self.ended: int | None = None

    def begin(self, captured: Captured) -> None:
        """Start the next part with `captured`, which has not been applied to the attendance yet."""
        self.part += 1
        self.events: list[Captured] = []
        self.ordinals: list[int] = []
        self.references: list[Reference] = []
        self.voices: set[str] = set()
        self.size = 0
        self.roster = Roster(tuple(self.attendance.roster(captured.time)), self.attendance.topic)

    def add(self, captured: Captured, ordinal: int, references: tuple[Reference, ...], tail: int) -> None:
        self.events.append(captured)
        self.ordinals.append(ordinal)
        self.size += len(captured.body)
        if captured.event.type not in REFERENCES:  # not even one to nothing known extends idle time
            self.last = captured.time
        heard = _heard(captured)
        if self.ended is not None and _restarts(captured.event, heard - self.ended, tail):
            self.ended = None
        self.heard = max(self.heard, heard)
        if captured.event.type == ENDED:
            self.ended = heard
        if references:
            self.references.extend(references)
        actor = captured.event.data.actor
        if actor is not None and captured.event.type not in BARE:
            self.voices.add(actor.address)

    def finish(self, *, ripe: int, partial: bool, followed: frozenset[str]) -> Conversation:
        """The current part as a conversation."""
        kinds = {captured.event.data.conversation.kind for captured in self.events}
        kind: Kind = "im" if kinds == {"im"} else "group" if "group" in kinds else "conference"
        events, places = _merge(self)
        first = self.events[0]
        return Conversation(
            source=first.event.source,
            place=first.event.data.conversation.id,
            kind=kind,
            session=self.session,
            part=self.part,
            topic=topic_after(first.event, self.roster.topic),
            events=events,
            roster=self.roster,
            participations=_participations(self, events, places, kind, followed),
            started=first.time,
            ended=self.events[-1].time,
            ripe=ripe,
            partial=partial,
        )


class _Fold:
    def __init__(self, survey: Survey, roster: Roster, rules: Rules, partial: bool) -> None:
        self._survey = survey
        self._rules = rules
        self._partial = partial
        self._attendances = _Attendances(roster, rules, partial)
        self._runs: dict[str | None, _Run] = {}

    def step(self, captured: Captured, ordinal: int) -> Iterator[Conversation]:
        event, time = captured.event, captured.time
        session = self._attendances.session(event, time)
        attendance = self._attendances.instance(session, event.data.conversation.kind)
        if event.type in REFERENCES and event.id not in self._survey.orphans:
            attendance.apply(event, time, ordinal)
            return
        if len(self._runs) > 1 or session not in self._runs:
            yield from self._close_silent(session, time)
        run = self._runs.get(session)
        if run is not None and session is None and self._cuts(run, time):
            yield self._finish(run, self._ripe(run, time))
            run = None
        if run is None:
            run = self._runs[session] = _Run(attendance, session, time)
            self._open(run, captured, ordinal)
        elif len(run.events) >= self._rules.part_events or run.size + len(captured.body) > self._rules.part_bytes:
            yield self._finish(run, _heard(captured))
            self._open(run, captured, ordinal)
        attendance.apply(event, time, ordinal)
        run.add(captured, ordinal, self._survey.references.get(event.id, ()), self._rules.tail)

    def rest(self) -> Iterator[Conversation]:
        for run in self._runs.values():
            yield self._finish(run, self._ripe(run, None))

    def _open(self, run: _Run, captured: Captured, ordinal: int) -> None:
        earliest = min((r.ordinals[0] for r in self._runs.values() if r is not run), default=ordinal)
        run.attendance.prune(earliest, ordinal, captured.time)
        run.attendance.arrive(captured.time, ordinal)
        run.begin(captured)

    def _finish(self, run: _Run, ripe: int) -> Conversation:
        return run.finish(ripe=ripe, partial=self._partial, followed=self._survey.followed)

    def _cuts(self, run: _Run, time: int) -> bool:
        return self._rules.cuts(run.started, run.last, time)

    def _ripe(self, run: _Run, following: int | None) -> int:
        """The watermark from which nothing ordinary can change the run any more."""
        if run.session is not None:
            return run.ended if run.ended is not None else run.heard + self._rules.silence
        ripe = min(run.heard + self._rules.idle, max(run.started + self._rules.span, run.heard))
        return ripe if following is None else min(ripe, following)

    def _close_silent(self, current: str | None, time: int) -> Iterator[Conversation]:
        """End the runs that no further event of this place can belong to."""
        for session, run in list(self._runs.items()):
            if session == current or not self._over(session, run, time):
                continue
            del self._runs[session]
            yield self._finish(run, self._ripe(run, time))
            if session is not None:
                self._attendances.drop(session)

    def _over(self, session: str | None, run: _Run, time: int) -> bool:
        if session is None:
            return self._cuts(run, time)
        if time <= self._survey.sessions.get(session, 0):
            return False
        return time - run.last > (self._rules.tail if run.ended is not None else self._rules.silence)


def _members(events: list[Captured]) -> bool:
    return any(captured.event.data.conversation.history == "members" for captured in events)


def _merge(run: _Run) -> tuple[tuple[Captured, ...], list[int] | None]:
    """The run's events with the references at their own times; where each own event then stands (None: unmoved)."""
    if not run.references:
        return tuple(run.events), None
    merged = sorted([*run.events, *(reference.captured for reference in run.references)], key=order)
    own = {captured.event.id for captured in run.events}
    return tuple(merged), [i for i, captured in enumerate(merged) if captured.event.id in own]


def _participations(
    run: _Run, events: tuple[Captured, ...], places: list[int] | None, kind: Kind, followed: frozenset[str]
) -> tuple[Participation, ...]:
    """The intervals that overlap the run, as masks over its events. In one-to-one both parties see all of it.

    Who was invited here and came in a later part has no part in this one.
    """
    members = _members(run.events)
    times = [captured.time for captured in run.events] if run.attendance.inferred else []
    everything = (1 << len(events)) - 1
    made: list[Participation] = []
    for interval in run.attendance.intervals():
        low = 0 if members and not interval.invited else bisect_left(run.ordinals, interval.first)
        high = len(run.ordinals) if interval.last is None else bisect_right(run.ordinals, interval.last)
        if interval.until is not None:
            high = min(high, bisect_right(times, interval.until))
        if kind == "im" and not interval.invited:
            made.append(_participation(interval, everything, run.voices))
        elif low < high and not (interval.invited and _comes_later(interval, run, followed)):
            made.append(_participation(interval, _mask(low, high, places), run.voices))
    if run.references and kind != "im":
        made = _with_references(made, run, events)
    return tuple(made)


def _comes_later(invitation: Interval, run: _Run, followed: frozenset[str]) -> bool:
    if not followed or run.events[bisect_left(run.ordinals, invitation.first)].event.id not in followed:
        return False
    return not any(
        invitation.addresses[0] in each.addresses
        and not each.invited
        and (each.last is None or each.last >= run.ordinals[0])
        for each in run.attendance.intervals()
    )


def _mask(low: int, high: int, places: list[int] | None) -> int:
    if places is None:
        return (1 << high) - (1 << low)
    mask = 0
    for index in places[low:high]:
        mask |= 1 << index
    return mask


def _participation(interval: Interval, mask: int, voices: set[str]) -> Participation:
    spoke = tuple(address for address in interval.addresses if address in voices)
    return Participation(
        addresses=interval.addresses,
        name=interval.name,
        hidden=interval.hidden,
        first=(mask & -mask).bit_length() - 1,
        last=mask.bit_length() - 1,
        joined=interval.joined,
        left=interval.left,
        spoke=bool(spoke),
        invited=interval.invited,
        mask=mask,
        voices=spoke,
    )


def _with_references(made: list[Participation], run: _Run, events: tuple[Captured, ...]) -> list[Participation]:
    """Let each reference be seen by those present at its own time, whether or not they were there before."""
    at = {captured.event.id: index for index, captured in enumerate(events)}
    seen: dict[str, tuple[Presence, int]] = {}
    for reference in run.references:
        bit = 1 << at[reference.captured.event.id]
        for presence in reference.present:
            known, mask = seen.get(presence.addresses[-1], (presence, 0))
            seen[presence.addresses[-1]] = known, mask | bit
    result: list[Participation] = []
    for participation in made:
        extra = 0
        if not participation.invited:
            for address in participation.addresses:
                extra |= seen.pop(address, (None, 0))[1]
        result.append(structs.replace(participation, mask=participation.mask | extra) if extra else participation)
    for presence, mask in seen.values():
        result.append(_participation(Interval.carried(presence), mask, set()))
    return result


def is_content(conversation: Conversation) -> bool:
    """False for what is only joins, leaves and topics: such a conversation is not filed."""
    return any(content(conversation))


def views(
    conversation: Conversation,
    mailbox_of: Callable[[str], str | None],
    rules: Rules,
    whispered: Mapping[str, frozenset[str]] = NOTHING,
) -> tuple[View, ...]:
    """What the owner of each mailbox could see: the union of what their addresses could, whispers only to the parties.

    `mailbox_of` says None for people without a mailbox; `whispered` between whom messages were that are forgotten. A
    view without content is left out, but for a missed one.
    """
    seen: dict[str, _Seen] = {}
    for participation in conversation.participations:
        for address in participation.voices if conversation.partial else participation.addresses:
            mailbox = mailbox_of(address)
            if mailbox is not None:
                seen.setdefault(mailbox, _Seen()).add(participation)
    whispers = [(1 << index, who, set(map(mailbox_of, who))) for index, who in _whispers(conversation, whispered)]
    said, marks = content(conversation)
    made: list[View] = []
    for mailbox, one in seen.items():
        mask = one.mask
        for bit, who, mailboxes in whispers:
            if mask & bit and mailbox not in mailboxes and not one.bears(who, bit):
                mask &= ~bit
        # Marks alone make an item only where the conversation has nothing else: late ones, to a forgotten message.
        if mask & (said or marks) or (mask and one.invited_only and (said or marks)):
            side = min(one.addresses) if conversation.kind == "im" else None
            made.append(View(mailbox, frozenset(one.addresses), mask, _role(conversation, one, rules), side))
    return tuple(made)


class _Seen:
    """One mailbox's share while it is gathered."""

    __slots__ = ("addresses", "invited_only", "mask", "shares")

    def __init__(self) -> None:
        self.mask = 0
        self.shares: list[Participation] = []
        self.addresses: set[str] = set()
        self.invited_only = True

    def add(self, participation: Participation) -> None:
        self.mask |= participation.mask
        self.shares.append(participation)
        self.addresses.update(participation.addresses)
        self.invited_only = self.invited_only and participation.invited

    def bears(self, who: frozenset[str], bit: int) -> bool:
        """True where they went by the name of a party then: every name a participation bore is the same person,
        but once another bears it, it is theirs no longer."""
        return any(share.mask & bit and not who.isdisjoint(share.addresses) for share in self.shares)


def _role(conversation: Conversation, one: _Seen, rules: Rules) -> Role:
    if one.invited_only:
        return Role.MISSED
    if conversation.kind != "im" or _acted(conversation, one.addresses):
        return Role.TOOK_PART
    return Role.TOOK_PART if one.addresses & awake(conversation, rules) else Role.MISSED


def awake(conversation: Conversation, rules: Rules) -> frozenset[str]:
    """Who did something so shortly before a one-to-one that they can't have missed it. Nobody elsewhere."""
    if conversation.kind != "im":
        return frozenset()
    since = conversation.started - rules.missed_quiet
    found = (p.addresses for p in conversation.roster.present if p.acted is not None and p.acted >= since)
    return frozenset(address for addresses in found for address in addresses)


def _acted(conversation: Conversation, addresses: set[str]) -> bool:
    """True where one of them did something in the conversation itself; a later reaction or edit answers nothing."""
    for captured in conversation.events:
        actor = captured.event.data.actor
        if actor is not None and actor.address in addresses and captured.event.type not in REFERENCES:
            return True
    return False


def absent(conversation: Conversation) -> set[str]:
    """The messages and polls that references in it refer to and that it doesn't hold."""
    targets: dict[bool, set[str]] = {False: set(), True: set()}
    for captured in conversation.events:
        if (key := target(captured.event)) is not None:
            targets[captured.event.type in REFERENCES].add(key)
    return targets[True] - targets[False]


def _whispers(conversation: Conversation, forgotten: Mapping[str, frozenset[str]]) -> list[tuple[int, frozenset[str]]]:
    """The events that only some may see, and who: whispers, and what refers to one, a `forgotten` one too."""
    messages = [
        (index, captured.event, captured.event.data.message)
        for index, captured in enumerate(conversation.events)
        if captured.event.data.message is not None
    ]
    if not forgotten and all(message.to is None for _, _, message in messages):
        return []
    whispered = dict(forgotten)
    for _, event, message in messages:
        if event.type not in REFERENCES and (only := parties(event)) is not None:
            whispered[message.id] = only
    found: list[tuple[int, frozenset[str]]] = []
    for index, event, message in messages:
        may_see = whispered.get(message.id) if event.type in REFERENCES else None
        if (own := parties(event)) is not None:
            may_see = own if may_see is None else may_see & own
        if may_see is not None:
            found.append((index, may_see))
    return found


def content(conversation: Conversation) -> tuple[int, int]:
    """Masks of what says something by itself, and of mere marks on what was said (reactions, votes, retractions)."""
    said = marks = 0
    for index, captured in enumerate(conversation.events):
        kind = captured.event.type
        if kind in REFERENCES and kind != EDITED:
            marks |= 1 << index
        elif kind not in BARE:
            said |= 1 << index
    return said, marks
