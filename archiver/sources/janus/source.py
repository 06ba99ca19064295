"""Janus as a `Source`: its event handler posts to /events, its TextRooms to /textroom.

log in ─► receive ─► unpack ─► read ─► what it comes to ─► `Batching` ─► remember ─► 200

Janus takes any whole reply for an acknowledgement, whatever its status: what isn't safe here is answered by a reply
that breaks off. The event handler then tries again, in order; a TextRoom doesn't, and what it told is lost.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from msgspec import Struct
from msgspec.json import encode
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from archiver.events import Event, Outcome, Rejected, capture
from archiver.exceptions import EnvironmentFault, EventError, TryLater
from archiver.sources.credentials import LogIns, Secret
from archiver.sources.http.receiving import Limits, Share, body_of, coding_of, unpack
from archiver.sources.http.reception import Pieces, Reception
from archiver.sources.http.replies import LATER, Refusal, refused, try_later
from archiver.sources.http.source import Served
from archiver.sources.janus.asking import Api, Topics
from archiver.sources.janus.meetings import Custom, Difference, Meetings
from archiver.sources.janus.notices import Notice, Read, Roster, read_notices, read_said
from archiver.sources.janus.remembering import Remembered
from archiver.sources.listening import Address
from archiver.sources.protocol import Accept, Signs

log = structlog.get_logger("archiver.sources")

INTRODUCTION = 1.0
"""Seconds for which a message waits, and its room with it, until its author is told to have come. Once for each."""
CHECK = 60.0
EVENTS, SAID = "/events", "/textroom"
Meant = Callable[[Meetings], Pieces]


class JanusSource(Served):
    """`name` also names the source of its events: `janus:NAME`. `log_ins` are those that Janus may use."""

    def __init__(
        self,
        name: str,
        address: Address,
        log_ins: tuple[Secret, ...],
        *,
        custom: Custom | None = None,
        memory: Callable[[], Remembered] = Remembered,
        api: Api | None = None,
        check: float = CHECK,
        **settings: Any,
    ) -> None:
        """`api` is asked what rooms are called, and every `check` seconds who is in those that are in use."""
        super().__init__(f"janus:{name}", address, **settings)
        self._log_ins = log_ins
        self._custom = custom or Custom()
        self._memory = memory
        self._api = api
        self._check = check

    @property
    def blocking(self) -> bool:
        """Who talks in a room doesn't wait for its archive: what a TextRoom can't tell now it never tells."""
        return False

    def describe(self) -> str:
        return f"Janus' events on {self._place}{EVENTS}, what TextRooms post on {self._place}{SAID}"

    def signs(self) -> Signs:
        lost = self._reception.lost if isinstance(self._reception, Intake) else 0
        return replace(super().signs(), gaps=lost)

    def probe(self) -> None:
        LogIns(self._log_ins)
        super().probe()

    def start(self, accept: Accept) -> None:
        super().start(accept)
        if isinstance(self._reception, Intake) and self._api is not None:
            self._loop.run(self._reception.begin(self._api, self._check))

    def _receiving(self, accept: Accept) -> Reception:
        known = Known(LogIns(self._log_ins), self._memory(), self._custom, Topics(self._api))
        return Intake(self.name, known, self._limits, self._clock, accept)


class Known(Struct, frozen=True):
    """What deliveries are read with: who may send any, which meetings are on, how this Janus is used."""

    log_ins: LogIns
    memory: Remembered
    custom: Custom
    topics: Topics


class Intake(Reception):
    """One delivery at a time: what it comes to depends on those before. `lost` counts what never comes again."""

    def __init__(self, source: str, known: Known, limits: Limits, clock: Callable[[], int], accept: Accept) -> None:
        super().__init__(source, limits, accept)
        self.lost = 0
        self._known = known
        self._clock = clock
        self._turn = asyncio.Lock()
        self._ending = asyncio.Event()
        self._checking: asyncio.Task[None] | None = None
        self._differing: frozenset[Difference] = frozenset()

    def application(self) -> Starlette:
        return self.opened(
            Route(EVENTS, self.answering(self._happened), methods=["POST"]),
            Route(SAID, self.answering(self._said), methods=["POST"]),
            told=f"Janus posts events to {EVENTS}, TextRooms to {SAID}",
        )

    def refusing(self, refusal: Refusal) -> Response:
        return Broken(refused(refusal))

    async def begin(self, api: Api, seconds: float) -> None:
        self._checking = asyncio.create_task(self._check(api, seconds))

    async def close(self) -> None:
        self._ending.set()
        if self._checking is not None:
            await self._checking
        await super().close()
        self._known.memory.close()

    # Routes

    async def _happened(self, request: Request) -> Response:
        with self.memory.share() as share:
            content = await self._content(request, share)
            read = await self.in_thread(self._read, content)
            # Before it is its turn: a room of which Janus is asked may just be telling us something.
            await self.in_thread(self._known.topics.learn, [each for _, each in read if isinstance(each, Notice)])
            await self._take(partial(self._events, content, read))
        return Response()

    async def _said(self, request: Request) -> Response:
        try:
            with self.memory.share() as share:
                content = await self._content(request, share)
                await self._introduced(content)
                await self._take(partial(self._message, content))
        except Exception as fault:
            self.lost += not (isinstance(fault, Refusal) and fault.status is HTTPStatus.UNAUTHORIZED)
            raise
        return Response()

    # Who is there

    async def _check(self, api: Api, seconds: float) -> None:
        """An outage that was too long for Janus leaves people behind who are gone, and hides others who came."""
        while not await self._ends(seconds):
            try:
                async with self._turn:
                    rooms = await self.in_thread(self._meetings().rooms)
                rosters = await self.in_thread(api.rosters, rooms)
                await self._take(partial(self._corrected, rosters))
            except (EnvironmentFault, Refusal) as fault:
                log.warning("janus_not_asked", source=self.source, reason=str(fault))
            except Exception:
                log.exception("check_failed", source=self.source)

    async def _ends(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        return self._ending.is_set()

    def _corrected(self, rosters: list[Roster], meetings: Meetings) -> Pieces:
        """What differs twice: what happened just now is told in a moment."""
        differing = frozenset(each for roster in rosters for each in meetings.differing(roster))
        lasting, self._differing = sorted(differing & self._differing, key=repr), differing
        return [
            made for each in lasting for made in self._captured(meetings.correct(each, self._clock()), encode(each))
        ]

    # Steps

    async def _content(self, request: Request, share: Share) -> bytes:
        if not self._known.log_ins.are(*_log_in(request.headers.get("authorization", ""))):
            detail = "a name and a password (HTTP basic) that are known here"
            headers = {"WWW-Authenticate": 'Basic realm="archiver"'}
            raise Refusal(HTTPStatus.UNAUTHORIZED, "not authorized", detail, headers)
        coding = coding_of(request)
        body = await body_of(request, self.limits, share)
        content = await self.in_thread(unpack, body, coding, self.limits)
        share.take(len(content) - len(body))
        return content

    async def _introduced(self, content: bytes) -> None:
        """Wait a moment for who speaks to be told to have come: that comes later, and says who they are."""
        with suppress(EventError):
            said, until = read_said(content), time.monotonic() + INTRODUCTION
            while time.monotonic() < until:
                async with self._turn:
                    if self._meetings().knows(said):
                        return
                await asyncio.sleep(INTRODUCTION / 50)

    def _meetings(self) -> Meetings:
        known = self._known
        return Meetings(self.source, known.memory, known.custom, known.topics.of)

    async def _take(self, meant: Meant) -> None:
        """Which meetings are on is kept once all is safe: sent again before that, it means the same again."""
        async with self._turn:
            meetings = self._meetings()
            try:
                with self._known.memory.trying() as keep:
                    pieces = await self.in_thread(meant, meetings)
                    if Outcome.BLOCKED in await self.take(pieces):
                        raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "blocked", "it can't be archived now", LATER)
                    await self.in_thread(keep)
            except TryLater as fault:
                raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "memory", str(fault)) from fault
            self.lost += meetings.lost

    def _read(self, content: bytes) -> list[tuple[bytes, Read]]:
        try:
            return read_notices(content)
        except EventError as fault:
            return [(content, fault)]

    def _events(self, content: bytes, read: list[tuple[bytes, Read]], meetings: Meetings) -> Pieces:
        """What can't be read is kept whole: to refuse it would hold back all that follows it."""
        if not self._known.memory.is_new(content):
            return []
        return [made for piece, notice in read for made in self._piece(piece, notice, meetings)]

    def _piece(self, piece: bytes, notice: Read, meetings: Meetings) -> Pieces:
        if isinstance(notice, EventError):
            return [self._rejected(piece, notice)]
        return self._captured(meetings.take(notice), piece) if notice is not None else []

    def _message(self, content: bytes, meetings: Meetings) -> Pieces:
        try:
            return self._captured([meetings.hear(read_said(content), self._clock())], content)
        except EventError as fault:
            return [self._rejected(content, fault)]

    def _captured(self, events: Iterable[Event], original: bytes) -> Pieces:
        received, position = self._clock(), "from Janus"
        try:
            return [capture(each, received=received, original=original, position=position) for each in list(events)]
        except EventError as fault:
            return [self._rejected(original, fault)]

    def _rejected(self, content: bytes, fault: EventError) -> Rejected:
        return Rejected(content, "from Janus", str(fault), self.source)


class Broken(Response):
    """A reply that promises more than it has: whoever reads it can't take it for a whole one."""

    def __init__(self, whole: Response) -> None:
        super().__init__(whole.body, whole.status_code, dict(whole.headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers["content-length"] = str(len(self.body) + 1)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


def _log_in(header: str) -> tuple[bytes, bytes]:
    """RFC 7617. Nobody's, where it is none."""
    scheme, _, given = header.partition(" ")
    try:
        name, parted, password = b64decode(given.strip(), validate=True).partition(b":")
    except ValueError:
        return b"", b""
    return (name, password) if parted and scheme.lower() == "basic" else (b"", b"")
