"""What a sender keeps until it was taken: the queue of a mail server or a gateway, in memory. It never gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_ROOM = 20
"""What may wait before whoever brings more pauses; not for ever, since the talk goes on while nobody listens."""
_PAUSE = 0.1
"""Seconds until something is tried again."""


class Outbox(Generic[T]):
    """`deliver` takes one thing in a thread of its own, and says whether it was taken; a broken line means no."""

    def __init__(self, deliver: Callable[[T], bool], lanes: int = 1) -> None:
        self._deliver = deliver
        self._queue: asyncio.Queue[T] = asyncio.Queue()
        self._lanes = [asyncio.create_task(self._work()) for _ in range(lanes)]
        self.again = 0
        """How often something had to be tried again."""

    async def put(self, thing: T) -> None:
        self._queue.put_nowait(thing)
        if self._queue.qsize() > _ROOM:
            await self._unless_broken(asyncio.sleep(_PAUSE))

    async def empty(self) -> None:
        """Until everything was taken."""
        await self._unless_broken(self._queue.join())

    async def _unless_broken(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Raises what went wrong in a lane, instead of waiting for it for ever."""
        task = asyncio.create_task(waiting)
        await asyncio.wait([task, *self._lanes], return_when=asyncio.FIRST_COMPLETED)
        for lane in self._lanes:
            if lane.done():
                task.cancel()
                lane.result()

    async def close(self) -> None:
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            thing = await self._queue.get()
            while not await asyncio.to_thread(self._taken, thing):
                self.again += 1
                await asyncio.sleep(_PAUSE)
            self._queue.task_done()

    def _taken(self, thing: T) -> bool:
        with suppress(OSError):
            return self._deliver(thing)
        return False
