"""Patterns of sources and mailboxes, as configuration and exclusions have them; not what is done with what fits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """What fits one of them whole: * stands for anything, ? for one character, and nothing else for another.

    No brackets as in shells: a source may bear them in its name (`irc:libera/#[ab]`).
    """
    return re.compile("|".join(map(_expression, patterns)), re.DOTALL)


def _expression(pattern: str) -> str:
    """What stands between two stars fits where it first can and is not tried anew further on: it would not help, and a
    few stars in a row of them would take hours over a name that somebody chose for that."""
    first, *rest = (re.escape(each).replace(r"\?", ".") for each in pattern.split("*"))
    if not rest:
        return first
    *between, last = rest
    return first + "".join(f"(?>.*?{each})" for each in between) + ".*" + last


def fits(text: str, pattern: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return any_of([pattern])
