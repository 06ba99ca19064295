"""Where a monitoring system asks the daemon: health, readiness, metrics. Beside the sources, and without them."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archiver.daemon.metrics import CONTENT_TYPE
from archiver.exceptions import ArchiverError
from archiver.sources import listening
from archiver.sources.listening import Address
from archiver.sources.looping import Loop
from archiver.sources.serving import Serving

log = structlog.get_logger(__name__)

_CONNECTIONS = 20
_DRAIN = 1.0


class Monitor:
    """`metrics` gives the text; `faults` names the sources that don't run. `start`, then `stop`, each once."""

    def __init__(self, address: Address, metrics: Callable[[], bytes], faults: Callable[[], dict[str, str]]) -> None:
        self.address = address
        self._metrics = metrics
        self._faults = faults
        self._loop = Loop("monitor")
        self._serving: Serving | None = None

    @property
    def fault(self) -> str:
        """Why it answers no more, though nobody stopped it; "" while it does."""
        serving = self._serving
        return (self._loop.fault or serving.fault) if serving is not None else ""

    def start(self) -> None:
        """Raises `EnvironmentFault` where it can't listen."""
        bound = listening.bind(self.address)
        port = listening.port_of(bound)
        self.address = Address(self.address.host, port, self.address.path, self.address.mode)
        serving = Serving(self._application(), bound, connections=_CONNECTIONS)
        self._loop.start()
        self._loop.run(serving.start())
        self._serving = serving
        log.info("monitoring", address=str(self.address))

    def stop(self) -> None:
        serving, self._serving = self._serving, None
        if serving is not None:
            self._loop.run(serving.stop(_DRAIN))
            self._loop.end()

    def _application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/metrics", self._text),
            ]
        )

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        """Whether everything that is to be captured from is; why one isn't stands in the log."""
        failing = sorted(self._faults())
        return JSONResponse({"status": "ok" if not failing else "failing", "failing": failing}, 503 if failing else 200)

    async def _text(self, request: Request) -> Response:
        try:
            text = await run_in_threadpool(self._metrics)
        except ArchiverError as fault:
            log.warning("no metrics", why=str(fault))
            return JSONResponse({"status": "the spool can't be read now"}, 503)
        return Response(text, media_type=CONTENT_TYPE)
