"""Mail as a way in: SMTP (RFC 5321) and LMTP (RFC 2033) intake for journalled mail, on aiosmtpd.

`connection` ─► `read_mail` ─► `Batching` ─► `accept` ─► 250

A 250 says that all a mail gave is durable. Everything else that isn't the sender's own mistake is 451 or 452: come
again. Holds the listening and the threads; what a client says is `connection`'s, what a mail means `mail`'s. No TLS
and no log-in: it is for the mail server beside it, on loopback or a socket file.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from msgspec import Struct

from archiver.events import Captured, Rejected
from archiver.exceptions import EnvironmentFault, TryLater, UsageError
from archiver.sources.batching import BATCH, Batching
from archiver.sources.connection import DONE, LATER, Connection, LocalConnection
from archiver.sources.mail import read_mail
from archiver.sources.protocol import Accept

log = structlog.get_logger("archiver.sources")

DRAIN = 30.0
"""Seconds that `stop` gives to the mails that are just coming in."""


class Address(Struct, frozen=True):
    """Where to listen: `path` is a socket file, else `host` and `port`; `local` speaks LMTP instead of SMTP."""

    host: str = "127.0.0.1"
    port: int = 0
    path: Path | None = None
    local: bool = False
    mode: int = 0o660

    def __str__(self) -> str:
        protocol = "lmtp" if self.local else "smtp"
        return f"{protocol}:{self.path}" if self.path else f"{protocol}://{self.host}:{self.port}"


class Limits(Struct, frozen=True):
    """`size` of one mail, `memory` of all that are being received together, in bytes."""

    size: int = 64 * 1024 * 1024
    memory: int = 256 * 1024 * 1024
    connections: int = 200


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
        drain: float = DRAIN,
        blocking: bool = False,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._name = name
        self.addresses = addresses
        self.limits = limits or Limits()
        self._drain = drain
        self._blocking = blocking
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._intake: Intake | None = None

    @property
    def name(self) -> str:
        return f"smtp:{self._name}"

    @property
    def up(self) -> bool:
        return self._intake is not None

    @property
    def blocking(self) -> bool:
        return self._blocking

    def describe(self) -> str:
        return "mail on " + ", ".join(map(str, self.addresses))

    def start(self, accept: Accept) -> None:
        if self._thread is not None:
            raise UsageError(f"{self.name} was started before")
        self._thread = threading.Thread(target=self._loop.run_forever, name=self.name, daemon=True)
        self._thread.start()
        # aiosmtpd tells every command, and so who writes to whom, at INFO.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        intake = Intake(self.name, self._name, self.limits, self._clock, accept)
        try:
            self.addresses = self._run(intake.listen(self.addresses))
        except BaseException:
            self._run(intake.drain(0))
            self._end()
            raise
        self._intake = intake
        log.info("source_started", source=self.name, addresses=[str(address) for address in self.addresses])

    def stop(self) -> None:
        intake, self._intake = self._intake, None
        if intake is None:
            return
        unfinished = self._run(intake.drain(self._drain))
        self._end()
        log.info("source_stopped", source=self.name, unfinished=unfinished)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join()
        self._loop.close()


class Intake:
    """What all connections share. Lives on the loop; only `take` and the fields it changes are the connections'."""

    def __init__(self, source: str, hostname: str, limits: Limits, clock: Callable[[], int], accept: Accept) -> None:
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
        self._files: list[Path] = []

    async def listen(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        return tuple([await self._listen(address) for address in addresses])

    async def _listen(self, address: Address) -> Address:
        loop = asyncio.get_running_loop()
        make = LocalConnection if address.local else Connection
        try:
            if address.path is None:
                server = await loop.create_server(lambda: make(self), address.host, address.port)
                self._servers.append(server)
                return Address(address.host, server.sockets[0].getsockname()[1], None, address.local)
            _refuse_taken(address.path)
            self._servers.append(await loop.create_unix_server(lambda: make(self), address.path))
            self._files.append(address.path)
            address.path.chmod(address.mode)
            return address
        except OSError as fault:
            raise EnvironmentFault(
                f"can't listen on {address}: {fault.strerror or fault}",
                hint="choose another address, or stop what uses this one",
                address=str(address),
            ) from fault

    async def take(self, content: bytes, sender: str) -> str:
        """Make durable all that one mail gives; the reply to it."""
        try:
            received = self._clock()
            records = read_mail(content, source=self.source, received=received, sender=sender)
            loop = asyncio.get_running_loop()
            while batch := await loop.run_in_executor(self._readers, _next, records):
                await self._batching.take(batch)
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

    async def drain(self, seconds: float) -> int:
        """Close what is idle, let what is coming in end, then close the rest; how many were cut off."""
        self.closing = True
        for server in self._servers:
            server.close()
        for file in self._files:
            file.unlink(missing_ok=True)
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


def _refuse_taken(path: Path) -> None:
    """A socket file left by a dead process is replaced, one that somebody answers on is theirs."""
    if not path.is_socket():
        if path.exists():
            raise FileExistsError(f"{path} is no socket")
        return
    with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError, FileNotFoundError):
        probe.connect(str(path))
        raise OSError(f"somebody listens on {path}")
