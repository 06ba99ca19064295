"""SIP as a `Source`: HEPv3 over UDP and TCP on one port. Holds the sockets and the thread, not what is said."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from msgspec.structs import replace

from archiver.exceptions import EnvironmentFault, UsageError
from archiver.sources import listening
from archiver.sources.listening import Address
from archiver.sources.looping import Loop
from archiver.sources.protocol import Accept, Signs
from archiver.sources.sip.drops import dropped
from archiver.sources.sip.receiving import Access, Datagrams, Intake, Limits
from archiver.sources.sip.remembering import Remembered

log = structlog.get_logger("archiver.sources")

BUFFER = 8 * 1024 * 1024
"""Bytes of datagrams that may wait in the kernel; it gives what its own limit (net.core.rmem_max) allows."""


WAITING = 20_000
"""Datagrams that are still fetched at a stop."""


class SipSource:
    """`name` also names the source of its events: `sip:NAME`. Port 0 takes a free one; `address` has the one taken."""

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        access: Access | None = None,
        limits: Limits | None = None,
        memory: Callable[[], Remembered] = Remembered,
        drain: float = 10.0,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._name = name
        self.address = address
        self._access = access or Access()
        self._limits = limits or Limits()
        self._memory = memory
        self._drain = drain
        self._clock = clock
        self._loop = Loop(self.name)
        self._intake: Intake | None = None
        self._streams: list[socket.socket] = []
        self._datagrams: list[socket.socket] = []
        self._transports: list[asyncio.DatagramTransport] = []
        self._servers: list[asyncio.Server] = []
        self._running = False
        self._dropped: int | None = 0

    @property
    def name(self) -> str:
        return f"sip:{self._name}"

    @property
    def up(self) -> bool:
        return self._running and not self.fault

    @property
    def fault(self) -> str:
        intake = self._intake
        if not self._running or intake is None:
            return ""
        return self._loop.fault or intake.fault or listening.fault_of(self._streams) or self._deafness()

    def _deafness(self) -> str:
        closed = any(each.is_closing() for each in self._transports) or any(s.fileno() < 0 for s in self._datagrams)
        return "its socket for datagrams is gone" if closed else ""

    @property
    def blocking(self) -> bool:
        return False

    def describe(self) -> str:
        return f"SIP by HEPv3 on {self.address}, UDP and TCP"

    def probe(self) -> None:
        for each in self._access.keys:
            each.digest()

    def signs(self) -> Signs:
        """Gaps: what the kernel dropped, what couldn't be kept, answers without their message, calls without end."""
        intake = self._intake
        if intake is None:
            return Signs(gaps=0)
        if self._running:
            counts = [dropped(each) for each in self._datagrams]
            self._dropped = sum(each or 0 for each in counts)
        lost = intake.lost + sum(intake.tracking.lost.copy().values()) + (self._dropped or 0)
        return Signs(dict(intake.refused), lost)

    def start(self, accept: Accept) -> None:
        if self._loop.started:
            raise UsageError(f"{self.name} was started before")
        for each in self._access.keys:
            each.digest()
        remembered = self._memory()
        try:
            self._start(accept, remembered)
        except BaseException:
            remembered.close()
            raise
        log.info("source_started", source=self.name, address=str(self.address))

    def _start(self, accept: Accept, remembered: Remembered) -> None:
        streams = listening.bind(self.address)
        address = replace(self.address, port=listening.port_of(streams))
        try:
            self._datagrams = [_beside(each, address) for each in streams]
        except BaseException:
            listening.release(streams)
            raise
        self.address = address
        self._streams = streams
        self._loop.start()
        self._loop.run(self._listen(streams, accept, remembered))
        self._running = True

    def stop(self) -> None:
        if not self._running:
            return
        self.signs()
        self._running = False
        try:
            self._loop.run(self._close())
            self._loop.end()
        except EnvironmentFault:
            listening.release([*self._streams, *self._datagrams])
            raise
        log.info("source_stopped", source=self.name)

    async def _listen(self, streams: list[socket.socket], accept: Accept, remembered: Remembered) -> None:
        loop = asyncio.get_running_loop()
        intake = self._intake = Intake(
            self.name, self._access, self._limits, self._clock, accept, self._drain, remembered
        )
        for each in self._datagrams:
            transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(intake), sock=each)
            self._transports.append(transport)
        self._servers = [await asyncio.start_server(intake.serve, sock=each) for each in streams]

    async def _close(self) -> None:
        assert self._intake is not None
        for each in self._datagrams:
            _fetch(each, self._intake)
        for transport in self._transports:
            transport.close()
        for server in self._servers:
            with suppress(ValueError, OSError):  # of a socket that the system closed before
                server.close()
        await self._intake.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _fetch(bound: socket.socket, intake: Intake) -> None:
    """What the kernel has already; who sends on and on must not hold up a stop."""
    with suppress(OSError):
        for _ in range(WAITING):
            content, peer = bound.recvfrom(65_536)
            intake.take(content, str(peer[0]))


def _beside(stream: socket.socket, address: Address) -> socket.socket:
    """A socket for datagrams at the place of one for streams. Raises `EnvironmentFault`."""
    made = socket.socket(stream.family, socket.SOCK_DGRAM)
    try:
        if stream.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        made.setblocking(False)
        made.bind(stream.getsockname())
    except OSError as fault:
        made.close()
        raise EnvironmentFault(
            f"can't listen on {address} for datagrams: {fault.strerror or fault}",
            hint="choose another address, or stop what uses this one",
            address=str(address),
        ) from fault
    return made
