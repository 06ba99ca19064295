"""Mail as a way in: SMTP (RFC 5321) and LMTP (RFC 2033) intake for journalled mail, on aiosmtpd.

mail ─► `read_mail` ─► `Batching` ─► `accept` ─► 250

A 250 says that all a mail gave is durable. Everything else that isn't the sender's own mistake is 451 or 452: come
again. Holds the protocol and the threads; what a mail means is `mail`'s to say. No TLS and no log-in: it is for the
mail server beside it, on loopback or a socket file.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from msgspec import Struct

from archiver.events import Captured, Rejected
from archiver.exceptions import EnvironmentFault, TryLater, UsageError
from archiver.sources.batching import BATCH, Batching
from archiver.sources.mail import read_mail
from archiver.sources.protocol import Accept

log = structlog.get_logger("archiver.sources")

END = b"\r\n.\r\n"
"""RFC 5321, 4.1.1.4. Nothing else ends the data: a lone LF before the dot is how mails are smuggled into others."""

PIECE = 64 * 1024
TIMEOUT = 300.0
FINAL_TIMEOUT = 600.0
"""Seconds for a command or a piece of data, and from the final dot to its reply (RFC 5321, 4.5.3.2)."""

DRAIN = 30.0
"""Seconds that `stop` gives to the mails that are just coming in."""

DONE = "250 2.0.0 Kept"
LATER = "451 4.3.0 Try again later"
FULL = "452 4.3.1 Too much at once, try again later"
CROWDED = "421 4.7.0 Too many connections, try again later"
CLOSING = "421 4.3.2 Shutting down, try again later"
CROWD = "452 4.5.3 Too many recipients"
TOO_BIG = "552 5.3.4 Message too big"

RECIPIENTS = 1000
"""Of one mail. We take it once, whoever it is for; a server sends the others as another mail."""


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
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._name = name
        self.addresses = addresses
        self.limits = limits or Limits()
        self._drain = drain
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._intake: _Intake | None = None

    @property
    def name(self) -> str:
        return f"smtp:{self._name}"

    @property
    def up(self) -> bool:
        return self._intake is not None

    def describe(self) -> str:
        return "mail on " + ", ".join(map(str, self.addresses))

    def start(self, accept: Accept) -> None:
        if self._thread is not None:
            raise UsageError(f"{self.name} was started before")
        self._thread = threading.Thread(target=self._loop.run_forever, name=self.name, daemon=True)
        self._thread.start()
        intake = _Intake(self.name, self._name, self.limits, self._clock, accept)
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


class _Intake:
    """What all connections share. Lives on the loop; only `take` and the fields it changes are the connections'."""

    def __init__(self, source: str, hostname: str, limits: Limits, clock: Callable[[], int], accept: Accept) -> None:
        self.source = source
        self.hostname = hostname
        self.limits = limits
        self.closing = False
        self.held = 0
        self.connections: set[_Connection] = set()
        self._clock = clock
        self._batching = Batching(accept)
        self._readers = ThreadPoolExecutor(2, "mail")
        self._servers: list[asyncio.Server] = []
        self._files: list[Path] = []

    async def listen(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        return tuple([await self._listen(address) for address in addresses])

    async def _listen(self, address: Address) -> Address:
        loop = asyncio.get_running_loop()
        make = _LocalConnection if address.local else _PlainConnection
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
        tasks = [connection.task for connection in self.connections if connection.task is not None]
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


class _Hooks:
    """What aiosmtpd asks of a handler. The reply to an exception of ours is never a permanent one."""

    async def handle_exception(self, error: Exception) -> str:
        log.error("mail_connection_failed", exc_info=error)
        return LATER

    async def handle_EHLO(
        self, server: _Connection, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        # RFC 2920; LMTP demands it (RFC 2033, 5). Commands are read one by one from a buffer that is never flushed.
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(
        self, server: _Connection, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= RECIPIENTS:
            return CROWD
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"


class _Connection(SMTP):
    """One client. aiosmtpd's own DATA refuses long lines for good and lets a long mail run into the idle timeout."""

    # RFC 6531 and RFC 5321, 4.5.3.1: the base's 512 octets are for ASCII paths without parameters.
    command_size_limit = 2048
    command_size_limits: ClassVar[dict[str, int]] = defaultdict(lambda: 2048)
    # The base takes the reader's buffer from this as well.
    line_length_limit = PIECE

    def __init__(self, intake: _Intake) -> None:
        super().__init__(
            _Hooks(),
            data_size_limit=intake.limits.size,
            enable_SMTPUTF8=True,
            hostname=intake.hostname,
            ident="conversation archiver",
            timeout=TIMEOUT,
            loop=asyncio.get_running_loop(),
        )
        self._intake = intake
        self._receiving = False
        self._held = 0

    @property
    def task(self) -> asyncio.Task[None] | None:
        return self._handler_coroutine

    @property
    def _envelope(self) -> Envelope:
        assert self.envelope is not None, "made when the connection was"
        return self.envelope

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._intake.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._intake.connections.discard(self)
        super().connection_lost(error)

    async def _handle_client(self) -> None:
        if len(self._intake.connections) > self._intake.limits.connections:
            self._leave(CROWDED)
        elif self._intake.closing:
            self._leave(CLOSING)
        else:
            await super()._handle_client()

    async def smtp_VRFY(self, arg: str | None) -> None:
        # RFC 5321, 7.3: says nothing of who is known here, nor repeats what was asked.
        await self.push("252 2.1.5 Send it and see" if arg else "501 5.5.4 Syntax: VRFY address")

    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        if arg or not self._envelope.rcpt_tos:
            await self.push("501 5.5.4 Syntax: DATA" if arg else "503 5.5.1 No recipients yet")
            return
        self._receiving = True
        try:
            await self.push("354 End with a dot on a line of its own")
            reply = await self._receive_and_take()
            for _ in range(self.replies()):
                await self.push(reply)
        finally:
            self._receiving = False
        self.envelope = self._create_envelope()
        if self._intake.closing:
            self._leave(CLOSING)

    def replies(self) -> int:
        return 1

    def leave_if_idle(self) -> None:
        if not self._receiving:
            self._leave(CLOSING)

    async def _receive_and_take(self) -> str:
        try:
            content, refusal = await self._receive()
            if refusal:
                return refusal
            self._reset_timeout(FINAL_TIMEOUT)
            # RFC 5321, 4.5.5: the null sender of a notification is nobody's address.
            sender = (self._envelope.mail_from or "").removeprefix("<>")
            return await self._intake.take(content, sender)
        finally:
            self._intake.held -= self._held
            self._held = 0

    async def _receive(self) -> tuple[bytes, str]:
        """The mail up to its final dot, and why it can't be had: then the rest is read all the same, and dropped."""
        data, refusal, size, tail = bytearray(), "", 0, b""
        while tail != END and not (size == 3 and tail == END[2:]):
            piece = await self._piece()
            self._reset_timeout()
            size += len(piece)
            tail = (tail + piece[-5:])[-5:]
            refusal = refusal or self._refusal(size, len(piece))
            if refusal:
                data.clear()
            else:
                data += piece
        # RFC 5321, 4.5.2: a dot put before a line that begins with one.
        return bytes(data[:-3]).removeprefix(b".").replace(b"\r\n.", b"\r\n"), refusal

    async def _piece(self) -> bytes:
        try:
            return bytes(await self._reader.readuntil(END[2:]))
        except asyncio.LimitOverrunError as longer:
            return bytes(await self._reader.readexactly(longer.consumed))

    def _refusal(self, size: int, more: int) -> str:
        limits = self._intake.limits
        if size - len(END[2:]) > limits.size:
            return TOO_BIG
        if self._intake.held + more > limits.memory:
            log.warning("mail_put_off", source=self._intake.source, reason="too much is coming in at once")
            return FULL
        self._intake.held += more
        self._held += more
        return ""

    def _leave(self, reply: str) -> None:
        if self.transport is not None:
            self._writer.write(reply.encode("ascii") + b"\r\n")
            self.transport.close()


class _PlainConnection(_Connection):
    """SMTP: one reply for the mail, whoever it is for."""


class _LocalConnection(_Connection, LMTP):
    """LMTP: LHLO for EHLO, and one reply for each recipient, in their order (RFC 2033, 4.2)."""

    def replies(self) -> int:
        return len(self._envelope.rcpt_tos)
