"""Mail as a way in: SMTP (RFC 5321) and LMTP (RFC 2033) intake for journalled mail, on aiosmtpd.

`connection` ─► `read_mail` ─► `Batching` ─► `accept` ─► 250

A 250 says that all a mail gave is durable. Everything else that isn't the sender's own mistake is 451 or 452: come
again. Holds the listening and the threads; what a client says is `connection`'s, who is let in `access`'s, what a mail
means `mail`'s.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog
from msgspec.structs import replace

from archiver.events import Captured, Outcome, Rejected
from archiver.exceptions import EnvironmentFault, TryLater, UsageError
from archiver.sources import listening
from archiver.sources.access import Access, Doorkeeper
from archiver.sources.batching import BATCH, Batching
from archiver.sources.connection import DONE, LATER, Connection, Limits, LocalConnection
from archiver.sources.looping import Loop, task_fault
from archiver.sources.mail import Believed, read_mail
from archiver.sources.protocol import Accept, Signs
from archiver.sources.tls import context_of, keep_fresh

log = structlog.get_logger("archiver.sources")

DRAIN = 30.0
"""Seconds that `stop` gives to the mails that are just coming in."""


class Address(listening.Address, frozen=True):
    """Where to listen; `local` speaks LMTP instead of SMTP."""

    local: bool = False

    def __str__(self) -> str:
        protocol = "lmtp" if self.local else "smtp"
        return f"{protocol}:{self.path}" if self.path else f"{protocol}://{super().__str__()}"


class MailSource:
    """The mail intake as a `Source`, in a thread with an event loop of its own.

    `name` also names the source of plain mails: `smtp:NAME`. `clock` gives microseconds since 1970. Port 0 takes a
    free one; after `start`, `addresses` holds those really taken.
    """

    def __init__(
        self,
        name: str,
        addresses: tuple[Address, ...],
        *,
        limits: Limits | None = None,
        access: Access | None = None,
        drain: float = DRAIN,
        blocking: bool = False,
        events: Believed = "direct",
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._name = name
        self.addresses = addresses
        self.limits = limits or Limits()
        self._access = access or Access()
        self._drain = drain
        self._blocking = blocking
        self._events = events
        self._clock = clock
        self._loop = Loop(self.name)
        self._intake: Intake | None = None
        self._refused: Counter[str] = Counter()

    @property
    def name(self) -> str:
        return f"smtp:{self._name}"

    @property
    def up(self) -> bool:
        return self._intake is not None and not self.fault

    @property
    def fault(self) -> str:
        intake = self._intake
        return (self._loop.fault or intake.fault) if intake is not None else ""

    @property
    def blocking(self) -> bool:
        return self._blocking

    def probe(self) -> None:
        Doorkeeper(self._access)
        if self._access.tls is not None:
            context_of(self._access.tls)

    def signs(self) -> Signs:
        return Signs(dict(self._refused))

    def describe(self) -> str:
        return "mail on " + ", ".join(map(str, self.addresses))

    def start(self, accept: Accept) -> None:
        if self._loop.started:
            raise UsageError(f"{self.name} was started before")
        # aiosmtpd tells every command, and so who writes to whom, at INFO, and whatever it doesn't know as a warning.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        intake = Intake(self.name, self._name, self.limits, self._clock, accept, self._access, self._events)
        self._loop.start()
        try:
            self.addresses = self._loop.run(intake.listen(self.addresses))
        except BaseException:
            self._loop.run(intake.drain(0))
            self._loop.end()
            raise
        self._intake = intake
        self._refused = intake.refused
        log.info("source_started", source=self.name, addresses=[str(address) for address in self.addresses])

    def stop(self) -> None:
        intake, self._intake = self._intake, None
        if intake is None:
            return
        try:
            unfinished = self._loop.run(intake.drain(self._drain))
            self._loop.end()
        except EnvironmentFault:
            intake.abandon()
            raise
        log.info("source_stopped", source=self.name, unfinished=unfinished)


class Intake:
    """What all connections share. Lives on the loop; only `take` and the fields it changes are the connections'."""

    def __init__(
        self,
        source: str,
        hostname: str,
        limits: Limits,
        clock: Callable[[], int],
        accept: Accept,
        access: Access,
        events: Believed,
    ) -> None:
        self.access = access
        self._events = events
        self.door = Doorkeeper(access)
        self.refused: Counter[str] = Counter()
        self.tls = context_of(access.tls, self.refuse) if access.tls is not None else None
        self._fresh: asyncio.Task[None] | None = None
        self.source = source
        self.hostname = hostname
        self.limits = limits
        self.closing = False
        self.held = 0
        self.connections: set[Connection] = set()
        self._clock = clock
        self._batching = Batching(accept)
        self._readers = ThreadPoolExecutor(2, "mail")
        self._servers: list[asyncio.Server] = []
        self._bound: list[socket.socket] = []

    async def listen(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        if self.tls is not None and self.access.tls is not None:
            self._fresh = asyncio.create_task(keep_fresh(self.tls, self.access.tls))
        return tuple([await self._listen(address) for address in addresses])

    async def _listen(self, address: Address) -> Address:
        loop = asyncio.get_running_loop()
        make = LocalConnection if address.local else Connection
        bound = listening.bind(address)
        self._bound += bound
        self._servers += [await loop.create_server(lambda: make(self), sock=each) for each in bound]
        return replace(address, port=listening.port_of(bound))

    @property
    def fault(self) -> str:
        """Why nothing comes in any more, though nobody closed it; "" while it does."""
        return task_fault([self._fresh] if self._fresh is not None else []) or listening.fault_of(self._bound)

    def abandon(self) -> None:
        """Give up the sockets of a loop that doesn't answer, so that another can listen there."""
        listening.release(self._bound)

    async def take(self, content: bytes, sender: str, recipients: tuple[str, ...]) -> str:
        """Make durable all that one mail gives; the reply to it."""
        try:
            received = self._clock()
            records = read_mail(
                content,
                source=self.source,
                received=received,
                sender=sender,
                recipients=recipients,
                events=self._events,
            )
            loop = asyncio.get_running_loop()
            while batch := await loop.run_in_executor(self._readers, _next, records):
                if Outcome.BLOCKED in await self._batching.take(batch):
                    raise TryLater("critical mode: what was said can't be archived now")
                if len(batch) < BATCH:
                    break
        except TryLater as fault:
            log.warning("mail_put_off", source=self.source, size=len(content), reason=str(fault))
            return LATER
        except Exception:
            # RFC 5321, 4.2.1: only a transient reply makes the sender keep what we could not take.
            log.exception("mail_failed", source=self.source, size=len(content))
            return LATER
        return DONE

    def refuse(self, reason: str, client: object) -> None:
        """Counted, and the first few told: who knocks thousands of times does not fill the log."""
        self.refused[reason] += 1
        if self.refused[reason] <= 10 or self.refused[reason] % 1_000 == 0:
            log.warning("mail_refused", source=self.source, client=client, reason=reason, so_far=self.refused[reason])

    async def drain(self, seconds: float) -> int:
        """Close what is idle, let what is coming in end, then close the rest; how many were cut off."""
        self.closing = True
        if self._fresh is not None:
            self._fresh.cancel()
        listening.withdraw(self._bound)
        for server in self._servers:
            with suppress(ValueError, OSError):  # of a socket that the system closed before
                server.close()
        for connection in list(self.connections):
            connection.leave_if_idle()
        tasks = [task for connection in self.connections if (task := connection.task()) is not None]
        _, late = await asyncio.wait(tasks, timeout=seconds) if tasks else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._batching.close()
        self._readers.shutdown()
        return len(late)


def _next(records: Iterator[Captured | Rejected]) -> list[Captured | Rejected]:
    return list(itertools.islice(records, BATCH))
