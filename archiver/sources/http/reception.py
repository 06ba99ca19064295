"""What every way in over HTTP shares: a reply to each request, bounds, refusals counted, and the spool behind it.

What is posted where, and by whom, is the business of who extends it: the intake of events, the webhooks of products.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TypeVar

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archiver.events import Captured, Outcome, Rejected
from archiver.exceptions import TryLater
from archiver.sources.batching import BATCH, Batching
from archiver.sources.http.receiving import Limits, Memory
from archiver.sources.http.replies import Refusal, refused, try_later
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


class Reception:
    """What all requests share. Lives on one loop; `refused` may be read from anywhere."""

    def __init__(self, source: str, limits: Limits, accept: Accept) -> None:
        self.refused: Counter[str] = Counter()
        self.source = source
        self.limits = limits
        self.memory = Memory(limits.memory)
        self._batching = Batching(accept)
        self._readers = ThreadPoolExecutor(2, "http")
        self._told: dict[str, float] = {}
        self._trouble_until = 0.0

    def application(self) -> Starlette:
        raise NotImplementedError

    def opened(self, *routes: Route, told: str) -> Starlette:
        """With the routes that each has; `told` is said to who asks for another."""
        probes = (Route("/health", self._health), Route("/ready", self._ready))

        async def no_such(request: Request, fault: Exception) -> Response:
            status = HTTPStatus(getattr(fault, "status_code", HTTPStatus.NOT_FOUND))
            return self.refusing(Refusal(status, "no such thing", told, getattr(fault, "headers", None)))

        return Starlette(routes=[*routes, *probes], exception_handlers={404: no_such, 405: no_such})

    def refusing(self, refusal: Refusal) -> Response:
        """The reply to a request that isn't taken; to be overridden where a protocol has words of its own."""
        return refused(refusal)

    async def close(self) -> None:
        await self._batching.close()
        self._readers.shutdown()

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        """Not just after the spool took nothing: whoever shares out requests may send them elsewhere for a while.

        Then it is to be tried again: nobody sends any to who never becomes ready.
        """
        if time.monotonic() < self._trouble_until:
            return JSONResponse({"status": "the spool can't take more now"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ok"})

    async def take(self, pieces: Pieces) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            for start in range(0, len(pieces), BATCH):
                outcomes += await self._batching.take(pieces[start : start + BATCH])
        except TryLater as fault:
            self._trouble_until = time.monotonic() + UNREADY
            log.warning("events_put_off", source=self.source, events=len(pieces), reason=str(fault))
            raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "spool", "the spool can't take more now") from fault
        self._trouble_until = 0.0
        return outcomes

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)

    def answering(self, endpoint: Endpoint) -> Endpoint:
        """Every fault ends in a reply, and none of ours in one that is for good."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Refusal as refusal:
                self.note(refusal.reason, refusal.status, request.client.host if request.client else "")
                return self.refusing(refusal)
            except Exception:
                log.exception("request_failed", source=self.source)
                return self.refusing(try_later(HTTPStatus.SERVICE_UNAVAILABLE, "failed", "it can't be taken now"))

        return answer

    def note(self, reason: str, status: int, client: str) -> None:
        """A refusal. Each is counted; who sends thousands does not fill the log."""
        self.refused[reason] += 1
        now = time.monotonic()
        if now - self._told.get(reason, -QUIET) >= QUIET:
            self._told[reason] = now
            log.warning(
                "request_refused",
                source=self.source,
                client=client,
                status=int(status),
                reason=reason,
                so_far=self.refused[reason],
            )


def authorized(request: Request, senders: Senders) -> Known:
    """Who sends it, by a bearer token. Raises `Refusal`, also where they sent more than agreed."""
    sender = senders.by_authorization(request.headers.get("authorization", ""))
    if sender is None:
        # RFC 6750, 3: which tokens there are, and what is wrong with this one, is nobody's business.
        detail = "an Authorization header with a bearer token that is known here"
        raise Refusal(HTTPStatus.UNAUTHORIZED, "not authorized", detail, {"WWW-Authenticate": "Bearer"})
    wait = sender.wait()
    if wait:
        raise try_later(HTTPStatus.TOO_MANY_REQUESTS, "too many", "more events than agreed", wait)
    return sender
