"""Events of one place -> conversations with their participations (pure).

A conversation is a pure function of the events of its place and of the roster that earlier, forgotten events add up
to; nothing in memory decides. The events are read twice, in order and as a stream: `survey` finds what needs
foresight (references to earlier messages, when a session is last heard of), `conversations` cuts. Memory is bounded by
one part of each open conversation and by the references.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs

from archiver.conversations.lookback import Lookback
from archiver.conversations.presence import Attendance, Interval, topic_after
from archiver.conversations.rules import Rules, order
from archiver.conversations.survey import Attendances, Reference, Survey
from archiver.events import BARE, ENDED, JOINED, REFERENCES, STARTED, Captured, Event, Kind, kinds_of
from archiver.types import Conversation, Participation, Presence, Roster

_FOREVER = 2**62


def conversations(
    events: Iterable[Captured], survey: Survey, roster: Roster, rules: Rules, *, partial: bool = False
) -> Iterator[Conversation]:
    """Cut the events of one place, in order, into conversations; the open ones come last.

    Whether one can be filed is for the caller to say, by its `ripe`.
    """
    fold = _Fold(survey, roster, rules, partial)
    step = fold.step
    for ordinal, captured in enumerate(events):
        if done := step(captured, ordinal):
            yield from done
    yield from fold.rest()


def kind_of(claimed: frozenset[Kind]) -> Kind:
    """What a conversation is where its events don't agree."""
    return "im" if claimed == {"im"} else "group" if "group" in claimed else "conference"


def fold_roster(events: Iterable[Captured], roster: Roster, rules: Rules, *, partial: bool = False) -> Roster:
    """The roster that `events`, about to be forgotten, leave behind."""
    attendances = Attendances(roster, rules, partial)
    last = 0
    for ordinal, captured in enumerate(events):
        attendances.of(captured.event, captured.time).apply(captured.event, captured.time, ordinal)
        last = captured.time
    shared = attendances.shared
    shared.arrive(_FOREVER, 0)
    return Roster(tuple(shared.roster(last)), shared.topic, shared.topic_since)


def _heard(captured: Captured) -> int:
    """When an event counts: a date in the future blocks nothing."""
    return min(captured.time, captured.received) if captured.received else captured.time


def _restarts(event: Event, since: int, tail: int) -> bool:
    """Whether an event this long after its session's end says that it goes on: then it isn't ready at that end."""
    if event.type == STARTED:
        return True
    return since > tail and event.type not in REFERENCES and (event.type == JOINED or event.type not in BARE)


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

    def add(self, captured: Captured, ordinal: int, references: tuple[Reference, ...] | None, tail: int) -> None:
        event, kind = captured.event, captured.event.type
        self.events.append(captured)
        self.ordinals.append(ordinal)
        self.size += len(captured.body)
        if kind not in REFERENCES:  # not even one to nothing known extends idle time
            self.last = captured.time
        heard = _heard(captured)
        if self.ended is not None and _restarts(event, heard - self.ended, tail):
            self.ended = None
        if heard > self.heard:
            self.heard = heard
        if kind == ENDED:
            self.ended = heard
        if references:
            self.references.extend(references)
        actor = event.data.actor
        if actor is not None and kind not in BARE:
            self.voices.add(actor.address)

    def finish(self, *, ripe: int, partial: bool, followed: frozenset[str]) -> Conversation:
        """The current part as a conversation."""
        kind = kind_of(kinds_of(_from_content(self.events)))
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
        self._attendances = Attendances(roster, rules, partial)
        self._runs: dict[str | None, _Run] = {}

    def step(self, captured: Captured, ordinal: int) -> Sequence[Conversation]:
        """Take in the next event; the conversations that it shows to be over."""
        event, time = captured.event, captured.time
        session = self._attendances.session(event, time)
        attendance = self._attendances.instance(session, event.data.conversation.kind)
        if event.type in REFERENCES and event.id not in self._survey.orphans:
            attendance.apply(event, time, ordinal)
            return ()
        run = self._runs.get(session)
        done: list[Conversation] = []
        if run is None or len(self._runs) > 1:
            done += self._close_silent(session, time)
        if run is not None and session is None and self._rules.cuts(run.started, run.last, time):
            done.append(self._finish(run, self._ripe(run, time)))
            run = None
        if run is None:
            run = self._runs[session] = _Run(attendance, session, time)
            self._open(run, captured, ordinal)
        elif len(run.events) >= self._rules.part_events or run.size + len(captured.body) > self._rules.part_bytes:
            done.append(self._finish(run, _heard(captured)))
            self._open(run, captured, ordinal)
        attendance.apply(event, time, ordinal)
        run.add(captured, ordinal, self._survey.references.get(event.id), self._rules.tail)
        return done

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
            return self._rules.cuts(run.started, run.last, time)
        if time <= self._survey.sessions.get(session, 0):
            return False
        return time - run.last > (self._rules.tail if run.ended is not None else self._rules.silence)


def _from_content(events: list[Captured]) -> list[Captured]:
    """Without what only opens it: a room may turn out to be one to one only once the other was invited.

    What comes later counts in full, so that who joins two people never gets what these said before.
    """
    first = next((index for index, captured in enumerate(events) if captured.event.type not in BARE), 0)
    return events[first:]


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
    back = Lookback(run.events)
    times = [captured.time for captured in run.events] if run.attendance.inferred else []
    everything = (1 << len(events)) - 1
    made: list[Participation] = []
    for interval in run.attendance.intervals():
        low = bisect_left(run.ordinals, interval.first)
        low = low if interval.invited else back.low(low)
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
