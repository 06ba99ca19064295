"""Packets -> records made durable, or counted as lost: nobody who sends a datagram waits for a reply.

What the spool can't take now is held, within bounds, and tried again for a while. Lives on one event loop.
"""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_network

import structlog
from msgspec import Struct

from archiver.events import Captured, Outcome, Rejected
from archiver.exceptions import EventError
from archiver.sources.access import is_in
from archiver.sources.batching import Batching
from archiver.sources.credentials import Secret, digest_of
from archiver.sources.crowding import Waiting, giving_way
from archiver.sources.looping import task_fault
from archiver.sources.protocol import Accept
from archiver.sources.sip.happening import Happening
from archiver.sources.sip.hep import HEAD, Packet, length_of, read_packet
from archiver.sources.sip.message import read_message
from archiver.sources.sip.remembering import Remembered
from archiver.sources.sip.telling import events_of
from archiver.sources.sip.tracking import Tracking

log = structlog.get_logger("archiver.sources")

SWEEP = 0.5
RETRY = 1.0
DAY = 86_400 * 1_000_000


class Limits(Struct, frozen=True):
    """`patience`: seconds that something is tried again which the spool can't take; `held`: how many such at most.

    Of a connection: `idle` seconds without a packet end it, and so do `slow` ones within one, or before the first that
    is let in.
    """

    patience: float = 60.0
    held: int = 20_000
    connections: int = 200
    idle: float = 600.0
    slow: float = 30.0


class Access(Struct, frozen=True):
    """`clients` are networks in CIDR form, none for any; `keys` are HEP's (chunk 14), of which one is needed.

    `conferences` are patterns of addresses that are believed to be one where they say so.
    """

    clients: tuple[str, ...] = ()
    keys: tuple[Secret, ...] = ()
    conferences: tuple[str, ...] = ("*",)


class Connection:
    """Of a capture agent, or of somebody else: only what it sends tells."""

    def __init__(self, writer: asyncio.StreamWriter, peer: str) -> None:
        self.writer = writer
        self.peer = peer
        self.known = False
        self._since = time.monotonic()

    def came(self) -> None:
        """A packet that was let in."""
        self.known = True
        self._since = time.monotonic()

    def waiting(self) -> Waiting:
        return self.known, self._since


class Intake:
    """`lost` counts what was received and couldn't be kept; what was never received is the tracking's."""

    def __init__(
        self,
        source: str,
        access: Access,
        limits: Limits,
        clock: Callable[[], int],
        accept: Accept,
        drain: float,
        memory: Remembered,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.lost = 0
        self.tracking = Tracking(time.monotonic(), memory.kept, access.conferences)
        self._memory = memory
        self._source = source
        self._networks = [ip_network(each) for each in access.clients]
        self._keys = [each.digest() for each in access.keys]
        self._limits = limits
        self._clock = clock
        self._drain = drain
        self._batching = Batching(accept)
        self._keeping: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._closing = asyncio.Event()
        self._sweeping = asyncio.create_task(self._sweep())

    @property
    def fault(self) -> str:
        """Why nothing is told any more, though nobody closed it; "" while it is."""
        return task_fault([self._sweeping])

    def take(self, content: bytes, peer: str) -> bool:
        """One packet from a host, and whether it was let in. Never raises: the next one has nothing to do with it."""
        try:
            return self._take(content, peer)
        except Exception:
            log.exception("sip_failed", source=self._source, size=len(content))
            self.lost += 1
            return True

    def _take(self, content: bytes, peer: str) -> bool:
        try:
            packet = self._admitted(content, peer)
        except EventError as fault:
            self._refuse(str(fault), peer)
            return False
        if packet.sip and packet.payload.strip(b"\r\n\0 "):  # what else comes is a ping
            self._read(packet)
        return True

    def _admitted(self, content: bytes, peer: str) -> Packet:
        if not self._lets_in(peer):
            raise EventError("not allowed")
        packet = read_packet(content)
        if self._keys and not self._knows(packet.key):
            raise EventError("wrong key")
        return packet

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Packets over TCP, one after another. What isn't HEP ends the connection: no next one could be found."""
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        connection = Connection(writer, peer)
        self._connections.add(connection)
        try:
            if not self._lets_in(peer):
                self._refuse("not allowed", peer)
            elif self._finds_room(connection):
                with suppress(asyncio.IncompleteReadError, TimeoutError, OSError):
                    await self._packets(reader, connection)
        except EventError as fault:
            self._refuse(str(fault), peer)
        finally:
            self._connections.discard(connection)
            writer.close()

    def _finds_room(self, newest: Connection) -> bool:
        if len(self._connections) <= self._limits.connections:
            return True
        going = giving_way(newest, self._connections, Connection.waiting)
        self._refuse("too many connections", going.peer)
        self._connections.discard(going)
        going.writer.transport.abort()
        return going is not newest

    async def close(self) -> None:
        """Tell what waits for an answer, and give what is held a last time."""
        self._closing.set()
        await self._sweeping
        self._keep(self.tracking.drain(time.monotonic()))
        self._remember(lately=True)
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=self._drain)
        await self._batching.close()
        self._memory.close()

    async def _packets(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        while not self._closing.is_set():
            async with asyncio.timeout(self._limits.idle if connection.known else self._limits.slow):
                head = await reader.readexactly(HEAD)
            try:
                async with asyncio.timeout(self._limits.slow):
                    rest = await reader.readexactly(length_of(head) - HEAD)
            except TimeoutError:
                raise EventError("too slow") from None
            if self.take(head + rest, connection.peer):
                connection.came()
            await asyncio.sleep(0)

    def _lets_in(self, peer: str) -> bool:
        return not self._networks or is_in(self._networks, peer)

    def _knows(self, key: bytes) -> bool:
        """Looks at every key, whichever comes."""
        digest, found = digest_of(key.decode("utf-8", "surrogateescape")), False
        for each in self._keys:
            found |= hmac.compare_digest(each, digest)
        return found

    def _read(self, packet: Packet) -> None:
        now = self._clock()
        moment = packet.time if 0 < packet.time <= now + DAY else now
        try:
            message = read_message(packet.payload, packet.correlation)
        except EventError as fault:
            unreadable = Rejected(packet.payload, f"capture agent {packet.agent}", str(fault), self._source)
            self._start([unreadable], None)
            return
        self._keep(self.tracking.take(message, moment, packet.agent, time.monotonic()))

    def _keep(self, happenings: Iterable[Happening]) -> None:
        found = list(happenings)
        self._remember()
        for each in found:
            records = events_of(each, source=self._source, received=self._clock())
            if records:
                self._start(records, each)

    def _remember(self, *, lately: bool = False) -> None:
        """Before it is told: who comes must not be forgotten by a restart just then."""
        if changes := self.tracking.conferences.changes(lately=lately):
            try:
                self._memory.keep(changes)
            except sqlite3.Error as fault:
                log.error("sip_not_remembered", source=self._source, reason=str(fault), conferences=len(changes))

    def _start(self, records: list[Captured | Rejected], happening: Happening | None) -> None:
        if len(self._keeping) >= self._limits.held:
            self._lose(records, happening, "too much is held already")
            return
        task = asyncio.create_task(self._durable(records, happening))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _durable(self, records: list[Captured | Rejected], happening: Happening | None) -> None:
        until = time.monotonic() + self._limits.patience
        while True:
            try:
                outcomes = await self._batching.take(records)
            except Exception as fault:  # a full disk, a bug: whatever it is, nobody sends this again
                if time.monotonic() + RETRY > until or self._closing.is_set():
                    self._lose(records, happening, f"{type(fault).__name__}: {fault}")
                    return
            else:
                if blocked := [r for r, each in zip(records, outcomes, strict=True) if each is Outcome.BLOCKED]:
                    self._lose(blocked, happening, "critical mode")
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RETRY)

    def _lose(self, records: list[Captured | Rejected], happening: Happening | None, reason: str) -> None:
        self.lost += len(records)
        if happening is not None:
            self.tracking.forget(happening)
        if self._worth_telling(self.lost):
            log.error("sip_not_kept", source=self._source, reason=reason, so_far=self.lost)

    async def _sweep(self) -> None:
        told: Counter[int] = Counter()
        while not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), SWEEP)
            try:
                self._keep(self.tracking.sweep(time.monotonic()))
                self._remember(lately=True)
            except Exception:
                log.exception("sip_sweep_failed", source=self._source)
            for agent, count in self.tracking.lost.items():
                if count > told[agent]:
                    log.warning("sip_never_seen", source=self._source, agent=agent, so_far=count)
                    told[agent] = count

    def _refuse(self, reason: str, peer: str) -> None:
        self.refused[reason] += 1
        if self._worth_telling(self.refused[reason]):
            log.warning("sip_refused", source=self._source, client=peer, reason=reason, so_far=self.refused[reason])

    def _worth_telling(self, count: int) -> bool:
        """The first few, then now and then: a flood does not fill the log."""
        return count <= 10 or count % 1_000 == 0


class Datagrams(asyncio.DatagramProtocol):
    """Packets over UDP, one a datagram."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._intake.take(data, str(addr[0]))
