"""The query language that people know from their mail: what somebody types -> what is asked. Pure.

    lunch "two words" begin*          all of these, in subject, people, text or file names
    from:alice with:bob in:#room      who said something, who took part, where
    subject:x text:x file:x           one field alone
    after:2024-05 before:2024-05-17   from this day, month or year on (UTC); before it
    on:2024-05                        within it
    kind:im|group|conference|mail     has:file
    -word   a OR b   (a OR b) c       not; either; what belongs together

What stands side by side binds closer than OR. Capitals make AND, OR and NOT operators; a colon that follows no known
field is text, as in https://example.org.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import MAXYEAR, UTC, datetime
from enum import StrEnum
from typing import NamedTuple, NoReturn

from msgspec import Struct

from archiver.events import microseconds
from archiver.exceptions import UsageError
from archiver.search.words import Sought, sought

LONGEST = 2_000
"""Characters of a query."""
_DEEPEST = 20
_MOST = 100
"""Parentheses within each other, and terms, of a query: far below what SQLite takes."""


class Field(StrEnum):
    """What is looked in."""

    ANY = "any"
    FROM = "from"
    WITH = "with"
    IN = "in"
    SUBJECT = "subject"
    TEXT = "text"
    FILE = "file"


class Words(Struct, frozen=True):
    """Consecutive words in one field; `text` as it was typed, `sought` as the index is asked."""

    field: Field
    text: str
    sought: Sought


class Since(Struct, frozen=True):
    """Something said at this time or later, in microseconds."""

    time: int


class Until(Struct, frozen=True):
    """Begun before this time, in microseconds."""

    time: int


class OfKind(Struct, frozen=True):
    kind: str


class HasFile(Struct, frozen=True):
    pass


class Not(Struct, frozen=True):
    part: Part


class And(Struct, frozen=True):
    parts: tuple[Part, ...]


class Or(Struct, frozen=True):
    parts: tuple[Part, ...]


Part = Words | Since | Until | OfKind | HasFile | Not | And | Or


class Query(Struct, frozen=True):
    """`text` is what was typed."""

    text: str
    part: Part


def wanted_words(part: Part) -> Iterator[Words]:
    """Those that a hit has: what was asked for, not what was excluded."""
    match part:
        case Words():
            yield part
        case And(parts=parts) | Or(parts=parts):
            for each in parts:
                yield from wanted_words(each)


class _Token(NamedTuple):
    """`field` and `text` of a term, quoted or not; or an operator, a parenthesis, or the end, by name in `kind`."""

    kind: str
    at: int
    field: str = ""
    text: str = ""
    quoted: bool = False


_NAMES = ("from", "with", "in", "subject", "text", "file", "before", "after", "on", "kind", "has")
_FIELD = re.compile(f"({'|'.join(_NAMES)}):", re.IGNORECASE)
_OPERATORS = ("AND", "OR", "NOT")
_KINDS = ("im", "group", "conference", "mail")
_FILE = ("file", "files", "attachment", "attachments")


def parse(text: str) -> Query:
    """Raises `UsageError`, which tells what is wrong and at which character, and has the latter as `facts["at"]`."""
    if len(text) > LONGEST:
        _wrong(f"a query has at most {LONGEST:,} characters", LONGEST)
    found = list(_tokens(text))
    if len(found) > _MOST:
        _wrong(f"a query has at most {_MOST} words", found[_MOST].at)
    return Query(text, _Parser(found).run())


def _wrong(what: str, at: int) -> NoReturn:
    raise UsageError(
        f"the query can't be read at character {at + 1}: {what}",
        hint='words, "phrases", begin*, from: with: in: subject: text: file: before: after: on: kind: has:, -not, OR',
        at=at,
    )


def _tokens(text: str) -> Iterator[_Token]:
    at = depth = 0
    while at < len(text):
        character = text[at]
        if character.isspace():
            at += 1
        elif character == "(":
            depth += 1
            yield _Token("(", at)
            at += 1
        elif character == ")" and depth:
            depth -= 1
            yield _Token(")", at)
            at += 1
        elif character == "-" and at + 1 < len(text) and not text[at + 1].isspace():
            yield _Token("NOT", at)
            at += 1
        else:
            token, at = _term(text, at, depth)
            yield token
    yield _Token("end", at)


def _term(text: str, start: int, depth: int) -> tuple[_Token, int]:
    named = _FIELD.match(text, start)
    field, at = (named[1].lower(), named.end()) if named else ("", start)
    if at < len(text) and text[at] == '"':
        end = text.find('"', at + 1)
        if end < 0:
            _wrong("this quotation has no end", at)
        return _Token("term", start, field, text[at + 1 : end], True), end + 1
    end = _end_of_word(text, at, depth)
    word = text[at:end]
    if not field and word in _OPERATORS:
        return _Token(word, start), end
    return _Token("term", start, field, word), end


def _end_of_word(text: str, at: int, depth: int) -> int:
    """Up to white space, a quotation mark, or a parenthesis that the word has not opened itself."""
    opened = 0
    start = at
    while at < len(text) and not text[at].isspace() and (text[at] != '"' or at == start):
        if text[at] == "(":
            opened += 1
        elif text[at] == ")":
            if opened == 0 and depth:
                break
            opened = max(opened - 1, 0)
        at += 1
    return at


class _Parser:
    """any := all (OR all)*;  all := one (AND? one)*;  one := NOT one | ( any ) | term"""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def run(self) -> Part:
        part = self._any()
        if self._kind != "end":
            _wrong("this parenthesis closes nothing", self._token.at)
        return part

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    @property
    def _kind(self) -> str:
        return self._token.kind

    def _any(self) -> Part:
        parts = [self._all()]
        while self._kind == "OR":
            self._next += 1
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self) -> Part:
        parts = [self._one()]
        while self._kind not in ("OR", ")", "end"):
            self._next += self._kind == "AND"
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Part:
        token = self._token
        self._next += 1
        if token.kind == "term":
            return _part(token)
        if token.kind not in ("NOT", "("):
            _wrong("a word is missing here", token.at)
        self._depth += 1
        if self._depth > _DEEPEST:
            _wrong(f"more than {_DEEPEST} within each other", token.at)
        part = Not(self._one()) if token.kind == "NOT" else self._group(token)
        self._depth -= 1
        return part

    def _group(self, opening: _Token) -> Part:
        part = self._any()
        if self._kind != ")":
            _wrong("this parenthesis has no end", opening.at)
        self._next += 1
        return part


def _part(token: _Token) -> Part:
    match token.field:
        case "before":
            return Until(_span(token)[0])
        case "after":
            return Since(_span(token)[0])
        case "on":
            first, end = _span(token)
            return And((Since(first), Until(end)))
        case "kind":
            return OfKind(_one_of(token, _KINDS))
        case "has":
            _one_of(token, _FILE)
            return HasFile()
    return _words(token)


def _one_of(token: _Token, known: tuple[str, ...]) -> str:
    if token.text.lower() not in known:
        _wrong(f"{token.field}: takes {', '.join(known)}, not {token.text!a}", token.at)
    return token.text.lower()


def _words(token: _Token) -> Words:
    begun = not token.quoted and token.text.endswith("*")
    text = token.text[:-1] if begun else token.text
    found = sought(text, prefix=begun)
    if found is None:
        _wrong(f"nothing to look for in {token.text!a}" if token.text else "nothing to look for", token.at)
    return Words(Field(token.field or "any"), text, found)


_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?\Z", re.ASCII)


def _span(token: _Token) -> tuple[int, int]:
    """When the day, month or year begins (UTC), and the next one."""
    found = _DATE.match(token.text)
    if not found:
        _wrong(f"{token.field}: takes 2024, 2024-05 or 2024-05-17, not {token.text!a}", token.at)
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        first = datetime(year or 0, month or 1, day or 1, tzinfo=UTC)
        if first.year == MAXYEAR and (month in (None, 12)):  # the year after has no number
            end = datetime.max.replace(tzinfo=UTC)
        elif month is None:
            end = first.replace(year=first.year + 1)
        elif day is None:
            end = first.replace(year=first.year + month // 12, month=month % 12 + 1)
        else:
            return microseconds(first), microseconds(first) + 86_400_000_000
        return microseconds(first), microseconds(end)
    except ValueError:
        _wrong(f"there is no day {token.text}", token.at)
