"""People talk by SIP: sipp's clients through a real Kamailio, which tells the daemon by HEPv3 over UDP.

Two send each other MESSAGEs. Ten call a conference: they come with INVITE, go with BYE, are called otherwise by another
INVITE within their call, and subscribe to its rosters; what they tell it goes to all who are in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count

from servers.focus import Focus
from servers.kamailio import free_udp_port, kamailio, sipp

from live.relay import HOST
from live.script import PAIR, ROOM, TALKS, Ability, Join, Leave, Rename, Say, Step
from live.stage import Stage

_REQUEST = """<send{retrans}><![CDATA[
{method} {target} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: {name}<sip:{who}@example.org>;tag={who}
To: <sip:{to}@example.org>{tag}
Call-ID: {prefix}[call_id]
CSeq: {number} {method}
Contact: <sip:{who}@{contact}>
Max-Forwards: 70
{more}Content-Length: [len]

{body}
]]></send>"""
_AT_ONCE = ("-m", "1", "-r", "1000", "-timer_resol", "1")
"""By itself it takes a tenth of a second until it begins: so many calls a second it makes."""
_TAKEN = '<recv response="100" optional="true"/><recv response="200"/>'
_HEARS = """<recv request="MESSAGE|NOTIFY" regexp_match="true"/><send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>"""


class SipPerformer:
    """SIP's MESSAGE has no edits, and no files that the rest of the talk would share."""

    told = 0
    """How often the daemon told that something was lost."""
    abilities: tuple[Ability, ...] = (Ability.MEMBERSHIP, Ability.RENAME)
    kinds: Mapping[str, str] = {PAIR: "im", ROOM: "conference"}

    async def prepare(self, stage: Stage) -> str:
        self._stage = stage
        self._outages = 0
        self._names: dict[str, str] = {}
        self._comings: Counter[str] = Counter()
        self._here: list[str] = []
        self._numbers = count(3)
        port = stage.port()
        self.network = await stage.datagrams(port)
        return f'[smtp]\nenabled = false\n[[source]]\ntype = "sip"\nname = "proxy"\nlisten = "{HOST}:{port}"\n'

    async def start(self) -> None:
        self._server = ExitStack()
        self._focus = Focus()
        await self._focus.open()
        self._taker = free_udp_port()
        self._hears = sipp(self._stage.folder, _HEARS, "-p", str(self._taker), "-deadcall_wait", "0")
        await asyncio.to_thread(self._serve)

    def _serve(self) -> None:
        self._focus.proxy = self._port = self._server.enter_context(
            kamailio(self._stage.folder, hep=self.network.port, taker=self._taker, focus=self._focus.port)
        )

    async def perform(self, step: Step) -> None:
        if self._stage.reachable and self._outages != self._stage.outages:
            # Who hung up unheard is in, for all that the daemon can know: what the next whole roster is for.
            self._outages = self._stage.outages
            self._focus.tell_all()
            await self._focus.quiet()
        await asyncio.to_thread(self._act, step)
        await self._focus.quiet()
        assert self._focus.faults == [], self._focus.faults

    async def restart(self) -> None:
        await asyncio.to_thread(self._server.close)
        await asyncio.to_thread(self._serve)

    async def settle(self) -> None:
        for who in list(self._here):
            await self.perform(Leave(ROOM, who))
        self.told = self._stage.log.count('"sip_never_seen"')

    async def stop(self) -> None:
        self._focus.close()
        await asyncio.to_thread(self._server.close)
        self._hears.kill()
        await asyncio.to_thread(self._hears.wait)

    def mailbox(self, person: str) -> str:
        return f"{person}@example.org"

    def _act(self, step: Step) -> None:
        who = step.who
        match step:
            case Say(talk=talk, text=text):
                to = next(each for each in TALKS[PAIR] if each != who) if talk == PAIR else "room"
                name = f'"{who}" ' if talk == PAIR else ""
                message = self._request("MESSAGE", who, to, name=name, body=text, more="Content-Type: text/plain\n")
                self._call(message + _TAKEN)
            case Join():
                self._here.append(who)
                self._comings[who] += 1
                subscription = self._request(
                    "SUBSCRIBE", who, "room", more="Event: conference\nExpires: 3600\n", prefix="///", number=2
                )
                self._call(self._invitation(who, 1) + subscription + _TAKEN, "-cid_str", self._id(who))
            case Rename(name=name):
                self._names[who] = name
                self._call(self._invitation(who, next(self._numbers), ";tag=focus"), "-cid_str", self._id(who))
            case Leave():
                self._here.remove(who)
                bye = self._request("BYE", who, "room", tag=";tag=focus", number=next(self._numbers))
                self._call(bye + _TAKEN, "-cid_str", self._id(who))

    def _id(self, who: str) -> str:
        return f"{who}-{self._comings[who]}@example.org"

    def _invitation(self, who: str, number: int, tag: str = "") -> str:
        name = f'"{self._names.get(who, who)}" '
        invite = self._request("INVITE", who, "room", name=name, tag=tag, number=number)
        return invite + _TAKEN + self._request("ACK", who, "room", tag=";tag=focus", number=number)

    def _request(self, method: str, who: str, to: str, *, tag: str = "", number: int = 1, **more: str) -> str:
        target = f"sip:room@{HOST}:{self._focus.port}" if tag else f"sip:{to}@example.org"
        given = {"name": "", "body": "", "more": "", "prefix": "", **more}
        given |= {"contact": f"{HOST}:{self._taker}", "retrans": "" if method == "ACK" else ' retrans="500"'}
        return _REQUEST.format(method=method, who=who, to=to, tag=tag, number=number, target=target, **given)

    def _call(self, scenario: str, *arguments: str) -> None:
        for _ in range(3):
            client = sipp(
                self._stage.folder, scenario, f"{HOST}:{self._port}", "-p", str(free_udp_port()), *_AT_ONCE, *arguments
            )
            try:
                if client.wait(20) == 0:
                    return
            finally:
                client.kill()
        raise AssertionError(f"sipp failed at {scenario}")
