"""The routes of the intake. What comes is acknowledged once it is durable, and told event by event.

authorize ─► receive ─► unpack ─► read ─► may it write that ─► `Batching` ─► report
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from itertools import islice
from typing import TypeVar

import structlog
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archiver.events import Captured, Outcome, Rejected
from archiver.exceptions import EventError, TryLater
from archiver.sources import cloudevents
from archiver.sources.batching import BATCH, Batching
from archiver.sources.http.description import document
from archiver.sources.http.receiving import Limits, Memory, body_of, coding_of, too_large, unpack
from archiver.sources.http.replies import Refusal, refused, reported, try_later
from archiver.sources.http.senders import Known, Senders
from archiver.sources.protocol import Accept

log = structlog.get_logger("archiver.sources")

Pieces = Sequence[Captured | Rejected]
Endpoint = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")

UNREADY = 10.0
"""Seconds after a failed append in which it isn't ready."""
QUIET = 10.0
"""Seconds between two lines of the log on refusals of one kind."""


class Intake:
    """What all requests share. Lives on one loop; `refused` may be read from anywhere."""

    def __init__(self, source: str, senders: Senders, limits: Limits, clock: Callable[[], int], accept: Accept) -> None:
        self.refused: Counter[str] = Counter()
        self._source = source
        self._senders = senders
        self._limits = limits
        self._clock = clock
        self._memory = Memory(limits.memory)
        self._batching = Batching(accept)
        self._readers = ThreadPoolExecutor(2, "http")
        self._told: dict[str, float] = {}
        self._trouble_until = 0.0

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/events", self._answering(self._events), methods=["POST"]),
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/openapi.json", self._description),
            ],
            exception_handlers={404: _no_such, 405: _no_such},
        )

    async def close(self) -> None:
        await self._batching.close()
        self._readers.shutdown()

    # Routes

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        """Not just after the spool took nothing: whoever shares out requests may send them elsewhere for a while.

        Then it is to be tried again: nobody sends any to who never becomes ready.
        """
        if time.monotonic() < self._trouble_until:
            return JSONResponse({"status": "the spool can't take more now"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ok"})

    async def _description(self, request: Request) -> Response:
        return JSONResponse(document(self._limits))

    async def _events(self, request: Request) -> Response:
        sender = self._authorized(request)
        media_type, coding = _media_type_of(request), coding_of(request)
        with self._memory.share() as share:
            body = await body_of(request, self._limits, share)
            content = await self._in_thread(unpack, body, coding, self._limits)
            share.take(len(content) - len(body))
            pieces = await self._in_thread(self._read, content, media_type, sender)
            sender.spend(len(pieces))
            return reported(pieces, await self._take(pieces))

    # Steps

    def _authorized(self, request: Request) -> Known:
        sender = self._senders.by_authorization(request.headers.get("authorization", ""))
        if sender is None:
            # RFC 6750, 3: which tokens there are, and what is wrong with this one, is nobody's business.
            detail = "an Authorization header with a bearer token that is known here"
            raise Refusal(HTTPStatus.UNAUTHORIZED, "not authorized", detail, {"WWW-Authenticate": "Bearer"})
        wait = sender.wait()
        if wait:
            raise try_later(HTTPStatus.TOO_MANY_REQUESTS, "too many", "more events than agreed", wait)
        return sender

    def _read(self, content: bytes, media_type: str, sender: Known) -> Pieces:
        """Blocks: to be called in a thread. All of it, since a request is refused whole or not at all."""
        found = cloudevents.pieces(content, media_type, name=f"from {sender.name}", received=self._clock())
        try:
            pieces = list(islice(found, self._limits.events + 1))
        except EventError as fault:
            raise Refusal(HTTPStatus.BAD_REQUEST, "not readable", str(fault)) from fault
        if len(pieces) > self._limits.events:
            raise too_large(self._limits)
        _refuse_others(pieces, sender)
        return [_named(piece, self._source) for piece in pieces]

    async def _take(self, pieces: Pieces) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            for start in range(0, len(pieces), BATCH):
                outcomes += await self._batching.take(pieces[start : start + BATCH])
        except TryLater as fault:
            self._trouble_until = time.monotonic() + UNREADY
            log.warning("events_put_off", source=self._source, events=len(pieces), reason=str(fault))
            raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "spool", "the spool can't take more now") from fault
        self._trouble_until = 0.0
        return outcomes

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)

    def _answering(self, endpoint: Endpoint) -> Endpoint:
        """Every fault ends in a reply, and none of ours in one that is for good."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Refusal as refusal:
                self._note(refusal, request)
                return refused(refusal)
            except Exception:
                log.exception("request_failed", source=self._source)
                return refused(try_later(HTTPStatus.SERVICE_UNAVAILABLE, "failed", "it can't be taken now"))

        return answer

    def _note(self, refusal: Refusal, request: Request) -> None:
        """Each is counted; who sends thousands does not fill the log."""
        self.refused[refusal.reason] += 1
        now = time.monotonic()
        if now - self._told.get(refusal.reason, -QUIET) >= QUIET:
            self._told[refusal.reason] = now
            client = request.client.host if request.client else ""
            log.warning(
                "request_refused",
                source=self._source,
                client=client,
                status=refusal.status.value,
                reason=refusal.reason,
                so_far=self.refused[refusal.reason],
            )


def _media_type_of(request: Request) -> str:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in cloudevents.TYPES:
        detail = f"a body must be one of: {', '.join(cloudevents.TYPES)}"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media type", detail)
    return media_type


def _refuse_others(pieces: Pieces, sender: Known) -> None:
    """A source that is only claimed, in what can't be read as an event, counts like one."""
    claimed: dict[str | None, int] = {}
    for number, piece in enumerate(pieces, 1):
        claimed.setdefault(piece.event.source if isinstance(piece, Captured) else piece.source, number)
    for source, number in claimed.items():
        if source is not None and not sender.may_write(source):
            detail = f"event {number} is of a source that this token may not write"
            raise Refusal(HTTPStatus.FORBIDDEN, "another's source", detail)


def _named(piece: Captured | Rejected, source: str) -> Captured | Rejected:
    """What can't be read comes from us where it doesn't say whom it is from."""
    return replace(piece, source=source) if isinstance(piece, Rejected) and piece.source is None else piece


async def _no_such(request: Request, fault: Exception) -> Response:
    status = HTTPStatus(getattr(fault, "status_code", HTTPStatus.NOT_FOUND))
    headers = getattr(fault, "headers", None)
    return refused(Refusal(status, "no such thing", "events are taken by POST at /events", headers))
