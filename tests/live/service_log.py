"""A talk on a real ejabberd that has only its own mod_service_log, and the daemon as the component that it tells."""

from __future__ import annotations

import asyncio

from servers.ejabberd import SECRET, ServiceLogged
from servers.xmpp import HOST as SERVER
from servers.xmpp import ROOMS

from live.module import ModulePerformer
from live.relay import HOST
from live.stage import Stage, until
from live.xmpp import Talkers


class ServiceLogPerformer(ModulePerformer):
    """Nothing is told again: after a restart nobody speaks before the daemon is connected."""

    def __init__(self) -> None:
        super().__init__(ServiceLogged)

    async def prepare(self, stage: Stage) -> str:
        self._stage = stage
        folder = stage.folder / "server"
        folder.mkdir()
        self._server = ServiceLogged(folder, 1, "none")
        self._talkers = Talkers(self._server.port, SERVER, f"team@{ROOMS}")
        secret = stage.folder / "component.secret"
        secret.write_text(SECRET)
        return (
            f'[smtp]\nenabled = false\n[[source]]\ntype = "xmpp-component"\nname = "chat"\n'
            f'server = "{HOST}:{await stage.relay(self._server.component)}"\ncomponent = "archiver.{SERVER}"\n'
            f'hosts = ["{SERVER}"]\nrooms = ["{ROOMS}"]\n'
            f'[[source.secret]]\nname = "ejabberd"\nfile = "{secret}"\n'
        )

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)
        await self._connected(0)
        await self._talkers.come()

    async def restart(self) -> None:
        before = self.handshakes
        await asyncio.to_thread(self._server.kill)
        await self._talkers.go()
        await asyncio.to_thread(self._server.start)
        await self._connected(before)
        await self._talkers.come()

    async def settle(self) -> None:
        """Nothing says how much is still on its way, which is loopback."""
        await asyncio.sleep(3)
        self.gaps = self._stage.log.count('"away"')

    @property
    def handshakes(self) -> int:
        return self._server.logged().count("handshake authentication for archiver")

    async def _connected(self, before: int) -> None:
        await until(lambda: self.handshakes > before, "the component")
