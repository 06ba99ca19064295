"""What a stream of SIP messages comes to: retransmissions and proxied copies once, calls from their dialogs.

Everything is remembered for a time and up to a number, so that no stream makes it grow. Pure: `now` is passed in, in
seconds of any clock that only goes forward. What an event looks like is `telling`'s.

A MESSAGE waits for its answer: who is asked for credentials (401, 407) sends the same again as another request, and
what failed was seen by nobody but its author. Where no answer comes it is taken as delivered: answers get lost too.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from archiver.sources.sip.message import Message, Party

ANSWER = 35.0
"""Seconds that an answer may take: RFC 3261, 17.1.2.2, timer F is 32."""
SETTLE = 3.0
"""Seconds in which another answer, or a request that came after its answer, may still arrive."""
COPIES = 600.0
"""Seconds in which the same request is a copy."""
ECHO = 30.0
"""Seconds in which a conference passes on what it was told."""
CALL = 86_400.0
"""Seconds without any request after which a call's end is given up."""

WAITING = 20_000
WAITING_BYTES = 64 * 1024 * 1024
REMEMBERED = 200_000
CALLS = 100_000

Key = tuple[str, ...]


class Happening(Struct, frozen=True):
    """Something to tell. `time` in microseconds since 1970; `focus` is the conference it was in, None for none.

    `what` is "sent" (`status` is the answer, 0 for none), "began" or "ended" (`edge`: its conference began or ended
    with it).
    """

    what: str
    key: Key
    message: Message
    time: int
    status: int = 0
    focus: Party | None = None
    edge: bool = False


class _Exchange(Struct):
    due: float
    agent: int
    message: Message | None = None
    time: int = 0
    status: int = 0


class _Call(Struct):
    due: float
    agent: int
    focus: Party | None = None


class _Invitation(Struct, frozen=True):
    """Whether a conference calls, and whether it is a request within a call (RFC 3261, 12.2: with a tag in To)."""

    focus: bool
    within: bool


class Tracking:
    """`lost` counts, by capture agent, what is known to have happened and was never seen."""

    def __init__(self) -> None:
        self.lost: Counter[int] = Counter()
        self._waiting: OrderedDict[Key, _Exchange] = OrderedDict()
        self._bytes = 0
        self._known: OrderedDict[Key, float] = OrderedDict()
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._invited: OrderedDict[Key, _Invitation] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._present: Counter[str] = Counter()

    def take(self, message: Message, time: int, agent: int, now: float) -> Iterator[Happening]:
        key = (message.method, message.call, message.author.tag, str(message.number))
        if message.method == "MESSAGE":
            yield from self._message(key, message, time, agent, now)
        elif message.method == "INVITE":
            yield from self._invite(key, message, time, agent, now)
        elif message.method == "BYE" and (message.status == 0 or 200 <= message.status < 300):
            yield from self._bye(key, message, time, now)

    def sweep(self, now: float) -> Iterator[Happening]:
        """What has waited long enough; to be called every second or so."""
        for key in [key for key, each in self._waiting.items() if each.due <= now]:
            yield from self._settle(key, now)
        for remembered in (self._known, self._ended):
            _expire(remembered, now)
        while self._calls and (len(self._calls) > CALLS or next(iter(self._calls.values())).due <= now):
            self._give_up(self._calls.popitem(last=False)[1])
        while len(self._invited) > WAITING:
            self._invited.popitem(last=False)

    def drain(self, now: float) -> Iterator[Happening]:
        """All that waits, at the end."""
        for key in list(self._waiting):
            yield from self._settle(key, now)

    def forget(self, happening: Happening) -> None:
        """It couldn't be kept: if it comes again, it is no copy."""
        self._known.pop(happening.key, None)
        self._known.pop(_worded(happening.key, happening.message), None)
        self._ended.pop(happening.message.call, None)

    def _message(self, key: Key, message: Message, time: int, agent: int, now: float) -> Iterator[Happening]:
        if not message.status and self._is_other(key, message, now):
            key = _worded(key, message)
        if self._is_known(key, now) or 0 < message.status < 200:
            return
        exchange = self._waiting.get(key)
        if exchange is None:
            exchange = self._waiting[key] = _Exchange(now + (SETTLE if message.status else ANSWER), agent)
        if message.status:
            exchange.status = exchange.status if 200 <= exchange.status < 300 else message.status
            exchange.due = min(exchange.due, now + SETTLE)
        elif exchange.message is None:
            exchange.message, exchange.time = message, time
            self._bytes += message.size
        if exchange.message is not None and 200 <= exchange.status < 300:
            yield from self._settle(key, now)
        yield from self._shed(now)

    def _is_other(self, key: Key, message: Message, now: float) -> bool:
        """Whether it says something else than what had its numbers before: who repeats them must not go unheard."""
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.message is not None:
            return waiting.message.body != message.body
        return self._is_known(key, now) and not self._is_known(_worded(key, message), now)

    def _shed(self, now: float) -> Iterator[Happening]:
        """Told early, where too many wait."""
        while len(self._waiting) > WAITING or self._bytes > WAITING_BYTES:
            yield from self._settle(next(iter(self._waiting)), now)

    def _settle(self, key: Key, now: float) -> Iterator[Happening]:
        exchange = self._waiting.pop(key)
        self._known[key] = now + COPIES
        if exchange.message is None:
            self.lost[exchange.agent] += 200 <= exchange.status < 300
            return
        self._known[_worded(key, exchange.message)] = now + COPIES
        self._bytes -= exchange.message.size
        if exchange.status in (401, 407):
            return
        focus = self._focus_among(exchange.message)
        if focus is None or not self._is_echo(exchange.message, focus, now):
            yield Happening("sent", key, exchange.message, exchange.time, exchange.status, focus)

    def _is_echo(self, message: Message, focus: Party, now: float) -> bool:
        """What a conference tells each of its people is what one of them told it."""
        key = ("ECHO", focus.address, focus.conference, hashlib.sha256(message.body).hexdigest())
        known = self._is_known(key, now)
        self._known.pop(key, None)
        self._known[key] = now + ECHO
        return known and message.author.address == focus.address

    def _invite(self, key: Key, message: Message, time: int, agent: int, now: float) -> Iterator[Happening]:
        call = self._calls.get(message.call)
        if call is not None:
            call.due = now + CALL
            self._calls.move_to_end(message.call)
        elif not message.status:
            self._invited.setdefault(key, _Invitation(message.is_focus, bool(message.recipient.tag)))
        elif 200 <= message.status < 300 and message.call not in self._ended:
            invitation = self._invited.pop(key, None)
            focus = _focus_of(message, invitation)
            self._calls[message.call] = _Call(now + CALL, agent, focus)
            first = focus is not None and not self._present[_place(focus)]
            if focus is not None:
                self._present[_place(focus)] += 1
            # Within a call that isn't known: it began before we listened.
            if invitation is None or not invitation.within:
                yield Happening("began", key, message, time, focus=focus, edge=first)
        elif message.status >= 300 and message.status not in (401, 407):
            self._invited.pop(key, None)

    def _bye(self, key: Key, message: Message, time: int, now: float) -> Iterator[Happening]:
        if message.call in self._ended:
            return
        self._ended[message.call] = now + COPIES
        call = self._calls.pop(message.call, None)
        last = call is not None and self._leave(call)
        focus = call.focus if call is not None else _lync(message)
        yield Happening("ended", key, message, time, focus=focus, edge=last)

    def _leave(self, call: _Call) -> bool:
        """Whether nobody is left in its conference."""
        if call.focus is None:
            return False
        place = _place(call.focus)
        self._present[place] -= 1
        if self._present[place] > 0:
            return False
        del self._present[place]
        return True

    def _give_up(self, call: _Call) -> None:
        self._leave(call)
        self.lost[call.agent] += 1

    def _focus_among(self, message: Message) -> Party | None:
        for each in (message.recipient, message.author):
            if each.conference or _place(each) in self._present:
                return each
        return None

    def _is_known(self, key: Key, now: float) -> bool:
        return self._known.get(key, now) > now


def _expire(remembered: OrderedDict[Any, float], now: float) -> None:
    while remembered and (len(remembered) > REMEMBERED or next(iter(remembered.values())) <= now):
        remembered.popitem(last=False)


def _worded(key: Key, message: Message) -> Key:
    """The same numbers, with these words."""
    return (*key[:4], hashlib.sha256(message.body).hexdigest())


def _place(focus: Party) -> str:
    return f"{focus.address};{focus.conference}"


def _focus_of(answer: Message, invitation: _Invitation | None) -> Party | None:
    """The conference among the two of a call, whichever of them called."""
    if answer.is_focus:
        return answer.recipient
    if invitation is not None and invitation.focus:
        return answer.author
    return _lync(answer)


def _lync(message: Message) -> Party | None:
    return next((each for each in (message.recipient, message.author) if each.conference), None)
