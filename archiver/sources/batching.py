"""Many small deliveries, few commits: whatever arrives while one batch is being made durable forms the next.

Knows nothing of mail or of the spool. Lives on one event loop and calls `accept` in one thread of its own, so that the
loop goes on and the spool sees one connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from archiver.events import Captured, Outcome, Rejected
from archiver.exceptions import TryLater
from archiver.sources.protocol import Accept

Records = Sequence[Captured | Rejected]
Waiting = tuple[Records, asyncio.Future[Sequence[Outcome]]]

BATCH = 500
"""Records handed over at once. A batch holds the spool's write lock, and others wait for it meanwhile."""


class Batching:
    """`take` returns what became of its records once they are durable, or raises what `accept` raised."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._waiting: deque[Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, "accept")
        self._running: asyncio.Task[None] | None = None

    async def take(self, records: Records) -> Sequence[Outcome]:
        if not records:
            return ()
        done: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        # The caller may be cancelled (its client went away): its records go on with their batch all the same.
        return await done

    async def close(self) -> None:
        """Return when all that was taken is done with."""
        if self._running is not None:
            await self._running
        self._thread.shutdown()

    async def _run(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft()]
            size = len(group[0][0])
            while self._waiting and size + len(self._waiting[0][0]) <= BATCH:
                group.append(self._waiting.popleft())
                size += len(group[-1][0])
            await self._settle(group)

    async def _settle(self, group: list[Waiting]) -> None:
        answer = await self._attempt([record for records, _ in group for record in records])
        if not isinstance(answer, Exception):
            outcomes = iter(answer)
            for records, done in group:
                _resolve(done, list(islice(outcomes, len(records))))
            return
        if isinstance(answer, TryLater) or len(group) == 1:
            for _, done in group:
                _resolve(done, answer)
            return
        # One delivery must not take the others down with it: each alone finds the one that is at fault.
        for records, done in group:
            _resolve(done, await self._attempt(records))

    async def _attempt(self, records: Records) -> Sequence[Outcome] | Exception:
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._thread, self._accept, records)
            if len(outcomes) != len(records):  # nobody may take what isn't answered for as taken
                raise RuntimeError(f"{len(outcomes)} outcomes of {len(records)} pieces")
        except Exception as fault:
            return fault
        return outcomes


def _resolve(done: asyncio.Future[Sequence[Outcome]], answer: Sequence[Outcome] | Exception) -> None:
    if done.done():  # cancelled: nobody waits for the answer any more
        return
    with contextlib.suppress(asyncio.InvalidStateError):
        if isinstance(answer, Exception):
            done.set_exception(answer)
        else:
            done.set_result(answer)
