"""What rooms tell each of their occupants -> records, each once. Who somebody is, is told by what they themselves sent
and got. Source: XEP-0045 (rooms), XEP-0359 (ids).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import inf
from typing import Literal
from uuid import uuid4
from xml.etree.ElementTree import Element

from msgspec.structs import replace

from archiver.events import SECOND, moment
from archiver.importers.xmpp.inviting import Invitation, invitations
from archiver.importers.xmpp.memory import Memory
from archiver.importers.xmpp.said import fingerprint
from archiver.importers.xmpp.stanza import DELAY, bare, core, domain, kind, resource, stanza_id
from archiver.sources.xmpp.component.making import WINDOW, digest_of, is_copy, made, text_of
from archiver.sources.xmpp.component.presences import codes_of, happenings
from archiver.sources.xmpp.component.roster import HOLD, Delivery, Latest, Room
from archiver.sources.xmpp.record import Person, Record

BEGINNING = SECOND
"""Of a connection. A gap is told with more than that behind it."""


class Rooms:
    """Of one connection, which began at `since` (microseconds). `hosts` are those of users."""

    def __init__(self, memory: Memory, hosts: frozenset[str], passed: Counter[str], since: int) -> None:
        self._memory = memory
        self._hosts = hosts
        self._passed = passed
        self._since = since
        self._rooms: dict[str, Room] = {}
        self._waiting: set[str] = set()
        self._spoken: Latest[tuple[str, str], str] = Latest(10_000)
        self._echoed: Latest[tuple[str, str], str] = Latest(10_000)
        self._forged: Latest[tuple[str, str], bool] = Latest(10_000)
        self._whispers: Latest[str, tuple[Record, float]] = Latest(10_000)
        self._whispered: Latest[tuple[str, str], float] = Latest(10_000)

    def due(self, now: float) -> Iterator[Record]:
        """What waited for more, and has waited for long enough."""
        for name in sorted(self._waiting):
            room = self._rooms[name]
            while room.waiting and room.waiting[0][1] <= now:
                yield room.waiting.pop(0)[0]
            while room.open and room.open[0].until <= now:
                yield from self._settled(name, room, room.open[0])
            if not room.waiting and not room.open:
                self._waiting.discard(name)
        for key in [key for key, (_, until) in self._whispers.items() if until <= now]:
            yield self._whispers.pop(key)[0]

    def rest(self) -> Iterator[Record]:
        """All that waits, as nothing more will come. Who got no copy so far may have been about to."""
        for name in self._waiting:
            room = self._rooms[name]
            room.open = [each for each in room.open if each.record is not None]
        return self.due(float("inf"))

    # What a user sends to a room: who it is that speaks there

    def asked(self, stanza: Element, received: int, now: float) -> Iterator[Record]:
        name, sender = bare(stanza.get("to")), bare(stanza.get("from"))
        if kind(stanza) != "message":
            return self._pass("presences on their way to rooms")
        digest = digest_of(stanza)
        if stanza.get("type") == "groupchat":
            self._spoken[name, digest] = sender if self._spoken.get((name, digest), sender) == sender else ""
            self._echoed.pop((name, digest), None)
            if claimed := stanza_id(stanza, name):
                self._forged[name, claimed] = True
            return iter(())
        nick = resource(stanza.get("to"))
        if not nick or core(stanza, "body") is None:
            return self._pass("requests to rooms")
        room = self._rooms.get(name, Room())  # one that never answers isn't kept
        record = made(
            "room-private",
            domain(name),
            received,
            stanza=text_of(stanza),
            room=name,
            nick=room.nick_of(sender),
            jid=sender,
            to_nick=nick,
            to_jid=room.people.get(nick),
            public=self._is_public(name),
        )
        if record.to_jid is not None:
            self._whispered[f"{name} {digest}", record.to_jid] = now
            return iter([record])
        self._whispers[f"{name} {digest} {uuid4().hex}"] = record, now + HOLD
        return iter(())

    # What a room tells each of its occupants

    def told(self, stanza: Element, received: int, now: float) -> Iterator[Record]:
        name, nick, session = bare(stanza.get("from")), resource(stanza.get("from")), stanza.get("to", "").lower()
        if "@" not in name or domain(session) not in self._hosts:
            return self._pass("what is from a room service, or on its way there")
        room = self._rooms.setdefault(name, Room())
        if kind(stanza) == "presence":
            return self._presence(stanza, name, room, nick, session, received, now)
        if stanza.get("type") == "groupchat":
            self._told_of_itself(stanza, name, nick)
            return self._said_to_all(stanza, name, room, nick, session, received, now)
        if invited := invitations(stanza, bare(session)):
            return self._invited(stanza, room, invited[0], received)
        if nick and core(stanza, "body") is not None:
            return self._whisper(stanza, name, room, nick, bare(session), received, now)
        return self._pass("what a room tells one occupant")

    def _said_to_all(
        self, stanza: Element, name: str, room: Room, nick: str, session: str, received: int, now: float
    ) -> Iterator[Record]:
        digest, is_late = digest_of(stanza), stanza.find(DELAY) is not None
        key = stanza_id(stanza, name)
        if key is not None and ((name, key) in self._forged or not (key.isdecimal() and len(key) < 18)):
            key = None
        if key is not None and is_late and int(key) < self._since:
            self._passed["what was said in rooms before"] += 1
            return
        real = self._speaker(room, name, nick, digest)
        if key is None and (self._is_greeting(stanza, name) or (is_late and (name, digest) not in self._spoken)):
            self._passed["what was said in rooms before"] += 1
            return
        again = room.which(f"{nick} {digest}", session, now, is_late=is_late) if key is None else (1, 1)
        once = key or f"{nick} {digest} {again}"
        delivery = room.said.get(once)
        if delivery is None:
            at = int(key) if key is not None else received
            if real is None and self._begins(received):
                room.said[once] = Delivery(0, at, is_late=not is_late)  # nor its further copies
                return
            yield from self._waited(room, at)
            about = {"nick": nick or None, "jid": real, "public": self._is_public(name)}
            record = made("room-message", domain(name), at, stanza=text_of(stanza), room=name, key=key, **about)
            # What is the same as before, or a subject alone, may be what one who comes is told.
            if not is_late and (key is not None or (again == (1, 1) and core(stanza, "body") is not None)):
                delivery = room.delivers(once, at, now + HOLD)
            else:
                delivery = room.said[once] = Delivery(0, at, is_late=is_late)
            yield from self._tell(room, name, record, delivery, now)
        elif delivery.is_late == is_late:
            self._passed["copies"] += 1
        else:
            self._passed["what was said in rooms before"] += 1
            return
        if delivery.number:
            yield from self._heard(room, name, session, delivery)

    def _tell(self, room: Room, name: str, record: Record, delivery: Delivery, now: float) -> Iterator[Record]:
        self._waiting.add(name)
        if delivery.number == 1:
            delivery.record = record
        elif record.key is None:
            room.waiting.append((record, now + HOLD))
        else:
            yield record

    def _heard(self, room: Room, name: str, session: str, delivery: Delivery) -> Iterator[Record]:
        """Who got a copy was there, whatever else was seen of them."""
        real = bare(session)
        if room.got(session, delivery):
            # Their own presence may have been read after others' copies.
            room.waiting = [each for each in room.waiting if (each[0].kind, each[0].jid) != ("room-join", real)]
            yield self._moved("room-join", name, room.nick_of(real), real, delivery.at - 1)

    def _settled(self, name: str, room: Room, delivery: Delivery) -> Iterator[Record]:
        """Who got no copy wasn't there, whatever else was seen of them. The first message says it by who was."""
        first = delivery.record
        if first is not None:
            occupants = tuple(Person(room.nick_of(each), each) for each in sorted(delivery.receivers))
            yield replace(first, occupants=occupants)
        for absent in room.settle(delivery):
            if first is None:
                yield self._moved("room-leave", name, absent.nick, absent.real, delivery.at - 2)
            if absent.back is not None:
                yield self._moved("room-join", name, absent.nick, absent.real, absent.back.at - 1)
        delivery.record = None

    def _moved(
        self, what: Literal["room-join", "room-leave"], name: str, nick: str | None, real: str, at: int
    ) -> Record:
        return made(what, domain(name), at, room=name, nick=nick, jid=real, public=self._is_public(name))

    def _begins(self, received: int) -> bool:
        """What was sent just before the connection, and got just after: whose it is went by. It belongs to the gap."""
        begins = received < self._since + BEGINNING
        self._passed["what was said as the connection began"] += begins
        return begins

    def _speaker(self, room: Room, name: str, nick: str, digest: str) -> str | None:
        sender = self._sender(name, nick, digest)
        real = room.people.get(nick) or sender or None
        if real is not None and nick:
            room.people.setdefault(nick, real)
        return real

    def _sender(self, name: str, nick: str, digest: str) -> str:
        """Who sent it, if the room first told it of this nick: anybody there may repeat another's words, id and all."""
        sender = self._spoken.get((name, digest), "")
        return sender if sender and self._echoed.setdefault((name, digest), nick) == nick else ""

    def _is_greeting(self, stanza: Element, name: str) -> bool:
        """The subject that one gets on coming, not one that changes, where the room keeps no archive."""
        subject = core(stanza, "subject")
        if subject is None or core(stanza, "body") is not None:
            return False
        text = fingerprint("".join(subject.itertext()))
        before = self._memory.recall("subject", name)
        self._memory.note(text, "subject", name)
        return stanza.get("id") is None or text == before

    def _whisper(
        self, stanza: Element, name: str, room: Room, nick: str, receiver: str, received: int, now: float
    ) -> Iterator[Record]:
        begin, real = f"{name} {digest_of(stanza)}", room.people.get(nick)
        waiting = next(
            (key for key, (each, _) in self._whispers.items() if key.startswith(begin) and _is_by(each, nick)), None
        )
        if waiting is not None:
            record, _ = self._whispers.pop(waiting)
            room.people.setdefault(record.to_nick or "", receiver)
            if record.jid:
                room.people.setdefault(nick, record.jid)
            self._whispered[begin, receiver] = now
            yield replace(record, to_jid=receiver, nick=nick)
        elif now - self._whispered.get((begin, receiver), -inf) <= HOLD:
            self._passed["copies"] += 1
        elif real is not None or not self._begins(received):
            self._whispered[begin, receiver] = now
            to = {"to_nick": room.nick_of(receiver), "to_jid": receiver, "public": self._is_public(name)}
            yield made(
                "room-private", domain(name), received, stanza=text_of(stanza), room=name, nick=nick, jid=real, **to
            )

    def _invited(self, stanza: Element, room: Room, invited: Invitation, received: int) -> Iterator[Record]:
        digest = digest_of(stanza, "invited", invited.room, invited.by, invited.whom)
        if is_copy(self._memory, digest, received, WINDOW):
            return self._pass("copies")
        by, nick = bare(invited.by), ""
        if by == invited.room:
            nick = resource(invited.by)
            by = room.people.get(nick, "")
        about = {"to_jid": invited.whom, "nick": nick or room.nick_of(by), "jid": by or None, "reason": invited.reason}
        return iter([made("room-invite", domain(invited.room), received, room=invited.room, **about)])

    # Who comes and goes

    def _presence(
        self, stanza: Element, name: str, room: Room, nick: str, session: str, received: int, now: float
    ) -> Iterator[Record]:
        if {"100", "110"} <= codes_of(stanza):
            self._memory.note("1", "public", name)
        for what, about, before in happenings(stanza, room, nick, session, self._hosts):
            at = received if before is None else min(received, before - 2)
            record = made(what, domain(name), at, room=name, public=self._is_public(name), **about)
            room.waiting.append((record, now + HOLD))
            self._waiting.add(name)
        return iter(())

    def _waited(self, room: Room, at: int) -> Iterator[Record]:
        """What was read before a message was before it by the server's clock, and before anybody who got none left."""
        for number, (record, _) in enumerate(room.waiting):
            latest = at - 2 - len(room.waiting) + number
            yield replace(record, time=min(record.time, moment(latest)))
        room.waiting.clear()

    def _told_of_itself(self, stanza: Element, name: str, nick: str) -> None:
        """Whether everybody there is shown real addresses, where that changes (XEP-0045, 10.2.1)."""
        codes = codes_of(stanza)
        if not nick and codes & {"172", "173"}:
            self._memory.note("0" if "173" in codes else "1", "public", name)

    def _is_public(self, name: str) -> bool:
        return self._memory.recall("public", name) == "1"

    def _pass(self, what: str) -> Iterator[Record]:
        self._passed[what] += 1
        return iter(())


def _is_by(whisper: Record, nick: str) -> bool:
    """Whom it was sent to may send the same on."""
    return whisper.to_nick != nick and whisper.nick in (None, nick)
