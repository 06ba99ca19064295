"""A real Janus with real clients: what it tells, what it tells again, and what it never tells."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from contracts.source import Spooled, eventually
from janus_builder import SECRET
from janus_clients import Handle, Publisher, Talker
from servers.janus import Janus
from servers.xmpp import free_port

from archiver.config import parse
from archiver.doctor.capturing import conferences
from archiver.events import Captured, Event
from archiver.exceptions import EnvironmentFault, TryLater
from archiver.sources.credentials import Secret, digest_of
from archiver.sources.janus.asking import Api
from archiver.sources.janus.meetings import Custom
from archiver.sources.janus.notices import Room
from archiver.sources.janus.remembering import Remembered
from archiver.sources.janus.source import JanusSource
from archiver.sources.listening import Address

pytestmark = [pytest.mark.server, pytest.mark.slow]

ROOM = 1234
LOG_INS = (Secret("janus", sha256=digest_of(SECRET).hex()),)
KEY = {"secret": "room-secret"}


class Listening:
    """A Janus, and the source that it tells, which can be gone for a while."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.port = free_port()
        self.janus = Janus(folder, self.port, SECRET, **settings)
        self.spooled = Spooled()
        self._memory = folder / "memory.db"
        self.source: JanusSource | None = None

    def listen(self, **settings: Any) -> None:
        self.source = JanusSource(
            "test",
            Address(port=self.port),
            LOG_INS,
            memory=lambda: Remembered(self._memory),
            api=Api(self.janus.api),
            **settings,
        )
        self.source.start(self.spooled)

    def go_away(self) -> None:
        if self.source is not None:
            self.source.stop()
            self.source = None

    def create(self, plugin: str = "textroom", room: int | str = ROOM, **more: object) -> Handle:
        """A room; by its handle one may ask for more."""
        handle = Handle(self.janus, plugin)
        post = {"post": self.janus.post} if plugin == "textroom" else {}
        handle.ask("create", room=room, description="Weekly", **KEY, **post, **more)
        return handle

    @property
    def events(self) -> list[Event]:
        assert all(isinstance(each, Captured) for each in self.spooled.records), self.spooled.records
        return [each.event for each in self.spooled.records if isinstance(each, Captured)]

    @property
    def shown(self) -> list[str]:
        """In the order in which it happened."""
        known = {each.id: each for each in self.events}
        return [_shown(each) for each in sorted(known.values(), key=lambda each: each.time)]

    def until_any(self, shown: str) -> None:
        assert eventually(lambda: shown in self.shown, 20), self.shown

    def until(self, *shown: str) -> None:
        assert eventually(lambda: self.shown == list(shown), 20), f"{self.shown}\n{self.janus.logged()[-3000:]}"


def _shown(event: Event) -> str:
    who, said = event.data.actor or event.data.subject, event.data.message
    name = event.type.rpartition(".")[2]
    return " ".join(filter(None, (name, who and who.address, said and said.text)))


@pytest.fixture
def made() -> Iterator[Callable[..., Listening]]:
    """Its folder is kept from nobody: Janus reads it as whom it runs."""
    several: list[Listening] = []
    with tempfile.TemporaryDirectory() as folder:

        def make(**settings: Any) -> Listening:
            several.append(Listening(Path(folder), **settings))
            return several[-1]

        yield make
        for each in several:
            each.go_away()
            each.janus.stop()


@pytest.fixture
def told(made: Callable[..., Listening]) -> Listening:
    made = made()
    made.listen()
    made.janus.start()
    return made


Scene = Coroutine[Any, Any, None]


def test_a_meeting_in_a_textroom(told: Listening) -> None:
    async def scene() -> None:
        handle = told.create()
        ann, bob, cem = [await Talker(told.janus, who).come() for who in ("ann", "bob", "cem")]
        for each in (ann, bob, cem):
            await each.join(ROOM, each.who.title())
        await ann.say(ROOM, "hello <b> 你好 👍")
        await cem.hears(text="hello <b> 你好 👍", **{"from": "ann"})
        await bob.say(ROOM, "only you", to="ann")
        handle.ask("announcement", room=ROOM, text="closing", **KEY)
        await ann.tell("kick", ROOM, username="bob", **KEY)
        cem.handle.end()
        await ann.hears(textroom="leave", username="cem")
        await asyncio.to_thread(told.until_any, "left cem")
        await ann.tell("leave", ROOM)
        for each in (ann, bob, cem):
            await each.go()

    asyncio.run(scene())
    told.until(
        *("started", "joined ann", "joined bob", "joined cem", "sent ann hello <b> 你好 👍", "sent closing"),
        *("left bob", "left cem", "left ann", "ended"),
    )
    assert {each.data.conversation.topic for each in told.events} == {"Weekly"}
    names = {each.data.actor.name for each in told.events if each.data.actor}
    assert names == {"Ann", "Cem"} | {"Bob"}
    assert told.source and told.source.signs().gaps == 0


def test_a_meeting_in_a_videoroom(told: Listening) -> None:
    async def scene() -> None:
        handle = told.create("videoroom")
        ann, bob = Publisher(told.janus, "Ann"), Publisher(told.janus, "Bob")
        await ann.join(ROOM)
        known = await bob.join(ROOM)
        await bob.publish("my screen")
        await bob.unpublish()
        handle.ask("kick", room=ROOM, id=known, **KEY)
        handle.ask("destroy", room=ROOM, **KEY)
        for each in (ann, bob):
            await each.go()

    asyncio.run(scene())
    told.until("started", "joined Ann", "joined Bob", "shared Bob", "unshared Bob", "left Bob", "left Ann", "ended")
    assert told.source and told.source.signs().gaps == 0


def test_rooms_of_one_name_are_one_conference_and_opaque_ids_are_people(made: Callable[..., Listening]) -> None:
    told = made(strings=True)
    told.listen(custom=Custom(people="opaque_id", together=True))
    told.janus.start()

    async def scene() -> None:
        told.create("videoroom", "weekly")
        told.create("textroom", "weekly")
        seen, talker = Publisher(told.janus, "ann"), await Talker(told.janus, "ann").come()
        await seen.join("weekly")
        await talker.join("weekly")
        await talker.say("weekly", "hello")
        await talker.tell("leave", "weekly")
        seen.handle.end()
        for each in (seen, talker):
            await each.go()

    asyncio.run(scene())
    told.until("started", "joined opaque-ann", "sent opaque-ann hello", "left opaque-ann", "ended")
    assert {each.data.conversation.id for each in told.events} == {"weekly"}


def test_what_happens_while_nobody_listens_is_told_later_and_what_is_said_is_lost(told: Listening) -> None:
    async def scene() -> None:
        told.create()
        ann, bob = [await Talker(told.janus, who).come() for who in ("ann", "bob")]
        await ann.join(ROOM)
        await ann.say(ROOM, "before")
        await asyncio.to_thread(told.until, "started", "joined ann", "sent ann before")
        await asyncio.to_thread(told.go_away)
        await bob.join(ROOM)
        await bob.say(ROOM, "lost")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(told.listen)
        await bob.say(ROOM, "after")
        await ann.tell("leave", ROOM)
        await bob.tell("leave", ROOM)
        for each in (ann, bob):
            await each.go()

    asyncio.run(scene())
    told.until(
        *("started", "joined ann", "sent ann before", "joined bob", "sent bob after", "left ann", "left bob", "ended")
    )
    assert len({each.data.conversation.session for each in told.events}) == 1


def test_what_the_spool_cannot_take_is_told_again_in_order(told: Listening) -> None:
    async def scene() -> None:
        told.create()
        ann = await Talker(told.janus, "ann").come()
        told.spooled.fault = TryLater("full")
        await ann.join(ROOM)
        await ann.say(ROOM, "lost")
        await ann.tell("leave", ROOM)
        await asyncio.sleep(0.5)
        told.spooled.fault = None
        await ann.go()

    asyncio.run(scene())
    told.until("started", "joined ann", "left ann", "ended")
    assert told.source and told.source.signs().gaps == 1


def test_a_server_that_dies_leaves_nobody_behind(told: Listening) -> None:
    async def scene() -> None:
        told.create()
        ann = await Talker(told.janus, "ann").come()
        await ann.join(ROOM)
        await asyncio.to_thread(told.until, "started", "joined ann")
        told.janus.kill()
        told.janus.start()
        await ann.go()
        told.create()
        again = await Talker(told.janus, "ann").come()
        await again.join(ROOM)
        await again.go()

    asyncio.run(scene())
    told.until(*("started", "joined ann", "left ann", "ended") * 2)
    assert len({each.data.conversation.session for each in told.events}) == 2


def test_who_came_and_went_in_an_outage_that_was_too_long_is_found_out(made: Callable[..., Listening]) -> None:
    told = made(retransmissions=0)
    told.listen()
    told.janus.start()

    async def scene() -> None:
        told.create()
        ann, bob, cem = [await Talker(told.janus, who).come() for who in ("ann", "bob", "cem")]
        await ann.join(ROOM)
        await bob.join(ROOM)
        await asyncio.to_thread(told.until, "started", "joined ann", "joined bob")
        await asyncio.to_thread(told.go_away)
        await bob.tell("leave", ROOM)
        await cem.join(ROOM, "Cem")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(told.listen, check=0.2)
        await asyncio.to_thread(told.until_any, "left bob")
        await asyncio.to_thread(told.until_any, "joined cem")
        for each in (ann, bob, cem):
            await each.go()

    asyncio.run(scene())
    assert eventually(lambda: told.shown[-1] == "ended"), told.shown
    assert len(told.shown) == 8


@pytest.mark.parametrize("strings", [False, True])
def test_it_says_who_is_in_its_rooms(made: Callable[..., Listening], strings: bool) -> None:
    told = made(strings=strings)
    told.janus.start()
    room: int | str = str(ROOM) if strings else ROOM
    asked = [Room("", plugin, name) for plugin in ("textroom", "videoroom") for name in (str(ROOM), "77")]

    async def scene() -> None:
        told.create("videoroom", room)
        told.create("textroom", room)
        seen, talker = Publisher(told.janus, "Ann"), await Talker(told.janus, "bob").come()
        known = str(await seen.join(room))
        await talker.join(room, "Bob B")
        people = {each.room: each.people for each in Api(told.janus.api).rosters(asked)}
        assert people == dict(zip(asked, [{"bob": "Bob B"}, {}, {known: "Ann"}, {}], strict=True))
        for each in (seen, talker):
            await each.go()

    asyncio.run(scene())


def test_it_says_which_version_it_is_and_whether_it_tells_us_anything(told: Listening) -> None:
    table = {"type": "janus", "name": "test", "api": told.janus.api, "secret": [{"name": "janus", "env": "X"}]}
    config = parse({"source": [table]})
    (found,) = conferences(config, Path(), 0)
    assert (found.verdict, found.found) == ("ok", "Janus 1.1.2")
    told.janus.stop()
    (found,) = conferences(config, Path(), 0)
    assert found.verdict == "bad" and "doesn't answer" in found.found and found.advice
    with pytest.raises(EnvironmentFault):
        Api(told.janus.api).descriptions("textroom")
