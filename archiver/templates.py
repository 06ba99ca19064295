"""Whether path templates of mailboxes are sound: no two addresses may come out as one path.

Holds the rules only, over the text of `[store] mail` and `archive`; expanding a template is the store's work. What
is put in for {domain} and {local} consists of `a-z0-9._+-` and %XX there, so any other character keeps them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_FIELD = re.compile(r"\{(data|domain|local)\}")
_WITHIN = re.compile(r"[A-Za-z0-9._+%-]*")
"""What an encoded part may consist of, and so can't tell two parts from each other."""


def problems(template: str, *, one_domain: bool) -> Iterator[str]:
    """`one_domain`: every mailbox is in the same, so that a path without {domain} is still its own."""
    fields = _FIELD.findall(template)
    plain = _FIELD.sub("", template)
    if "{" in plain or "}" in plain:
        yield "knows only {data}, {domain} and {local}"
    if not template.startswith(("{data}/", "/")) or "data" in fields[1:]:
        yield "must begin with {data}/ or be an absolute path"
    if {".", ".."} & set(template.split("/")):
        yield "must not contain . or .. as a step"
    needed = ("local",) if one_domain else ("domain", "local")
    missing = [field for field in needed if field not in fields]
    if missing:
        names = " and ".join(f"{{{field}}}" for field in missing)
        yield f"can map two addresses to one path: it lacks {names}"
    elif _runs_together(template):
        yield "can map two addresses to one path: nothing keeps {domain} and {local} apart, such as a /"


def _runs_together(template: str) -> bool:
    """Two different parts with nothing but what they may consist of between them: a-b.c is both a, b.c and a-b, c."""
    pieces = _FIELD.split(template)[1:]
    fields, between = pieces[::2], pieces[1::2]
    neighbours = zip(pairwise(fields), between, strict=False)
    return any({"domain", "local"} == set(pair) and _WITHIN.fullmatch(text) for pair, text in neighbours)


def collide(one: str, other: str) -> bool:
    """Whether a path of one template can be, or lie within, a path of the other."""
    if one.startswith("{data}/") != other.startswith("{data}/"):
        return False  # where {data} lies isn't known here; doctor looks
    steps = zip(one.split("/"), other.split("/"), strict=False)
    return all(a == b or _may_be(a, b) or _may_be(b, a) for a, b in steps)


def _may_be(pattern: str, step: str) -> bool:
    """Whether a step with fields in it can come out like another; with fields in both, it is taken as yes."""
    if not _FIELD.search(pattern) or pattern == "{data}":
        return False
    if _FIELD.search(step):
        return True
    parts = [re.escape(part) for part in re.split(r"\{(?:domain|local)\}", pattern)]
    return re.fullmatch("[a-z0-9._+%A-F-]+".join(parts), step) is not None
