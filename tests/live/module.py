"""A talk on a real XMPP server with the archiver's module in it."""

from __future__ import annotations

import asyncio
import hashlib

from servers.xmpp import HOST as SERVER
from servers.xmpp import ROOMS, XmppServer

from live.relay import HOST
from live.script import Step
from live.stage import Stage, until
from live.xmpp import ABILITIES, KINDS, Talkers

SECRET = "a-secret-of-the-module-alone"


class ModulePerformer:
    """Its restart is a kill: it says goodbye to nobody."""

    abilities = ABILITIES
    kinds = KINDS

    def __init__(self, server_type: type[XmppServer]) -> None:
        self._type = server_type

    async def prepare(self, stage: Stage) -> str:
        port = stage.port()
        folder = stage.folder / "server"
        folder.mkdir()
        self._server = self._type(folder, await stage.relay(port), SECRET)
        self._talkers = Talkers(self._server.port, SERVER, f"team@{ROOMS}")
        return (
            f'[smtp]\nenabled = false\n[[source]]\ntype = "xmpp"\nname = "chat"\nlisten = "{HOST}:{port}"\n'
            f'[[source.token]]\nname = "server"\nsources = ["xmpp:{SERVER}", "xmpp:{ROOMS}"]\n'
            f'sha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"\n'
        )

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)
        await self._talkers.come()

    async def perform(self, step: Step) -> None:
        await self._talkers.perform(step)

    async def restart(self) -> None:
        await asyncio.to_thread(self._server.kill)
        await self._talkers.go()
        await asyncio.to_thread(self._server.start)
        await self._talkers.come()

    async def settle(self) -> None:
        await until(self._server.is_drained, "the module's queue to be empty", 150)

    async def stop(self) -> None:
        await self._talkers.go()
        await asyncio.to_thread(self._server.stop)

    def mailbox(self, person: str) -> str:
        return f"{person}@{SERVER}"
