"""The end of a room's timeline as one user is shown it, and what of it was never told. Keeps nothing.

A homeserver shows nobody what was said while they weren't there, where the room's history says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import dropwhile
from typing import Any

from msgspec import Struct

from archiver.importers.matrix.event import inner, text
from archiver.sources.matrix.homeserver import Homeserver

PAGE = 100
PAGES = 10
"""Read at most, of one room at one time."""
ASKED = 10
"""How often it is asked, of one timeline, what the room was like."""

Known = Callable[[Sequence[str]], Awaitable[Collection[str]]]
"""Which of these events were told."""
Shown = dict[str, Any]


class Timeline(Struct, frozen=True):
    """As `user` is shown it, oldest first; and the ids of those events that were told."""

    user: str
    events: list[Shown]
    told: frozenset[str]

    def is_whole(self, since: float, *, shared: bool) -> bool:
        """Whether the user was shown all from `since` on: who was there all the time, or is in a room that now shows
        all to whoever is in it, and always did."""
        late = [each for each in self.events if happened(each) > since]
        moves = [each for each in late if _came(each, self.user) or _left(each, self.user)]
        if shared and not any(map(_was_hiding, late)):
            return not moves or _came(moves[-1], self.user)
        return not moves

    def missing(self) -> list[Shown]:
        """What stands after an event that was told, and wasn't.

        What is older than all that was told is from before the service: a saved history has it.
        """
        known = dropwhile(lambda each: identity(each) not in self.told, self.events)
        return [each for each in known if identity(each) not in self.told]


async def read(homeserver: Homeserver, room: str, user: str, known: Known, since: float) -> Timeline:
    """From now back to a page of which all was told, and which isn't all from after `since`, in milliseconds.

    Raises `NotNow` and `No`.
    """
    events: list[Shown] = []
    told: set[str] = set()
    end: str | None = None
    for _ in range(PAGES):
        page = await homeserver.messages(room, user, end, PAGE)
        new = [each | {"room_id": room} for each in page.events if isinstance(each, dict)]
        of_these = await known([identity(each) for each in new])
        events += new
        told |= set(of_these)
        end = page.end
        if end is None or (len(of_these) == len(new) and min(map(happened, new), default=0.0) <= since):
            break
    return Timeline(user, events[::-1], frozenset(told))


async def context_of(homeserver: Homeserver, room: str, timeline: Timeline, first: str) -> list[Any]:
    """Names, members and the rest as they were at the `first` event, and what changed from then on.

    What is known of the room is from later. Where the user comes back, it is asked anew. Raises `NotNow` and `No`.
    """
    since = dropwhile(lambda each: identity(each) != first, timeline.events)
    changes = [each for each in since if isinstance(each.get("state_key"), str)]
    back = [identity(each) for each in changes if came_back(each, timeline.user)]
    states = [await homeserver.state_at(room, event, timeline.user) for event in (first, *back[-ASKED:])]
    return [each for state in (*states, changes) for each in state]


def identity(event: Shown) -> str:
    return text(event, "event_id")


def happened(event: Shown) -> float:
    """In milliseconds; 0 where it doesn't say."""
    at = event.get("origin_server_ts")
    return at if isinstance(at, int | float) else 0.0


def _was_hiding(event: Shown) -> bool:
    """Whether by this a room begins to show what was said before somebody came."""
    before = text(inner(event.get("unsigned"), "prev_content"), "history_visibility")
    return event.get("type") == "m.room.history_visibility" and before not in ("", "shared", "world_readable")


def _came(event: Shown, user: str) -> bool:
    before, after = _change(event, user)
    return after == "join" != before


def came_back(event: Shown, user: str) -> bool:
    """Whether by this they come again, and missed what was before it."""
    before, after = _change(event, user)
    return after == "join" and before in ("leave", "ban")


def _left(event: Shown, user: str) -> bool:
    before, after = _change(event, user)
    return after != "join" == before


def _change(event: Shown, user: str) -> tuple[str, str]:
    """Their membership before and after; of what isn't about them the same."""
    if event.get("type") != "m.room.member" or event.get("state_key") != user:
        return "", ""
    return text(inner(event.get("unsigned"), "prev_content"), "membership"), text(event.get("content"), "membership")
