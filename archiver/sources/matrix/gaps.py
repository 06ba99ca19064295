"""What a homeserver has of a room and never told: one that dies forgets what it was about to tell (Synapse 1.163 does).

So the last of each room in which something was said is looked through after a while; what is missing is told in turn
with what it sends. Where it may have died just before, each room is looked through before anything more is told of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from archiver.events import SECOND
from archiver.exceptions import TryLater
from archiver.importers import jsonfile
from archiver.importers.matrix.event import server
from archiver.sources.http.replies import Refusal
from archiver.sources.matrix.homeserver import Homeserver, No, NotNow
from archiver.sources.matrix.timeline import Shown, Timeline, context_of, happened, identity, read
from archiver.sources.matrix.translating import Opened
from archiver.sources.matrix.turns import Turns

log = structlog.get_logger("archiver.sources")

GAPS = 20.0
"""Seconds between looks for what a homeserver never told."""
YOUNG = 10_000.0
"""Milliseconds that a homeserver may take to tell an event."""
ROOMS = 200
"""Looked through each time, at most; others the next time."""
SILENCE = 2.0
"""Seconds in which no homeserver dies and starts again."""
PATIENCE = 10.0
"""Seconds that what comes then waits for that, at most."""
NEVER = -1.0
USERS = 20
"""As whom a room is looked through, at most: as many as it takes to find one who was there all the time."""


class Gaps:
    """The rooms in which something was said, each with somebody who said it; looked through one by one."""

    def __init__(self, turns: Turns, homeserver: Homeserver, is_up: Callable[[float], bool]) -> None:
        self._turns = turns
        self._homeserver = homeserver
        self._is_up = is_up
        self._active: dict[str, str] = {}
        self._seen_through: dict[str, float] = {}
        """Until when, in milliseconds; not before the start: nobody knows what happened then."""
        self._own = ""
        self._heard = -SILENCE
        self._sure: set[str] = set()
        """Rooms of which all was told since it may last have died."""

    async def before(self, opened: Opened, now: float) -> None:
        """Tell what was never told from before a transaction that comes `now`, in seconds.

        A change of name may be in it, or who came and left. Raises `Refusal` and `TryLater`.
        """
        if now - self._heard > SILENCE:
            self._sure.clear()
        self._sure |= {each.room for each in opened.strangers}
        self._sure |= {line.room_id or "" for line in opened.lines if line.type == "m.room.create"}
        first = {line.room_id or "": line for line in reversed(opened.lines)}
        patience_ends = asyncio.get_running_loop().time() + PATIENCE
        for room, line in first.items():
            if room in self._sure:
                continue
            try:
                async with asyncio.timeout_at(patience_ends):
                    timelines = await self._timelines(room, line.sender)
                missing = _missing(timelines, {each.event_id for each in opened.lines})
                await self._tell(room, timelines, [e for e in missing if happened(e) < line.origin_server_ts])
                until = min(line.origin_server_ts, self._turns.clock() / SECOND * 1_000)  # some clocks are ahead
                self._seen_through[room] = max(until, self._seen_through.get(room, NEVER))
            except (No, NotNow, TimeoutError) as fault:  # looked for again after a while
                log.info("room not looked through", source=self._turns.source, room=room, why=str(fault) or "too slow")
                if not isinstance(fault, No):
                    self._sure |= first.keys()  # what comes doesn't wait for one after the other
            self._sure.add(room)

    def said(self, where: Mapping[str, str], now: float) -> None:
        """Rooms in which something was just said, and who said it; told by `now`, in seconds."""
        self._active |= where
        self._heard = now

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
        timelines = await self._timelines(room, user)
        missing = _missing(timelines)
        now = self._turns.clock() / SECOND * 1_000
        young = {at for at in map(happened, missing) if now - YOUNG < at <= now}  # not those of clocks that are ahead
        if young:
            self._active.setdefault(room, user)  # these may be on their way: seen to the next time
        await self._tell(room, timelines, [each for each in missing if happened(each) not in young])
        seen = [min(now, happened(each)) for timeline in timelines for each in timeline.events]
        self._seen_through[room] = min(young, default=max(seen, default=NEVER))

    async def _timelines(self, room: str, user: str) -> list[Timeline]:
        """What the first is shown who was there all the time, else all of them together."""

        async def known(events: Sequence[str]) -> set[str]:
            found: set[str] = await self._turns.work(self._turns.translator.told, events)
            return found

        found: list[Timeline] = []
        refused: No | None = None
        since = self._seen_through.get(room, NEVER)
        members, shared = await self._turns.work(self._turns.translator.audience, room, since)
        for each in await self._ours((user, *members)):
            try:
                timeline = await read(self._homeserver, room, each, known, since)
            except No as fault:
                refused = fault
                continue
            if timeline.is_whole(since, shared=shared):
                return [timeline]
            found.append(timeline)
        if refused is not None and not found:
            raise refused
        return found

    async def _ours(self, users: Iterable[str]) -> list[str]:
        """Whom the homeserver lets us ask for: its own people."""
        self._own = self._own or server(await self._homeserver.whoami())
        return [each for each in dict.fromkeys(users) if server(each) == self._own][:USERS]

    async def _tell(self, room: str, timelines: Sequence[Timeline], missing: list[Shown]) -> None:
        if not missing:
            return
        body = jsonfile.original({"events": missing})
        opened = await self._turns.work(partial(self._turns.translator.open, f"gap {room}", body, is_late=True))
        if opened is None or not opened.lines:
            return
        log.warning("never told by the homeserver", source=self._turns.source, room=room, events=len(opened.lines))
        context: list[Any] = []
        late = {line.event_id for line in opened.lines}
        for timeline in timelines:
            if shown := [each for each in map(identity, timeline.events) if each in late]:
                context += await context_of(self._homeserver, room, timeline, shown[0])
                late -= set(shown)
        await self._turns.take_in(opened, context)


def _missing(timelines: Iterable[Timeline], told: Collection[str] = ()) -> list[Shown]:
    found = {identity(each): each for timeline in timelines for each in timeline.missing()}
    return sorted((each for key, each in found.items() if key not in told), key=happened)
