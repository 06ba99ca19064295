"""The network between a server and the daemon, which can be cut: relays on loopback for streams and for datagrams."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

HOST = "127.0.0.1"


class Relay:
    """Passes on every connection to `target`. Cut, it refuses new ones and breaks those there are."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port, reuse_address=True)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Breaks as a dead link does: nobody says goodbye, bytes on their way are lost."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()  # nobody listens there: who called is not to believe it was heard
            return
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, far_writer))
                both.create_task(_pass(far_reader, writer))
        except* OSError:
            pass
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()


class Datagrams(asyncio.DatagramProtocol):
    """Passes on every datagram to `target`, one way. Cut, it loses them, and counts how many."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.lost = 0
        self.passed = 0
        self._whole = True
        self._transport: asyncio.DatagramTransport | None = None

    async def mend(self) -> None:
        self._whole = True
        if self._transport is None:
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, 0))
            self.port = self._transport.get_extra_info("sockname")[1]

    async def cut(self) -> None:
        self._whole = False

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if self._whole and self._transport is not None:
            self._transport.sendto(data, (HOST, self.target))
            self.passed += 1
        else:
            self.lost += 1

    def error_received(self, exc: Exception) -> None:
        """The daemon isn't there: whoever sends datagrams doesn't hear of that."""
