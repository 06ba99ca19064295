"""ejabberd's mod_service_log as a `Source`: a component that is sent copies, and keeps them as they come.

The settings of it, its start and its end; what goes on between is `linking`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from archiver.events import SECOND
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.sources.credentials import Secret
from archiver.sources.listening import Address
from archiver.sources.looping import Loop, task_fault
from archiver.sources.protocol import Accept, Signs
from archiver.sources.xmpp.component.copies import Copies
from archiver.sources.xmpp.component.linking import SILENCE, Link
from archiver.sources.xmpp.component.reading import Reader
from archiver.sources.xmpp.component.stream import Ended, Stream, connected
from archiver.sources.xmpp.remembering import Remembered, modules_heard

log = structlog.get_logger("archiver.sources")


class ComponentSource:
    """`hosts` are those of users, `rooms` those of rooms that may be told of, `conferences` patterns of the latter.

    `kept` is the file of the memory, in which a look may tell whether a daemon is connected.
    """

    blocking = False

    def __init__(
        self,
        name: str,
        address: Address,
        component: str,
        secret: Secret,
        *,
        hosts: tuple[str, ...],
        rooms: tuple[str, ...] = (),
        conferences: tuple[str, ...] = (),
        memory: Callable[[], Remembered] = Remembered,
        kept: Path | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.name = f"xmpp-component:{name}"
        self.address = address
        self._component = component
        self._secret = secret
        self._hosts, self._rooms, self._conferences = hosts, rooms, conferences
        self._make_memory = memory
        self._kept = kept
        self._clock = clock
        self._loop = Loop(self.name)
        self._link: Link | None = None
        self._ended: Link | None = None

    @property
    def up(self) -> bool:
        link = self._link
        return link is not None and link.is_up and not self.fault

    @property
    def fault(self) -> str:
        link = self._link
        return (self._loop.fault or task_fault(link.tasks)) if link is not None else ""

    def describe(self) -> str:
        return f"copies for {self._component} from the XMPP server at {self.address}"

    def signs(self) -> Signs:
        link = self._link or self._ended
        return Signs(dict(link.refused), link.gaps) if link is not None else Signs(gaps=0)

    def probe(self) -> None:
        """Tries the handshake only where no daemon is connected: of two with one name each gets half."""
        secret = self._secret.plain()
        heard = [each.heard for each in modules_heard(self._kept)] if self._kept is not None else []
        is_running = any(self._clock() - each < SILENCE * SECOND for each in heard)
        asyncio.run(self._try(None if is_running else secret))

    async def _try(self, secret: str | None) -> None:
        try:
            stream = await connected(self.address)
            try:
                if secret is not None:
                    await stream.open(self._component, secret)
            finally:
                await stream.close()
        except (OSError, TimeoutError, Ended) as fault:
            why = str(fault) or "no answer in time"
            hint = "is it running, with a listener of ejabberd_service there?"
            raise EnvironmentFault(f"the XMPP server at {self.address} can't be talked to: {why}", hint=hint) from fault

    def start(self, accept: Accept) -> None:
        if self._loop.started:
            raise UsageError(f"{self.name} was started before")
        secret, memory = self._secret.plain(), self._make_memory()
        copies = Copies(self._component, memory, self._hosts, self._rooms)
        sources = frozenset(f"xmpp:{each.lower()}" for each in (*self._hosts, *self._rooms))
        reader = Reader(self.name, copies, memory, self._conferences, sources, self._clock)
        link = Link(self._component, self._hosts[0], lambda: self._opened(secret), reader, memory, accept, self._clock)
        self._loop.start()
        self._loop.run(link.start())
        self._link = link
        log.info("source_started", source=self.name, address=str(self.address))

    async def _opened(self, secret: str) -> Stream:
        stream = await connected(self.address)
        try:
            await stream.open(self._component, secret)
        except BaseException:
            await stream.close()
            raise
        return stream

    def stop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._ended = link
            self._loop.run(link.stop())
            self._loop.end()
            log.info("source_stopped", source=self.name)
