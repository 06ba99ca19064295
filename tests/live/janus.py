"""A talk in conferences of a real Janus: everybody is in a VideoRoom, and talks in its TextRoom by data channels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from janus_clients import Handle, Talker, Viewer
from servers.janus import Janus

from live.relay import HOST
from live.script import PAIR, ROOM, TALKS, Ability, Join, Leave, Say, Step
from live.stage import Stage

SECRET = "a-secret-of-the-event-handler-alone"
SOURCE = "conference"
ROOMS = {PAIR: 1, ROOM: 2}


def table(stage: Stage, port: int) -> str:
    """What the configuration needs; further keys may follow."""
    (stage.folder / "secret").write_text(SECRET)
    return (
        f'[smtp]\nenabled = false\n[[source]]\ntype = "janus"\nname = "{SOURCE}"\nlisten = "{HOST}:{port}"\n'
        f'secret = [{{ name = "janus", file = "{stage.folder / "secret"}" }}]\n'
    )


class JanusPerformer:
    """Whispers aren't posted, and TextRooms have no edits. What is said while nobody hears it is `unheard`.

    `again` is how often Janus tried to tell something again.
    """

    abilities = (Ability.MEMBERSHIP,)
    kinds: Mapping[str, str] = {PAIR: "conference", ROOM: "conference"}

    async def prepare(self, stage: Stage) -> str:
        port = stage.port()
        folder = stage.folder / "janus"
        folder.mkdir()
        self._stage = stage
        self._janus = Janus(folder, await stage.relay(port), SECRET)
        self._here: dict[str, list[str]] = {PAIR: list(TALKS[PAIR]), ROOM: []}
        self._talkers: dict[tuple[str, str], Talker] = {}
        self._viewers: dict[tuple[str, str], Viewer] = {}
        self.performed: list[Step] = []
        self.unheard: list[Say] = []
        self.stated = 0.0
        self.again = 0
        return table(stage, port) + f'api = "{self._janus.api}"\ntogether = true\n'

    async def start(self) -> None:
        await asyncio.to_thread(self._janus.start)
        text, video = Handle(self._janus, "textroom"), Handle(self._janus, "videoroom")
        for talk, room in ROOMS.items():
            text.ask("create", room=room, description=talk, post=self._janus.post)
            video.ask("create", room=room, description=talk, publishers=len(TALKS[ROOM]))
            for who in self._here[talk]:
                await self._come(talk, who)

    async def perform(self, step: Step) -> None:
        match step:
            case Join():
                await self._come(step.talk, step.who)
                self._here[step.talk].append(step.who)
            case Leave():
                await self._leave(step.talk, step.who)
                self._here[step.talk].remove(step.who)
                await self._go([(step.talk, step.who)])
            case Say():
                await self._talkers[step.talk, step.who].say(ROOMS[step.talk], step.text)
        if isinstance(step, Say) and not self._stage.reachable:
            self.unheard.append(step)
        else:
            self.performed.append(step)

    async def restart(self) -> None:
        """A kill: it says goodbye to nobody."""
        await asyncio.to_thread(self._janus.kill)
        await self._go(list(self._talkers))
        await self.start()

    async def settle(self) -> None:
        """Everybody leaves, and with the last of them the meetings end."""
        for each in self._talkers:
            await self._leave(*each)
        self.again = self._janus.logged().count("Retransmitting event")

    async def stop(self) -> None:
        """Late enough that what the metrics say, which is some seconds old, is of the talk's end."""
        figures = await asyncio.to_thread(self._stage.figures)
        self.stated = figures.get("archiver_source_gaps_total", -1.0)
        await self._go(list(self._talkers))
        await asyncio.to_thread(self._janus.stop)

    def mailbox(self, person: str) -> str:
        return f"{person}@{SOURCE}"

    async def _come(self, talk: str, who: str) -> None:
        viewer = self._viewers[talk, who] = Viewer(self._janus, who)
        await viewer.join(ROOMS[talk])
        talker = self._talkers[talk, who] = await Talker(self._janus, who).come()
        await talker.join(ROOMS[talk], who)

    async def _leave(self, talk: str, who: str) -> None:
        await self._talkers[talk, who].tell("leave", ROOMS[talk])
        await self._viewers[talk, who].leave()

    async def _go(self, which: Iterable[tuple[str, str]]) -> None:
        for each in which:
            await self._talkers.pop(each).go()
