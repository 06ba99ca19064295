"""How hard Hypothesis tries: each test names what its whole run needs, the quick part tries a share of it."""

from __future__ import annotations

from hypothesis import settings

_WHOLE = 100
"""What the profile of the whole run tries where a test names nothing."""


def examples(whole: int) -> int:
    """The number to try under the profile in force."""
    return max(1, whole * settings().max_examples // _WHOLE)
