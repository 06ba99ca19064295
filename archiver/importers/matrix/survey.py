"""A first look over a file of Matrix events: what rooms were called when, who came, what edits and redactions mean.

Files run oldest first or newest first, so that what was true before an event may stand behind it. Takes memory for a
room's state, its edits and its redactions, never for its messages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import nextafter
from typing import Generic, TypeVar

from msgspec import Struct

from archiver.events import History, Kind, Participant, Place
from archiver.importers.matrix.event import MESSAGES, Line, inner, server, text
from archiver.importers.matrix.poll import Question, question_of

T = TypeVar("T")
PARTIES = 2
_CAME = frozenset(("join", "invite", "leave", "ban"))
"""Who left, or was sent away, had come."""


class Past(Generic[T]):
    """What one thing was when."""

    def __init__(self) -> None:
        self._noted: list[tuple[float, T]] = []
        self._sorted = True

    def note(self, at: float, value: T) -> None:
        self._sorted = self._sorted and (not self._noted or self._noted[-1][0] <= at)
        self._noted.append((at, value))

    def at(self, at: float) -> T | None:
        """The last until then; before the first of all, nothing."""
        return self._last(bisect_right(self._settled(), at, key=_when))

    def before(self, at: float) -> T | None:
        return self._last(bisect_left(self._settled(), at, key=_when))

    def around(self, at: float) -> T | None:
        """The last until then, else the first of all: a name that somebody has later is better than none."""
        return self._last(max(bisect_right(self._settled(), at, key=_when), 1)) if self._noted else None

    @property
    def last(self) -> tuple[float, T]:
        """With when it began; to be asked only of what was noted."""
        return self._settled()[-1]

    def _last(self, count: int) -> T | None:
        return self._noted[count - 1][1] if count else None

    def _settled(self) -> list[tuple[float, T]]:
        if not self._sorted:
            self._noted.sort(key=_when)
            self._sorted = True
        return self._noted


def _when(noted: tuple[float, object]) -> float:
    return noted[0]


class Meant(Struct, frozen=True):
    """An event that an edit or a redaction speaks of: as much as is needed to say what that does."""

    type: str
    sender: str
    is_edit: bool
    target: str
    key: str


class Room:
    """What is known of one room."""

    def __init__(self, identity: str, title: str | None) -> None:
        self.id = identity
        self.names: Past[str] = Past()
        self.topics: Past[str] = Past()
        self.direct = False
        self.encrypted = False
        self.predecessor = ""
        """The room that this one replaces."""
        self._creator = ""
        self._title = title
        self._visibility: Past[str] = Past()
        self._memberships: dict[str, Past[str]] = {}
        self._called: dict[str, Past[str]] = {}
        self._people: set[str] = set()
        self._is_whole = False

    def note(self, line: Line) -> None:
        at = line.origin_server_ts
        if line.type in MESSAGES and line.sender:
            self._people.add(line.sender)
        elif line.state_key is None or line.is_forged:
            return
        elif line.type == "m.room.member":
            self._note_member(line, line.state_key, at)
        elif line.type == "m.room.create":
            self._is_whole, self._creator = True, line.sender
            self.predecessor = text(inner(line.content, "predecessor"), "room_id")
        elif line.type == "m.room.encryption":
            self.encrypted = True
        elif line.type == "m.room.name":
            self.names.note(at, line.text("name"))
        elif line.type == "m.room.topic":
            self.topics.note(at, line.text("topic"))
        elif line.type == "m.room.history_visibility":
            self._visibility.note(at, line.text("history_visibility"))

    def _note_member(self, line: Line, who: str, at: float) -> None:
        membership, before = line.text("membership"), inner(line.unsigned, "prev_content")
        self._memberships.setdefault(who, Past()).note(at, membership)
        if membership in _CAME:
            self._people.add(who)
            self.direct = self.direct or True in ((line.content or {}).get("is_direct"), before.get("is_direct"))
        # The name until then as well: the event that gave it may be from before all that is known.
        for when, name in ((nextafter(at, 0), text(before, "displayname")), (at, line.text("displayname"))):
            if name:
                self._called.setdefault(who, Past()).note(when, name)

    def membership_before(self, who: str, at: float) -> str | None:
        known = self._memberships.get(who)
        return known.before(at) if known is not None else None

    def members(self, since: float) -> list[str]:
        """Who is there, longest first, and then who was until some time since then."""
        last = sorted((past.last, who) for who, past in self._memberships.items())
        there = [who for (_, each), who in last if each == "join"]
        return there + [who for (at, each), who in last if each != "join" and at > since]

    def person(self, address: str, at: float) -> Participant:
        called = self._called.get(address)
        return Participant(address=address, name=called.around(at) if called is not None else None)

    def place(self, at: float) -> Place:
        """The room as it was then; both parties where it is one to one."""
        if self.kind == "im":
            parties = tuple(self.person(who, at) for who in sorted(self._people))
            return Place(id=self.id, kind="im", topic=self.topic(at), participants=parties)
        return Place(id=self.id, kind="group", topic=self.topic(at), history=self._history(at))

    def topic(self, at: float) -> str | None:
        title = self._title if self.names.around(at) is None else None
        return self.names.at(at) or title or self.topics.at(at) or None

    @property
    def kind(self) -> Kind:
        """One to one where it was begun as that, or has no name, and nobody but two ever came."""
        is_named = self._title is not None or self.names.at(float("inf"))
        pair = len(self._people) == PARTIES and (self.direct or not is_named)
        return "im" if pair else "group"

    @property
    def server(self) -> str:
        """Where it was made; rooms of version 12 have no server in their ids. "" where that isn't known."""
        return server(self.id) or server(self._creator)

    @property
    def is_shared(self) -> bool:
        """Whether members are shown, by what holds now, what was said before they came."""
        return self._history(float("inf")) == "members"

    def _history(self, at: float) -> History:
        """Shared where nothing else is said since the room began: specification, "Room history visibility".

        Of a room whose beginning isn't in the file that can't be known: then nobody sees more than they were there for.
        """
        visibility = self._visibility.around(at) or ("shared" if self._is_whole else "joined")
        return "members" if visibility in ("shared", "world_readable") else "present"


class Survey:
    """All rooms of a file, and what its edits and redactions speak of, by event id."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.meant: dict[str, Meant | None] = {}
        self.redactions: set[str] = set()
        self.polls: dict[str, Question] = {}
        self.lost: set[str] = set()
        """Messages that were taken away before anybody captured what they said."""

    def note(self, line: Line, room: Room) -> None:
        room.note(line)
        if room.predecessor in self.rooms and self.rooms[room.predecessor].direct:
            room.direct = True
        if line.redacted:
            self.redactions.add(line.event_id)
        if asked := question_of(line):
            self.polls[line.event_id] = asked
        if spoken_of := line.redacted or line.replaced:
            self.meant.setdefault(spoken_of, None)
        self.meet(line)

    def meet(self, line: Line) -> None:
        """Remember an event that another speaks of; again in the second reading, for one that came first."""
        if line.event_id in self.meant and self.meant[line.event_id] is None:
            relation = line.relation
            self.meant[line.event_id] = Meant(
                line.type, line.sender, bool(line.replaced), text(relation, "event_id"), text(relation, "key")
            )

    def room(self, identity: str, title: str | None) -> Room:
        if identity not in self.rooms:
            self.rooms[identity] = Room(identity, title)
        return self.rooms[identity]
