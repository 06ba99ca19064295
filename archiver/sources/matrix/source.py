"""A Matrix homeserver as a `Source`: its application service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from msgspec import structs

from archiver.exceptions import EnvironmentFault
from archiver.sources.http.reception import Reception
from archiver.sources.http.source import Served
from archiver.sources.listening import Address
from archiver.sources.matrix import registration
from archiver.sources.matrix.fetching import Fetching
from archiver.sources.matrix.homeserver import Homeserver, No, NotNow
from archiver.sources.matrix.ledger import Ledger
from archiver.sources.matrix.reception import Transactions
from archiver.sources.matrix.registration import Registration
from archiver.sources.matrix.translating import Translator
from archiver.sources.protocol import Accept, Signs

LEDGER = "ledger.db"
PROBING = 10.0
T = TypeVar("T")


class MatrixSource(Served):
    """`url` is the homeserver's, `file` the registration, `folder` the source's own: what it knows of rooms lies there.

    Files of over `most` bytes are described, not fetched. `network` says what the source of the events is called
    instead of `matrix:SERVER`.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        url: str,
        file: Path,
        folder: Path,
        *,
        most: int,
        network: str = "",
        **more: Any,
    ) -> None:
        super().__init__(f"matrix:{name}", address, **more)
        self._url = url
        self._file = file
        self._folder = folder
        self._most = most
        self._network = network

    def describe(self) -> str:
        return f"an application service of {self._url} on {self._place}{self._secret()}"

    def _secret(self) -> str:
        """Of what only who wrote when can be captured."""
        path = self._folder / LEDGER
        if not path.exists():
            return ""
        try:
            ledger = Ledger(path)
        except EnvironmentFault:  # a start says so
            return ""
        encrypted, rooms = ledger.encrypted()
        ledger.close()
        return f"; {encrypted:,} of {rooms:,} rooms are encrypted: who wrote when, not what" if encrypted else ""

    @property
    def up(self) -> bool:
        """Not while the homeserver doesn't reach us, or still sends what it kept meanwhile."""
        reception = self._reception
        return super().up and isinstance(reception, Transactions) and reception.reach.is_up(time.monotonic())

    def signs(self) -> Signs:
        lost = self._reception.late.given_up if isinstance(self._reception, Transactions) else 0
        return Signs(super().signs().refused, lost)

    def start(self, accept: Accept) -> None:
        super().start(accept)
        assert isinstance(self._reception, Transactions)
        self._loop.run(self._reception.begin())

    def _receiving(self, accept: Accept) -> Reception:
        found = registration.read(self._file)
        ledger = Ledger(self._folder / LEDGER)
        ledger.forget(self._clock())
        homeserver = Homeserver(self._url, found.as_token)
        fetching = Fetching(homeserver, self._folder / "incoming", self._most)
        translator = Translator(ledger, self._clock, self._network)
        return Transactions(
            self.name, found, homeserver, ledger, fetching, translator, self._limits, self._clock, accept
        )

    def probe(self) -> None:
        """Also has the homeserver try to reach us, where we listen."""
        super().probe()
        asyncio.run(self._probe(registration.read(self._file)))

    async def _probe(self, found: Registration) -> None:
        homeserver = Homeserver(self._url, found.as_token, patience=PROBING)
        try:
            await self._tried(homeserver.whoami, "is `homeserver` its address as seen from here, and does it run?")
            if await self._listens():
                hint = f"the homeserver says so of a ping to {found.url}: is that where it reaches the archiver?"
                await self._tried(lambda: homeserver.ping(found.id), hint)
        finally:
            await homeserver.close()

    async def _tried(self, ask: Callable[[], Awaitable[T]], hint: str) -> T:
        try:
            return await ask()
        except NotNow as fault:
            raise EnvironmentFault(f"{self._url} can't be asked: {fault}", hint=hint) from fault
        except No as fault:
            hint = f"name {self._file} in the homeserver's app_service_config_files, and restart it"
            raise EnvironmentFault(f"{self._url} doesn't know this registration: {fault}", hint=hint) from fault

    async def _listens(self) -> bool:
        """Whether the daemon runs: without it the homeserver would reach nobody, and nothing would be wrong."""
        transport = httpx2.AsyncHTTPTransport(uds=str(self.address.path) if self.address.path else None, verify=False)
        try:
            async with httpx2.AsyncClient(transport=transport, timeout=PROBING) as client:
                return (
                    await client.get(f"{'https' if self._tls else 'http'}://{_reached(self.address)}/health")
                ).is_success
        except httpx2.HTTPError:
            return False


def _reached(address: Address) -> str:
    """Where who listens on any address of this machine is found, too."""
    any_of = ip_address(address.host).is_unspecified if not address.path and _is_number(address.host) else False
    host = "localhost" if address.path or any_of else address.host
    return str(structs.replace(address, path=None, host=host))


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
