"""One line of an exported chat -> when and who, if it begins a message. Pure.

Android writes `DATE, TIME - NAME: TEXT`, the iPhone `[DATE, TIME] NAME: TEXT`. Separators, digits, the place and the
words of the half of the day are those of the phone's language; marks of direction stand anywhere.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MARKS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
_SPACES = dict.fromkeys(map(ord, "\u00a0\u202f\u2009"), " ")
_HEAD = 60
"""Characters within which a message's start ends."""
_HALF = r"(?P<{}>[^\W\d_](?:[^\d\[\]:]{{0,12}}[^\W\d_])?\.?)"
_DATE = r"(?P<a>\d{1,4})(?P<s>[./\-年]|\. ) ?(?P<b>\d{1,2})(?:[./\-月]|\. ) ?(?P<c>\d{1,4})(?:\.|日)?"
_CLOCK = r"(?P<hour>\d{1,2})[:.](?P<minute>\d\d)(?:[:.](?P<second>\d\d))?"
_TIME = rf"(?:{_HALF.format('early')} ?)?{_CLOCK}(?: ?{_HALF.format('late')})?"
_BRACKETED = re.compile(rf"\[{_DATE},? {_TIME}\] ?")
_DASHED = re.compile(rf"{_DATE},? {_TIME} [-–] ")
_PM = re.compile(r"p|下午|오후|午後|晚上|م|μμ|du|ch|бе|nm|ip|em", re.IGNORECASE)
_AM = re.compile(r"a|上午|오전|午前|早上|凌晨|ص|πμ|de|sa|до|fm|ap|ve", re.IGNORECASE)


class Start(NamedTuple):
    """How a message begins. `numbers` are the date's, in the order they stand; `text` is what follows."""

    numbers: tuple[int, int, int]
    widths: tuple[int, int, int]
    separator: str
    hour: int
    minute: int
    second: int | None
    text: str


def start(line: str) -> Start | None:
    """None for a line that goes on with a message."""
    bare = line.lstrip(MARKS)
    if not bare[:1] or not (bare[0] == "[" or bare[0].isdecimal()):
        return None
    head = "".join(character for character in bare[:_HEAD].translate(_SPACES) if character not in MARKS)
    match = (_BRACKETED if head[0] == "[" else _DASHED).match(head)
    if match is None:
        return None
    # The head has lost its marks: find where the rest begins in the line as it is.
    rest = bare[_offset(bare, match.end()) :]
    numbers = [match[name] for name in "abc"]
    hour = _hour(int(match["hour"]), match["early"] or match["late"] or "")
    second = int(match["second"]) if match["second"] else None
    values, widths = tuple(map(int, numbers)), tuple(map(len, numbers))
    return Start(values, widths, match["s"], hour, int(match["minute"]), second, rest)  # type: ignore[arg-type]


def _offset(line: str, count: int) -> int:
    """Where `count` characters that are no marks end."""
    for index, character in enumerate(line):
        if count == 0:
            return index
        count -= character not in MARKS
    return len(line)


def _hour(hour: int, half: str) -> int:
    """The hour of the day; a half in a language not known here leaves the hour as it is."""
    if not half or hour > 12:
        return hour
    if _PM.match(half):
        return hour % 12 + 12
    return hour % 12 if _AM.match(half) else hour
