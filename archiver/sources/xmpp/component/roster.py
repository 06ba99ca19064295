"""Who is in a room, as far as copies of what its occupants get show it. In memory: a connection begins with nothing.

A room tells each occupant in a copy of their own. Whoever got one was there, and whoever got none wasn't: that is surer
than presences, which nobody gets of an occupant who is the last to drop off, or that came while nobody listened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from msgspec import Struct

from archiver.importers.xmpp.stanza import bare
from archiver.sources.xmpp.record import Record

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


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


class Absence(Struct, frozen=True):
    """Somebody who didn't get a message, and the next that they did get."""

    nick: str | None
    real: str
    back: Delivery | None


class Room:
    """`people` are real addresses by nick; who is `present` came when so many messages had been delivered."""

    def __init__(self) -> None:
        self.people: dict[str, str] = {}
        self.said: Latest[str, Delivery] = Latest(2_000)
        self.open: list[Delivery] = []
        self.waiting: list[tuple[Record, float]] = []
        self._present: dict[str, int] = {}
        self._went: dict[str, int] = {}
        self._delivered = 0
        self._counted: Latest[tuple[str, str], int] = Latest(10_000)
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

    def count(self, what: str, session: str) -> int:
        """How often they got the same: each time it is another, where no id tells."""
        number = self._counted.get((what, session), 0) + 1
        self._counted[what, session] = number
        return number

    def goes(self, nick: str, session: str | None) -> str | None:
        """Who left; None where they have another session there, or weren't known. `session` only where it is theirs."""
        real = self.people.get(nick) or (bare(session) if session else None)
        if session is not None:
            self._sessions.pop(session, None)
        else:
            self._sessions = {full: each for full, each in self._sessions.items() if each != nick}
        if real is None or real in self._went or real in map(bare, self._sessions):
            return None
        self.people.pop(nick, None)
        self._went[real] = self._delivered
        self._present.pop(real, None)
        return real

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
        """A copy came to them. Whether that is the first sign of their being there, and isn't told with the message."""
        real = bare(session)
        delivery.receivers.add(real)
        if self._went.get(real, -1) >= delivery.number:
            return False
        self._went.pop(real, None)
        if real in self._present:
            return False
        self._present[real] = delivery.number
        return delivery.record is None

    def settle(self, delivery: Delivery) -> Iterator[Absence]:
        """Of the eldest that is open: whoever was there before it, as it seemed, and didn't get it had left."""
        self.open.remove(delivery)
        for real in [each for each, since in self._present.items() if since < delivery.number]:
            if real in delivery.receivers:
                continue
            back = next((each for each in self.open if real in each.receivers), None)
            yield Absence(self.nick_of(real), real, back)
            if back is not None:
                self._present[real] = back.number
            else:
                self._forget(real, delivery.number - 1)
        delivery.receivers.clear()

    def _forget(self, real: str, since: int) -> None:
        del self._present[real]
        self._went[real] = since
        self.people = {nick: each for nick, each in self.people.items() if each != real}
        self._sessions = {full: nick for full, nick in self._sessions.items() if bare(full) != real}
