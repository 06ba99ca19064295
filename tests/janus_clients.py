"""Real clients of a real Janus: its HTTP API for whatever can be asked, and WebRTC (aiortc) for what needs media.

A TextRoom takes what people say over a data channel only.
"""

from __future__ import annotations

import asyncio
import json
import time
from itertools import count
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from servers.janus import Janus

PATIENCE = 20.0


class Handle:
    """A session of its own with one handle of a plugin."""

    def __init__(self, janus: Janus, plugin: str, opaque: str = "") -> None:
        self.janus = janus
        self.session = janus.ask("", janus="create")["data"]["id"]
        more = {"opaque_id": opaque} if opaque else {}
        attached = janus.ask(f"/{self.session}", janus="attach", plugin=f"janus.plugin.{plugin}", **more)
        self.path = f"/{self.session}/{attached['data']['id']}"

    def ask(self, request: str, jsep: dict[str, str] | None = None, **body: object) -> dict[str, Any]:
        """What the plugin answers; nothing where it answers later, by an event."""
        more = {"jsep": jsep} if jsep is not None else {}
        told = self.janus.ask(self.path, janus="message", body={"request": request, **body}, **more)
        answered: dict[str, Any] = told.get("plugindata", {}).get("data", {})
        assert "error" not in answered, answered
        return answered

    async def event(self, wanted: str = "plugindata") -> dict[str, Any]:
        """The next one that has this, or is."""
        while True:
            told = await asyncio.to_thread(self.janus.event, self.session)
            if wanted in told or told["janus"] == wanted:
                assert "error" not in told.get("plugindata", {}).get("data", {}), told
                return told

    def end(self) -> None:
        self.janus.ask(f"/{self.session}", janus="destroy")


class Viewer:
    """Somebody in a VideoRoom who shows nothing."""

    def __init__(self, janus: Janus, display: str) -> None:
        self.handle = Handle(janus, "videoroom", f"opaque-{display}")
        self._display = display

    async def join(self, room: int | str) -> int | str:
        """What the room knows them by."""
        self.handle.ask("join", ptype="publisher", room=room, display=self._display)
        known: int | str = (await self._event("joined", "videoroom"))["id"]
        return known

    async def leave(self) -> None:
        self.handle.ask("leave")
        await self._event("ok", "leaving")

    async def _event(self, value: str, key: str) -> dict[str, Any]:
        """Others' come here too."""
        while True:
            told: dict[str, Any] = (await self.handle.event())["plugindata"]["data"]
            if told.get(key) == value:
                return told


class Talker:
    """Somebody who talks in TextRooms."""

    def __init__(self, janus: Janus, who: str) -> None:
        self.who = who
        self.heard: list[dict[str, Any]] = []
        self._janus = janus
        self._numbers = count()
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._peer = RTCPeerConnection()

    async def come(self) -> Talker:
        self.handle = Handle(self._janus, "textroom", f"opaque-{self.who}")
        self.handle.ask("setup")
        offered = (await self.handle.event("jsep"))["jsep"]
        await self._peer.setRemoteDescription(RTCSessionDescription(offered["sdp"], offered["type"]))
        self._channel = self._peer.createDataChannel("JanusDataChannel")
        opened = asyncio.Event()
        self._channel.on("open", opened.set)
        self._channel.on("message", self._hear)
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        self.handle.ask("ack", jsep={"type": "answer", "sdp": self._peer.localDescription.sdp})
        await asyncio.wait_for(opened.wait(), PATIENCE)
        return self

    async def tell(self, textroom: str, room: int | str, **more: object) -> dict[str, Any]:
        """Returns once the room has done it."""
        transaction = str(next(self._numbers))
        reply = self._replies[transaction] = asyncio.get_running_loop().create_future()
        told = {"textroom": textroom, "transaction": transaction, "room": room, **more}
        self._channel.send(json.dumps(told))
        answer = await asyncio.wait_for(reply, PATIENCE)
        assert "error" not in answer, answer
        return answer

    async def join(self, room: int | str, display: str | None = None) -> None:
        await self.tell("join", room, username=self.who, **({"display": display} if display else {}))

    async def say(self, room: int | str, text: str, **more: object) -> None:
        await self.tell("message", room, text=text, **more)

    async def hears(self, **wanted: object) -> None:
        end = time.monotonic() + PATIENCE
        while not any(wanted.items() <= told.items() for told in self.heard):
            assert time.monotonic() < end, (wanted, self.heard[-5:])
            await asyncio.sleep(0.01)

    async def go(self) -> None:
        """Without a word."""
        await self._peer.close()

    def _hear(self, message: str | bytes) -> None:
        told = json.loads(message)
        reply = self._replies.pop(told.get("transaction", ""), None)
        if reply is None:
            self.heard.append(told)
        elif not reply.done():
            reply.set_result(told)


class Publisher(Viewer):
    """Somebody who shows something in a VideoRoom: one stream, with a description."""

    def __init__(self, janus: Janus, display: str) -> None:
        super().__init__(janus, display)
        self._peer = RTCPeerConnection()

    async def publish(self, description: str) -> None:
        self._peer.addTrack(VideoStreamTrack())
        await self._peer.setLocalDescription(await self._peer.createOffer())
        offer = {"type": "offer", "sdp": self._peer.localDescription.sdp}
        self.handle.ask("publish", jsep=offer, descriptions=[{"mid": "0", "description": description}])
        answer = (await self.handle.event("jsep"))["jsep"]
        await self._peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        await self.handle.event("webrtcup")

    async def unpublish(self) -> None:
        self.handle.ask("unpublish")
        await self.handle.event()

    async def go(self) -> None:
        await self._peer.close()
