"""Logging, and text from outside made harmless: no name, topic or message of an exception can move a terminal's cursor
or forge a line.
"""

from __future__ import annotations

import re
import sys
from typing import TextIO

# C0, DEL, C1; what reorders or hides text (bidirectional controls, zero width, formats of scripts, tags); line ends of
# Unicode; lone surrogates, which many streams can't write.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def plain(text: str) -> str:
    """Text as it may go to a terminal, on one line: what is unsafe is shown as an escape."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def set_up(format: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Route everything to `stream` (standard error). Called again, as on SIGHUP, it replaces what it set up."""
    from archiver.logs import structured  # loads structlog: who only lists a folder doesn't wait for it

    structured.route(format, level, sys.stderr if stream is None else stream)
