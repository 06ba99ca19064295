"""Which rooms of the input, and which time of them, are wanted (pure). Knows neither exclusions nor people."""

from __future__ import annotations

from msgspec import Struct

from archiver.events import BARE, INVITED, Captured, Rejected, fits

OTHER_ROOMS = "of other rooms"
EARLIER = "from before"
LATER = "from later"
_STANDING = BARE - {INVITED}
"""Types that hold on: who is there, what a room is called."""


class Selection(Struct, frozen=True):
    """`rooms` are patterns (`*`, `?`) of the source's own ids, none for all. What happened is wanted from `since` on
    and before `until`, microseconds since 1970, None for no bound."""

    rooms: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    def passes_over(self, piece: Captured | Rejected) -> str:
        """Why it isn't wanted; "" for what is. What can't be read is always told, as nobody knows what it was.

        Who came and went before `since` is wanted all the same: else nobody could tell who saw what was said after it.
        """
        if isinstance(piece, Rejected):
            return ""
        if self.rooms and not any(fits(piece.event.data.conversation.id, each) for each in self.rooms):
            return OTHER_ROOMS
        if self.since is not None and piece.time < self.since and piece.event.type not in _STANDING:
            return EARLIER
        return LATER if self.until is not None and piece.time >= self.until else ""


EVERYTHING = Selection()
