"""Which mailbox an address of a source belongs to, and what is known of that mailbox.

Holds the exact map, the domain rewrites and the people of a CSV file over the normal form of addresses. Pure:
reading the file and the configuration is the caller's work. It knows no events and no conversations.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from archiver.addresses import normal, place_of
from archiver.exceptions import ConfigError
from archiver.types import Mailbox

_CACHED = 100_000
_LONG = 512
"""No longer address is cached, so that hostile ones can't fill the memory."""
_FACTS = ("version", "locale", "zone", "folder", "exchange_archiving", "migration", "migration_ends", "quota")
_COLUMNS = ("address", "mailbox", *_FACTS)
_REMARKS = ("name", "messages")
"""Columns of the people file that only tell the reader who is meant."""

NOBODY = "-"
"""In the people file, in place of a mailbox: a participant who has none, and it is known."""


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


class Person(Struct, frozen=True):
    """One row of the people file: a source's address, and whose mailbox it is; "" for nobody's."""

    address: str
    mailbox: str
    version: str | None = None
    locale: str | None = None
    zone: str | None = None
    folder: str | None = None
    exchange_archiving: str | None = None
    migration: str | None = None
    migration_ends: int | None = None
    quota: int | None = None


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
        return tuple(each for each in (mailbox, *self._known_as[mailbox]) if each != address)

    def is_nobodys(self, source: str, address: str) -> bool:
        """Whether it was said that this address has no mailbox."""
        return self._stated(address, normal(source, address)) == ""

    def is_stated(self, source: str, address: str) -> bool:
        """Whether the map speaks of this address."""
        return self._stated(address, normal(source, address)) is not None

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
        plain = normal(source, address)
        exact = self._stated(address, plain)
        if exact is not None:
            return exact or None
        return None if plain is None else self._ours(self._rewritten(plain))

    def _stated(self, address: str, plain: str | None) -> str | None:
        """What the map says of an address: a mailbox, "" for nobody's, None for nothing."""
        exact = self._exact.get(folded(address))
        return self._exact.get(plain) if exact is None and plain is not None else exact

    def _rewritten(self, address: str) -> str:
        local, _, domain = address.rpartition("@")
        return f"{local}@{self._rewrites[domain]}" if domain in self._rewrites else address

    def _ours(self, address: str) -> str | None:
        if normal("", address) is None:  # a longer domain can make it too long
            return None
        if not self._closed or address in self._named or address.rpartition("@")[2] in self._domains:
            return address
        return None


def folded(address: str) -> str:
    """A source's own spelling, as the exact map compares it: NFC and case-folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", address).casefold())


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
        known = {name: value for name in _FACTS if (value := getattr(facts, name))}
        if known and facts.mailbox:
            merged.setdefault(facts.mailbox, {}).update(known)
    return merged


def _complete(address: str, facts: Mapping[str, Any], default: Mailbox) -> Mailbox:
    return Mailbox(address, **{name: facts.get(name, getattr(default, name)) for name in _FACTS})


# --- the people file ---------------------------------------------------------------------------------------------


def read_people(
    lines: Iterable[str], name: str, readers: Mapping[str, Callable[[object], object]] | None = None
) -> tuple[Person, ...]:
    """Rows of a CSV with a header of `address,mailbox` and any facts of a mailbox; `name` is for messages.

    `readers` give, for a column, a function that returns the final value or raises ValueError saying why not. Every
    problem of the file is raised at once, with its line.
    """
    reader = csv.reader(_without_mark(lines), strict=True)
    problems: list[str] = []
    people: dict[int, Person] = {}
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        problems += [f"{name}, line 1: {problem}" for problem in _header_problems(header)]
        for cells in reader if not problems else ():
            if any(cells):
                person, wrong = _person(header, cells, readers or {})
                problems += [f"{name}, line {reader.line_num}: {each}" for each in wrong]
                people |= {reader.line_num: person} if person else {}
    except (csv.Error, UnicodeDecodeError) as error:
        problems.append(f"{name}, line {reader.line_num}: {error}")
    problems += [f"{name}, {each}" for each in _contradictions(people)]
    if problems:
        raise ConfigError(problems, hint="mend the people file, or take [directory] file out", file=name)
    return tuple(people.values())


def _without_mark(lines: Iterable[str]) -> Iterable[str]:
    for number, line in enumerate(lines):
        yield line.removeprefix("\ufeff") if number == 0 else line


def _header_problems(header: list[str]) -> list[str]:
    problems = [f"{column!r} is missing from the header" for column in _COLUMNS[:2] if column not in header]
    problems += [
        f"{column!r} is no column; known are {', '.join(_COLUMNS)}"
        for column in header
        if column not in (*_COLUMNS, *_REMARKS)
    ]
    return problems + [f"{column!r} stands twice" for column in sorted(set(header)) if header.count(column) > 1]


def _person(
    header: list[str], cells: list[str], readers: Mapping[str, Callable[[object], object]]
) -> tuple[Person | None, list[str]]:
    if len(cells) > len(header):
        return None, [f"{len(cells)} cells under {len(header)} columns"]
    row = {column: cell.strip() for column, cell in zip(header, cells, strict=False)}
    facts: dict[str, Any] = {fact: row.get(fact) or None for fact in _FACTS}
    said = row.get("mailbox", "")
    mailbox = "" if said == NOBODY else normal("", said)
    wrong = [] if row.get("address") else ["address: is empty"]
    if mailbox is None:
        wrong.append(
            f"mailbox = {said!a}: is not an address" if said else f"mailbox: is empty; write {NOBODY} for nobody"
        )
    for column, read in readers.items():
        try:
            facts[column] = read(row[column]) if row.get(column) else None
        except ValueError as error:
            wrong.append(f"{column} = {row[column]!a}: {error}")
    if mailbox is None or wrong:
        return None, wrong
    return Person(row["address"], mailbox, **facts), []


def _contradictions(people: Mapping[int, Person]) -> Iterator[str]:
    """One address in two mailboxes, one mailbox with two versions: which one counts must not be chance."""
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    for line, person in people.items():
        said = {("address", normal("", person.address) or folded(person.address)): person.mailbox}
        said |= {
            (fact, person.mailbox): value for fact in _FACTS if person.mailbox and (value := getattr(person, fact))
        }
        for (column, key), value in said.items():
            first, before = seen.setdefault((column, key), (line, value))
            if before != value:
                yield f"line {line}: {column} of {key!a}: {value!a} here, {before!a} on line {first}"
