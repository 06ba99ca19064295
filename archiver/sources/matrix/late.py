"""Files that come after the messages they belong to, tried again and again for days."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import msgspec
import structlog

from archiver.events import Captured, Outcome
from archiver.exceptions import EventError, TryLater
from archiver.importers.matrix.event import Line
from archiver.importers.media import Media
from archiver.sources.http.replies import Refusal, try_later
from archiver.sources.matrix.fetching import TRIES, Fetching, wait
from archiver.sources.matrix.homeserver import NotNow
from archiver.sources.matrix.ledger import Ledger, Waiting
from archiver.sources.matrix.turns import Turns

log = structlog.get_logger("archiver.sources")

LATE_AT_ONCE = 3
"""Files that nobody waits for; fewer than may be fetched together, so that others still come in time."""
LOOK = 5.0
"""Seconds between looks for files to be fetched later."""


class Late:
    """`given_up` are files that could not be had in days."""

    def __init__(self, turns: Turns, ledger: Ledger, fetching: Fetching) -> None:
        self._turns = turns
        self._ledger = ledger
        self._fetching = fetching
        self.given_up = 0

    async def always(self) -> None:
        while True:
            try:
                due = await self._turns.work(self._ledger.due, self._turns.clock(), LATE_AT_ONCE)
                # Several, so that a slow one holds up no other; all come to their end before any is looked at again.
                for fault in await asyncio.gather(*map(self._bring, due), return_exceptions=True):
                    if fault is not None:
                        raise fault
            except TryLater as fault:
                log.warning("files put off", source=self._turns.source, why=str(fault))
            except Refusal:
                pass  # the spool takes nothing just now, and it was said
            except Exception:
                log.exception("files not fetched", source=self._turns.source)
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
            await self._turns.work(self._ledger.done_with, [waiting.event])
        finally:
            self._fetching.discard([file])

    async def _complete(self, waiting: Waiting, file: Media) -> None:
        async with self._turns.turn:
            try:
                piece: Captured = await self._turns.work(self._turns.translator.brought, waiting, file)
            except EventError as fault:
                log.error("file not told", source=self._turns.source, message=waiting.event, why=str(fault))
                return
            outcomes = await self._turns.take([piece])
        if Outcome.BLOCKED in outcomes:
            raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "blocked", "it can't be archived now")

    async def _try_again(self, waiting: Waiting, why: str) -> None:
        tries = waiting.tries + 1
        if tries < TRIES:
            again = msgspec.structs.replace(waiting, tries=tries, due=self._turns.clock() + wait(tries))
            await self._turns.work(self._ledger.wait_for, [again])
            return
        await self._turns.work(self._ledger.done_with, [waiting.event])
        self.given_up += 1
        log.error("file given up", source=self._turns.source, message=waiting.event, tries=tries, why=why)
