"""Text as it is searched: letter case, accents and compatibility forms folded, cut into words. Pure.

SQLite's own tokenizers find no two-character word in Chinese, Japanese or Korean, and fold less than people expect: so
all of that is done here, alike for what is indexed and what is asked, and the index gets nothing but words.

    text -> clusters (a character with its marks, UAX #29) -> folded -> units -> tokens

A unit is a word, a symbol (an emoji), or one character of a script that sets no spaces between words. Runs of those
become overlapping pairs, and their last character stands alone: 東京都 is 東京, 京都, 都. So each position has one
token that begins with its character: one character is found as the beginning of a token, several as consecutive pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache, lru_cache
from typing import NamedTuple
from unicodedata import category, normalize

LONGEST = 64
"""Characters of a word that count; more is no word that anybody types."""

_LAST = 0x10000
"""Marks beyond the first plane cut words, alike in what is asked: listed too they make every look at a text dear."""

# Thai, Lao, Burmese, Khmer, Hangul jamo, kana, bopomofo, Hangul, and all that Unicode calls Han.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u1000-\u103f\u1050-\u109f\u1780-\u17d3\u17d7\u17dc"
    "\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7fb\uac00-\ud7a3\u3041-\u3096\u3099-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3105-\u312f\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U000323af"
)
# Accents, variation selectors, the points of Hebrew and Arabic (most write without them), tatweel, skin tones.
_DROPPED = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]"
)
_FOLLOWS = "\u1160-\u11ff\ud7b0-\ud7fb\uff9e\uff9f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef"
"""What belongs to the character before it without being a mark: jamo, half-width sound marks, tones, selectors."""


class Sort(Enum):
    """What a unit is."""

    WORD = 1
    UNSPACED = 2
    SYMBOL = 3


class Unit(NamedTuple):
    """One piece of a text, folded, and where it stands in the text as it was given.

    `joined` is whether nothing stands between it and the unit before it, both being of an unspaced script.
    """

    text: str
    sort: Sort
    joined: bool
    start: int
    end: int


class Folded(NamedTuple):
    """Folded text; character i comes from `starts[i]` until `ends[i]` of the text it was made from."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


@cache
def _clusters() -> re.Pattern[str]:
    """A character and what follows it without being one of its own: marks, and what nobody sees; or plain ASCII."""
    marks = "".join(chr(c) for c in range(0x80, _LAST) if category(chr(c)) in ("Mn", "Mc", "Me", "Cf"))
    return re.compile(f"[\0-\x7f]+(?=[\0-\x7f]|\\Z)|(?s:.)[{re.escape(marks)}{_FOLLOWS}]*")


@cache
def _pieces() -> re.Pattern[str]:
    """Runs of unspaced characters, symbols, words; in this order."""
    characters = [chr(c) for c in range(0x80, _LAST)]
    symbols = "".join(c for c in characters if category(c) == "So") + "\U0001f000-\U0001faff"
    marks = "".join(c for c in characters if category(c) in ("Mn", "Mc"))
    # Most of what is no word is ASCII, and known as such at once.
    return re.compile(
        f"(?![\0-/:-`{{-\x7f])(?:([{_UNSPACED}]+)|([{symbols}])|((?:[a-z0-9]+|(?![{_UNSPACED}])(?:[^\\W_]|[{marks}]))+))"
    )


_ASCII_WORD = re.compile("[a-z0-9]+")


@lru_cache(1 << 16)
def _folded(cluster: str) -> str:
    text = normalize("NFKD", normalize("NFKD", cluster).casefold())
    seen = "".join(c for c in _DROPPED.sub("", text) if category(c) != "Cf")
    return normalize("NFC", seen)


def fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join([part.lower() if part.isascii() else _folded(part) for part in _clusters().findall(text)])


def folded(text: str) -> Folded:
    """The same, with the way back."""
    if text.isascii():
        return Folded(text.lower(), range(len(text)), range(1, len(text) + 1))
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for found in _clusters().finditer(text):
        if found[0].isascii():
            parts.append(found[0].lower())
            starts += range(found.start(), found.end())
            ends += range(found.start() + 1, found.end() + 1)
            continue
        part = _folded(found[0])
        parts.append(part)
        starts += [found.start()] * len(part)
        ends += [found.end()] * len(part)
    return Folded("".join(parts), starts, ends)


def units(text: str) -> Iterator[Unit]:
    way = folded(text)
    if way.text.isascii():  # of most texts; nine times as fast
        for word in _ASCII_WORD.finditer(way.text):
            start, end = word.span()
            yield Unit(word[0][:LONGEST], Sort.WORD, False, way.starts[start], way.ends[end - 1])
        return
    for found in _pieces().finditer(way.text):
        start, end = found.span()
        if found[1] is None:
            sort = Sort.WORD if found[2] is None else Sort.SYMBOL
            yield Unit(found[0][:LONGEST], sort, False, way.starts[start], way.ends[end - 1])
            continue
        for at in range(start, end):
            yield Unit(way.text[at], Sort.UNSPACED, at > start, way.starts[at], way.ends[at])


def tokens(text: str) -> list[str]:
    """What the index gets, in order."""
    shape = fold(text)
    if shape.isascii():
        return [word[:LONGEST] for word in _ASCII_WORD.findall(shape)]
    found: list[str] = []
    for run, symbol, word in _pieces().findall(shape):
        if run:
            found += [run[at : at + 2] for at in range(len(run))]
        else:
            found.append(symbol or word[:LONGEST])
    return found


class Sought(NamedTuple):
    """A word or phrase as the index is asked for it: consecutive tokens, the last of them perhaps only begun."""

    tokens: tuple[str, ...]
    prefix: bool


def sought(text: str, *, prefix: bool = False) -> Sought | None:
    """None where nothing of the text can be found.

    What it ends with in an unspaced script may go on in what is searched: its last pair says all, and one character
    alone is the beginning of a pair. Any other word is meant whole, unless `prefix` says that it is a beginning.
    """
    pieces = list(units(text))
    if not pieces:
        return None
    found = tuple(tokens(text))
    last = pieces[-1]
    if last.sort is not Sort.UNSPACED:
        return Sought(found, prefix)
    return Sought(found[:-1], False) if last.joined else Sought(found, True)
