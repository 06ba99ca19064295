"""Records -> events: what a server's module saw, told as importing that server's archive tells it.

Room happenings are told by what the module says of them, stanzas by `importers.xmpp`, whichever way they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from xml.etree.ElementTree import Element

from archiver.events import (
    ENDED,
    INVITED,
    JOINED,
    LEFT,
    POLL_OPENED,
    POLL_VOTED,
    RENAMED,
    STARTED,
    Event,
    Kind,
    Participant,
    Place,
    Poll,
    any_of,
)
from archiver.exceptions import EventError
from archiver.importers import xmlfile
from archiver.importers.protocol import Options, Reading
from archiver.importers.xmpp.archive import Archive, content_of
from archiver.importers.xmpp.meaning import Meaning
from archiver.importers.xmpp.memory import Memory
from archiver.importers.xmpp.said import Said, fingerprint, lasting
from archiver.importers.xmpp.stanza import Envelope, bare, domain, origin, resource
from archiver.sources.xmpp.record import Person, Record

_NOTHING = Element("nothing")
_WHILE = 5
"""Seconds in which a server archives what it delivers."""


class Telling:
    """`conferences` are patterns of hosts whose rooms are web conferences."""

    def __init__(self, memory: Memory, conferences: Sequence[str], reading: Reading) -> None:
        self._conferences = any_of(conferences) if conferences else None
        self._memory = memory
        self._reading = reading
        self._meaning = Meaning(memory, reading.ignored)

    def events(self, record: Record) -> Iterator[Event]:
        """Raises `EventError` for what can't be meant."""
        return _MADE[record.kind](self, record)

    # What was said

    def _message(self, record: Record) -> Iterator[Event]:
        """Whatever it looks like: that it isn't from a room is the server's word."""
        return Archive(Options(), self._reading, self._memory).between_two(self._owned(record))

    def _archived(self, record: Record) -> Iterator[Event]:
        if record.key is None:
            raise EventError("archived without a key")
        if record.owner is not None and record.room is None:
            return self._message(record)
        archive = Archive(Options(), self._reading, self._memory, self._kind(bare(record.room)))
        if record.owner is not None:
            envelope = self._owned(record)
            there = "from" if bare(envelope.stanza.get("from")) == bare(record.room) else "to"
            known = self._memory.recall("told", bare(record.room), record.key)
            if known or self._has_whispered(record, envelope, there):
                return iter(())  # live, when it was known to whom
            return archive.between_two(envelope, there)
        room, real = self._place(record).id, bare(record.jid) or None
        if self._memory.recall("told", room, record.key):
            return iter(())  # live, when more was known of who said it
        return archive.events(Envelope(_stanza(record), record.time, record.key, room, room, record.nick, real))

    def _owned(self, record: Record) -> Envelope:
        if domain(bare(record.owner)) != record.host.lower():
            raise EventError("the owner is of another host")
        return Envelope(_stanza(record), record.time, record.key or record.id, bare(record.owner))

    def _in_room(self, record: Record) -> Iterator[Event]:
        place, stanza, key = self._place(record), _stanza(record), record.key or record.id
        actor = self._participant(record, record.who, place) if record.who else None
        author = actor.address if actor is not None else ""
        self._told(place, record.key)
        identity = record.key or self._given(stanza, place, author) or record.id
        return self._meaning.of(Said(stanza, record.time, _source(record), place, key, identity, actor, author))

    def _told(self, place: Place, key: str | None) -> None:
        """So that the archive, which knows less of it, doesn't tell it again."""
        if key is not None:
            self._memory.note("1", "told", place.id, key)

    def _given(self, stanza: Element, place: Place, author: str) -> str | None:
        """What a message is referred to by where the room gives it no id: the sender's, unless it is another's."""
        given = origin(stanza)
        known = self._memory.recall("author", place.id, given) if given else None
        return given if known in (None, fingerprint(author)) else None

    def _private(self, record: Record) -> Iterator[Event]:
        """XEP-0045, 7.5: between two of a room, whom nobody else hears."""
        place, stanza = self._place(record), _stanza(record)
        actor, to = (self._participant(record, each, place) for each in (record.who, record.to))
        kept_as = record.key or record.id
        key = lasting(self._memory, stanza, actor.address, place.id, kept_as) or f"{actor.address}/{kept_as}"
        identity, source = origin(stanza) or record.id, _source(record)
        self._told(place, record.key)
        now = _while(record)
        for ends in ((bare(record.jid), record.to_nick), (record.nick, bare(record.to_jid))):
            self._memory.note("1", "whispered", place.id, *_whisper(stanza, *ends), str(now))
        return self._meaning.of(Said(stanza, record.time, source, place, key, identity, actor, actor.address, (to,)))

    def _has_whispered(self, record: Record, envelope: Envelope, there: str) -> bool:
        """Whether live capture told it, at about that time. Each side's archive has it under an id of its own, and a
        client's ids may come again; but nobody says the same by the same id to the same within so short a while."""
        nick, owner = resource(envelope.stanza.get(there)), bare(record.owner)
        whisper = _whisper(envelope.stanza, *((nick, owner) if there == "from" else (owner, nick)))
        near = (_while(record) + each for each in (0, -1, 1))
        return any(self._memory.recall("whispered", bare(record.room), *whisper, str(each)) for each in near)

    # What happened in a room

    def _joined(self, record: Record) -> Iterator[Event]:
        yield self._happening(record, record.who).event(JOINED)

    def _left(self, record: Record) -> Iterator[Event]:
        yield self._happening(record, record.who).event(LEFT, reason=record.reason)

    def _kicked(self, record: Record) -> Iterator[Event]:
        said = self._happening(record, record.by if record.by else None)
        yield said.event(LEFT, subject=self._participant(record, record.who, said.place), reason=record.reason)

    def _renamed(self, record: Record) -> Iterator[Event]:
        said = self._happening(record, record.who)
        new = Person(record.new_nick, record.jid, record.name, record.account)
        yield said.event(RENAMED, subject=self._participant(record, new, said.place))

    def _invited(self, record: Record) -> Iterator[Event]:
        if not record.to_jid:
            raise EventError("an invitation of nobody")
        said = self._happening(record, record.who if record.who else None)
        yield said.event(INVITED, subject=Participant(bare(record.to_jid)), reason=record.reason)

    def _created(self, record: Record) -> Iterator[Event]:
        """A room that is made is no conversation's beginning, a meeting is."""
        said = self._happening(record, None)
        if said.place.kind == "conference":
            yield said.event(STARTED)

    def _destroyed(self, record: Record) -> Iterator[Event]:
        said = self._happening(record, None)
        if said.place.kind == "conference":
            yield said.event(ENDED, reason=record.reason)

    def _poll_opened(self, record: Record) -> Iterator[Event]:
        poll = Poll(_poll(record), question=record.question, options=record.options)
        yield self._happening(record, record.who).event(POLL_OPENED, poll=poll)

    def _voted(self, record: Record) -> Iterator[Event]:
        poll = Poll(_poll(record), choice=record.choice or ())
        yield self._happening(record, record.who).event(POLL_VOTED, poll=poll)

    def _happening(self, record: Record, who: Person | None) -> Said:
        place, key = self._place(record), record.key or record.id
        actor = self._participant(record, who, place) if who is not None else None
        self._told(place, record.key)
        return Said(_NOTHING, record.time, _source(record), place, key, key, actor, "")

    # Where and by whom

    def _place(self, record: Record) -> Place:
        room = bare(record.room)
        if domain(room) != record.host.lower() or "@" not in room:
            raise EventError("the room is none of its host's")
        kind = self._kind(room)
        place = Place(room, kind, session=record.session if kind == "conference" else None)
        if record.occupants is None:
            return place
        people = tuple(self._participant(record, each, place) for each in record.occupants)
        return Place(room, kind, session=place.session, participants=people)

    def _kind(self, room: str) -> Kind:
        found = self._conferences is not None and self._conferences.fullmatch(domain(room)) is not None
        return "conference" if found else "group"

    def _participant(self, record: Record, who: Person, place: Place) -> Participant:
        """By their own address, which others in a room that doesn't tell it aren't shown.

        In a conference nicks are made up by the client, and people are called by a name they gave.
        """
        is_meeting = place.kind == "conference"
        name = (who.name if is_meeting else None) or who.nick or None
        if is_meeting and who.account:
            return Participant(who.account, name, hidden=not record.public)
        if who.jid:
            return Participant(bare(who.jid), name, hidden=not record.public)
        if not who.nick:
            raise EventError("nothing says who it was")
        return Participant(f"{place.id}/{who.nick}", name)


def _source(record: Record) -> str:
    return f"xmpp:{record.host.lower()}"


def _while(record: Record) -> int:
    return int(record.time.timestamp()) // _WHILE


def _whisper(stanza: Element, by: str | None, to: str | None) -> Iterator[str]:
    """What both sides' archives have of a private message; they keep it with its namespace or without."""
    yield from (by or "", to or "", origin(stanza) or "")
    yield from (each.removeprefix("{jabber:client}") for each in content_of(stanza))


def _poll(record: Record) -> str:
    if record.poll is None:
        raise EventError(f"{record.kind} without a poll")
    return record.poll


def _stanza(record: Record) -> Element:
    """Entities, DTDs and what is too large or too deep are refused."""
    if record.stanza is None:
        raise EventError(f"{record.kind} without a stanza")
    try:
        return xmlfile.element(record.stanza)
    except xmlfile.Broken as fault:
        raise EventError(str(fault)) from fault


_MADE: dict[str, Callable[[Telling, Record], Iterator[Event]]] = {
    "message": Telling._message,
    "archived": Telling._archived,
    "room-message": Telling._in_room,
    "room-private": Telling._private,
    "room-invite": Telling._invited,
    "room-join": Telling._joined,
    "room-leave": Telling._left,
    "room-kick": Telling._kicked,
    "room-rename": Telling._renamed,
    "room-poll": Telling._poll_opened,
    "room-vote": Telling._voted,
    "room-created": Telling._created,
    "room-destroyed": Telling._destroyed,
}
