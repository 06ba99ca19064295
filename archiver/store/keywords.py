"""The keywords of a folder: the mail server's own list, `dovecot-keywords`, which is read and never written.

Each line is a number and a name; the number's letter (0 is `a`) stands among an item's flags.
"""

from __future__ import annotations

import os
import re
import string
from stat import S_ISREG

NAME = "dovecot-keywords"
_MOST = 64 * 1024
_LINE = re.compile(r"([0-9]{1,2}) (\S+)")


def read(folder: int) -> dict[str, str]:
    """By letter. `folder` is its directory; OSError where there is no such file."""
    descriptor = os.open(NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        content = os.read(descriptor, _MOST) if S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        os.close(descriptor)
    return parsed(content.decode("utf-8", "replace"))


def parsed(text: str) -> dict[str, str]:
    found = filter(None, map(_LINE.fullmatch, text.splitlines()))
    return {string.ascii_lowercase[n]: each[2] for each in found if (n := int(each[1])) < len(string.ascii_lowercase)}
