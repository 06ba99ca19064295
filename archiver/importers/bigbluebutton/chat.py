"""What makes a message of the public chat the same live and as recorded: its own id, which begins with its time.

Recordings have that id since BigBlueButton 3.0, and callbacks always; before, nothing in both tells which is which.
Source: BigBlueButton, GroupChatFactory (milliseconds, "-", eight letters), PublicChatRecordEvent.
"""

from __future__ import annotations

import re

from archiver.events import SECOND

_ID = re.compile(r"(\d{13})-\w{1,40}", re.ASCII)
_APART = 3600 * SECOND
"""How far from when it was told it may have been said: what begins with another number is no time."""


def identity_of(meeting: str, message: str) -> str:
    """`meeting` is its internal id."""
    return f"{meeting}/chat/{message}"


def said_at(message: str, told: int) -> int:
    """Microseconds. What records a message, and what calls back, does so each a little later."""
    match = _ID.fullmatch(message)
    said = int(match[1]) * 1000 if match else told
    return said if abs(said - told) <= _APART else told
