"""Envelopes -> events: what a stanza means where it was said, and by which ids it is known.

A room's messages are known by the room's own stanza-id (XEP-0359). One to one, where each side's archive gives its
own, they are known by the sender's id where that is made never to repeat, else by the archive's. What is remembered is
bounded: who is in a room, and the last messages, for what refers to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from xml.etree.ElementTree import Element, tostring

from archiver.events import INVITED, JOINED, LEFT, RENAMED, Event, Kind, Participant, Place
from archiver.exceptions import EventError
from archiver.importers.protocol import Options, Reading
from archiver.importers.xmpp import stanza as look
from archiver.importers.xmpp.inviting import Invitation, invitations, is_declined
from archiver.importers.xmpp.meaning import Meaning
from archiver.importers.xmpp.memory import Memory, Recent
from archiver.importers.xmpp.said import Said, between, fingerprint, lasting
from archiver.importers.xmpp.stanza import DELAY, MUC_USER, Envelope, bare, core, resource

_SERVERS = frozenset(
    (
        "{urn:xmpp:sid:0}stanza-id",  # XEP-0359
        "{urn:xmpp:mam:tmp}archived",  # what that was before, which ejabberd still adds
        "{urn:xmpp:occupant-id:0}occupant-id",  # XEP-0421
        DELAY,
        f"{MUC_USER}x",
    )
)
_REMOVED = frozenset(("301", "307", "321", "322"))


class Archive:
    """Stanzas of one file, in their order; `kind` is that of its rooms."""

    def __init__(self, options: Options, reading: Reading, memory: Memory | None = None, kind: Kind = "group") -> None:
        self._kind = kind
        self._options = options
        self._reading = reading
        self._home = ""
        self._rooms: set[str] = set()
        self._present: dict[str, dict[str, str | None]] = {}
        self._memory = memory if memory is not None else Recent()
        self._meaning = Meaning(self._memory, reading.ignored)

    def events(self, envelope: Envelope) -> Iterator[Event]:
        """Raises `EventError` for what can't be meant."""
        stanza = envelope.stanza
        self._home = look.domain(envelope.owner or self._options.owner or "")
        is_room = envelope.room is not None or stanza.get("type") == "groupchat"
        if stanza.get("type") != "error" and look.kind(stanza) == "presence":
            return self._presence(envelope)
        if _nobodys(stanza) is None and is_room:
            return self._meaning.of(self._in_room(envelope))
        if _nobodys(stanza) is None and (invited := invitations(stanza, envelope.owner or "")):
            return self._invited(envelope, invited)
        if is_declined(stanza):
            return self._pass("invitations that were declined")
        return self.between_two(envelope, self._room_end(envelope))

    def between_two(self, envelope: Envelope, there: str | None = None) -> Iterator[Event]:
        """A message that isn't to all of a room; `there` is its end that is a room's occupant. Raises `EventError`."""
        passed = _nobodys(envelope.stanza)
        if passed is not None:
            return self._pass(passed)
        said = self._direct(envelope) if there is None else self._whispered(envelope, there)
        if self._is_copy(envelope, said):
            return self._pass("the other side's copies of a message")
        return self._meaning.of(said)

    # Where and by whom

    def _in_room(self, envelope: Envelope) -> Said:
        stanza, at = envelope.stanza, _at(envelope)
        sender = stanza.get("from")
        room = envelope.room or bare(sender)
        if not room:
            raise EventError("nothing says which room it was said in")
        self._rooms.add(room)
        nick = envelope.nick or (resource(sender) if bare(sender) == room else "")
        real = _real(stanza) or (envelope.real if envelope.real != room else None)
        actor = self._occupant(room, nick, real, envelope.room is not None)
        known = (envelope.identity if envelope.room else None) or look.stanza_id(stanza, room)
        key = known or self._key(envelope, actor.address if actor else room)
        place = Place(id=room, kind=self._kind)
        identity, author = known or look.origin(stanza) or key, actor.address if actor is not None else ""
        return Said(stanza, at, self._source(room), place, key, identity, actor, author)

    def _direct(self, envelope: Envelope) -> Said:
        stanza, at = envelope.stanza, _at(envelope)
        sender = bare(stanza.get("from")) or envelope.owner or ""
        receiver = bare(stanza.get("to")) or envelope.owner or self._options.owner or ""
        if not sender or not receiver:
            raise EventError("nothing says whom it is from or to (--owner says whose archive it is)")
        place, key = between(sender, receiver), self._key(envelope, sender)
        source = self._source(envelope.owner or min(sender, receiver))
        identity = look.origin(stanza) or envelope.identity or key
        return Said(stanza, at, source, place, key, identity, Participant(sender), sender)

    def _whispered(self, envelope: Envelope, there: str) -> Said:
        """A private message between occupants of a room, whose end is `there`: XEP-0045, section 7.5."""
        stanza, at = envelope.stanza, _at(envelope)
        comes = there == "from"
        room, nick = bare(stanza.get(there)), resource(stanza.get(there))
        occupant = self._occupant(room, nick, None, False)
        own = bare(stanza.get("to" if comes else "from")) or envelope.owner
        if occupant is None or not own:
            raise EventError("nothing says whom it is from or to")
        actor, to = (occupant, Participant(own)) if comes else (Participant(own), occupant)
        key, place = self._key(envelope, actor.address), Place(id=room, kind=self._kind)
        identity = look.origin(stanza) or key
        return Said(stanza, at, self._source(room), place, key, identity, actor, actor.address, (to,))

    def _invited(self, envelope: Envelope, invited: list[Invitation]) -> Iterator[Event]:
        at = _at(envelope)
        if not all(each.room and each.by and each.whom for each in invited):
            raise EventError("an invitation that doesn't say whom, by whom, or where to")
        first = invited[0]
        self._rooms.add(first.room)
        is_occupant = bare(first.by) == first.room
        actor = self._occupant(first.room, resource(first.by), None, False) if is_occupant else None
        by = actor or (None if is_occupant else Participant(bare(first.by)))
        author = by.address if by is not None else first.room
        place, key = Place(id=first.room, kind=self._kind), self._key(envelope, author)
        identity = look.origin(envelope.stanza) or key
        said = Said(envelope.stanza, at, self._source(first.room), place, key, identity, by, author)
        if look.origin(envelope.stanza) and self._is_copy(envelope, said):
            return self._pass("the other side's copies of a message")
        return (
            said.event(INVITED, key=f"/{each.whom}", subject=Participant(each.whom), reason=each.reason)
            for each in invited
        )

    def _room_end(self, envelope: Envelope) -> str | None:
        """Which end of a message is a room's occupant: of a room seen before, or where the message is marked so."""
        stanza, owner = envelope.stanza, envelope.owner or self._options.owner
        ends = [end for end in ("from", "to") if resource(stanza.get(end)) and bare(stanza.get(end)) != owner]
        marked = stanza.find(f"{MUC_USER}x")
        is_marked = marked is not None and marked.find(f"{MUC_USER}invite") is None and core(stanza, "body") is not None
        return next((end for end in ends if is_marked or bare(stanza.get(end)) in self._rooms), None)

    def _occupant(self, room: str, nick: str, real: str | None, is_secret: bool) -> Participant | None:
        """By their own address where it is known: what a server knows of it, others in the room needn't.

        A nick stands alone only where a room gave it: anybody can choose a resource, and call it like somebody else.
        """
        if not nick and not real:
            return None
        real = bare(real) or self._present.get(room, {}).get(nick)
        if real:
            return Participant(address=real, name=nick or None, hidden=is_secret)
        is_rooms = is_secret or (room in self._rooms and look.domain(room) != self._home)
        return Participant(address=nick if is_rooms and "@" not in nick else f"{room}/{nick}", name=nick)

    def _source(self, address: str) -> str:
        return self._options.source or f"xmpp:{self._options.network or look.domain(address)}"

    def _key(self, envelope: Envelope, sender: str) -> str:
        given = lasting(self._memory, envelope.stanza, sender, envelope.owner or "", envelope.identity)
        if given is not None:
            return given
        if envelope.identity:
            return f"{envelope.owner or ''}/{envelope.identity}"
        self._reading.unnumbered += 1
        digest = blake2b(tostring(envelope.stanza), digest_size=8).hexdigest()
        number = int(self._memory.recall("equal", digest) or 0) + 1
        self._memory.note(str(number), "equal", digest)
        return f"{digest}-{number}"

    def _is_copy(self, envelope: Envelope, said: Said) -> bool:
        """Both sides' archives of one server hold a message: the second time, by another owner, it is passed over."""
        if not envelope.owner or envelope.identity is None:
            return False
        given, author = look.origin(envelope.stanza) or "", "" if said.to else said.author
        if said.to and not given:
            return False  # nothing tells one whisper from another where neither side knows who the other is
        content = [said.place.id, author, given, *content_of(envelope.stanza)]
        digest = blake2b("\0".join(content).encode("utf-8", "replace"), digest_size=16).hexdigest()
        first, owner = self._memory.recall("copy", digest), fingerprint(envelope.owner)
        if first and first != owner:
            self._memory.note("" if not given else first, "copy", digest)
            return True
        self._memory.note(owner, "copy", digest)
        return False

    # Who comes and goes

    def _presence(self, envelope: Envelope) -> Iterator[Event]:
        stanza, x = envelope.stanza, envelope.stanza.find(f"{MUC_USER}x")
        room, nick = envelope.room or bare(stanza.get("from")), envelope.nick or resource(stanza.get("from"))
        if not nick or (x is None and envelope.room is None):
            return self._pass("presences outside of rooms")
        item = x.find(f"{MUC_USER}item") if x is not None else None
        codes = {each.get("code") for each in x.findall(f"{MUC_USER}status")} if x is not None else set()
        self._rooms.add(room)
        present = self._present.setdefault(room, {})
        real = bare(item.get("jid") if item is not None else None) or envelope.real or present.get(nick)
        who = self._occupant(room, nick, real, envelope.room is not None)
        key = envelope.identity or self._key(envelope, nick)
        place = Place(id=room, kind=self._kind)
        said = Said(stanza, _at(envelope), self._source(room), place, key, key, who, nick)
        if stanza.get("type") is None:
            is_new = nick not in present
            present[nick] = real
            return iter([said.event(JOINED)]) if is_new else self._pass("presences of who is in a room")
        if stanza.get("type") != "unavailable":
            return self._pass("presences outside of rooms")
        present.pop(nick, None)
        new = item.get("nick") if item is not None and "303" in codes else None
        if new:
            present[new] = real
            return self._renamed(said, new, real, envelope.room is not None)
        return iter([self._gone(said, item, codes, envelope.room is not None)])

    def _renamed(self, said: Said, new: str, real: str | None, is_secret: bool) -> Iterator[Event]:
        if real:
            return self._pass("nicks of people known by their address")
        return iter([said.event(RENAMED, subject=self._occupant(said.place.id, new, None, is_secret))])

    def _gone(self, said: Said, item: Element | None, codes: set[str | None], is_secret: bool) -> Event:
        reason = item.findtext(f"{MUC_USER}reason") if item is not None else None
        reason = reason or said.stanza.findtext("{jabber:client}status") or said.stanza.findtext("status") or None
        if not codes & _REMOVED:
            return said.event(LEFT, reason=reason)
        by = item.find(f"{MUC_USER}actor") if item is not None else None
        nick, real = (by.get("nick") or "", by.get("jid")) if by is not None else ("", None)
        actor = self._occupant(said.place.id, nick, real, is_secret)
        return said.event(LEFT, actor=actor, subject=said.actor, reason=reason)

    def _pass(self, what: str) -> Iterator[Event]:
        self._reading.ignored[what] += 1
        return iter(())


def content_of(stanza: Element) -> Iterator[str]:
    """Of what its sender sent: not what servers add on its way into each archive."""
    for child in stanza:
        if child.tag not in _SERVERS:
            yield str(child.tag)
            yield from child.itertext()


def _nobodys(stanza: Element) -> str | None:
    """What nobody said, by kind. A headline with words is shown by clients like any message."""
    if stanza.get("type") == "headline" and core(stanza, "body") is None:
        return "headlines"
    return "errors" if stanza.get("type") == "error" else None


def _at(envelope: Envelope) -> datetime:
    if envelope.at is None:
        raise EventError("no time: neither the archive nor the stanza says when")
    return envelope.at


def _real(stanza: Element) -> str | None:
    item = stanza.find(f"{MUC_USER}x/{MUC_USER}item")
    return item.get("jid") if item is not None else None
