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
from archiver.sources.http.replies import Refusal, try_later

FIRST_SECONDS = 30.0
LEAST_RATE = 16 * 1024
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
    """What all requests hold together. One event loop's."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.held

    def take(self, size: int) -> None:
        if self.held + size > self._most:
            raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "too much at once", "too much is coming in at once")
        self.held += size


class Share:
    """Of one request."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.held = 0

    def take(self, size: int) -> None:
        self._memory.take(size)
        self.held += size


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
            async with asyncio.timeout(FIRST_SECONDS + len(body) / LEAST_RATE - (time.monotonic() - began)):
                chunk = await anext(stream, None)
            if chunk is None:
                return bytes(body)
            share.take(len(chunk))
            body += chunk
            if len(body) > limits.body:
                await _pass_over(stream, limits)
                raise too_large(limits)
    except TimeoutError:
        detail = f"a body must come at {LEAST_RATE:,} bytes a second at the least"
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
