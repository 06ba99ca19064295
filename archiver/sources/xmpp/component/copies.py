"""Copies of stanzas -> records, as a module in the server would tell them. Of many copies of one, one counts.

mod_service_log wraps what a host's users send, and what each of their clients gets, before the server's archive gives
it an id (its hooks run at 50, those of mod_mam at 88): nothing tells a copy of what was sent from one of what was got.
Source: XEP-0297 (forwarding).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from xml.etree.ElementTree import Element

from archiver.events import SECOND, microseconds
from archiver.exceptions import EventError
from archiver.importers.xmpp.memory import Memory
from archiver.importers.xmpp.said import is_lasting
from archiver.importers.xmpp.stanza import DELAY, bare, delayed, domain, kind, origin
from archiver.sources.xmpp.component.making import WINDOW, digest_of, is_copy, made, text_of
from archiver.sources.xmpp.component.rooms import Rooms
from archiver.sources.xmpp.record import Record

NAMELESS = 10 * SECOND
"""`WINDOW` of what has no id."""
_COPIES = frozenset(
    ("{urn:xmpp:carbons:2}sent", "{urn:xmpp:carbons:2}received", "{urn:xmpp:mam:2}result", "{urn:xmpp:mam:1}result")
)


class Refused(EventError):
    """It isn't the server's own word."""


class Copies:
    """What one component is told, which is called `name`. `hosts` are those of users, `rooms` those of rooms.

    `received` are microseconds since 1970, `now` seconds of a clock that stands still while nothing is read.
    """

    def __init__(self, name: str, memory: Memory, hosts: Sequence[str], rooms: Sequence[str]) -> None:
        self.passed: Counter[str] = Counter()
        self._name = name.lower()
        self._memory = memory
        self._hosts = frozenset(map(str.lower, hosts))
        self._services = frozenset(map(str.lower, rooms))
        self._last = 0
        self.begin(0)

    def begin(self, received: int) -> None:
        """A connection begins: whatever was before it, nobody knows what came between."""
        self._rooms = Rooms(self._memory, self._hosts, self.passed, received)

    def records(self, envelope: Element, received: int, now: float) -> Iterator[Record]:
        """Of one message to the component that was admitted. Raises `EventError` for what can't be meant."""
        host = envelope.get("from", "").lower()
        forwarded = envelope.find("{urn:xmpp:forward:0}forwarded")
        if forwarded is None or len(forwarded) != 1:
            raise EventError("it forwards no stanza")
        stanza = forwarded[0]
        sender, receiver = domain(bare(stanza.get("from"))), domain(bare(stanza.get("to")))
        if host not in (sender, receiver):
            raise EventError("what it forwards is neither from nor to a user of its host")
        self._last = received = max(received, self._last + 1)
        if kind(stanza) not in ("message", "presence") or stanza.get("type") == "error":
            return self._pass("queries and errors")
        if sender in self._services:
            return self._rooms.told(stanza, received, now)
        if receiver in self._services:
            return self._rooms.asked(stanza, received, now)
        if kind(stanza) == "presence" or stanza.get("type") == "groupchat":
            return self._pass("presences outside of rooms, rooms elsewhere")
        return self._between(stanza, received)

    def admit(self, envelope: Element) -> None:
        """Raises `Refused` for whom it is of."""
        if envelope.get("from", "").lower() not in self._hosts:
            raise Refused("not from a host that may tell")
        if envelope.get("to", "").lower() != self._name:
            raise Refused("meant for another component")

    def due(self, now: float) -> Iterator[Record]:
        """What waited for more, and has waited for long enough."""
        return self._rooms.due(now)

    def rest(self) -> Iterator[Record]:
        """All that still waits, as nothing more will come."""
        return self._rooms.rest()

    def _between(self, stanza: Element, received: int) -> Iterator[Record]:
        if any(each.tag in _COPIES for each in stanza):
            return self._pass("copies that clients get of what they sent and got")
        sender, receiver = bare(stanza.get("from")), bare(stanza.get("to"))
        owner, given = sender if domain(sender) in self._hosts else receiver, origin(stanza) or ""
        digest = digest_of(stanza, stanza.get("from", ""), receiver)
        window = inf if is_lasting(given) else WINDOW if given else NAMELESS
        if is_copy(self._memory, digest, received, window, self._kept_at(stanza)):
            return self._pass("copies")
        return iter([made("message", domain(owner), received, stanza=text_of(stanza), owner=owner)])

    def _kept_at(self, stanza: Element) -> int | None:
        """When the server put it aside for who wasn't there. Only compared: a client can claim anything."""
        found = stanza.find(DELAY)
        if found is None or found.get("from", "").lower() not in self._hosts:
            return None
        try:
            at = delayed(stanza)
        except EventError:
            return None
        return microseconds(at) if at is not None else None

    def _pass(self, what: str) -> Iterator[Record]:
        self.passed[what] += 1
        return iter(())
