"""XMPP servers as a `Source`: their modules post records, in order, and keep each until it is acknowledged.

authorize ─► receive ─► unpack ─► may it write that host ─► tell ─► `Batching` ─► remember ─► 200
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archiver.events import SECOND, Captured, Event, Outcome, Rejected
from archiver.exceptions import EventError, TryLater
from archiver.importers.protocol import Reading
from archiver.importers.telling import told
from archiver.sources.http.receiving import Limits, body_of, bound_lines, coding_of, too_large, unpack
from archiver.sources.http.reception import Pieces, Reception, authorized
from archiver.sources.http.replies import BLOCKED_LATER, Refusal, try_later
from archiver.sources.http.senders import Known, Senders
from archiver.sources.http.source import Served, Token, senders_of
from archiver.sources.listening import Address
from archiver.sources.protocol import Accept
from archiver.sources.xmpp import record
from archiver.sources.xmpp.record import Record
from archiver.sources.xmpp.remembering import Module, Remembered
from archiver.sources.xmpp.telling import Telling

PATH = "/records"
WAITING = "archiver-waiting"
"""Header: how many records the module still has after these."""
SILENCE = 60 * SECOND
"""A module sends something every quarter of a minute, if only nothing: after this it is taken for gone."""
GONE = 86_400 * SECOND
"""Then nothing waits for it any longer."""


class XmppSource(Served):
    """`conferences` are patterns of hosts whose rooms are web conferences, `memory` is what later records refer to."""

    def __init__(
        self,
        name: str,
        address: Address,
        tokens: tuple[Token, ...],
        *,
        conferences: tuple[str, ...] = (),
        memory: Callable[[], Remembered] = Remembered,
        **settings: Any,
    ) -> None:
        super().__init__(f"xmpp:{name}", address, **settings)
        self._tokens = tokens
        self._conferences = conferences
        self._memory = memory

    @property
    def up(self) -> bool:
        """Also while a module still has records of before: what they tell isn't over yet."""
        return super().up and (not isinstance(self._reception, Intake) or self._reception.has_caught_up())

    def describe(self) -> str:
        return f"records of XMPP servers on {self._place}{PATH}"

    def probe(self) -> None:
        senders_of(self._tokens)
        super().probe()

    def _receiving(self, accept: Accept) -> Reception:
        senders = senders_of(self._tokens)
        return Intake(self.name, senders, self._memory(), self._conferences, self._limits, self._clock, accept)


class Intake(Reception):
    """One request at a time: what one tells the next refers to."""

    def __init__(
        self,
        source: str,
        senders: Senders,
        memory: Remembered,
        conferences: tuple[str, ...],
        limits: Limits,
        clock: Callable[[], int],
        accept: Accept,
    ) -> None:
        super().__init__(source, limits, accept)
        self._senders = senders
        self._memory = memory
        self._conferences = conferences
        self._clock = clock
        self._turn = asyncio.Lock()
        # Who was heard before a restart may have more to say.
        self._heard = {each.sender: replace(each, waiting=1) for each in memory.modules() if each.sender in senders}

    def application(self) -> Starlette:
        route = Route(PATH, self.answering(self._posted), methods=["POST"])
        return self.opened(route, told=f"records are taken by POST at {PATH}")

    async def close(self) -> None:
        await super().close()
        self._memory.close()

    async def _posted(self, request: Request) -> Response:
        sender, coding = authorized(request, self._senders), coding_of(request)
        with self.memory.share() as share:
            body = await body_of(request, self.limits, share)
            content = await self.in_thread(unpack, body, coding, self.limits)
            share.take(len(content) - len(body))
            bound_lines(content, self.limits)
            lines = [line for line in content.split(b"\n") if line.strip()]
            if len(lines) > self.limits.events:
                raise too_large(self.limits)
            async with self._turn:
                outcomes = await self._take(lines, sender)
            sender.spend(len(lines))
            await self.in_thread(self._hear, request, sender)
            return JSONResponse({"records": len(lines), "outcomes": Counter(outcomes)})

    async def _take(self, lines: list[bytes], sender: Known) -> list[Outcome]:
        """What is remembered of them is kept once they are safe: sent again before that, they mean the same again."""
        try:
            return await self._try(lines, sender)
        except TryLater as fault:
            raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "memory", str(fault)) from fault

    async def _try(self, lines: list[bytes], sender: Known) -> list[Outcome]:
        with self._memory.trying() as keep:
            pieces = await self.in_thread(self._read, lines, sender)
            outcomes = await self.take(pieces)
            if Outcome.BLOCKED in outcomes:
                reason = "it can't be archived now"
                raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "blocked", reason, BLOCKED_LATER)
            await self.in_thread(keep)
        return outcomes

    def _hear(self, request: Request, sender: Known) -> None:
        waiting = request.headers.get(WAITING, "0")
        number = int(waiting) if waiting.isascii() and waiting.isdecimal() and len(waiting) < 16 else 0
        agent = request.headers.get("user-agent", "")[:200]
        module = self._heard[sender.name] = Module(sender.name, agent, self._clock(), number)
        self._memory.hear(module)

    def has_caught_up(self) -> bool:
        now = self._clock()
        known = [each for each in list(self._heard.values()) if now - each.heard < GONE]
        return all(each.waiting == 0 and now - each.heard < SILENCE for each in known)

    def _read(self, lines: list[bytes], sender: Known) -> Pieces:
        """Blocks. What can't be read is kept whole: to refuse it would hold back all that follows it."""
        records = [_record(line) for line in lines]
        for number, each in enumerate(records, 1):
            if isinstance(each, Record) and not sender.may_write(f"xmpp:{each.host.lower()}"):
                detail = f"record {number} is of a host that this token may not write"
                raise Refusal(HTTPStatus.FORBIDDEN, "another's source", detail)
        reading = Reading(self._clock())
        telling = Telling(self._memory, self._conferences, reading)
        read = [self._pieces(*pair, telling, reading, sender) for pair in zip(lines, records, strict=True)]
        return [piece for pieces in read for piece in pieces]

    def _pieces(
        self, line: bytes, known: Record | EventError, telling: Telling, reading: Reading, sender: Known
    ) -> list[Captured | Rejected]:
        position = f"from {sender.name}"
        if isinstance(known, EventError):
            return [Rejected(line, position, str(known), self.source)]
        position = f"record {known.id} of {known.host}"
        try:
            events = list(_placed(telling.events(known), known, sender))
        except (EventError, RecursionError) as fault:
            return [Rejected(line, position, str(fault), f"xmpp:{known.host.lower()}")]
        return list(told(events, reading, line, position))


def _record(line: bytes) -> Record | EventError:
    try:
        return record.read(line)
    except EventError as fault:
        return fault


def _placed(events: Iterator[Event], known: Record, sender: Known) -> Iterator[Event]:
    """In the order of the server's own, where several are of one time. A stanza can't name another's source."""
    for number, event in enumerate(events):
        if not sender.may_write(event.source):
            raise EventError(f"it would be of {event.source}, which this token may not write")
        yield event if known.sequence is None else replace(event, sequence=f"{known.sequence}.{number:04d}")
