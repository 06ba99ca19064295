"""Which mailbox an address of a source belongs to, and what is known of that mailbox.

Holds the exact map, the domain rewrites and the people of a file over the normal form of addresses. Pure: reading the
file and the configuration is the caller's work. It knows no events and no conversations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from archiver.addresses import folded, normal, place_of, placed
from archiver.people import FACTS, Person
from archiver.types import Mailbox

_CACHED = 100_000
_LONG = 512
"""No longer address is cached, so that hostile ones can't fill the memory."""


class Facts(Protocol):
    """What is said of one mailbox; None leaves a fact to the default. Configuration tables and CSV rows are such."""

    @property
    def mailbox(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def locale(self) -> str | None: ...
    @property
    def zone(self) -> str | None: ...
    @property
    def folder(self) -> str | None: ...
    @property
    def exchange_archiving(self) -> str | None: ...
    @property
    def migration(self) -> str | None: ...
    @property
    def migration_ends(self) -> int | None: ...
    @property
    def quota(self) -> int | None: ...


class Rewrite(Protocol):
    """`source` is the domain that a system uses, `target` the one of its people's mailboxes."""

    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...


class Directory:
    """Answers whose mailbox an address is. First the exact map, then rewrites, then the address itself.

    As soon as domains or people are named, only those are ours. Rewrites are applied once, the first that fits.
    """

    def __init__(
        self,
        default: Mailbox,
        mailboxes: Iterable[Facts] = (),
        *,
        domains: Iterable[str] = (),
        people: Mapping[str, str] | None = None,
        rewrites: Iterable[Rewrite] = (),
        rows: Sequence[Person] | None = None,
    ) -> None:
        """`rows` is None without a people file: an empty one names nobody, and then nobody is ours."""
        self._default = default
        self._domains = frozenset(domains)
        self._rewrites = {rule.source: rule.target for rule in reversed(tuple(rewrites))}
        said = [(row.address, row.mailbox) for row in rows or ()] + list((people or {}).items())
        self._exact = _exact(said)
        self._written = {folded(address): address for address, _ in said if folded(address) != address}
        self._named = frozenset(filter(None, self._exact.values()))
        self._closed = bool(self._domains or people or rows is not None)
        # The configuration's tables come last: what is written there by hand overrides the file.
        self._own = _merge((*(rows or ()), *mailboxes))
        self._known = {address: _complete(address, facts, default) for address, facts in self._own.items()}
        self._answers: dict[tuple[str, str], str | None] = {}
        self._known_as: dict[str, list[str]] = {}

    def mailbox_of(self, source: str, address: str) -> str | None:
        """The mailbox of a source's address in normal form; None: a participant without one."""
        place = place_of(source)
        if len(address) > _LONG or len(place) > _LONG:
            return self._find(source, address)
        try:
            return self._answers[place, address]
        except KeyError:
            if len(self._answers) >= _CACHED:
                self._answers.clear()
            answer = self._answers[place, address] = self._find(source, address)
            return answer

    def others(self, source: str, address: str) -> tuple[str, ...]:
        """By what else the map knows whose this address is: the mailbox, and what leads to it as it was written."""
        mailbox = self.mailbox_of(source, address)
        if mailbox is None or mailbox not in self._named:
            return ()
        if not self._known_as:
            for known, leads_to in self._exact.items():
                self._known_as.setdefault(leads_to, []).append(self._written.get(known, known))
        here = f"@{place_of(source)}"  # a row of this place has it behind the source's own id
        known_as = (each.removesuffix(here) for each in self._known_as[mailbox])
        return tuple(each for each in (mailbox, *known_as) if each != address)

    def is_nobodys(self, source: str, address: str) -> bool:
        """Whether it was said that this address has no mailbox."""
        return self._stated(source, address) == ""

    def is_stated(self, source: str, address: str) -> bool:
        """Whether the map speaks of this address."""
        return self._stated(source, address) is not None

    def is_bare(self, source: str, address: str) -> bool:
        """Whether the map speaks of this id without its place: what it says then holds for every place."""
        if normal("", address) is not None or self._exact.get(folded(address)) is None:
            return False
        return all(self._exact.get(key) is None for key in _own_keys(source, address))

    @property
    def has_bare(self) -> bool:
        """Whether the map has ids without a place."""
        return any("@" not in key for key in self._exact)

    @property
    def names_people(self) -> bool:
        """Whether domains or people are named, and so everybody else is a stranger."""
        return self._closed

    def mailbox(self, address: str) -> Mailbox:
        """What is known of a mailbox, by its normal form: its own facts, else the defaults."""
        return self._known.get(address) or _complete(address, {}, self._default)

    def has(self, mailbox: str) -> bool:
        """Whether somebody's address may lead to this mailbox."""
        return mailbox in self._named or self._ours(mailbox) is not None

    def own(self, address: str) -> frozenset[str]:
        """Which facts of a mailbox are its own, and no defaults."""
        return frozenset(self._own.get(address, ()))

    def named(self) -> tuple[str, ...]:
        """The mailboxes that people, file and tables name, for doctor and status."""
        return tuple(sorted(self._named | self._known.keys()))

    def _find(self, source: str, address: str) -> str | None:
        exact = self._stated(source, address)
        if exact is not None:
            return exact or None
        plain = normal(source, address)
        return None if plain is None else self._ours(self._rewritten(plain))

    def _stated(self, source: str, address: str) -> str | None:
        """What the map says of an address: a mailbox, "" for nobody's, None for nothing. An id without a place comes
        after the same with this one."""
        keys, bare = _own_keys(source, address), folded(address)
        order = (bare, *keys) if normal("", address) is not None else (*keys, bare)
        return next((said for key in order if (said := self._exact.get(key)) is not None), None)

    def _rewritten(self, address: str) -> str:
        local, _, domain = address.rpartition("@")
        return f"{local}@{self._rewrites[domain]}" if domain in self._rewrites else address

    def _ours(self, address: str) -> str | None:
        if normal("", address) is None:  # a longer domain can make it too long
            return None
        if not self._closed or address in self._named or address.rpartition("@")[2] in self._domains:
            return address
        return None


def _own_keys(source: str, address: str) -> tuple[str, ...]:
    """By what the map may know an address of this source, and of no other place."""
    plain = normal(source, address)
    return ((plain,) if plain is not None else ()) + (folded(placed(source, address)),)


def _exact(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By spelling, and by normal form where it has one of its own; later pairs override earlier ones."""
    table: dict[str, str] = {}
    for address, mailbox in pairs:
        table[folded(address)] = mailbox
        plain = normal("", address)
        if plain is not None:
            table[plain] = mailbox
    return table


def _merge(given: Iterable[Facts]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for facts in given:
        known = {name: value for name in FACTS if (value := getattr(facts, name))}
        if known and facts.mailbox:
            merged.setdefault(facts.mailbox, {}).update(known)
    return merged


def _complete(address: str, facts: Mapping[str, Any], default: Mailbox) -> Mailbox:
    return Mailbox(address, **{name: facts.get(name, getattr(default, name)) for name in FACTS})
