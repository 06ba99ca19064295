"""Hidden people: their addresses give way to pseudonyms, in events and rosters, before anything else sees them.

Texts that people wrote stay as they wrote them. What was veiled once is veiled the same again, so that an item's own
events make the same item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import structs

from archiver.events import RENAMED, Captured, Event, rewritten
from archiver.rendering.headers import bare, normal
from archiver.rendering.reading import participants
from archiver.types import Conversation, Participation, Presence, Roster

PSEUDONYM = re.compile(r"hidden\((\d+)\)")
"""No address with something before or after it looks so."""

_decode = msgspec.json.Decoder(Event).decode


class Hidden:
    """Who is hidden anywhere in a conversation, whichever of its events a view shows.

    `marked` is False where no event says of anybody that they are: then only the roster is asked.
    """

    def __init__(self, conversation: Conversation, *, marked: bool = True) -> None:
        self._place = conversation.place
        known: list[Presence | Participation] = [*conversation.roster.present, *conversation.participations]
        found = {address for who in known if who.hidden for address in who.addresses}
        if marked:
            for captured in conversation.events:
                found.update(who.address for who in participants(captured.event) if who.hidden)
        self.addresses = _with_other_names(found, conversation) if found else found
        self._parties = {self._party(address) for address in self.addresses}

    def veil(self, roster: Roster, events: Sequence[Captured]) -> Veil:
        """The pseudonyms of one view, numbered in the order of appearance; visible people's addresses are avoided."""
        met = dict.fromkeys(self._party(address) for address in _met(roster, events))
        taken = met.keys() - self._parties
        order = [party for party in met if party in self._parties] + sorted(self._parties - met.keys())
        numbers = (f"hidden({number})" for number in range(1, len(order) + len(taken) + 1))
        free = (pseudonym for pseudonym in numbers if pseudonym not in taken)
        return Veil(dict(zip(order, free, strict=False)), self.addresses, self._party)

    def _party(self, address: str) -> str:
        """The address without resource and scheme; but not where that is the whole room's."""
        plain = normal(address)
        return address if plain == normal(self._place) else plain


def _with_other_names(hidden: set[str], conversation: Conversation) -> set[str]:
    """The addresses of the same people too: who is hidden under one is hidden under all."""
    known: list[Presence | Participation] = [*conversation.roster.present, *conversation.participations]
    groups = [set(who.addresses) for who in known]
    for captured in conversation.events:
        data = captured.event.data
        if captured.event.type == RENAMED and data.actor is not None and data.subject is not None:
            groups.append({data.actor.address, data.subject.address})
    found = set(hidden)
    while more := [group for group in groups if group & found and not group <= found]:
        found.update(*more)
    return found


def _met(roster: Roster, events: Iterable[Captured]) -> Iterable[str]:
    for presence in roster.present:
        yield presence.addresses[-1]
    for captured in events:
        for who in participants(captured.event):
            yield who.address


class Veil:
    """The pseudonyms of one view."""

    def __init__(self, names: dict[str, str], addresses: Iterable[str], party: Callable[[str], str]) -> None:
        self._names = names
        self._party = party
        # An address without its resource or scheme says as much as the whole.
        whole = set(addresses) | {short for a in addresses if "@" in (short := bare(a)) and party(short) in names}
        longest = sorted(whole, key=lambda address: (-len(address), address))
        # Addresses with a domain go wherever they stand, others (a nick may be any word) where they stand alone.
        patterns = (_anyhow(a) if "@" in a else rf"(?<![\w.+@-]){re.escape(a)}(?![\w.@-])" for a in longest)
        self._pattern = re.compile("|".join(patterns))
        self._in_json = re.compile("|".join(_anyhow(msgspec.json.encode(a)[1:-1].decode()) for a in longest))

    def text(self, value: str) -> str:
        """An identifier without hidden addresses."""
        return self._pattern.sub(self._pseudonym, value)

    def _pseudonym(self, found: re.Match[str]) -> str:
        address = found[0]
        return self._names.get(self._party(address)) or self._names.get(
            self._party(address.replace("%40", "@")), address
        )

    def address(self, address: str) -> str:
        return self._names.get(self._party(address)) or self.text(address)

    def roster(self, roster: Roster) -> Roster:
        return Roster(tuple([self._presence(presence) for presence in roster.present]), roster.topic)

    def _presence(self, presence: Presence) -> Presence:
        name = None if presence.name is None else self.text(presence.name)
        address = presence.addresses[-1]
        hidden = presence.hidden or self._party(address) in self._names
        return structs.replace(presence, name=name, addresses=(self.address(address),), hidden=hidden)

    def event(self, captured: Captured) -> Captured:
        """The same event as the item may tell it."""
        if not self._concerns(captured):
            return captured
        veiled = rewritten(msgspec.json.decode(captured.body), self.text, self._veiled)
        body = msgspec.json.encode(veiled, order="sorted")
        return structs.replace(captured, event=_decode(body), body=body)

    def _concerns(self, captured: Captured) -> bool:
        return self._in_json.search(captured.body.decode()) is not None or any(
            self._party(who.address) in self._names for who in participants(captured.event)
        )

    def _veiled(self, who: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
        if self._party(who["address"]) in self._names:
            made["address"], made["hidden"] = self.address(who["address"]), True
        return made


def _anyhow(address: str) -> str:
    """A pattern for an address however it is spelt: in capitals, or quoted as in a URL."""
    return f"(?i:{re.escape(address).replace('@', '(?:@|%40)')})"
