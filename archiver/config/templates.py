"""Whether two path templates can meet: the compliance archive must have a tree of its own.

Holds that comparison only. What a template may look like is the store's knowledge, and so is expanding it.
"""

from __future__ import annotations

import re

_FIELD = re.compile(r"\{(?:domain|local)\}")
_ENCODED = "[a-z0-9._+%=A-F-]+"
"""What the store may put in for {domain} and {local}."""


def collide(one: str, other: str) -> bool:
    """Whether a path of one template can be, or lie within, a path of the other."""
    if one.startswith("{data}/") != other.startswith("{data}/"):
        return False  # where {data} lies isn't known here
    steps = zip(one.split("/"), other.split("/"), strict=False)
    return all(a == b or _may_be(a, b) or _may_be(b, a) for a, b in steps)


def _may_be(pattern: str, step: str) -> bool:
    """Whether a step with fields in it can come out like another; with fields in both, it is taken as yes."""
    if not _FIELD.search(pattern):
        return False
    if _FIELD.search(step):
        return True
    return re.fullmatch(_ENCODED.join(map(re.escape, _FIELD.split(pattern))), step) is not None
