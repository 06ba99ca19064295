"""The lines of an item's text, told apart for who shows them in colour. Pure; changes no character of them."""

from __future__ import annotations

import re

from msgspec import Struct

_SAID = re.compile(r"(\d\d?:\d\d(?::\d\d)?\S*(?: [AP]M)?) (.+?): (.*)")
_TOLD = re.compile(r"(\d\d?:\d\d(?::\d\d)?\S*(?: [AP]M)?) \* (.*)")


class Line(Struct, frozen=True):
    """One line. Of what somebody said there are `time`, `who` and `text`, of what happened `time` and `text`; of any
    other only `text`, the whole. `is_day` is where another day begins."""

    text: str
    time: str = ""
    who: str = ""
    is_day: bool = False


def line_of(text: str) -> Line:
    if said := _SAID.fullmatch(text):
        return Line(said[3], said[1], said[2])
    if told := _TOLD.fullmatch(text):
        return Line(told[2], told[1])
    return Line(text, is_day=text.startswith("--- "))
