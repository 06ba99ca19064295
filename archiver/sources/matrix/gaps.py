"""What a homeserver has of a room and never told: one that dies forgets what it was about to tell (Synapse 1.163 does).

So the last of each room in which something was said is looked through after a while. Asks; tells nothing itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from archiver.importers.matrix.event import text
from archiver.sources.matrix.homeserver import Homeserver

PAGE = 100
PAGES = 10
"""Looked through at most, of one room at one time."""

Known = Callable[[Sequence[str]], Awaitable[Collection[str]]]
"""Which of these events were told."""


async def missing(homeserver: Homeserver, room: str, user: str, known: Known, *, deep: bool) -> list[Any]:
    """Events that stand after one that was told, and weren't; oldest first. Raises `NotNow` and `No`.

    What is older than all that was told is from before the service: a saved history has it. Where not `deep`, a page
    of which all was told is the last.
    """
    found: list[tuple[Any, bool]] = []
    since: str | None = None
    for _ in range(PAGES):
        page = await homeserver.messages(room, user, since, PAGE)
        events = [each | {"room_id": room} for each in page.events if isinstance(each, dict)]
        told = await known([text(each, "event_id") for each in events])
        found += [(each, text(each, "event_id") in told) for each in events]
        since = page.end
        if since is None or (not deep and len(told) == len(events)):
            break
    last = max((index for index, (_, was) in enumerate(found) if was), default=0)
    return [each for each, was in found[:last] if not was][::-1]
