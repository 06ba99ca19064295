"""A thread with an event loop of its own, for a source to live in. Knows nothing of sources."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import structlog

from archiver.exceptions import EnvironmentFault

T = TypeVar("T")
log = structlog.get_logger("archiver.sources")

LOOK = 5.0
LOOKS = 12
"""Seconds between looks that count, and how many of them in a row a loop may leave unanswered: then it is stuck."""
QUIET = 10.0
"""Seconds between two lines of the log on one fault: a socket that is gone is told of thousands of times a second."""


class Loop:
    """`start`, `run` from any other thread, `end`; each once. Harmless to all of them: that the thread ended by itself.

    What is still to be done then is done in the thread of who asks for it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._ended_by = ""
        self._looked = time.monotonic()
        self._unanswered = 0
        self._told: dict[str, float] = {}

    @property
    def started(self) -> bool:
        return self._thread is not None

    @property
    def fault(self) -> str:
        """Why nothing happens there any more; "" before the start, and while it turns. To be asked now and then."""
        if self._thread is None:
            return ""
        if not self._thread.is_alive():
            return f"its thread has ended{self._ended_by}"
        return "it doesn't answer" if self._is_stuck() else ""

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._note)
        self._thread = threading.Thread(target=self._turn, name=self._name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait until it is done there; raises what it raises, and `EnvironmentFault` where the loop is stuck."""
        assert self._thread is not None
        if not self._thread.is_alive():
            return self._loop.run_until_complete(coroutine)
        waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        while True:
            try:
                return waiting.result(timeout=1.0)
            except TimeoutError:
                if waiting.done():
                    raise
            if not self._thread.is_alive():
                return self._loop.run_until_complete(asyncio.wrap_future(waiting, loop=self._loop))
            if self._is_stuck():
                raise EnvironmentFault(f"{self._name} doesn't answer", hint="restart the daemon if that stays so")

    def end(self) -> None:
        assert self._thread is not None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _turn(self) -> None:
        try:
            self._loop.run_forever()
        except BaseException as fault:  # what a callback raises doesn't come here, but to leave the process does
            self._ended_by = f" by {fault!r}"
            log.exception("thread_ended", source=self._name)

    def _is_stuck(self) -> bool:
        now = time.monotonic()
        if now - self._looked >= LOOK:  # a process that was stopped for an hour has looked once
            self._looked = now
            self._unanswered += 1
            self._loop.call_soon_threadsafe(self._answer)
        return self._unanswered > LOOKS

    def _answer(self) -> None:
        self._unanswered = 0

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody waits for; asyncio would tell each time."""
        said, fault = str(context.get("message", "")), context.get("exception")
        kind, now = f"{said.partition(' ')[0]} {fault!r}", time.monotonic()
        if now - self._told.get(kind, -QUIET) >= QUIET:
            self._told = {key: at for key, at in self._told.items() if now - at < QUIET} | {kind: now}
            log.error("source_stumbled", source=self._name, what=said, exc_info=fault)


def task_fault(tasks: Iterable[asyncio.Task[None]]) -> str:
    """How one of those that should never end ended; "" while all go on."""
    for task in tasks:
        if task.done():
            fault = None if task.cancelled() else task.exception()
            return f"it broke off: {type(fault).__name__}: {fault}" if fault is not None else "it came to an end"
    return ""
