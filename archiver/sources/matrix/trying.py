"""Asking a homeserver, again and again, whether it reaches us; what comes of it is for `reaching` to say."""

from __future__ import annotations

import asyncio
import time

import structlog

from archiver.sources.matrix.homeserver import Homeserver, No, NotNow
from archiver.sources.matrix.reaching import Reach

log = structlog.get_logger("archiver.sources")

ASKED, PATIENCE_OF_PINGS = 3.0, 20.0
"""Seconds for an answer whether we can be reached: at a start, which waits for it, and later."""
TRIED, MISSED = 30.0, 5.0
"""Seconds between such questions: as long as it reaches us, and while it doesn't."""


class Trying:
    """`identity` is the registration's."""

    def __init__(self, source: str, identity: str, homeserver: Homeserver, reach: Reach) -> None:
        self._source = source
        self._id = identity
        self._homeserver = homeserver
        self._reach = reach
        self._why = ""

    async def always(self) -> None:
        while True:
            await asyncio.sleep(TRIED if self._reach.reached else MISSED)
            await self.once(PATIENCE_OF_PINGS)

    async def once(self, seconds: float = ASKED) -> None:
        why = ""
        try:
            async with asyncio.timeout(seconds):
                await self._homeserver.ping(self._id)
        except TimeoutError:
            why = f"no answer in {seconds:.0f} seconds"
        except NotNow as fault:
            why = str(fault)
        except No as fault:
            # Before version 1.7 of the specification nobody could be asked for that.
            why = "" if fault.errcode == "M_UNRECOGNIZED" else str(fault)
        except Exception as fault:
            log.exception("homeserver not tried", source=self._source)
            why = repr(fault)
        if why and why != self._why:
            log.warning("homeserver doesn't reach us", source=self._source, why=why)
        elif self._why and not why:
            log.info("homeserver reaches us", source=self._source)
        self._why = why
        self._reach.tried(time.monotonic(), reached=not why)
