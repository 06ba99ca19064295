"""What people say in a talk, as XMPP clients say it: shared by the servers that speak it. Knows no server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from servers.xmpp import wait
from xmpp_clients import People, Person

from live.script import PAIR, ROOM, TALKS, Ability, Edit, Join, Leave, React, Rename, Retract, Say, Step

IdOf = Callable[[int, str], str]
"""By which a message of this number is referred to in a talk."""

ABILITIES = frozenset(Ability) - {Ability.FILE}
"""Files are shared by their links."""


class Talkers:
    """Everybody of a talk, logged in. References go by the ids that each talk's own rules ask for."""

    def __init__(self, port: int, host: str, room: str) -> None:
        self._port = port
        self._host = host
        self._room = room
        self._names: dict[str, str] = {}
        self._here: list[str] = []
        self._keys: dict[str, str] = {}
        self._arrived: set[str] = set()

    async def come(self) -> None:
        """Log in, and be where one was before."""
        self._people = await asyncio.to_thread(People, self._port, self._host)
        self._them = {who: await asyncio.to_thread(self._log_in, who) for who in TALKS[ROOM]}
        for who in self._here:
            await asyncio.to_thread(self._them[who].join, self._room, self._nick(who))

    def _log_in(self, who: str) -> Person:
        person = self._people.log_in(who)
        person.client.add_filter("in", self._heard)
        return person

    async def go(self) -> None:
        await asyncio.to_thread(self._people.leave)

    def _heard(self, stanza: Any) -> Any:
        """A room says by which id everybody knows a message."""
        if stanza.name == "message":
            self._arrived.add(stanza["id"])
            for given in stanza.xml.iter("{urn:xmpp:sid:0}stanza-id"):
                if given.get("by") == self._room:
                    self._keys[stanza["id"]] = given.get("id")
        return stanza

    async def perform(self, step: Step) -> None:
        await asyncio.to_thread(self._perform, step)

    def _perform(self, step: Step) -> None:
        person = self._them[step.who]
        match step:
            case Join():
                self._here.append(step.who)
                person.join(self._room, self._nick(step.who))
            case Leave():
                self._here.remove(step.who)
                person.leave(self._room, self._nick(step.who))
            case Rename():
                self._names[step.who] = step.name
                person.presence(f"{self._room}/{step.name}")
            case _:
                self._tell(person, step)
        person.settle()

    def _tell(self, person: Person, step: Step) -> None:
        given, inner = _stanza(step, self._id)
        if isinstance(step, Say) and step.to is not None:
            whisper = f"{inner}<x xmlns='http://jabber.org/protocol/muc#user'/>"
            said = person.say(f"{self._room}/{self._nick(step.to)}", whisper, "chat", given)
        elif step.talk == ROOM:
            said = person.say(self._room, inner, "groupchat", given)
        else:
            (other,) = (who for who in TALKS[PAIR] if who != step.who)
            said = person.say(f"{other}@{self._host}", inner, "chat", given)
        # A room of ejabberd has a process of its own: it may not have it yet when the server answers its sender.
        wait(lambda: said in self._arrived, lambda: f"nobody got {said}")

    def _id(self, number: int, talk: str) -> str:
        """In a room by the room's id, else by its own."""
        return self._keys[_own(number)] if talk == ROOM else _own(number)

    def _nick(self, who: str) -> str:
        return self._names.get(who, who)


def _own(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _stanza(step: Step, id_of: IdOf) -> tuple[str, str]:
    """A message's own id, and what is in it."""
    match step:
        case Say():
            reply = (
                f"<reply xmlns='urn:xmpp:reply:0' id={_to(step.reply_to, step, id_of)}/>"
                if step.reply_to is not None
                else ""
            )
            return _own(step.number), f"<body>{escape(step.text)}</body>{reply}"
        case Edit():
            replace = f"<replace xmlns='urn:xmpp:message-correct:0' id={quoteattr(_own(step.number))}/>"
            return "", f"<body>{escape(step.text)}</body>{replace}"
        case Retract():
            return "", f"<retract xmlns='urn:xmpp:message-retract:1' id={_to(step.number, step, id_of)}/>"
        case React():
            given = "" if step.removed else f"<reaction>{step.reaction}</reaction>"
            target = _to(step.number, step, id_of)
            return "", f"<reactions xmlns='urn:xmpp:reactions:0' id={target}>{given}</reactions>"
    raise AssertionError(step)


def _to(number: int, step: Step, id_of: IdOf) -> str:
    return quoteattr(id_of(number, step.talk))


KINDS: Mapping[str, str] = {PAIR: "im", ROOM: "group"}
