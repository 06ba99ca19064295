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
    RENAMED,
    STARTED,
    Event,
    Kind,
    Participant,
    Place,
    any_of,
)
from archiver.exceptions import EventError
from archiver.importers import xmlfile
from archiver.importers.protocol import Options, Reading
from archiver.importers.xmpp.archive import Archive
from archiver.importers.xmpp.meaning import Meaning
from archiver.importers.xmpp.memory import Memory
from archiver.importers.xmpp.said import Said, lasting
from archiver.importers.xmpp.stanza import Envelope, bare, domain, origin
from archiver.sources.xmpp.record import Record

_NOTHING = Element("nothing")


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
        kind = self._kind(bare(record.room))
        archive = Archive(Options(), self._reading, self._memory, kind)
        if record.owner is not None:
            envelope = self._owned(record)
            there = "from" if bare(envelope.stanza.get("from")) == bare(record.room) else "to"
            return archive.between_two(envelope, there)
        room, real = self._place(record).id, bare(record.jid) or None
        return archive.events(Envelope(_stanza(record), record.time, record.key, room, room, record.nick, real))

    def _owned(self, record: Record) -> Envelope:
        if domain(bare(record.owner)) != record.host.lower():
            raise EventError("the owner is of another host")
        return Envelope(_stanza(record), record.time, record.key or record.id, bare(record.owner))

    def _in_room(self, record: Record) -> Iterator[Event]:
        place, key = self._place(record), record.key or record.id
        actor = self._who(record, record.nick, record.jid) if record.nick or record.jid else None
        author = actor.address if actor is not None else ""
        return self._meaning.of(self._said(record, place, key, key, actor, author))

    def _private(self, record: Record) -> Iterator[Event]:
        """XEP-0045, 7.5: between two of a room, whom nobody else hears."""
        place = self._place(record)
        actor, to = self._who(record, record.nick, record.jid), self._who(record, record.to_nick, record.to_jid)
        stanza = _stanza(record)
        given = origin(stanza) or record.id
        key = lasting(stanza, actor.address) or f"{actor.address}/{record.key or record.id}"
        return self._meaning.of(self._said(record, place, key, given, actor, actor.address, (to,)))

    # What happened in a room

    def _joined(self, record: Record) -> Iterator[Event]:
        yield self._happening(record, self._actor(record)).event(JOINED)

    def _left(self, record: Record) -> Iterator[Event]:
        yield self._happening(record, self._actor(record)).event(LEFT, reason=record.reason)

    def _kicked(self, record: Record) -> Iterator[Event]:
        by = self._who(record, record.by_nick, record.by_jid) if record.by_nick or record.by_jid else None
        said = self._happening(record, by)
        yield said.event(LEFT, subject=self._actor(record), reason=record.reason)

    def _renamed(self, record: Record) -> Iterator[Event]:
        new = self._who(record, record.new_nick, record.jid)
        yield self._happening(record, self._actor(record)).event(RENAMED, subject=new)

    def _invited(self, record: Record) -> Iterator[Event]:
        if not record.to_jid:
            raise EventError("an invitation of nobody")
        by = self._who(record, record.nick, record.jid) if record.nick or record.jid else None
        guest = Participant(bare(record.to_jid))
        yield self._happening(record, by).event(INVITED, subject=guest, reason=record.reason)

    def _created(self, record: Record) -> Iterator[Event]:
        """A room that is made is no conversation's beginning, a meeting is."""
        place = self._place(record)
        if place.kind == "conference":
            yield self._said(record, place, record.id, record.id, None, "").event(STARTED)

    def _destroyed(self, record: Record) -> Iterator[Event]:
        place = self._place(record)
        if place.kind == "conference":
            yield self._said(record, place, record.id, record.id, None, "").event(ENDED, reason=record.reason)

    # Where and by whom

    def _place(self, record: Record) -> Place:
        room = bare(record.room)
        if domain(room) != record.host.lower() or "@" not in room:
            raise EventError("the room is none of its host's")
        kind, here = self._kind(room), record.occupants
        people = None if here is None else tuple(self._who(record, each.nick, each.jid) for each in here)
        return Place(room, kind, session=record.session if kind == "conference" else None, participants=people)

    def _kind(self, room: str) -> Kind:
        found = self._conferences is not None and self._conferences.fullmatch(domain(room)) is not None
        return "conference" if found else "group"

    def _actor(self, record: Record) -> Participant:
        return self._who(record, record.nick, record.jid)

    def _who(self, record: Record, nick: str | None, jid: str | None) -> Participant:
        """By their own address, which others in a room that doesn't tell it aren't shown."""
        if jid:
            return Participant(bare(jid), nick or None, hidden=not record.public)
        if not nick:
            raise EventError("nothing says who it was")
        return Participant(f"{bare(record.room)}/{nick}", nick)

    def _happening(self, record: Record, actor: Participant | None) -> Said:
        key = record.key or record.id
        return Said(_NOTHING, record.time, _source(record), self._place(record), key, key, actor, "")

    def _said(
        self,
        record: Record,
        place: Place,
        key: str,
        given: str,
        actor: Participant | None,
        author: str,
        to: tuple[Participant, ...] | None = None,
    ) -> Said:
        stanza = _stanza(record) if record.stanza is not None else _NOTHING
        return Said(stanza, record.time, _source(record), place, key, given, actor, author, to)


def _source(record: Record) -> str:
    return f"xmpp:{record.host.lower()}"


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
    "room-created": Telling._created,
    "room-destroyed": Telling._destroyed,
}
