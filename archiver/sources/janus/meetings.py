"""Notices -> events of conferences. A meeting begins when somebody comes into an empty room, and ends with the last.

What is said comes at once, what else happens a while later (Janus tries again for as long as an outage lasts): so a
message may open a meeting, and one that was said after everybody seemed to have left shows that the meeting goes on.
Whatever is told twice gives the same ids: they are made of Janus' own times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archiver.events import (
    ENDED,
    JOINED,
    LEFT,
    SECOND,
    SENT,
    STARTED,
    Data,
    Event,
    Message,
    Participant,
    Place,
    any_of,
    moment,
)
from archiver.sources.janus.notices import TEXT, Notice, Room, Roster, Said, heard_at
from archiver.sources.janus.remembering import Meeting, Person, Remembered

SCREEN_SHARED, SCREEN_UNSHARED = "screen.shared", "screen.unshared"
SILENCE = 4 * 3600 * SECOND
"""In a room that everybody has left, nothing this long after the last message belongs to that meeting."""
NAMES: dict[str, Callable[[Notice], str | None]] = {
    "name": lambda notice: notice.who if notice.plugin == TEXT else notice.display,
    "id": lambda notice: notice.who,
    "display": lambda notice: notice.display,
    "opaque_id": lambda notice: notice.opaque,
}
"""What may stand for somebody's address; where it isn't given, what the room knows them by."""


class Custom(Struct, frozen=True):
    """What names people, whether rooms of one number are one conference, and what streams of screens are called."""

    people: str = "name"
    together: bool = False
    screens: tuple[str, ...] = ("*screen*",)


class Difference(Struct, frozen=True):
    """Somebody is in a room without our knowing, or isn't `there` although nothing said so."""

    room: Room
    who: str
    display: str | None
    there: bool


class Meetings:
    """One delivery's worth: `lost` counts what is known to have happened and was never told.

    `topic` says what a room of a plugin is called, None where it isn't known.
    """

    def __init__(
        self,
        source: str,
        memory: Remembered,
        custom: Custom,
        topic: Callable[[str, str], str | None] = lambda plugin, room: None,
    ) -> None:
        self.lost = 0
        self._source = source
        self._memory = memory
        self._custom = custom
        self._topic = topic
        self._screens = any_of(each.lower() for each in custom.screens)

    def take(self, notice: Notice) -> Iterator[Event]:
        match notice.what:
            case "joined":
                yield from self._join(notice)
            case "published" | "unpublished":
                yield from self._publish(notice)
            case "left" | "kicked":
                yield from self._leave(notice)
            case "detached":
                for person in self._memory.by_handle(notice.handle):
                    yield from self._part([person], person.place, notice)
            case "destroyed":
                place = self._place(notice.plugin, notice.room)
                here = [each for each in self._here(place, notice) if each.plugin == notice.plugin]
                yield from self._part(here, place, notice, "the room was destroyed")
            case "started" | "shutdown":  # nobody is left
                for place in self._memory.places():
                    yield from self._part(self._here(place, notice), place, notice, "the server was stopped")

    def knows(self, said: Said) -> bool:
        """Whether it is known who says it, as far as it ever will be."""
        return said.who is None or self._memory.person(self._place(TEXT, said.room), TEXT, said.who) is not None

    def hear(self, said: Said, received: int) -> Event:
        """A message has no id of its own. A room gives one after the other: its time is unlike any other's."""
        place = self._place(TEXT, said.room)
        at = heard_at(said, received)
        meeting = self._meeting(place, at)
        at = max(at, meeting.said + 1)
        self._memory.hold(replace(meeting, said=at, last=max(meeting.last, at)))
        actor = None if said.who is None else self._speaker(place, said.who)
        to = None if said.to is None else tuple(_participant(self._known(place, who)) for who in said.to)
        if to == () and actor is not None:  # nothing says who may see it: then nobody else does
            to = (actor,)
        identity = f"{place}/{meeting.session}/{at}"
        message = Message(id=identity, text=said.text, to=to)
        return self._event(meeting, identity, SENT, at, actor=actor, message=message)

    # Who comes and goes

    def _join(self, notice: Notice) -> Iterator[Event]:
        place = self._place(notice.plugin, notice.room)
        meeting = self._meeting(place, notice.time)
        if not meeting.started:  # also where something was said already: that comes at once, and this only now
            meeting = replace(meeting, started=True, topic=self._topic(notice.plugin, notice.room))
            yield self._event(meeting, f"{place}/{meeting.session}/started", STARTED, notice.time)
        known = self._memory.person(place, notice.plugin, notice.who)
        if known is not None and known.handle not in (0, notice.handle):
            self.lost += 1  # they must have left meanwhile
            yield from () if known.gone else self._go(known, meeting, notice, None)
        address = NAMES[self._custom.people](notice) or notice.who
        person = Person(place, notice.plugin, notice.who, address, notice.display, notice.handle)
        yield from self._come(person, meeting, notice)
        self._memory.hold(_later(meeting, notice.time))

    def _come(self, person: Person, meeting: Meeting, notice: Notice) -> Iterator[Event]:
        is_here = self._is_here(person)
        self._memory.put(person)
        if not is_here:
            yield self._told(meeting, notice, JOINED, person)

    def _leave(self, notice: Notice) -> Iterator[Event]:
        place = self._place(notice.plugin, notice.room)
        person = self._memory.person(place, notice.plugin, notice.who)
        if person is not None:
            self.lost += not person.handle
            yield from self._part([person], place, notice, "kicked" if notice.what == "kicked" else None)
        elif self._memory.meeting(place) is not None:
            self.lost += 1

    def _part(self, people: Iterable[Person], place: str, notice: Notice, reason: str | None = None) -> Iterator[Event]:
        """They leave, and with the last of all the meeting ends, unless something was said in it later."""
        meeting = self._memory.meeting(place)
        if meeting is None:
            return
        for person in people:
            yield from self._go(person, meeting, notice, reason)
        if self._memory.people(place):
            self._memory.hold(_later(meeting, notice.time))
        elif meeting.said <= notice.time:
            self.lost += len(self._memory.gone(place))
            self._memory.end(place)
            yield self._event(meeting, f"{place}/{meeting.session}/ended", ENDED, notice.time)

    def _here(self, place: str, notice: Notice) -> list[Person]:
        """Not those who came after it, of whom nothing but what they said is known yet."""
        meeting = self._memory.meeting(place)
        goes_on = meeting is not None and meeting.said > notice.time
        return [each for each in self._memory.people(place) if each.sure or not goes_on]

    def _go(self, person: Person, meeting: Meeting, notice: Notice, reason: str | None) -> Iterator[Event]:
        self._memory.remove(person)
        if person.screen:
            yield self._told(meeting, notice, SCREEN_UNSHARED, person)
        if not self._is_here(person):
            yield self._told(meeting, notice, LEFT, person, reason=reason)

    def _is_here(self, person: Person) -> bool:
        """Whether they are, by another way too: another window, the other plugin's room."""
        others = (each for each in self._memory.people(person.place) if each.address == person.address and each.sure)
        return any((each.plugin, each.who) != (person.plugin, person.who) for each in others)

    # Who is there, and who isn't

    def rooms(self) -> list[Room]:
        """Where somebody should be."""
        known = {(each.place, each.plugin) for place in self._memory.places() for each in self._memory.people(place)}
        return [Room(place, plugin, self._room(place)) for place, plugin in sorted(known)]

    def differing(self, roster: Roster) -> Iterator[Difference]:
        room = roster.room
        here = {each.who: each for each in self._memory.people(room.place) if each.plugin == room.plugin}
        for who in here.keys() - roster.people.keys():
            yield Difference(room, who, None, there=False)
        for who, display in roster.people.items():
            if who not in here or not here[who].sure:
                yield Difference(room, who, display, there=True)

    def correct(self, difference: Difference, at: int) -> Iterator[Event]:
        """What was told, or would have been, of who came or left: it may still come, and then tells since when."""
        room = difference.room
        notice = Notice(
            what="joined", time=at, plugin=room.plugin, room=room.room, who=difference.who, display=difference.display
        )
        person = self._memory.person(room.place, room.plugin, difference.who)
        if difference.there and self._custom.people != "opaque_id":  # which isn't told
            yield from self._join(notice)
        elif not difference.there and person is not None and not person.gone:
            yield from self._part([person], room.place, notice, "no longer there")
            if self._memory.meeting(room.place) is not None:
                self._memory.put(replace(person, gone=True, screen=False))
            else:
                self.lost += 1

    # What they do

    def _publish(self, notice: Notice) -> Iterator[Event]:
        place = self._place(notice.plugin, notice.room)
        meeting, person = self._memory.meeting(place), self._memory.person(place, notice.plugin, notice.who)
        if meeting is None or person is None:
            return
        now = replace(self._called(person, notice), screen=self._shows_screen(notice))
        if now.address != person.address:  # no renaming: it may be the name of somebody else who is there
            yield from self._go(person, meeting, notice, None)
            yield from self._come(now, meeting, notice)
            person = replace(person, screen=False)
        self._memory.put(now)
        if now.screen != person.screen:
            yield self._told(meeting, notice, SCREEN_SHARED if now.screen else SCREEN_UNSHARED, now)

    def _called(self, person: Person, notice: Notice) -> Person:
        """Who publishes may say anew by what name."""
        if notice.display is None:
            return person
        named = NAMES[self._custom.people](notice) if self._custom.people in ("name", "display") else None
        return replace(person, name=notice.display, address=named or person.address)

    def _shows_screen(self, notice: Notice) -> bool:
        named = [each.lower() for each in notice.streams if each]
        return notice.what == "published" and any(map(self._screens.fullmatch, named))

    def _speaker(self, place: str, who: str) -> Participant:
        known = self._known(place, who)
        if self._memory.person(place, TEXT, who) is None:
            self._memory.put(known)
        return _participant(known)

    def _known(self, place: str, who: str) -> Person:
        """Somebody of a TextRoom; where nothing said yet that they came, by the name that the room has."""
        return self._memory.person(place, TEXT, who) or Person(place, TEXT, who, who, sure=False)

    # Places, meetings and events

    def _room(self, place: str) -> str:
        return place if self._custom.together else place.partition("/")[2]

    def _place(self, plugin: str, room: str) -> str:
        return room if self._custom.together else f"{plugin}/{room}"

    def _meeting(self, place: str, at: int) -> Meeting:
        """The one that is on, or one that begins now."""
        meeting = self._memory.meeting(place)
        if meeting is not None and not self._is_over(meeting, at):
            return meeting
        self._memory.end(place)
        return Meeting(place, str(at), at)

    def _is_over(self, meeting: Meeting, at: int) -> bool:
        return at - meeting.last > SILENCE and not any(each.sure for each in self._memory.people(meeting.place))

    def _told(
        self, meeting: Meeting, notice: Notice, type_: str, person: Person, reason: str | None = None, **more: Any
    ) -> Event:
        """By whom it is about, or, where it was done to them for a `reason`, about them."""
        about = {"actor": _participant(person)} if reason is None else {"subject": _participant(person)}
        identity = f"{meeting.place}/{notice.time}/{person.plugin}/{person.who}/{type_}"
        return self._event(meeting, identity, type_, notice.time, reason=reason, **about | more)

    def _event(self, meeting: Meeting, identity: str, type_: str, at: int, **data: Any) -> Event:
        place = Place(id=meeting.place, kind="conference", topic=meeting.topic, session=meeting.session)
        return Event(self._source, identity, type_, moment(at), Data(conversation=place, **data))


def _later(meeting: Meeting, at: int) -> Meeting:
    return replace(meeting, last=max(meeting.last, at))


def _participant(person: Person) -> Participant:
    return Participant(address=person.address, name=person.name)
