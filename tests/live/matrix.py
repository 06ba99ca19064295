"""Synapse with the archiver as its application service; people talk by plain HTTP."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any

from servers.synapse import SERVER, Person, Synapse

from archiver.sources.matrix import registration
from live.relay import HOST
from live.script import PAIR, PEOPLE, ROOM, Ability, Edit, Join, Leave, React, Rename, Retract, Say, Step
from live.stage import Stage, until

TELLING = 0.1
"""Seconds that Synapse has to tell the daemon, where that can hear it."""
WAITING = 240.0
"""Seconds: more than Synapse may wait before it tries a service again that was away."""


class MatrixPerformer:
    """A direct room, and a public one in which nobody learns what was said before they came.

    Synapse keeps nothing of what is redacted: what it couldn't tell yet is not taken back here, or nobody would know.
    """

    abilities = tuple(each for each in Ability if each is not Ability.PRIVATE)
    kinds: Mapping[str, str] = {PAIR: "im", ROOM: "group"}

    async def prepare(self, stage: Stage) -> str:
        self._stage = stage
        service, homeserver = stage.port(), stage.port()
        file = stage.folder / "registration.yaml"
        made = registration.make("talk", f"http://{HOST}:{await stage.relay(service)}")
        registration.save(file, registration.written(made, SERVER))
        directory = stage.folder / "synapse"
        directory.mkdir()
        self._registration, self.server = file, Synapse(directory, homeserver)
        self._names: dict[str, str] = {}
        self._said: dict[int, str] = {}
        self.performed: list[Step] = []
        self._reactions: dict[tuple[str, int], str] = {}
        return (
            f'[smtp]\nenabled = false\n[[source]]\ntype = "matrix"\nname = "talk"\nregistration = "{file}"\n'
            f'homeserver = "http://{HOST}:{await stage.relay(homeserver)}"\nlisten = "{HOST}:{service}"\n'
        )

    async def start(self) -> None:
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        self.server.start(self._registration)
        self._people = {who: self.server.person(who, who) for who in PEOPLE}
        ann, bob = (self._people[who] for who in PEOPLE[:2])
        pair = ann.direct(bob)
        bob.joins(pair)
        # A room dies with its last member: whoever made it goes once somebody came.
        self._host: Person | None = self.server.person("host")
        joined = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
        room = self._host.room(preset="public_chat", name="The room of ten", initial_state=[joined])
        self._rooms = {PAIR: pair, ROOM: room}

    async def perform(self, step: Step) -> None:
        if await asyncio.to_thread(self._may, step):
            await asyncio.to_thread(self._perform, step)
            self.performed.append(step)

    def _may(self, step: Step) -> bool:
        if not isinstance(step, Retract) and not (isinstance(step, React) and step.removed):
            return True
        if isinstance(step, React) and (step.who, step.number) not in self._reactions:
            return False
        end = time.monotonic() + TELLING
        while not self.server.is_taken_up():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def _perform(self, step: Step) -> None:
        who, room = self._people[step.who], self._rooms[step.talk]
        match step:
            case Join():
                self._joins(who, step.who, room)
            case Leave():
                who.leaves(room)
            case Rename():
                self._names[step.who] = step.name
                if room in who.asks("GET", "/joined_rooms")["joined_rooms"]:
                    who.shows(room, step.name)
            case Say():
                self._said[step.number] = who.send(room, self._content(who, step))
            case Edit():
                who.edits(room, self._said[step.number], step.text)
            case Retract():
                who.redacts(room, self._said[step.number])
            case React(removed=True):
                who.redacts(room, self._reactions.pop((step.who, step.number)))
            case React():
                self._reactions[step.who, step.number] = who.reacts(room, self._said[step.number], step.reaction)

    def _joins(self, who: Person, name: str, room: str) -> None:
        who.joins(room)
        if name in self._names:
            who.shows(room, self._names[name])
        if self._host is not None:
            self._host.leaves(room)
            self._host = None

    def _content(self, who: Person, say: Say) -> dict[str, Any]:
        content: dict[str, Any] = {"msgtype": "m.text", "body": say.text}
        if say.file is not None:
            url = who.uploads(say.file.content, say.file.name, "text/plain")
            info = {"mimetype": "text/plain", "size": len(say.file.content)}
            content |= {"msgtype": "m.file", "filename": say.file.name, "url": url, "info": info}
        if say.reply_to is not None:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": self._said[say.reply_to]}}
        return content

    async def restart(self) -> None:
        """As after a power cut; who is in a room stays in it."""
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.start, self._registration)

    async def settle(self) -> None:
        """One transaction may wait for ever: that which Synapse made just as its service came back."""
        await until(self._has_all, "Synapse to tell all, the daemon to find what it forgot, and all files", WAITING)

    def _has_all(self) -> bool:
        ledger = self._stage.data / "sources" / "matrix-talk" / "ledger.db"
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(ledger)) as database:
            told = {identity for (identity,) in database.execute("SELECT id FROM meant")}
            files = database.execute("SELECT count(*) FROM file").fetchone()[0]
            return told.issuperset(self.server.events()) and not files
        return False

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    def mailbox(self, person: str) -> str:
        return f"{person}@{SERVER}"
