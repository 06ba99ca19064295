"""How far back somebody sees who comes into a conversation (pure).

Where the place says so (`history: members`), members see what was said before they came; a place may say so for a
while only. Then one sees back to the last thing said that was for those present, and no further.
"""

from __future__ import annotations

from collections.abc import Sequence

from archiver.events import BARE, Captured


class Lookback:
    """Over the events of one conversation, in order."""

    def __init__(self, events: Sequence[Captured]) -> None:
        said = {captured.event.data.conversation.history for captured in events}
        self._always = said == {"members"}
        self._lows = _lows(events) if len(said) > 1 else None

    def low(self, first: int) -> int:
        """The first event seen by somebody who is there from the event `first` on."""
        if self._always:
            return 0
        return first if self._lows is None or first >= len(self._lows) else self._lows[first]


def _lows(events: Sequence[Captured]) -> list[int]:
    """By event. What merely happens neither opens nor closes: it may be told before anybody knows what a place is."""
    lows: list[int] = []
    start = 0
    opened = False
    for index, captured in enumerate(events):
        lows.append(start if opened else index)
        if captured.event.type in BARE:
            continue
        if captured.event.data.conversation.history == "members":
            opened = True
        else:
            start, opened = index + 1, False
    return lows
