"""Lines that a program wrote in its user's language, told by templates: `{who} left` and the like. Knows no format."""

from __future__ import annotations

import re
from collections.abc import Mapping

ANYTHING: Mapping[str, str] = {"{*}": r"(?:.*? )?", "{etc}": r".*"}
"""Words that differ from version to version, and such at the end."""


def template(text: str, parts: Mapping[str, str]) -> re.Pattern[str]:
    """What matches a whole line, with or without a full stop. `parts` are the expressions that stand for braces."""
    made = re.escape(text)
    for name, expression in parts.items():
        made = made.replace(re.escape(name), expression)
    return re.compile(rf"{made}\.?", re.DOTALL)
