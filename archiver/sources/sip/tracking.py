"""What a stream of SIP messages comes to: retransmissions and proxied copies once.

Everything is remembered for a time and up to a number, so that no stream makes it grow. Pure: `now` is passed in, in
seconds of any clock that only goes forward. What an event looks like is `telling`'s.

A MESSAGE waits for its answer: who is asked for credentials (401, 407) sends the same again as another request, and
what failed was seen by nobody but its author. Where no answer comes it is taken as delivered: answers get lost too.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from archiver.sources.sip.conference import Conference, Conferences
from archiver.sources.sip.copies import Copies
from archiver.sources.sip.dialogs import Dialogs
from archiver.sources.sip.happening import Happening, Key, key_of
from archiver.sources.sip.message import Message
from archiver.sources.sip.saying import speaker_of, words_of

ANSWER = 35.0
"""Seconds that an answer may take: RFC 3261, 17.1.2.2, timer F is 32."""
SETTLE = 3.0
"""Seconds in which another answer, or a request that came after its answer, may still arrive."""
COPIES = 600.0
"""Seconds in which the same request is a copy."""

WAITING = 20_000
WAITING_BYTES = 64 * 1024 * 1024
REMEMBERED = 200_000


class _Exchange(Struct):
    """A request that waits for its answer, or an answer whose request may still come, until `due`.

    `sent` is what the request says, as it stands when it is seen: its conference, and what that calls its author.
    `told`: by a conference that passed it on before.
    """

    due: float
    agent: int
    sent: Happening | None = None
    status: int = 0
    told: bool = False


class Tracking:
    """`lost` counts, by capture agent, what is known to have happened and was never seen.

    `kept` are the conferences of an earlier life, `addresses` patterns of who may be one.
    """

    def __init__(self, now: float = 0.0, kept: Iterable[Conference] = (), addresses: Iterable[str] = ("*",)) -> None:
        self.lost: Counter[int] = Counter()
        self._dialogs = Dialogs(self.lost, now, kept, addresses)
        self._copies = Copies()
        self._waiting: OrderedDict[Key, _Exchange] = OrderedDict()
        self._bytes = 0
        self._known: OrderedDict[Key, float] = OrderedDict()

    @property
    def conferences(self) -> Conferences:
        return self._dialogs.conferences

    def take(self, message: Message, time: int, agent: int, now: float) -> Iterator[Happening]:
        if message.method == "MESSAGE":
            yield from self._message(key_of(message), message, time, agent, now)
        elif message.method == "INVITE":
            yield from self._dialogs.invite(message, time, agent, now)
        elif message.method == "BYE" and (message.status == 0 or 200 <= message.status < 300):
            yield from self._dialogs.bye(message, time, now)
        elif message.method == "NOTIFY":
            yield from self._dialogs.notify(message, time, agent, now)

    def sweep(self, now: float) -> Iterator[Happening]:
        """What has waited long enough; to be called every second or so."""
        for key in [key for key, each in self._waiting.items() if each.due <= now]:
            yield from self._settle(key, now)
        while self._known and (len(self._known) > REMEMBERED or next(iter(self._known.values())) <= now):
            self._known.popitem(last=False)
        self._copies.sweep(now)
        self._dialogs.sweep(now)

    def drain(self, now: float) -> Iterator[Happening]:
        """All that waits, at the end."""
        for key in list(self._waiting):
            yield from self._settle(key, now)

    def forget(self, happening: Happening) -> None:
        """It couldn't be kept: if it comes again, it is no copy."""
        self._known.pop(happening.key, None)
        self._known.pop(_worded(happening.key, happening.message), None)
        self._dialogs.forget(happening)

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
        elif exchange.sent is None:
            exchange.sent = self._sent(key, message, time, now)
            exchange.told = self._is_told(exchange.sent, now)
            self._bytes += message.size
        if exchange.sent is not None and 200 <= exchange.status < 300:
            yield from self._settle(key, now)
        yield from self._shed(now)

    def _is_other(self, key: Key, message: Message, now: float) -> bool:
        """Whether it says something else than what had its numbers before: who repeats them must not go unheard."""
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.sent is not None:
            return waiting.sent.message.body != message.body
        return self._is_known(key, now) and not self._is_known(_worded(key, message), now)

    def _shed(self, now: float) -> Iterator[Happening]:
        """Told early, where too many wait."""
        while len(self._waiting) > WAITING or self._bytes > WAITING_BYTES:
            yield from self._settle(next(iter(self._waiting)), now)

    def _settle(self, key: Key, now: float) -> Iterator[Happening]:
        exchange = self._waiting.pop(key)
        self._known[key] = now + COPIES
        sent = exchange.sent
        if sent is None:
            self.lost[exchange.agent] += 200 <= exchange.status < 300
            return
        self._known[_worded(key, sent.message)] = now + COPIES
        self._bytes -= sent.message.size
        asked = exchange.status in (401, 407)
        if not asked and not exchange.told and not self._is_copy(sent, exchange.status, now):
            yield replace(sent, status=exchange.status)

    def _sent(self, key: Key, message: Message, time: int, now: float) -> Happening:
        focus = self._dialogs.focus_of(message, now)
        if focus is None:
            return Happening("sent", key, message, time)
        who, topic = self.conferences.named(focus, speaker_of(message, focus)), self.conferences.topic(focus)
        return Happening("sent", key, message, time, focus=focus, who=who, topic=topic)

    def _is_told(self, sent: Happening, now: float) -> bool:
        """Whether a conference passed it on before it was seen itself; from now on its copies are known."""
        focus, message = sent.focus, sent.message
        if focus is None or message.author.place == focus.place:
            return False
        return self._copies.said(focus.place, words_of(message), now)

    def _is_copy(self, sent: Happening, status: int, now: float) -> bool:
        """Whether a conference passes on what is known; or couldn't, which says nothing of what was said."""
        focus, message = sent.focus, sent.message
        if focus is None or message.author.place != focus.place:
            return False
        leg = message.call if message.recipient.tag else message.recipient.address
        return status >= 300 or self._copies.passed_on(focus.place, words_of(message), leg, now)

    def _is_known(self, key: Key, now: float) -> bool:
        return self._known.get(key, now) > now


def _worded(key: Key, message: Message) -> Key:
    """The same numbers, with these words."""
    return (*key[:4], hashlib.sha256(message.body).hexdigest())
