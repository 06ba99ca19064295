"""Envelopes -> events: what a stanza means where it was said, and by which ids it is known.

A room's messages are known by the room's own stanza-id (XEP-0359). One to one, where each side's archive gives its
own, they are known by the sender's id where that is made never to repeat, else by the archive's. What is remembered is
bounded: who is in a room, and the last messages, for what refers to them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any
from xml.etree.ElementTree import Element, tostring

from msgspec import Struct

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    REACTED,
    RENAMED,
    RETRACTED,
    SENT,
    TOPIC_CHANGED,
    Data,
    Event,
    Message,
    Participant,
    Place,
)
from archiver.exceptions import EventError
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import ENCRYPTED
from archiver.importers.xmpp import stanza as look
from archiver.importers.xmpp.stanza import FASTEN, MODERATE, MUC_USER, RETRACT, Envelope, bare, core, resource

REMEMBERED = 50_000
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_REMOVED = frozenset(("301", "307", "321", "322"))


class Recent(OrderedDict[Any, Any]):
    """What was seen last, and no more of it than `REMEMBERED`."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > REMEMBERED:
            self.popitem(last=False)


class Said(Struct, frozen=True):
    """A message and where it was said. `author` tells who may change it: a bare JID, a nick, "" for the room itself."""

    stanza: Element
    at: datetime
    source: str
    place: Place
    key: str
    id: str
    actor: Participant | None
    author: str
    to: tuple[Participant, ...] | None = None

    def event(self, type_: str, *, key: str = "", at: datetime | None = None, **data: Any) -> Event:
        made = Data(conversation=self.place, actor=data.pop("actor", self.actor), **data)
        identity = f"{self.place.id}/{self.key}{key}"
        return Event(source=self.source, id=identity, type=type_, time=at or self.at, data=made)


class Archive:
    """One file's stanzas, in their order."""

    def __init__(self, options: Options, reading: Reading) -> None:
        self._options = options
        self._reading = reading
        self._home = ""
        self._rooms: set[str] = set()
        self._present: dict[str, dict[str, str | None]] = {}
        self._copies = Recent()
        self._ids = Recent()
        self._authors = Recent()
        self._reactions = Recent()

    def events(self, envelope: Envelope) -> Iterator[Event]:
        """Raises `EventError` for what can't be meant."""
        stanza = envelope.stanza
        self._home = look.domain(envelope.owner or self._options.owner or "")
        if stanza.get("type") == "error":
            return self._pass("errors")
        is_room = envelope.room is not None or stanza.get("type") == "groupchat"
        if look.kind(stanza) == "presence":
            return self._presence(envelope)
        if stanza.get("type") == "headline":
            return self._pass("headlines")
        if is_room:
            return self._meant(self._in_room(envelope))
        if (there := self._room_end(envelope)) is not None:
            return self._meant(self._whispered(envelope, there))
        said = self._direct(envelope)
        return (
            self._pass("the other side's copies of a message") if self._is_copy(envelope, said) else self._meant(said)
        )

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
        known = look.stanza_id(stanza, room) or (envelope.identity if envelope.room else None)
        key = known or self._key(envelope, actor.address if actor else room)
        place = Place(id=room, kind="group")
        author = nick or (actor.address if actor is not None else "")
        return Said(stanza, at, self._source(room), place, key, known or look.origin(stanza) or key, actor, author)

    def _direct(self, envelope: Envelope) -> Said:
        stanza, at = envelope.stanza, _at(envelope)
        sender = bare(stanza.get("from")) or envelope.owner or ""
        receiver = bare(stanza.get("to")) or envelope.owner or self._options.owner or ""
        if not sender or not receiver:
            raise EventError("nothing says whom it is from or to (--owner says whose archive it is)")
        ends = sorted({sender, receiver})
        place = Place(id=" ".join(ends), kind="im", participants=tuple(map(Participant, ends)))
        source, key = self._source(envelope.owner or ends[0]), self._key(envelope, sender)
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
        key, place = self._key(envelope, actor.address), Place(id=room, kind="group")
        identity = look.origin(stanza) or key
        return Said(stanza, at, self._source(room), place, key, identity, actor, actor.address, (to,))

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
        given = look.origin(envelope.stanza)
        if given and _UUID.fullmatch(given):
            return f"{sender}/{given.lower()}"
        if envelope.identity:
            return f"{envelope.owner or ''}/{envelope.identity}"
        self._reading.guessed["which messages are the same: by time and content"] += 1
        digest = blake2b(tostring(envelope.stanza), digest_size=8).hexdigest()
        number = self._copies[digest] = self._copies.get(digest, 0) + 1
        return f"{digest}-{number}"

    def _is_copy(self, envelope: Envelope, said: Said) -> bool:
        """Both sides' archives of one server hold a message: the second time, by another owner, it is passed over."""
        if not envelope.owner or envelope.identity is None:
            return False
        stanza = envelope.stanza
        content = [said.place.id, said.author, look.origin(stanza) or "", *stanza.itertext()]
        content += [str(child.tag) for child in stanza]
        digest = blake2b("\0".join(content).encode("utf-8", "replace"), digest_size=16).digest()
        first = self._copies.get(digest)
        if first is not None and first != envelope.owner:
            del self._copies[digest]
            return True
        self._copies[digest] = envelope.owner
        return False

    # What it means

    def _meant(self, said: Said) -> Iterator[Event]:
        stanza = said.stanza
        reactions = stanza.find("{urn:xmpp:reactions:0}reactions")
        replaced = stanza.find("{urn:xmpp:message-correct:0}replace")
        if (gone := look.either(stanza, RETRACT, "retracted")) is not None:
            yield self._tombstone(said, gone)
        elif (target := _retracted(stanza)) is not None:
            yield from self._retraction(said, target)
        elif reactions is not None:
            yield from self._reacted(said, reactions)
        elif core(stanza, "subject") is not None and core(stanza, "body") is None and said.place.kind == "group":
            subject = core(stanza, "subject")
            yield said.event(TOPIC_CHANGED, topic="".join(subject.itertext()) if subject is not None else "")
        else:
            yield from self._spoken(said, replaced)

    def _spoken(self, said: Said, replaced: Element | None) -> Iterator[Event]:
        stanza = said.stanza
        files = look.attachments(stanza)
        text = ENCRYPTED if look.is_encrypted(stanza) else look.words(stanza)
        if text is None and not files:
            yield from self._pass("receipts, states of typing and the like")
            return
        if text in [each.url for each in files]:
            text = ""
        body = core(stanza, "body")
        language = look.language(body) if body is not None else None
        shared = files or None
        if replaced is not None and replaced.get("id"):
            yield from self._corrected(said, replaced.get("id") or "", text or "", language, shared)
            return
        self._ids[said.place.id, said.author, stanza.get("id")] = said.id
        self._authors[said.place.id, said.id] = said.author
        reply = stanza.find("{urn:xmpp:reply:0}reply")
        answered = reply.get("id") if reply is not None else None
        message = Message(said.id, text or "", language=language, in_reply_to=answered, to=said.to)
        yield said.event(SENT, message=message, attachments=shared)

    def _corrected(self, said: Said, given: str, text: str, language: str | None, files: Any) -> Iterator[Event]:
        """XEP-0308: by who wrote it alone; the id is always the sender's, of the first version."""
        target = self._ids.get((said.place.id, said.author, given), given)
        if self._authors.get((said.place.id, target), said.author) != said.author:
            yield from self._pass("corrections by others than the author")
        else:
            message = Message(target, text, language=language, to=said.to)
            yield said.event(EDITED, message=message, attachments=files)

    def _retraction(self, said: Said, target: tuple[str, bool, str | None]) -> Iterator[Event]:
        given, is_moderated, reason = target
        wanted = self._ids.get((said.place.id, said.author, given), given)
        author = self._authors.get((said.place.id, wanted), said.author)
        if (is_moderated and said.author) or (not is_moderated and author != said.author):
            yield from self._pass("retractions by others than the author or the room")
        else:
            yield said.event(RETRACTED, message=Message(wanted), reason=reason)

    def _tombstone(self, said: Said, gone: Element) -> Event:
        stamp = gone.get("stamp")
        at = look.time_of(stamp) if stamp else None
        reason = next((gone.findtext(f"{space}reason") for space in MODERATE if gone.findtext(f"{space}reason")), None)
        return said.event(RETRACTED, key="/retracted", at=at, message=Message(said.id), reason=reason)

    def _reacted(self, said: Said, reactions: Element) -> Iterator[Event]:
        """XEP-0444: each tells all that somebody has to say; what is new and what is gone are events."""
        target = reactions.get("id")
        if not target:
            raise EventError("reactions to nothing")
        target = self._ids.get((said.place.id, said.author, target), target)
        given = [(each.text or "").strip() for each in reactions.findall("{urn:xmpp:reactions:0}reaction")]
        now = tuple(dict.fromkeys(each for each in given if each))
        before = self._reactions.get((said.place.id, target, said.author), ())
        self._reactions[said.place.id, target, said.author] = now
        for each in (*now, *before):
            if (each in now) != (each in before):
                message = Message(target)
                removed = each not in now
                yield said.event(REACTED, key=f"/{each}", message=message, reaction=each, removed=removed)

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
        place = Place(id=room, kind="group")
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


def _at(envelope: Envelope) -> datetime:
    if envelope.at is None:
        raise EventError("no time: neither the archive nor the stanza says when")
    return envelope.at


def _real(stanza: Element) -> str | None:
    item = stanza.find(f"{MUC_USER}x/{MUC_USER}item")
    return item.get("jid") if item is not None else None


def _retracted(stanza: Element) -> tuple[str, bool, str | None] | None:
    """What is taken back, whether by moderation (XEP-0425), and why: in today's form, or fastened as before."""
    fastened = stanza.find(FASTEN)
    about = fastened if fastened is not None else look.either(stanza, RETRACT, "retract")
    if about is None or not about.get("id"):
        return None
    moderated = look.either(about, MODERATE, "moderated")
    if fastened is not None and moderated is None and look.either(fastened, RETRACT, "retract") is None:
        return None
    around = [about, *([moderated] if moderated is not None else [])]
    names = [f"{space}reason" for space in (*MODERATE, *RETRACT)]
    reason = next((found for each in around for name in names if (found := each.findtext(name))), None)
    return about.get("id") or "", moderated is not None, reason
