"""Files of messages, fetched from the homeserver: at once where that is quick, else later. Knows no spool.

A transaction waits a few seconds for its files and no longer. A message whose file isn't there by then is told
without it; the file stands in the ledger and comes after it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

import structlog
from msgspec import structs

from archiver.events import SECOND, Attachment
from archiver.importers.matrix.event import Line
from archiver.importers.matrix.telling import attachment
from archiver.importers.media import Media
from archiver.sources.matrix.homeserver import Homeserver, No, NotNow

log = structlog.get_logger("archiver.sources")

IN_TIME = 5.0
"""Seconds that one transaction waits for its files."""
LATER = 600.0
"""Seconds that a file may take that nobody waits for."""
AT_ONCE = 6
SLOW = 600.0
"""Seconds for which nobody waits for a server's files after one of them didn't come in time."""
TRIES = 16
_FIRST, _LONGEST = 5, 6 * 3_600


def wait(tries: int) -> int:
    """Microseconds to wait after so many tries: ten seconds, twenty … six hours; a day in all."""
    seconds: int = min(_FIRST * 2**tries, _LONGEST)
    return seconds * SECOND


class Fetching:
    """Lives on one loop. `most` is the largest file taken, in bytes; they lie in `folder` until the spool has them."""

    def __init__(self, homeserver: Homeserver, folder: Path, most: int) -> None:
        self._homeserver = homeserver
        self._folder = folder
        self._most = most
        self._slow: dict[str, float] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)

    async def in_time(self, lines: Iterable[Line], seconds: float = IN_TIME) -> dict[str, Media]:
        """By event id; one that can't be had at all is there too, as it was described. The rest is for later."""
        quick = [line for line in lines if not self._is_slow(line)]
        if not quick:
            return {}
        tasks = {line.event_id: asyncio.create_task(self.fetch(line)) for line in quick}
        await asyncio.wait(tasks.values(), timeout=seconds)
        found: dict[str, Media] = {}
        for line in quick:
            task = tasks[line.event_id]
            if not task.done():
                self._slow[_server(line)] = time.monotonic() + SLOW
                task.cancel()
            with suppress(NotNow, asyncio.CancelledError):
                found[line.event_id] = await task
        return found

    async def late(self, line: Line) -> Media:
        """Raises `NotNow`."""
        try:
            async with asyncio.timeout(LATER):
                return await self.fetch(line)
        except TimeoutError as fault:
            raise NotNow(f"no whole file in {LATER:.0f} seconds") from fault

    async def fetch(self, line: Line) -> Media:
        """Without content where the homeserver says that there is none, or too much. Raises `NotNow`."""
        shared = attachment(line)
        assert shared is not None and shared.url is not None
        path = self._folder / secrets.token_hex(12)
        try:
            async with self._turns:
                return await self._into(path, shared)
        except No as fault:
            path.unlink(missing_ok=True)
            log.info("file not to be had", message=line.event_id, url=shared.url, why=str(fault))
            return Media(shared)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def _into(self, path: Path, shared: Attachment) -> Media:
        digest, size = hashlib.sha256(), 0
        with path.open("xb") as stream:
            async for piece in self._homeserver.media(shared.url or "", self._most):
                digest.update(piece)
                size += len(piece)
                stream.write(piece)
        name = digest.hexdigest()
        return Media(structs.replace(shared, size=size, sha256=name), (name, path))

    def discard(self, files: Iterable[Media]) -> None:
        """Once the spool has them, or won't."""
        for each in files:
            if each.held is not None and isinstance(each.held[1], Path):
                each.held[1].unlink(missing_ok=True)

    def _is_slow(self, line: Line) -> bool:
        return self._slow.get(_server(line), 0.0) > time.monotonic()


def _server(line: Line) -> str:
    """Of `mxc://SERVER/ID`; what anybody may have written there is no reason to fail."""
    shared = attachment(line)
    return (shared.url or "").removeprefix("mxc://").partition("/")[0] if shared is not None else ""
