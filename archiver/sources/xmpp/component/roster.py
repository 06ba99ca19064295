"""Who is in a room, as far as copies of what its occupants get show it. In memory: a connection begins with nothing.

A room tells each occupant in a copy of their own. Whoever got one was there: that is surer than presences, which
nobody gets of an occupant who is the last to drop off, or that came while nobody listened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from archiver.importers.xmpp.stanza import bare
from archiver.sources.xmpp.record import Person, Record

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


class Held:
    """A room's first message since the connection, kept until everybody's copy of it may be taken to have come."""

    def __init__(self, record: Record, until: float) -> None:
        self.record = record
        self.until = until
        self.receivers: set[str] = set()


class Room:
    """`people` are real addresses by nick, `present` is None until a message showed who is there."""

    def __init__(self) -> None:
        self.people: dict[str, str] = {}
        self.present: set[str] | None = None
        self.first: Held | None = None
        self.said: Latest[str, tuple[int, bool]] = Latest(2_000)
        self._counted: Latest[tuple[str, str], int] = Latest(10_000)
        self.waiting: list[tuple[Record, float]] = []
        self._sessions: dict[str, str] = {}
        self._shown: Latest[str, set[str]] = Latest(1_000)
        self._came: set[str] = set()
        self._went: set[str] = set()

    def nick_of(self, real: str) -> str | None:
        return next((nick for nick, each in self.people.items() if each == real), None)

    def comes(self, session: str, nick: str) -> bool:
        """Whether it is somebody's first session there."""
        real = bare(session)
        is_new = real not in map(bare, self._sessions)
        self._sessions[session] = nick
        self.people[nick] = real
        self._came.add(real)
        self._went.discard(real)
        if self.present is not None:
            self.present.add(real)
        return is_new

    def shows(self, session: str, nick: str) -> None:
        """Somebody is shown to one who is about to come."""
        if session not in self._sessions:
            self._shown.setdefault(session, set()).add(nick)

    def not_shown(self, session: str, nick: str) -> list[str]:
        """Whom we took for present, and who comes didn't find there."""
        if session in self._sessions:
            return []
        found = self._shown.pop(session, set())
        return [each for each in self.people if each != nick and each not in found]

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
        self._went.add(real)
        self._came.discard(real)
        if self.present is not None:
            self.present.discard(real)
        return real

    def renames(self, old: str, new: str) -> str | None:
        real = self.people.pop(old, None)
        if real is not None:
            self.people[new] = real
            self._sessions = {full: new if nick == old else nick for full, nick in self._sessions.items()}
        return real

    def is_self(self, nick: str, session: str) -> bool:
        return self._sessions.get(session) == nick

    def got(self, session: str) -> bool:
        """A message's copy came to them. Whether that is the first sign of their being there."""
        real = bare(session)
        if self.present is None or real in self.present:
            return False
        self.present.add(real)
        self._went.discard(real)
        return True

    def settle(self, held: Held) -> tuple[Person, ...]:
        """Everybody that the first message came to, who are those present then."""
        self.present = (held.receivers | self._came) - self._went
        self.first = None
        return tuple(Person(self.nick_of(real), real) for real in sorted(held.receivers))
