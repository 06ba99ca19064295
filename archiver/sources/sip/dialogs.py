"""Calls and subscriptions, from their requests and answers: who called whom, who came to a conference and went.

Everything is remembered for a time and up to a number. Pure: `now` is passed in.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator

from msgspec import Struct

from archiver.events import any_of
from archiver.exceptions import EventError
from archiver.sources.sip.conference import Conference, Conferences, Move
from archiver.sources.sip.happening import Happening, Key, key_of
from archiver.sources.sip.message import Message, Party, address_of
from archiver.sources.sip.roster import MEDIA_TYPE, read_report
from archiver.sources.sip.saying import type_of

CALL = 86_400.0
"""Seconds without any request after which a call's end is given up."""
ENDED = 600.0
"""Seconds in which an end that comes again is a copy."""

WAITING = 20_000
CALLS = 100_000


class _Call(Struct):
    due: float
    agent: int
    who: Party
    focus: Party | None = None


class _Invitation(Struct, frozen=True):
    """Whether a conference calls, and whether it is a request within a call (RFC 3261, 12.2: with a tag in To).

    `target` is where it was sent: To says what its sender likes.
    """

    focus: bool
    within: bool
    target: str


class Dialogs:
    """`lost` counts, by capture agent, what is known to have happened and was never seen.

    Only who is one of `addresses` (patterns) is ever taken for a conference.
    """

    def __init__(self, lost: Counter[int], now: float, kept: Iterable[Conference], addresses: Iterable[str]) -> None:
        self.conferences = Conferences(now, kept)
        self._addresses = any_of(addresses)
        self._lost = lost
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._invited: OrderedDict[Key, _Invitation] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._reports: OrderedDict[Key, tuple[Message, int]] = OrderedDict()
        for call, who, focus in self.conferences.calls():
            self._calls[call] = _Call(now + CALL, 0, who, focus)

    def sweep(self, now: float) -> None:
        for waiting in (self._invited, self._reports):
            while len(waiting) > WAITING:
                waiting.popitem(last=False)
        while self._ended and (len(self._ended) > CALLS or next(iter(self._ended.values())) <= now):
            self._ended.popitem(last=False)
        while self._calls and (len(self._calls) > CALLS or next(iter(self._calls.values())).due <= now):
            call, known = self._calls.popitem(last=False)
            self._lost[known.agent] += 1
            if known.focus is not None:
                self.conferences.leave(known.focus, known.who, call, now)
        self.conferences.sweep(now)

    def forget(self, happening: Happening) -> None:
        """It couldn't be kept: if it comes again, it is no copy."""
        self._ended.pop(happening.message.call, None)

    def focus_of(self, message: Message, now: float) -> Party | None:
        """The conference among the two."""
        found = self.conferences.among(now, message.recipient, message.author)
        return found if found is not None and self._may_be(found) else None

    def _may_be(self, focus: Party) -> bool:
        return self._addresses.fullmatch(focus.address) is not None

    def invite(self, message: Message, time: int, agent: int, now: float) -> Iterator[Happening]:
        key, call = key_of(message), self._calls.get(message.call)
        if call is not None:
            call.due = now + CALL
            self._calls.move_to_end(message.call)
        elif not message.status:
            target, conference = address_of(message.target)
            invitation = _Invitation(
                message.is_focus, bool(message.recipient.tag), Party(target, conference=conference).place
            )
            self._invited.setdefault(key, invitation)
        elif 200 <= message.status < 300 and message.call not in self._ended:
            yield from self._answered(key, message, time, agent, now)
        elif message.status >= 300 and message.status not in (401, 407):
            self._invited.pop(key, None)

    def _answered(self, key: Key, message: Message, time: int, agent: int, now: float) -> Iterator[Happening]:
        invitation = self._invited.pop(key, None)
        focus = self._entered(message, invitation, now)
        who = _other(message, focus)
        self._calls[message.call] = _Call(now + CALL, agent, who, focus)
        if focus is not None:
            move = self.conferences.enter(focus, who, message.call, now)
            yield from [] if move is None else [self._moved("began", key, message, time, focus, move)]
        elif (invitation is None or not invitation.within) and self.focus_of(message, now) is None:
            yield Happening("began", key, message, time)  # within a call that isn't known it began before we listened

    def _entered(self, answer: Message, invitation: _Invitation | None, now: float) -> Party | None:
        """The conference that a call leads into. One that is called is what the invitation was sent to, by its To and
        in fact: who names somebody else there, and has another answer, is in nobody's talk."""
        if invitation is None or invitation.within:
            return None
        if invitation.focus and self._may_be(answer.author):
            return answer.author
        called = answer.recipient
        known = answer.is_focus or self.focus_of(answer, now) == called
        return called if known and invitation.target == called.place and self._may_be(called) else None

    def bye(self, message: Message, time: int, now: float) -> Iterator[Happening]:
        if message.call in self._ended:
            return
        self._ended[message.call] = now + ENDED
        key, call = key_of(message), self._calls.pop(message.call, None)
        focus = (call.focus if call is not None else None) or self.focus_of(message, now)
        if focus is None:
            yield Happening("ended", key, message, time)
        elif move := self.conferences.leave(focus, _other(message, focus), message.call, now, known=call is not None):
            yield self._moved("ended", key, message, time, focus, move)

    def notify(self, message: Message, time: int, agent: int, now: float) -> Iterator[Happening]:
        """A roster counts once its subscriber took it: what nobody subscribed to is refused (RFC 6665, 4.1.3)."""
        key = key_of(message)
        if not message.status:
            if type_of(message) == MEDIA_TYPE:
                self._reports.setdefault(key, (message, time))
            return
        waiting = self._reports.pop(key, None) if message.status >= 200 else None
        if waiting is None or message.status >= 300:
            return
        try:
            yield from self._report(key, *waiting, agent, now)
        except EventError as fault:
            yield Happening("unreadable", key, *waiting, reason=str(fault))

    def _report(self, key: Key, message: Message, time: int, agent: int, now: float) -> Iterator[Happening]:
        report, focus = read_report(message.body), message.author
        if report.entity.place != focus.place or not self._may_be(focus):
            raise EventError(f"a roster of {report.entity.place}, told by who isn't it")
        moves, missing = self.conferences.report(focus, report, message.call, now)
        self._lost[agent] += missing
        for move in moves:
            yield self._moved("came" if move.came else "went", key, message, time, focus, move)

    def _moved(self, what: str, key: Key, message: Message, time: int, focus: Party, move: Move) -> Happening:
        who, topic = self.conferences.named(focus, move.who), self.conferences.topic(focus)
        return Happening(what, key, message, time, focus=focus, edge=move.edge, who=who, topic=topic)


def _other(message: Message, focus: Party | None) -> Party:
    """Who calls, or is called by the conference."""
    is_focus = focus is not None and message.author.place == focus.place
    return message.recipient if is_focus else message.author
