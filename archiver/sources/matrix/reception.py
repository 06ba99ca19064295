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
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archiver.events import SECOND, Captured, Outcome
from archiver.exceptions import EventError, TryLater
from archiver.importers import jsonfile
from archiver.importers.matrix.event import Line
from archiver.importers.media import Media
from archiver.sources.credentials import digest_of
from archiver.sources.http.receiving import Limits, body_of
from archiver.sources.http.reception import Pieces, Reception
from archiver.sources.http.replies import Refusal, try_later
from archiver.sources.http.senders import Sender, Senders
from archiver.sources.matrix.fetching import TRIES, Fetching, wait
from archiver.sources.matrix.gaps import missing
from archiver.sources.matrix.homeserver import Homeserver, No, NotNow
from archiver.sources.matrix.ledger import Ledger, Waiting
from archiver.sources.matrix.reaching import Reach
from archiver.sources.matrix.registration import Registration
from archiver.sources.matrix.translating import Found, Opened, Stranger, Translator
from archiver.sources.protocol import Accept

log = structlog.get_logger("archiver.sources")

ROOT = "/_matrix/app/v1"
PATIENCE = 3
"""Transactions put off because the homeserver doesn't say what a new room is like; then it is told without."""
ASKED, PATIENCE_OF_PINGS = 3.0, 20.0
"""Seconds for an answer whether we can be reached: at a start, which waits for it, and later."""
TRIED, MISSED = 30.0, 5.0
"""Seconds between such questions: as long as it reaches us, and while it doesn't."""
GAPS = 20.0
"""Seconds between looks for what a homeserver never told."""
YOUNG = 10.0
"""Seconds that a homeserver may take to tell an event."""
ROOMS = 200
"""Looked through each time, at most; others the next time."""
LATE_AT_ONCE = 3
"""Files that nobody waits for; fewer than may be fetched together, so that others still come in time."""
LOOK = 5.0
"""Seconds between looks for files to be fetched later."""
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
        self.given_up = 0
        """Files that could not be had in days."""
        self._id = registration.id
        self._homeserver = homeserver
        self._ledger = ledger
        self._fetching = fetching
        self._translator = translator
        self._clock = clock
        self._senders = Senders([Sender("homeserver", digest_of(registration.hs_token), ())], time.monotonic)
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "matrix")
        self._put_off: Counter[str] = Counter()
        self._why = ""
        self._active: dict[str, str] = {}
        self._seen_through: set[str] = set()
        """Rooms that were looked through since the start: before it, nobody knows what happened."""
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
        await self._try(ASKED)
        always = (self._fetch_later, self._keep_trying, self._fill_gaps)
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
                async with self._turn:
                    opened = await self._work(self._translator.open, request.path_params["txn"], body)
                    if opened is not None:
                        await self._take_in(opened)
                        self._active |= {line.room_id or "": line.sender for line in opened.lines if line.sender}
                    self.reach.told(time.monotonic(), _age(opened, self._clock()))
            except TryLater as fault:
                log.warning("events_put_off", source=self.source, reason=str(fault))
                raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "ledger", "it can't be taken now") from fault
        return JSONResponse({})

    async def _take_in(self, opened: Opened, context: Sequence[Any] = ()) -> None:
        found = structs.replace(await self._found(opened), context=context)
        try:
            pieces: Pieces = await self._work(self._translator.tell, opened, found)
            later = await self._work(self._translator.later, opened, found, pieces)
            await self._work(self._ledger.wait_for, later)
            outcomes = await self.take(pieces)
            if Outcome.BLOCKED in outcomes:
                raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "blocked", "it can't be archived now")
            await self._work(self._ledger.done_with, _had_before(later, pieces, outcomes))
            await self._work(self._translator.keep, opened, found)
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

    # Whether it reaches us

    async def _keep_trying(self) -> None:
        while True:
            await asyncio.sleep(TRIED if self.reach.reached else MISSED)
            await self._try(PATIENCE_OF_PINGS)

    async def _try(self, seconds: float) -> None:
        why = ""
        try:
            async with asyncio.timeout(seconds):
                await self._homeserver.ping(self._id)
        except TimeoutError:
            why = f"no answer in {seconds:.0f} seconds"
        except NotNow as fault:
            why = str(fault)
        except No as fault:
            # Before version 1.7 of the specification nobody could be asked for that.
            why = "" if fault.errcode == "M_UNRECOGNIZED" else str(fault)
        except Exception as fault:
            log.exception("homeserver not tried", source=self.source)
            why = repr(fault)
        if why and why != self._why:
            log.warning("homeserver doesn't reach us", source=self.source, why=why)
        elif self._why and not why:
            log.info("homeserver reaches us", source=self.source)
        self._why = why
        self.reach.tried(time.monotonic(), reached=not why)

    # What it never told

    async def _fill_gaps(self) -> None:
        while True:
            await asyncio.sleep(GAPS)
            if not self.reach.is_up(time.monotonic()):
                continue  # it may be telling just now
            for room in list(self._active)[:ROOMS]:
                user = self._active.pop(room)
                try:
                    async with self._turn:
                        await self._fill(room, user)
                except No as fault:
                    log.info("room not looked through", source=self.source, room=room, why=str(fault))
                except (NotNow, TryLater, Refusal) as fault:
                    self._active.setdefault(room, user)
                    log.info("room not looked through; trying again", source=self.source, room=room, why=str(fault))
                except Exception:
                    log.exception("room not looked through", source=self.source, room=room)

    async def _fill(self, room: str, user: str) -> None:
        async def known(events: Sequence[str]) -> set[str]:
            found: set[str] = await self._work(self._translator.told, events)
            return found

        found = await missing(self._homeserver, room, user, known, deep=room not in self._seen_through)
        self._seen_through.add(room)
        events = [each for each in found if _since(each, self._clock()) > YOUNG]
        if len(events) < len(found):
            self._active.setdefault(room, user)  # these may be on their way: seen to the next time
        if not events:
            return
        body = jsonfile.original({"events": events})
        opened = await self._work(partial(self._translator.open, f"gap {room}", body, is_late=True))
        if opened is not None and opened.lines:
            log.warning("never told by the homeserver", source=self.source, room=room, events=len(opened.lines))
            # Names and the rest as they were then: what is known of the room is from later.
            context = await self._homeserver.state_at(room, opened.lines[0].event_id, user)
            await self._take_in(opened, context)

    # Files that come later

    async def _fetch_later(self) -> None:
        while True:
            try:
                due = await self._work(self._ledger.due, self._clock(), LATE_AT_ONCE)
                # Several, so that a slow one holds up no other; all come to their end before any is looked at again.
                for fault in await asyncio.gather(*map(self._bring, due), return_exceptions=True):
                    if fault is not None:
                        raise fault
            except TryLater as fault:
                log.warning("files put off", source=self.source, why=str(fault))
            except Refusal:
                pass  # the spool takes nothing just now, and it was said
            except Exception:
                log.exception("files not fetched", source=self.source)
            await asyncio.sleep(LOOK)

    async def _bring(self, waiting: Waiting) -> None:
        try:
            file = await self._fetching.late(msgspec.json.decode(waiting.body, type=Line))
        except NotNow as fault:
            await self._try_again(waiting, str(fault))
            return
        try:
            if file.held is not None:
                await self._complete(waiting, file)
            await self._work(self._ledger.done_with, [waiting.event])
        finally:
            self._fetching.discard([file])

    async def _complete(self, waiting: Waiting, file: Media) -> None:
        async with self._turn:
            try:
                piece: Captured = await self._work(self._translator.brought, waiting, file)
            except EventError as fault:
                log.error("file not told", source=self.source, message=waiting.event, why=str(fault))
                return
            outcomes = await self.take([piece])
        if Outcome.BLOCKED in outcomes:
            raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "blocked", "it can't be archived now")

    async def _try_again(self, waiting: Waiting, why: str) -> None:
        tries = waiting.tries + 1
        if tries < TRIES:
            again = msgspec.structs.replace(waiting, tries=tries, due=self._clock() + wait(tries))
            await self._work(self._ledger.wait_for, [again])
            return
        await self._work(self._ledger.done_with, [waiting.event])
        self.given_up += 1
        log.error("file given up", source=self.source, message=waiting.event, tries=tries, why=why)

    async def _work(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _age(opened: Opened | None, now: int) -> float:
    """Seconds since the last event of a transaction."""
    times = [line.origin_server_ts for line in opened.lines] if opened is not None else []
    return max(0.0, now / SECOND - max(times) / 1_000) if times else 0.0


def _since(event: dict[str, Any], now: int) -> float:
    at = event.get("origin_server_ts")
    return now / SECOND - at / 1_000 if isinstance(at, int | float) else 0.0


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
