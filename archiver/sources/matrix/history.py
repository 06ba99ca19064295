"""Rooms' history, saved into a folder from which `archiver backfill matrix` reads it. Files nothing itself.

    FOLDER/ROOM.N.ndjson        pages of a room, newest first; its last line has what the room was like before them
    FOLDER/media/SERVER/.ID     files of messages, hidden so that nobody takes them for input

A page is durable before the next is asked for: what was broken off goes on with the last one. Each later run makes a
file of its own, down to the first event that an earlier one has.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from archiver.exceptions import EnvironmentFault, EventError
from archiver.importers.matrix.event import Line
from archiver.importers.matrix.telling import fetchable, line_of, saved_at
from archiver.sources.matrix.homeserver import Homeserver, No, NotNow
from archiver.sources.matrix.rooms import STATE
from archiver.sources.matrix.timeline import came_back

PAGE = 100
PIECE = 500
"""Events of a room's state in one line."""
TRIES = 8
_LONGEST = 60.0
T = TypeVar("T")


class Happened(Struct):
    """As much of an event as says where to stop."""

    event_id: str = ""
    origin_server_ts: float = 0
    type: str = ""


class Saved(Struct, omit_defaults=True):
    """A line of a room's file: a page, and where the next begins; or a piece of what it was like `before` them all.

    The last line of a `whole` file says so.
    """

    room_id: str
    chunk: list[Any]
    end: str | None = None
    before: bool = False
    whole: bool = False


class Standing(Struct, frozen=True):
    """How far a room is saved: where to go on, from which page's end, and the events at which to stop.

    `paged`: all pages are there.
    """

    path: Path
    since: str | None = None
    known: frozenset[str] = frozenset()
    paged: bool = False


class Room(Struct, frozen=True):
    """A room to be saved, and on whose behalf it may be asked for."""

    id: str
    users: tuple[str, ...]


class Tally(Struct):
    rooms: int = 0
    events: int = 0
    files: int = 0
    refused: list[str] = []
    """Rooms that nobody may be asked for."""


Show = Callable[[str, Tally], None]
"""Told after each page: of which room, and how much there is by now."""


class Pace:
    """At most so many requests a second; what fails for now is tried again, ever more slowly."""

    def __init__(self, rate: float) -> None:
        self._between = 1 / rate
        self._next = 0.0

    async def ask(self, request: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Raises `No`, and `EnvironmentFault` where the homeserver doesn't answer for minutes."""
        for tried in range(TRIES):
            await self._turn()
            try:
                return await request(*arguments)
            except NotNow as fault:
                if tried == TRIES - 1:
                    hint = "run the same command again, and it goes on where it stood"
                    raise EnvironmentFault(f"the homeserver doesn't answer: {fault}", hint=hint) from fault
                await asyncio.sleep(min(2.0**tried, _LONGEST))
        raise AssertionError

    async def _turn(self) -> None:
        now = asyncio.get_running_loop().time()
        wait = self._next - now
        self._next = max(self._next, now) + self._between
        if wait > 0:
            await asyncio.sleep(wait)


class History:
    """`since` is in milliseconds: what is older isn't saved. Files of over `most` bytes aren't either."""

    def __init__(self, homeserver: Homeserver, folder: Path, pace: Pace, *, since: float = 0, most: int) -> None:
        self._homeserver = homeserver
        self._folder = folder
        self._pace = pace
        self._since = since
        self._most = most
        self.tally = Tally()

    async def save(self, rooms: Sequence[Room], show: Show) -> Tally:
        for room in rooms:
            user = await self._user(room)
            if user is None:
                self.tally.refused.append(room.id)
                continue
            await self._room(room.id, user, show)
            self.tally.rooms += 1
        return self.tally

    async def _user(self, room: Room) -> str | None:
        """The first who may be asked for it."""
        for user in room.users:
            with suppress(No):
                await self._pace.ask(self._homeserver.messages, room.id, user, None, 1)
                return user
        return None

    async def _room(self, room: str, user: str, show: Show) -> None:
        standing = standing_of(self._folder, room)
        end, oldest, paged = standing.since, None, standing.paged
        while not paged:
            page = await self._pace.ask(self._homeserver.messages, room, user, end, PAGE)
            events, stop = self._until(page.events, standing.known)
            oldest = _happened(events[-1]) if events else oldest
            end = None if stop else page.end
            if events or end:
                changed = await self._changed_meanwhile(room, user, events)
                await self._keep(standing.path, Saved(room, [*events, *changed], end))
            show(room, self.tally)
            paged = end is None
        await self._finish(standing, room, user, oldest)

    async def _changed_meanwhile(self, room: str, user: str, events: list[Any]) -> list[Any]:
        """What the room was like where the user came back: names and members as they became while they were away."""
        back = [_happened(each).event_id for each in events if isinstance(each, dict) and came_back(each, user)]
        states = [await self._pace.ask(self._homeserver.state_at, room, event, user) for event in back]
        return [line for state in states for each in state if (line := _stated(each)) is not None]

    def _until(self, events: list[Any], known: Collection[str]) -> tuple[list[Any], bool]:
        """The events to be saved, and whether that is enough."""
        for index, element in enumerate(events):
            event = _happened(element)
            if event.event_id in known or event.origin_server_ts < self._since:
                return events[:index], True
        return events, False

    async def _finish(self, standing: Standing, room: str, user: str, oldest: Happened | None) -> None:
        """What the room was like before the first event saved, as the events that made it so."""
        if not standing.path.exists():
            return
        oldest = oldest or _last_of(standing.path)
        state: list[Any] = []
        if oldest is not None and oldest.type != "m.room.create":
            with suppress(No):
                state = await self._pace.ask(self._homeserver.state_at, room, oldest.event_id, user)
        lines = [line for line in map(_stated, state) if line is not None]
        pieces = [lines[start : start + PIECE] for start in range(0, len(lines), PIECE)] or [[]]
        for number, piece in enumerate(pieces, 1):
            append(standing.path, Saved(room, piece, before=True, whole=number == len(pieces)))

    async def _keep(self, path: Path, saved: Saved) -> None:
        """The files first: who goes on after a page finds them with it."""
        for element in saved.chunk:
            with suppress(EventError):
                line = line_of(element)
                if shared := fetchable(line):
                    await self._file(shared.url or "")
        append(path, saved)
        self.tally.events += len(saved.chunk)

    async def _file(self, url: str) -> None:
        place = saved_at(url)
        if place is None or (self._folder / place).exists():
            return
        path = self._folder / place
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.part")
        try:
            await self._pace.ask(self._into, beside, url)
            beside.replace(path)
            self.tally.files += 1
        except No:
            pass  # gone, or too large: its message says what it was
        finally:
            beside.unlink(missing_ok=True)

    async def _into(self, path: Path, url: str) -> None:
        with path.open("wb") as stream:
            async for piece in self._homeserver.media(url, self._most):
                stream.write(piece)


def standing_of(folder: Path, room: str) -> Standing:
    """Cuts off a last line that was never ended."""
    stem = quote(room, safe="")
    found = sorted((int(path.suffixes[-2][1:]), path) for path in folder.glob(f"{stem}.*.ndjson"))
    known: frozenset[str] = frozenset()
    for _, path in found:
        lines = list(_lines(path))
        if lines and not lines[-1].whole:
            return Standing(path, lines[-1].end, known, lines[-1].end is None)
        if lines:
            known = frozenset(_happened(each).event_id for each in lines[0].chunk) or known
    return Standing(folder / f"{stem}.{len(found) + 1}.ndjson", None, known)


def append(path: Path, saved: Saved) -> None:
    """Durable when it returns."""
    content = msgspec.json.encode(saved) + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "ab") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _lines(path: Path) -> Iterator[Saved]:
    size = 0
    with path.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                break
            size += len(line)
            yield msgspec.json.decode(line, type=Saved)
    if size < path.stat().st_size:
        os.truncate(path, size)


def _last_of(path: Path) -> Happened | None:
    last = None
    for saved in _lines(path):
        last = saved.chunk[-1] if saved.chunk and not saved.before else last
    return None if last is None else _happened(last)


def _happened(element: Any) -> Happened:
    try:
        return msgspec.convert(element, Happened, strict=False)
    except msgspec.ValidationError:
        return Happened(origin_server_ts=float("inf"))


def _stated(element: Any) -> Any:
    """A state event without what was before it: here it is the first that is known."""
    try:
        line: Line = line_of(element)
    except EventError:
        return None
    return {k: v for k, v in element.items() if k != "unsigned"} if line.type in STATE else None
