"""A component that is connected again and again, and keeps what it is sent before it reads on.

connect ─► handshake ─► read ─► which copies tell something ─► `Batching` ─► remember ─► answer pings ─► read on

XEP-0114 acknowledges nothing: what the server sends while nobody is connected is gone, and said to be. While the spool
takes nothing, nothing is read.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

import structlog
from msgspec.structs import replace

from archiver.events import SECOND, Captured, Outcome, Rejected, moment
from archiver.exceptions import ArchiverError, TryLater
from archiver.importers.xmpp.stanza import kind
from archiver.sources.batching import BATCH, Batching
from archiver.sources.protocol import Accept
from archiver.sources.xmpp.component.reading import Reader
from archiver.sources.xmpp.component.stream import Ended, Spoilt, Stream
from archiver.sources.xmpp.remembering import Module, Remembered

log = structlog.get_logger("archiver.sources")

TICK = 0.25
ASK, SILENCE = 5.0, 45.0
"""Seconds without a word from the server after which it is asked for one, and after which it is taken for gone."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before each further try, of a connection or of the spool; the last for all that follow."""
STEADY = 10.0
"""Seconds that a connection must last to be no failure."""
FIRST = 3.0
"""Seconds that a start waits for its first connection."""
DRAIN = 10.0
MARGIN = 2 * SECOND
"""What was just on its way when a connection went may be older than the last sign of it."""
FILLING = (
    "ejabberd keeps nothing for a component that is away. To read that time from a copy of its archive, as docs/xmpp.md"
    " says: archiver backfill xmpp COPY --from {} --until {}"
)

Elements = list[Element | Spoilt]
T = TypeVar("T")


class Link:
    """Lives on one loop. Its figures may be read from anywhere.

    `opening` raises `OSError`, `TimeoutError`, `Ended` or `EnvironmentFault`; `host` is the one that pings are for.
    """

    def __init__(
        self,
        component: str,
        host: str,
        opening: Callable[[], Awaitable[Stream]],
        reader: Reader,
        memory: Remembered,
        accept: Accept,
        clock: Callable[[], int],
    ) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.gaps = 0
        self._component, self._host = component, host
        self._opening = opening
        self._reader = reader
        self._memory = memory
        self._batching = Batching(accept)
        self._thread = ThreadPoolExecutor(1, "copies")
        self._clock = clock
        self._heard = next((each for each in memory.modules() if each.sender == component), None)
        self._is_connected = self._is_stalled = False
        self._stood_still = 0.0
        self._told = ""

    @property
    def is_up(self) -> bool:
        return self._is_connected and not self._is_stalled

    @property
    def refused(self) -> Counter[str]:
        return self._reader.refused

    async def start(self) -> None:
        self._closing, self._tried = asyncio.Event(), asyncio.Event()
        self.tasks.append(asyncio.create_task(self._always()))
        await _within(self._tried, FIRST)

    async def stop(self) -> None:
        """What is in the connection already is taken, if that takes no longer than `DRAIN`."""
        self._closing.set()
        tasks, self.tasks = self.tasks, []
        _, late = await asyncio.wait(tasks, timeout=DRAIN)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._batching.close()
        self._thread.shutdown()
        self._memory.close()

    async def _always(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                await self._connection()
            except (OSError, TimeoutError, Ended, ArchiverError) as fault:
                self._note(fault)
            failures = 0 if time.monotonic() - began > STEADY else failures + 1
            self._tried.set()
            await _within(self._closing, PAUSES[min(failures, len(PAUSES) - 1)])

    async def _connection(self) -> None:
        stream = await self._opening()
        began = self._clock()  # while it was opened nothing was sent
        try:
            self._tell_gap(began)
            self._reader.copies.begin(began)
            self._is_connected, self._told = True, ""
            self._tried.set()
            await self._attend(stream)
        finally:
            self._is_connected = False
            await stream.close()
            with suppress(Ended):
                await self._keep([], is_last=True)

    def _tell_gap(self, now: int) -> None:
        if self._heard is not None:
            self.gaps += 1
            since = self._heard.heard
            hint = FILLING.format(moment(since - MARGIN).isoformat(), moment(now + MARGIN).isoformat())
            begin, end = moment(since).isoformat(), moment(now).isoformat()
            log.warning("away", source=self._reader.source, since=begin, until=end, hint=hint)
        self._heard = self._heard or Module(self._component, "mod_service_log", now, 0)

    async def _attend(self, stream: Stream) -> None:
        """Raises `Ended`; returns where we end it.

        All that the server sent before it was asked is read once it answers: what comes after a stall may be old.
        """
        heard = self._now()
        asked, question = heard, self._ask(stream)
        while True:
            elements = await self._next(stream)
            now = self._now()
            if elements is not None:
                heard = now
            elif self._closing.is_set():
                return
            elif now - heard > SILENCE:
                raise Ended("the server says nothing any more")
            await self._keep(elements or [])
            is_news = False
            for each in elements or ():
                if question and isinstance(each, Element) and self._answers(each, question):
                    await self._hear(int(question))
                    question = ""
                else:
                    is_news = True
                    _answer(stream, each)
            if not question and (is_news or self._now() - asked > ASK):
                asked, question = self._now(), self._ask(stream)
            await stream.flush()

    def _ask(self, stream: Stream) -> str:
        """Gives the question's id: the time at which it was asked."""
        question = str(self._clock())
        stream.send(f"<iq type='get' id='{question}'{self._ends()}><ping xmlns='urn:xmpp:ping'/></iq>")
        return question

    def _answers(self, element: Element, question: str) -> bool:
        """Any answer is one, also that the server knows no pings; but by nobody else."""
        is_reply = kind(element) == "iq" and element.get("type") in ("result", "error")
        return is_reply and element.get("id") == question and element.get("from", "").lower() == self._host.lower()

    def _now(self) -> float:
        """Seconds of a clock that stands still while nothing is read."""
        return time.monotonic() - self._stood_still

    async def _next(self, stream: Stream) -> Elements | None:
        """None where nothing came in a while."""
        try:
            async with asyncio.timeout(TICK / 5 if self._closing.is_set() else TICK):
                return await stream.read()
        except TimeoutError:
            return None

    async def _keep(self, elements: Elements, *, is_last: bool = False) -> None:
        """Returns once it is durable, however long that takes. Raises `Ended` where we are to end before."""
        began = time.monotonic()
        try:
            with self._memory.trying() as keep:
                now = began - self._stood_still
                pieces = await self._in_thread(lambda: self._reader.pieces(elements, now, is_last=is_last))
                for start in range(0, len(pieces), BATCH):
                    await self._take(pieces[start : start + BATCH])
                await self._in_thread(keep)
        except TryLater as fault:
            raise Ended(str(fault)) from fault
        finally:
            self._stood_still += time.monotonic() - began
            self._is_stalled = False

    async def _take(self, pieces: Sequence[Captured | Rejected]) -> None:
        tries = 0
        while True:
            try:
                outcomes = await self._batching.take(pieces)
            except Exception as fault:
                self._is_stalled = True
                if self._closing.is_set():
                    raise Ended("stopped while the spool took nothing") from fault
                known = isinstance(fault, ArchiverError)
                why, told = str(fault) or type(fault).__name__, None if known else fault
                log.warning("copies_put_off", source=self._reader.source, count=len(pieces), why=why, exc_info=told)
                await _within(self._closing, PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
            else:
                self.gaps += sum(each is Outcome.BLOCKED for each in outcomes)
                return

    async def _hear(self, asked: int) -> None:
        """All that the server sent before then is safe."""
        assert self._heard is not None
        self._heard = replace(self._heard, heard=asked)
        with suppress(TryLater):
            await self._in_thread(partial(self._memory.hear, self._heard))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _ends(self) -> str:
        return f" from={quoteattr(self._component)} to={quoteattr(self._host)}"

    def _note(self, fault: Exception) -> None:
        """Once until it changes."""
        why = str(fault) or "no answer in time"
        if why != self._told and not self._closing.is_set():
            hint = fault.hint if isinstance(fault, ArchiverError) else ""
            log.warning("not connected; trying again", source=self._reader.source, why=why, hint=hint)
        self._told = why


async def _within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _answer(stream: Stream, element: Element | Spoilt) -> None:
    """A ping (XEP-0199), once what came before it is safe; RFC 6120, 8.2.3: any other query by an error."""
    if not isinstance(element, Element) or kind(element) != "iq" or element.get("type") not in ("get", "set"):
        return
    ends = f"id={quoteattr(element.get('id', ''))} from={quoteattr(element.get('to', ''))}"
    ends += f" to={quoteattr(element.get('from', ''))}"
    if element.find("{urn:xmpp:ping}ping") is not None:
        stream.send(f"<iq type='result' {ends}/>")
    else:
        error = "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        stream.send(f"<iq type='error' {ends}><error type='cancel'>{error}</error></iq>")
