"""Where in a text the words of a query stand, and the piece of it that shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from archiver.search.query import Field, Words
from archiver.search.words import Sort, Sought, Unit, fold, units

Mark = tuple[int, int]
"""From which character until before which one: what is to be highlighted."""

LENGTH = 160
"""Characters of an excerpt."""
_BEFORE = 50
_MOST = 100
"""Marks in one text: more show nothing more."""
_SEARCHED = 200_000
"""Characters in which words are looked for again, once the index has found the whole."""


class Marked(Struct, frozen=True):
    """A text, and what of it is to be highlighted: in order, and apart from each other."""

    text: str
    marks: tuple[Mark, ...] = ()


def marked(text: str, words: Iterable[Words], *fields: Field) -> Marked:
    wanted = [each.sought for each in words if each.field in (Field.ANY, *fields)]
    return Marked(text, _marks(text, wanted))


def excerpt(text: str, words: Iterable[Words]) -> Marked:
    """Of what was said, the piece around the first words found; else its beginning. Lines stay lines."""
    whole = marked(text, words, Field.TEXT, Field.FROM)
    first = whole.marks[0][0] if whole.marks else 0
    line = text.rfind("\n", 0, first) + 1
    start = line if first - line <= _BEFORE else first - _BEFORE
    piece = text[start : start + LENGTH]
    before, after = "…" if start > line else "", "…" if start + LENGTH < len(text) else ""
    shift = len(before) - start
    marks = [(a + shift, min(b, start + LENGTH) + shift) for a, b in whole.marks if start <= a < start + len(piece)]
    return Marked(before + piece + after, tuple(marks))


def _marks(text: str, wanted: Sequence[Sought]) -> tuple[Mark, ...]:
    """Line by line, and only of those that can have some: to know where a folded character came from is dear."""
    if not wanted:
        return ()
    firsts = [each.tokens[0] for each in wanted]
    found: list[Mark] = []
    start = 0
    for line in text[:_SEARCHED].split("\n"):
        shape = fold(line)
        if any(first in shape for first in firsts):
            found += [(start + a, start + b) for a, b in _found(line, wanted)]
            if len(found) > _MOST:
                break
        start += len(line) + 1
    return _apart(found)


def _found(line: str, wanted: Sequence[Sought]) -> Iterator[Mark]:
    pieces = list(units(line))
    tokens = [_token(pieces, at) for at in range(len(pieces))]
    for at in range(len(tokens)):
        for each in wanted:
            if _stands(tokens, at, each):
                yield pieces[at].start, _end(pieces, at, each)


def _token(pieces: Sequence[Unit], at: int) -> str:
    joined = at + 1 < len(pieces) and pieces[at + 1].joined
    return pieces[at].text + (pieces[at + 1].text if joined else "")


def _stands(tokens: Sequence[str], at: int, wanted: Sought) -> bool:
    there = tokens[at : at + len(wanted.tokens)]
    if len(there) < len(wanted.tokens) or list(wanted.tokens[:-1]) != there[:-1]:
        return False
    return there[-1].startswith(wanted.tokens[-1]) if wanted.prefix else there[-1] == wanted.tokens[-1]


def _end(pieces: Sequence[Unit], at: int, wanted: Sought) -> int:
    """A pair ends with its second character, one character begun with itself."""
    last = at + len(wanted.tokens) - 1
    is_pair = pieces[last].sort is Sort.UNSPACED and len(wanted.tokens[-1]) > len(pieces[last].text)
    return pieces[last + 1 if is_pair else last].end


def _apart(found: Iterable[Mark]) -> tuple[Mark, ...]:
    apart: list[Mark] = []
    for start, end in sorted(found):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return tuple(apart)
