"""The body of a request, read and unpacked within bounds of size, time and memory. Knows nothing of events."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request

from archiver.events import DAMAGED, unpacked
from archiver.events.reading import GZIP_MAGIC, ZSTD_MAGIC
from archiver.sources.crowding import PACE, Waiting, giving_way, since
from archiver.sources.http.replies import Refusal, try_later

FIRST_SECONDS = 30.0
"""For the first of a body, and for more of it, however much came before."""
LEAST_RATE = PACE
"""A sender must come to this many bytes a second, after the first half minute."""
LINGERING, LINGER_SECONDS = 4, 1.0
"""How many times the largest body, and how long, is read on of one that is refused as too large."""
LINES = 2
"""How many lines to an event a body may have."""
_STEP = 256 * 1024
_MAGIC = {"gzip": GZIP_MAGIC, "x-gzip": GZIP_MAGIC, "zstd": ZSTD_MAGIC}
CODINGS = "gzip, zstd, identity"


class Limits(Struct, frozen=True):
    """`body` and `unpacked` of one request, `memory` of all at once, in bytes; `events` in one request."""

    body: int = 16 * 1024 * 1024
    unpacked: int = 64 * 1024 * 1024
    memory: int = 256 * 1024 * 1024
    events: int = 10_000
    connections: int = 200


class Memory:
    """What all requests hold together. One event loop's. Where it is full, who stalls in a body gives way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.shares: set[Share] = set()

    @property
    def held(self) -> int:
        return sum(each.held for each in self.shares)

    @contextmanager
    def share(self) -> Iterator[Share]:
        share = Share(self)
        self.shares.add(share)
        try:
            yield share
        finally:
            self.shares.discard(share)

    def make_room(self, size: int, newest: Share) -> None:
        while self.held + size > self._most:
            going = giving_way(newest, self.shares, Share.waiting)
            if going is newest:
                raise too_much()
            going.give_way()


class Share:
    """Of one request."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._began = time.monotonic()
        self._wait: asyncio.Timeout | None = None
        self._gave_way = False
        self.held = 0

    def take(self, size: int) -> None:
        self._memory.make_room(size, self)
        self.held += size

    async def piece(self, stream: AsyncIterator[bytes], seconds: float) -> bytes | None:
        """The next of a body, None after the last. Raises `TimeoutError` after so many seconds."""
        try:
            async with asyncio.timeout(seconds) as self._wait:
                chunk = await anext(stream, None)
        except TimeoutError:
            if not self._gave_way:
                raise
        finally:
            self._wait = None
        if self._gave_way:
            raise too_much()
        return chunk

    def waiting(self) -> Waiting | None:
        """None while no piece is waited for: what came whole is never taken away.

        Everybody is a stranger: to one source either all senders show who they are before the body, or none.
        """
        if self._wait is None or self._wait.expired() or self._gave_way:
            return None
        return False, since(self._began, self.held)

    def give_way(self) -> None:
        """Its memory is free at once; the request ends as soon as it runs."""
        assert self._wait is not None
        self._wait.reschedule(0.0)
        self._gave_way, self.held = True, 0


async def body_of(request: Request, limits: Limits, share: Share) -> bytes:
    """As it was sent, still packed."""
    body, began = bytearray(), time.monotonic()
    stream = request.stream()
    if _stated(request) > limits.body:
        if "expect" not in request.headers:
            await _pass_over(stream, limits)
        raise too_large(limits)
    try:
        while True:
            ahead = len(body) / LEAST_RATE - (time.monotonic() - began)
            chunk = await share.piece(stream, FIRST_SECONDS + min(0.0, ahead))
            if chunk is None:
                return bytes(body)
            share.take(len(chunk))
            body += chunk
            if len(body) > limits.body:
                await _pass_over(stream, limits)
                raise too_large(limits)
    except TimeoutError:
        detail = f"a body must come at {LEAST_RATE:,} bytes a second at the least, without long pauses"
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "too slow", detail, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Refusal(HTTPStatus.BAD_REQUEST, "broken off", "the body ended early") from None


def _stated(request: Request) -> int:
    """Bytes of the body, as far as its header says."""
    stated = request.headers.get("content-length", "0")
    return int(stated[:20]) if stated.isdecimal() else 0


async def _pass_over(stream: AsyncIterator[bytes], limits: Limits) -> None:
    """Read on for a moment: who is cut off while it still sends may never see why (RFC 9112, 9.6)."""
    left = LINGERING * limits.body
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(LINGER_SECONDS):
            async for chunk in stream:
                left -= len(chunk)
                if left < 0:
                    return


def too_much() -> Refusal:
    return try_later(HTTPStatus.SERVICE_UNAVAILABLE, "too much at once", "too much is coming in at once")


def too_large(limits: Limits) -> Refusal:
    detail = f"at most {limits.body:,} bytes, {limits.unpacked:,} unpacked, and {limits.events:,} events in one request"
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large", detail)


def bound_lines(content: bytes, limits: Limits) -> None:
    """An empty line is no event and takes as long to pass over: a packed body may have millions of them."""
    if content.count(b"\n") > LINES * limits.events:
        raise too_large(limits)


def coding_of(request: Request) -> str:
    """The one content coding of a request ("" for none); several on top of each other nobody needs."""
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        return ""
    if coding not in _MAGIC:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "content coding",
            f"a body may be packed as one of: {CODINGS}",
            {"Accept-Encoding": CODINGS},
        )
    return coding


def unpack(body: bytes, coding: str, limits: Limits) -> bytes:
    """Blocks: to be called in a thread. Memory is bounded by `limits.unpacked`, whatever the body stands for."""
    if not coding:
        return body
    if not body.startswith(_MAGIC[coding]):
        raise _damaged(coding, "it doesn't begin like one")
    stream, content = unpacked(io.BytesIO(body)), bytearray()
    try:
        while chunk := stream.read(_STEP):
            content += chunk
            if len(content) > limits.unpacked:
                raise too_large(limits)
    except DAMAGED as fault:
        raise _damaged(coding, str(fault)) from fault
    return bytes(content)


def _damaged(coding: str, why: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "damaged", f"the body is no {coding}: {why}")
