"""Who is in a room, as far as copies of what its occupants get show it. In memory: a connection begins with nothing.

A room tells each occupant in a copy of their own. Whoever got one was there, and whoever got none wasn't: that is surer
than presences, which nobody gets of an occupant who is the last to drop off, or that came while nobody listened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from math import inf
from typing import Generic, TypeVar

from msgspec import Struct

from archiver.importers.xmpp.stanza import bare
from archiver.sources.xmpp.record import Record

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

HOLD = 1.0
"""Seconds of reading in which all copies of one message come."""


class Latest(Generic[K, V], OrderedDict[K, V]):
    """A mapping that forgets what was put first."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            self.popitem(last=False)


class Delivery:
    """A message to all, and whom it came to until everybody's copy of it may be taken to have come.

    `at` is its time, `number` its place among those of the room. `record` is of the first one, which is told then.
    """

    def __init__(self, number: int, at: int, *, is_late: bool, until: float = 0.0) -> None:
        self.number = number
        self.at = at
        self.is_late = is_late
        self.until = until
        self.record: Record | None = None
        self.receivers: set[str] = set()


class Leaving(Struct, frozen=True):
    """Of somebody; before the message of that time, which they didn't get any more."""

    real: str
    before: int | None


class Absence(Struct, frozen=True):
    """Somebody who didn't get a message, and the next that they did get."""

    nick: str | None
    real: str
    back: Delivery | None


class Round:
    """Equal messages whose copies come in one go, and how many of them each session got."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.last = -inf
        self.got: dict[str, int] = {}


class Room:
    """`people` are real addresses by nick. Who is present came, and who went left, when so many were delivered."""

    def __init__(self) -> None:
        self.people: dict[str, str] = {}
        self.said: Latest[str, Delivery] = Latest(2_000)
        self.open: list[Delivery] = []
        self.waiting: list[tuple[Record, float]] = []
        self._present: dict[str, int] = {}
        self._went: dict[str, tuple[int, int]] = {}
        self._delivered = 0
        self._rounds: Latest[str, Round] = Latest(2_000)
        self._sessions: dict[str, str] = {}

    def nick_of(self, real: str) -> str | None:
        return next((nick for nick, each in self.people.items() if each == real), None)

    def comes(self, session: str, nick: str) -> bool:
        """Whether it is the first sign of somebody. Who was there before may have changed their nick or state only."""
        real = bare(session)
        is_new = real not in self._present
        self._sessions[session] = nick
        self.people[nick] = real
        self._present.setdefault(real, self._delivered)
        self._went.pop(real, None)
        return is_new

    def which(self, what: str, session: str, now: float, *, is_late: bool) -> tuple[int, int]:
        """Which of equal messages a copy is of, where no id tells: of those whose copies come just now, as many as
        that session got; of history the first."""
        found = self._rounds.get(what) or Round()
        if not is_late and now - found.last > HOLD:
            found = Round(found.number + 1)
        self._rounds[what] = found
        if is_late:
            return max(1, found.number), 1
        found.last = now
        found.got[session] = found.got.get(session, 0) + 1
        return found.number, found.got[session]

    def goes(self, nick: str, session: str | None) -> Leaving | None:
        """None where they have another session there, or weren't known. `session` only where it is theirs."""
        real = self.people.get(nick) or (bare(session) if session else None)
        if session is not None:
            self._sessions.pop(session, None)
        else:
            self._sessions = {full: each for full, each in self._sessions.items() if each != nick}
        if nick not in self._sessions.values():
            self.people.pop(nick, None)
        if real is None or real in self._went or real in map(bare, self._sessions):
            return None
        since = self._present.pop(real, self._delivered)
        last, before = self._delivered, None
        if session is not None:  # their own client has got all that it got before
            got = max((each.number for each in self.open if real in each.receivers), default=since)
            if (missed := next((each for each in self.open if each.number > max(got, since)), None)) is not None:
                last, before = missed.number - 1, missed.at
        self._went[real] = since, last
        return Leaving(real, before)

    def renames(self, old: str, new: str) -> str | None:
        real = self.people.pop(old, None)
        if real is not None:
            self.people[new] = real
            self._sessions = {full: new if nick == old else nick for full, nick in self._sessions.items()}
        return real

    def is_self(self, nick: str, session: str) -> bool:
        return self._sessions.get(session) == nick

    def delivers(self, once: str, at: int, until: float) -> Delivery:
        """A message that shows who is there."""
        self._delivered += 1
        delivery = self.said[once] = Delivery(self._delivered, at, is_late=False, until=until)
        self.open.append(delivery)
        return delivery

    def got(self, session: str, delivery: Delivery) -> bool:
        """A copy came to them. Whether nothing before showed that they were there, nor does it with the message."""
        real = bare(session)
        delivery.receivers.add(real)
        if real in self._went and self._went[real][1] >= delivery.number:
            return False
        self._went.pop(real, None)
        if self._present.get(real, delivery.number) < delivery.number:
            return False
        self._present[real] = delivery.number - 1
        return delivery.record is None

    def settle(self, delivery: Delivery) -> Iterator[Absence]:
        """Of the eldest that is open: whoever was there before it, as it seemed, and didn't get it had left."""
        self.open.remove(delivery)
        number = delivery.number
        here = [real for real, since in self._present.items() if since < number]
        gone = [real for real, (since, last) in self._went.items() if since < number <= last]
        for real in [each for each in here + gone if each not in delivery.receivers]:
            back = next((each for each in self.open if real in each.receivers), None)
            yield Absence(self.nick_of(real), real, back)
            if real in self._went:
                last = self._went[real][1]
                self._went[real] = (last if back is None else back.number - 1), last
            elif back is not None:
                self._present[real] = back.number - 1
            else:
                self._forget(real, number - 1)
        delivery.receivers.clear()

    def _forget(self, real: str, since: int) -> None:
        del self._present[real]
        self._went[real] = since, since
        self.people = {nick: each for nick, each in self.people.items() if each != real}
        self._sessions = {full: nick for full, nick in self._sessions.items() if bare(full) != real}
