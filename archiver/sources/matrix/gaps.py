"""What a homeserver has of a room and never told: one that dies forgets what it was about to tell (Synapse 1.163 does).

So the last of each room in which something was said is looked through after a while; what is missing is told in turn
with what it sends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import dropwhile
from typing import Any

import structlog
from msgspec import Struct

from archiver.events import SECOND
from archiver.exceptions import TryLater
from archiver.importers import jsonfile
from archiver.importers.matrix.event import inner, text
from archiver.sources.http.replies import Refusal
from archiver.sources.matrix.homeserver import Homeserver, No, NotNow
from archiver.sources.matrix.turns import Turns

log = structlog.get_logger("archiver.sources")

GAPS = 20.0
"""Seconds between looks for what a homeserver never told."""
YOUNG = 10.0
"""Seconds that a homeserver may take to tell an event."""
ROOMS = 200
"""Looked through each time, at most; others the next time."""
PAGE = 100
PAGES = 10
"""Looked through at most, of one room at one time."""

Known = Callable[[Sequence[str]], Awaitable[Collection[str]]]
"""Which of these events were told."""


ASKED = 10
"""How often it is asked, for one look, what a room was like."""


class Missing(Struct, frozen=True):
    """What wasn't told, and all that stands from the first of it on; oldest first."""

    events: list[dict[str, Any]]
    since: list[dict[str, Any]]


async def missing(homeserver: Homeserver, room: str, user: str, known: Known, *, deep: bool) -> Missing:
    """Events that stand after one that was told, and weren't. Raises `NotNow` and `No`.

    What is older than all that was told is from before the service: a saved history has it. Where not `deep`, a page
    of which all was told is the last.
    """
    found: list[tuple[dict[str, Any], bool]] = []
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
    stretch = list(dropwhile(lambda each: each[1], found[:last][::-1]))
    return Missing([each for each, was in stretch if not was], [each for each, _ in stretch])


async def context_of(
    homeserver: Homeserver, room: str, user: str, first: str, since: Sequence[dict[str, Any]]
) -> list[Any]:
    """Names, members and the rest as they were at the `first` event, and what changed `since`.

    What is known of the room is from later. A user isn't shown what changes while they aren't there: where they come
    back, it is asked anew.
    """
    changes = [each for each in since if isinstance(each.get("state_key"), str)]
    back = [text(each, "event_id") for each in changes if is_return(each, user)]
    states = [await homeserver.state_at(room, event, user) for event in (first, *back[-ASKED:])]
    return [each for state in (*states, changes) for each in state]


class Gaps:
    """The rooms in which something was said, each with somebody who may be asked; looked through one by one."""

    def __init__(self, turns: Turns, homeserver: Homeserver, is_up: Callable[[float], bool]) -> None:
        self._turns = turns
        self._homeserver = homeserver
        self._is_up = is_up
        self._active: dict[str, str] = {}
        self._seen_through: set[str] = set()
        """Rooms that were looked through since the start: before it, nobody knows what happened."""

    def said(self, where: Mapping[str, str]) -> None:
        """Rooms in which something was just said, and who said it."""
        self._active |= where

    async def always(self) -> None:
        while True:
            await asyncio.sleep(GAPS)
            if not self._is_up(time.monotonic()):
                continue  # it may be telling just now
            for room in list(self._active)[:ROOMS]:
                user = self._active.pop(room)
                try:
                    async with self._turns.turn:
                        await self._fill(room, user)
                except No as fault:
                    log.info("room not looked through", source=self._turns.source, room=room, why=str(fault))
                except (NotNow, TryLater, Refusal) as fault:
                    self._active.setdefault(room, user)
                    log.info(
                        "room not looked through; trying again", source=self._turns.source, room=room, why=str(fault)
                    )
                except Exception:
                    log.exception("room not looked through", source=self._turns.source, room=room)

    async def _fill(self, room: str, user: str) -> None:
        async def known(events: Sequence[str]) -> set[str]:
            found: set[str] = await self._turns.work(self._turns.translator.told, events)
            return found

        found = await missing(self._homeserver, room, user, known, deep=room not in self._seen_through)
        self._seen_through.add(room)
        events = [each for each in found.events if _since(each, self._turns.clock()) > YOUNG]
        if len(events) < len(found.events):
            self._active.setdefault(room, user)  # these may be on their way: seen to the next time
        if not events:
            return
        body = jsonfile.original({"events": events})
        opened = await self._turns.work(partial(self._turns.translator.open, f"gap {room}", body, is_late=True))
        if opened is not None and opened.lines:
            log.warning("never told by the homeserver", source=self._turns.source, room=room, events=len(opened.lines))
            context = await context_of(self._homeserver, room, user, opened.lines[0].event_id, found.since)
            await self._turns.take_in(opened, context)


def _since(event: dict[str, Any], now: int) -> float:
    at = event.get("origin_server_ts")
    return now / SECOND - at / 1_000 if isinstance(at, int | float) else 0.0


def is_return(event: dict[str, Any], user: str) -> bool:
    """Whether by this they come into the room."""
    if event.get("type") != "m.room.member" or event.get("state_key") != user:
        return False
    before = inner(event.get("unsigned"), "prev_content")
    return text(event.get("content"), "membership") == "join" != text(before, "membership")
