"""Events over HTTP as a `Source`: a thread with a loop, sockets, uvicorn, and the intake behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from msgspec.structs import replace

from archiver.exceptions import EnvironmentFault, UsageError
from archiver.sources import listening
from archiver.sources.credentials import Secret
from archiver.sources.http.application import Intake
from archiver.sources.http.receiving import Limits
from archiver.sources.http.reception import Reception
from archiver.sources.http.senders import Sender, Senders
from archiver.sources.listening import Address
from archiver.sources.looping import Loop
from archiver.sources.protocol import Accept, Signs
from archiver.sources.serving import Serving
from archiver.sources.tls import Tls, context_of

log = structlog.get_logger("archiver.sources")

DRAIN = 30.0
"""Seconds that `stop` gives to the requests that are just coming in."""


class Token(Secret, frozen=True, kw_only=True):
    """A sender's token: which sources it may write (patterns), and how many events a second, 0 for any number."""

    sources: tuple[str, ...]
    rate: int = 0


class Served:
    """A source that is served over HTTP; who extends it says by whom requests are answered.

    `clock` gives microseconds since 1970. Port 0 takes a free one; after `start`, `address` has the one taken.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        tls: Tls | None = None,
        limits: Limits | None = None,
        drain: float = DRAIN,
        blocking: bool = False,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._name = name
        self.address = address
        self._tls = tls
        self._limits = limits or Limits()
        self._drain = drain
        self._blocking = blocking
        self._clock = clock
        self._loop = Loop(name)
        self._serving: Serving | None = None
        self._reception: Reception | None = None

    def _receiving(self, accept: Accept) -> Reception:
        """Raises what a `probe` may raise."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return self._name

    @property
    def up(self) -> bool:
        return self._serving is not None and not self.fault

    @property
    def fault(self) -> str:
        serving = self._serving
        return (self._loop.fault or serving.fault) if serving is not None else ""

    @property
    def blocking(self) -> bool:
        return self._blocking

    @property
    def _place(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def signs(self) -> Signs:
        return Signs(dict(self._reception.refused) if self._reception is not None else {})

    def probe(self) -> None:
        if self._tls is not None:
            context_of(self._tls)

    def start(self, accept: Accept) -> None:
        if self._loop.started:
            raise UsageError(f"{self.name} was started before")
        bound = listening.bind(self.address)
        try:
            reception = self._receiving(accept)
            serving = Serving(
                reception.application(),
                bound,
                self._tls,
                connections=self._limits.connections,
                refuse=reception.note,
            )
        except BaseException:
            listening.release(bound)
            raise
        self.address = replace(self.address, port=listening.port_of(bound))
        self._loop.start()
        self._loop.run(serving.start())
        self._reception, self._serving = reception, serving
        log.info("source_started", source=self.name, address=str(self.address))

    def stop(self) -> None:
        serving, self._serving = self._serving, None
        if serving is None or self._reception is None:
            return
        try:
            self._loop.run(serving.stop(self._drain))
            self._loop.run(self._reception.close())
            self._loop.end()
        except EnvironmentFault:
            serving.abandon()
            raise
        log.info("source_stopped", source=self.name)


class HttpSource(Served):
    """Events, from senders that are known by a token."""

    def __init__(self, name: str, address: Address, tokens: tuple[Token, ...], **settings: Any) -> None:
        super().__init__(f"http:{name}", address, **settings)
        self._tokens = tokens

    def describe(self) -> str:
        return f"events on {self._place}/events"

    def probe(self) -> None:
        senders_of(self._tokens)
        super().probe()

    def _receiving(self, accept: Accept) -> Reception:
        return Intake(self.name, senders_of(self._tokens), self._limits, self._clock, accept)


def senders_of(tokens: tuple[Token, ...]) -> Senders:
    """Raises `EnvironmentFault` where a token can't be had, or is another's as well: whose it is then nobody knows."""
    owners: dict[bytes, str] = {}
    senders = [Sender(t.name, t.digest(), t.sources, t.rate) for t in tokens]
    for each in senders:
        other = owners.setdefault(each.digest, each.name)
        if other != each.name:
            hint = "make each its own with: openssl rand -hex 32"
            raise EnvironmentFault(f"{other} and {each.name} have the same token", hint=hint)
    return Senders(senders, time.monotonic)
