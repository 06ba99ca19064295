"""Two people talk by SIP: sipp sends MESSAGEs through a real Kamailio, which tells the daemon by HEPv3 over UDP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack

from servers.kamailio import free_udp_port, kamailio, sipp

from live.outbox import Outbox
from live.relay import HOST
from live.script import PAIR, TALKS, Ability, Say, Step
from live.stage import Stage

_HEADERS = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: "{who}" <sip:{who}@example.org>;tag=[pid]t[call_number]
To: <sip:{other}@example.org>
Call-ID: [call_id]
CSeq: 1 MESSAGE
Max-Forwards: 70
Content-Type: text/plain
Content-Length: [len]
"""
_HEARS = """<recv request="MESSAGE"/><send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=b[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>"""


class SipPerformer:
    """SIP's MESSAGE has no groups, no edits and no files: what the pair say, and no more."""

    abilities: tuple[Ability, ...] = ()
    kinds: Mapping[str, str] = {PAIR: "im"}

    async def prepare(self, stage: Stage) -> str:
        self._folder = stage.folder
        port = free_udp_port()
        self.network = await stage.datagrams(port)
        return f'[smtp]\nenabled = false\n[[source]]\ntype = "sip"\nname = "proxy"\nlisten = "{HOST}:{port}"\n'

    async def start(self) -> None:
        self._taker = free_udp_port()
        self._hears = sipp(self._folder, _HEARS, "-p", str(self._taker))
        self._server = ExitStack()
        await asyncio.to_thread(self._serve)
        self._outbox = Outbox(self._send)

    def _serve(self) -> None:
        self._port = self._server.enter_context(kamailio(self._folder, hep=self.network.port, taker=self._taker))

    async def perform(self, step: Step) -> None:
        assert isinstance(step, Say)
        await self._outbox.put(step)

    async def restart(self) -> None:
        await self._outbox.empty()
        await asyncio.to_thread(self._server.close)
        await asyncio.to_thread(self._serve)

    async def settle(self) -> None:
        await self._outbox.empty()

    async def stop(self) -> None:
        await self._outbox.close()
        await asyncio.to_thread(self._server.close)
        self._hears.kill()
        await asyncio.to_thread(self._hears.wait)

    def mailbox(self, person: str) -> str:
        return f"{person}@example.org"

    def _send(self, say: Say) -> bool:
        (other,) = (each for each in TALKS[PAIR] if each != say.who)
        head = _HEADERS.format(who=say.who, other=other)
        request = f"MESSAGE sip:{other}@example.org SIP/2.0\n{head}\n{say.text}"
        scenario = f'<send><![CDATA[\n{request}\n]]></send><recv response="100" optional="true"/><recv response="200"/>'
        client = sipp(self._folder, scenario, f"{HOST}:{self._port}", "-p", str(free_udp_port()), "-m", "1")
        return client.wait(20) == 0
