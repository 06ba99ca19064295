"""Patterns of sources, as configuration and exclusions have them. Holds nothing of what is done with what matches."""

from __future__ import annotations

import re
from collections.abc import Iterable


def any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """What fits one of them whole: * stands for anything, ? for one character, and nothing else for another.

    No brackets as in shells: a source may bear them in its name (`irc:libera/#[ab]`).
    """
    escaped = (re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in patterns)
    return re.compile("|".join(escaped), re.DOTALL)
