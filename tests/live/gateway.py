"""A gateway that posts events: all that the archiver knows, with nothing between the talk and the daemon."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

import msgspec

from live.outbox import Outbox
from live.relay import HOST
from live.script import PAIR, ROOM, TALKS, Ability, Edit, File, Join, Leave, React, Rename, Retract, Say, Step
from live.stage import Stage

SECRET = "a-secret-of-the-gateway-alone"
SOURCE = "test:talk"


class GatewayPerformer:
    """One request an event, in order, each until it was answered with 200."""

    abilities = tuple(Ability)
    kinds: Mapping[str, str] = {PAIR: "im", ROOM: "group"}

    async def prepare(self, stage: Stage) -> str:
        port = stage.port()
        self._port = await stage.relay(port)
        self._names: dict[str, str] = {}
        return (
            f'[smtp]\nenabled = false\n[[source]]\ntype = "http"\nname = "gateway"\nlisten = "{HOST}:{port}"\n'
            f'[[source.token]]\nname = "gateway"\nsources = ["{SOURCE}"]\n'
            f'sha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"\n'
        )

    async def start(self) -> None:
        self.outbox = Outbox(self._post)
        self._made = 0

    async def perform(self, step: Step) -> None:
        if isinstance(step, Rename):  # no event of its own: who acts next has the new name
            self._names[step.who] = step.name
        else:
            await self.outbox.put(self._event(step))

    async def restart(self) -> None:
        """There is no server."""

    async def settle(self) -> None:
        await self.outbox.empty()

    async def stop(self) -> None:
        await self.outbox.close()

    def mailbox(self, person: str) -> str:
        return f"{person}@example.org"

    def _post(self, body: bytes) -> bool:
        client = HTTPConnection(HOST, self._port, timeout=10)
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/cloudevents+json"}
        try:
            client.request("POST", "/events", body, headers)
            reply = client.getresponse()
            told = reply.read()
        except HTTPException:
            return False
        finally:
            client.close()
        assert reply.status in (200, 429, 503), told
        return reply.status == 200

    def _event(self, step: Step) -> bytes:
        self._made += 1
        kind, more = _said(step)
        place: dict[str, Any] = {"id": step.talk, "kind": self.kinds[step.talk]}
        if step.talk == PAIR:
            place["participants"] = [{"address": f"{each}@example.org"} for each in TALKS[PAIR]]
        name = self._names.get(step.who, step.who) if step.talk == ROOM else step.who
        return msgspec.json.encode(
            {
                "specversion": "1.0",
                "source": SOURCE,
                "id": str(self._made),
                "type": kind,
                "time": datetime.now(UTC).isoformat(),
                "sequence": f"{self._made:06d}",
                "data": {
                    "conversation": place,
                    "actor": {"address": self.mailbox(step.who), "name": name},
                    **more,
                },
            }
        )


def _said(step: Step) -> tuple[str, dict[str, Any]]:
    match step:
        case Join():
            return "participant.joined", {}
        case Leave():
            return "participant.left", {}
        case Say():
            return "message.sent", _message(step)
        case Edit():
            return "message.edited", {"message": {"id": f"m{step.number}", "text": step.text}}
        case Retract():
            return "message.retracted", {"message": {"id": f"m{step.number}"}}
        case React():
            return "message.reacted", {
                "message": {"id": f"m{step.number}"},
                "reaction": step.reaction,
                "removed": step.removed,
            }
    raise AssertionError(step)


def _message(say: Say) -> dict[str, Any]:
    message: dict[str, Any] = {"id": f"m{say.number}", "text": say.text}
    if say.reply_to is not None:
        message["in_reply_to"] = f"m{say.reply_to}"
    if say.to is not None:
        message["to"] = [{"address": f"{say.to}@example.org"}]
    return {"message": message, **({"attachments": [_attachment(say.file)]} if say.file else {})}


def _attachment(file: File) -> dict[str, str]:
    return {"name": file.name, "media_type": "text/plain", "content": b64encode(file.content).decode()}
