"""What a homeserver asks of an application service: to take its transactions, and a few questions with one answer.

admit ─► open ─► ask the homeserver (rooms met for the first time, files …) ─► tell ─► the spool ─► keep ─► 200 {}

Source: Matrix specification, application service API. Transactions come in order, so one is taken at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import structlog
from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archiver.events import SECOND, Captured, Outcome
from archiver.exceptions import TryLater
from archiver.sources.credentials import digest_of
from archiver.sources.http.receiving import Limits, body_of
from archiver.sources.http.reception import Pieces, Reception
from archiver.sources.http.replies import Refusal, try_later
from archiver.sources.http.senders import Sender, Senders
from archiver.sources.matrix.fetching import Fetching
from archiver.sources.matrix.gaps import Gaps
from archiver.sources.matrix.homeserver import Homeserver, No, NotNow
from archiver.sources.matrix.late import Late
from archiver.sources.matrix.ledger import Ledger, Waiting
from archiver.sources.matrix.reaching import Reach
from archiver.sources.matrix.registration import Registration
from archiver.sources.matrix.translating import Found, Opened, Stranger, Translator
from archiver.sources.matrix.trying import Trying
from archiver.sources.protocol import Accept

log = structlog.get_logger("archiver.sources")

ROOT = "/_matrix/app/v1"
PATIENCE = 3
"""Transactions put off because the homeserver doesn't say what a new room is like; then it is told without."""
_CODES = {
    HTTPStatus.UNAUTHORIZED: "M_MISSING_TOKEN",
    HTTPStatus.FORBIDDEN: "M_FORBIDDEN",
    HTTPStatus.NOT_FOUND: "M_UNRECOGNIZED",
    HTTPStatus.METHOD_NOT_ALLOWED: "M_UNRECOGNIZED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "M_TOO_LARGE",
    HTTPStatus.SERVICE_UNAVAILABLE: "M_LIMIT_EXCEEDED",
}


class Transactions(Reception):
    """Lives on one loop; what it knows of rooms is the business of one thread of its own."""

    def __init__(
        self,
        source: str,
        registration: Registration,
        homeserver: Homeserver,
        ledger: Ledger,
        fetching: Fetching,
        translator: Translator,
        limits: Limits,
        clock: Callable[[], int],
        accept: Accept,
    ) -> None:
        super().__init__(source, limits, accept)
        self.reach = Reach()
        self._homeserver = homeserver
        self._ledger = ledger
        self._fetching = fetching
        self.translator = translator
        self.clock = clock
        self._senders = Senders([Sender("homeserver", digest_of(registration.hs_token), ())], time.monotonic)
        self.turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "matrix")
        self._put_off: Counter[str] = Counter()
        self._trying = Trying(source, registration.id, homeserver, self.reach)
        self._gaps = Gaps(self, homeserver, self.reach.is_up)
        self.late = Late(self, ledger, fetching)
        self._tasks: list[asyncio.Task[None]] = []

    def application(self) -> Starlette:
        return self.opened(
            Route(f"{ROOT}/transactions/{{txn}}", self.answering(self._transaction), methods=["PUT"]),
            Route(f"{ROOT}/ping", self.answering(self._ping), methods=["POST"]),
            Route(f"{ROOT}/users/{{name}}", self.answering(self._nobody), methods=["GET"]),
            Route(f"{ROOT}/rooms/{{name}}", self.answering(self._nobody), methods=["GET"]),
            Route(f"{ROOT}/thirdparty/{{name:path}}", self.answering(self._nobody), methods=["GET"]),
            told=f"an application service; it answers below {ROOT}",
        )

    def refusing(self, refusal: Refusal) -> Response:
        """As Matrix tells errors: client-server API, "Standard error response"."""
        return _error(refusal.status, _CODES.get(refusal.status, "M_UNKNOWN"), refusal.detail, refusal.headers)

    async def begin(self) -> None:
        """Tells the homeserver that we are there: it sends at once what it kept for us, instead of in some minutes."""
        await self._trying.once()
        always = (self.late.always, self._trying.always, self._gaps.always)
        self._tasks = [asyncio.create_task(each()) for each in always]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().close()
        await self._homeserver.close()
        self._thread.shutdown()
        self._ledger.close()

    def _admit(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not given:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "no token", "say who you are: Authorization: Bearer hs_token")
        if self._senders.by_authorization(given) is None:
            raise Refusal(HTTPStatus.FORBIDDEN, "forged", "this is not the registration's hs_token")

    async def _ping(self, request: Request) -> Response:
        self._admit(request)
        return JSONResponse({})

    async def _nobody(self, request: Request) -> Response:
        """It has no users, rooms or networks of its own."""
        self._admit(request)
        return _error(HTTPStatus.NOT_FOUND, "M_NOT_FOUND", "the archiver has none of its own")

    async def _transaction(self, request: Request) -> Response:
        self._admit(request)
        with self.memory.share() as share:
            body = await body_of(request, self.limits, share)
            try:
                async with self.turn:
                    opened = await self.work(self.translator.open, request.path_params["txn"], body)
                    if opened is not None:
                        await self._gaps.before(opened, time.monotonic())
                        await self.take_in(opened)
                        said = {line.room_id or "": line.sender for line in opened.lines if line.sender}
                        self._gaps.said(said, time.monotonic())
                    self.reach.told(time.monotonic(), _age(opened, self.clock()))
            except TryLater as fault:
                log.warning("events_put_off", source=self.source, reason=str(fault))
                raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "ledger", "it can't be taken now") from fault
        return JSONResponse({})

    async def take_in(self, opened: Opened, context: Sequence[Any] = ()) -> None:
        found = structs.replace(await self._found(opened), context=context)
        try:
            pieces: Pieces = await self.work(self.translator.tell, opened, found)
            later = await self.work(self.translator.later, opened, found, pieces)
            await self.work(self._ledger.wait_for, later)
            outcomes = await self.take(pieces)
            if Outcome.BLOCKED in outcomes:
                raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "blocked", "it can't be archived now")
            await self.work(self._ledger.done_with, _had_before(later, pieces, outcomes))
            await self.work(self.translator.keep, opened, found)
        finally:
            self._fetching.discard(found.files.values())

    async def _found(self, opened: Opened) -> Found:
        state: dict[str, Sequence[Any] | None] = {}
        direct: set[str] = set()
        for each in opened.strangers:
            with suppress(NotNow):
                state[each.room], is_direct = await self._state(each)
                direct |= {each.room} if is_direct else set()
        events = {}
        for unknown in opened.unknown:
            with suppress(No, NotNow):
                events[unknown.event] = await self._homeserver.event(unknown.room, unknown.event, unknown.user)
        return Found(state, frozenset(direct), events, await self._fetching.in_time(opened.files))

    async def _state(self, stranger: Stranger) -> tuple[Sequence[Any] | None, bool]:
        """The room's state, None where nobody who may be asked is told; and whether it is a direct talk.

        The transaction is put off where that can't be had now; but not for ever: then raises `NotNow`.
        """
        try:
            for user in (*stranger.users, None):
                with suppress(No):
                    state = await self._homeserver.state_at(stranger.room, stranger.event, user)
                    return state, await self._is_direct(stranger.room, user)
        except NotNow as fault:
            self._put_off[stranger.room] += 1
            if self._put_off[stranger.room] <= PATIENCE:
                detail = "the homeserver doesn't say who is in a room"
                raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "no state", detail) from fault
            log.warning("room not known", source=self.source, room=stranger.room, why=str(fault))
            raise
        log.warning("room not known", source=self.source, room=stranger.room, why="nobody there may be asked for")
        return None, False

    async def _is_direct(self, room: str, user: str | None) -> bool:
        try:
            return await self._homeserver.is_direct(room, user)
        except No:  # who never had any
            return False

    async def work(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _age(opened: Opened | None, now: int) -> float:
    """Seconds since the last event of a transaction."""
    times = [line.origin_server_ts for line in opened.lines] if opened is not None else []
    return max(0.0, now / SECOND - max(times) / 1_000) if times else 0.0


def _error(status: HTTPStatus, errcode: str, told: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"errcode": errcode, "error": told}, status, headers)


def _had_before(later: Sequence[Waiting], pieces: Pieces, outcomes: Sequence[Outcome]) -> list[str]:
    """Told with their file already, in a run that ended before it could say so: nothing is missing."""
    conflicts = {
        piece.event.id
        for piece, outcome in zip(pieces, outcomes, strict=True)
        if isinstance(piece, Captured) and outcome is Outcome.CONFLICT
    }
    return [each.event for each in later if each.event in conflicts]
