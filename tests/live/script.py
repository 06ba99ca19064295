"""What two people and a room of ten do, as abstract steps: the same talk for every system. No system's words in it.

Each text begins with a token that no other text has (`q0042b`: message 42 as it reads after its first edit), so that
whoever reads a mailbox can tell what is there once, twice or not at all.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

PEOPLE = ("ann", "bob", "cem", "dora", "eve", "finn", "gita", "hugo", "iris", "jon")
PAIR = "pair"
ROOM = "room"
TALKS = {PAIR: PEOPLE[:2], ROOM: PEOPLE}
"""Who may take part in each. The pair talk one to one; in the room, people come and go."""

REACTIONS = ("👍", "🎉", "😂")
"""No variation selectors: some systems add or drop these."""

_WORDS = (
    "minutes",
    "of",
    "Tuesday",
    "tea",
    "we",
    "agreed",
    "交談歷程",
    "größer",
    "<b>not bold</b>",
    "&amp;",
    "“so”",
    "late",
)
_RECENT = 20
_FEWEST = 5
"""In the room: nobody leaves where it would be fewer."""


class Ability(StrEnum):
    """What not every system can; a system declares its own, and the rest is left out of its talk."""

    MEMBERSHIP = "people join and leave"
    RENAME = "people change the name they are shown by in the room"
    PRIVATE = "messages in the room to one person only"
    REPLY = "replies that say to what"
    FILE = "files, whose content is archived"
    EDIT = "edits"
    RETRACT = "retractions"
    REACT = "reactions, and taking them back"


@dataclass(frozen=True)
class File:
    name: str
    content: bytes


@dataclass(frozen=True)
class Step:
    """Somebody does something in a talk (`PAIR` or `ROOM`)."""

    talk: str
    who: str


@dataclass(frozen=True)
class Join(Step):
    """Comes into the room, also again. A room with joins is empty at first."""


@dataclass(frozen=True)
class Leave(Step):
    """Goes out of the room by themselves."""


@dataclass(frozen=True)
class Rename(Step):
    """Is called `name` in the room from now on, while there and when coming again."""

    name: str


@dataclass(frozen=True)
class Say(Step):
    """Message `number` of all. `reply_to` is the number of an earlier one in this talk, `to` who alone may see it."""

    number: int
    text: str
    reply_to: int | None = None
    to: str | None = None
    file: File | None = None


@dataclass(frozen=True)
class Edit(Step):
    """`who` is its author, as in `Retract`."""

    number: int
    text: str


@dataclass(frozen=True)
class Retract(Step):
    number: int


@dataclass(frozen=True)
class React(Step):
    """Gives one reaction, which is the only one of theirs to that message, or takes it back (`removed`)."""

    number: int
    reaction: str
    removed: bool = False


NEEDS: dict[type[Step], Ability] = {
    Join: Ability.MEMBERSHIP,
    Leave: Ability.MEMBERSHIP,
    Rename: Ability.RENAME,
    Edit: Ability.EDIT,
    Retract: Ability.RETRACT,
    React: Ability.REACT,
}


def write(seed: int = 1, messages: int = 1_000) -> tuple[Step, ...]:
    """The whole talk, with everything in it."""
    return tuple(_Writer(random.Random(seed)).write(messages))


def within(steps: Iterable[Step], abilities: Collection[Ability], talks: Collection[str]) -> tuple[Step, ...]:
    """What a system of these abilities can hold of it. All messages of these talks stay, as plainly as need be."""
    kept: list[Step] = []
    for step in steps:
        if step.talk in talks and NEEDS.get(type(step)) in {None, *abilities}:
            kept.append(_plainer(step, abilities) if isinstance(step, Say) else step)
    return tuple(kept)


def _plainer(say: Say, abilities: Collection[Ability]) -> Say:
    return replace(
        say,
        reply_to=say.reply_to if Ability.REPLY in abilities else None,
        to=say.to if Ability.PRIVATE in abilities else None,
        file=say.file if Ability.FILE in abilities else None,
    )


def token(number: int, version: int = 0) -> str:
    return f"q{number:04d}{'abcdefghij'[version]}"


@dataclass
class _Message:
    """What the writer knows of one that may still be edited, answered and so on."""

    say: Say
    witnesses: frozenset[str]
    versions: int = 1
    retracted: bool = False


class _Writer:
    """People keep to what one can do: only who is there acts, and only on what they saw."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._present: dict[str, list[str]] = {PAIR: list(TALKS[PAIR]), ROOM: list(PEOPLE[:8])}
        self._said: dict[str, list[_Message]] = {PAIR: [], ROOM: []}
        self._reacted: dict[tuple[str, int], React] = {}
        self._renamed = 0
        self._steps: list[Step] = []

    def write(self, messages: int) -> list[Step]:
        self._steps = [Join(ROOM, who) for who in self._present[ROOM]]
        for number in range(messages):
            talk = PAIR if self._chance.random() < 0.3 else ROOM
            self._say(talk, number)
            for often, act in _ACTS:
                if self._chance.random() < often:
                    act(self, talk)
        return self._steps

    def _say(self, talk: str, number: int) -> None:
        who = self._one(self._present[talk])
        answered = self._recent(talk) if self._chance.random() < 0.12 else None
        say = Say(talk, who, number, self._text(number, 0), answered.say.number if answered else None)
        witnesses = frozenset(self._present[talk])
        match self._chance.randrange(25):
            case 0:
                words = f"{token(number)} in a file\n".encode() * self._chance.randrange(1, 40)
                say = replace(say, file=File(f"file{number}.txt", words))
            case 1 if talk == ROOM:
                say = replace(say, reply_to=None, to=self._one([each for each in self._present[ROOM] if each != who]))
        self._steps.append(say)
        if say.to is None:
            self._said[talk].append(_Message(say, witnesses))

    def _edit(self, talk: str) -> None:
        message = self._recent(talk)
        if message and message.say.who in self._present[talk] and not message.say.file and message.versions < 4:
            number = message.say.number
            self._steps.append(Edit(talk, message.say.who, number, self._text(number, message.versions)))
            message.versions += 1

    def _retract(self, talk: str) -> None:
        message = self._recent(talk)
        if message and message.say.who in self._present[talk]:
            self._steps.append(Retract(talk, message.say.who, message.say.number))
            message.retracted = True

    def _react(self, talk: str) -> None:
        message = self._recent(talk)
        if message is None:
            return
        number = message.say.number
        here = [who for who in self._present[talk] if who in message.witnesses and who != message.say.who]
        if here and (who := self._one(here), number) not in self._reacted:
            step = self._reacted[who, number] = React(talk, who, number, self._one(REACTIONS))
            self._steps.append(step)

    def _take_back(self, talk: str) -> None:
        standing = [each for each in self._reacted.values() if each.talk == talk and not each.removed][-_RECENT:]
        gone = {each.say.number for each in self._said[talk] if each.retracted}
        standing = [each for each in standing if each.who in self._present[talk] and each.number not in gone]
        if standing:
            step = replace(self._one(standing), removed=True)
            self._reacted[step.who, step.number] = step
            self._steps.append(step)

    def _come_or_go(self, talk: str) -> None:
        here = self._present[ROOM]
        away = [who for who in PEOPLE if who not in here]
        if away and (len(here) <= _FEWEST or self._chance.random() < 0.6):
            who = self._one(away)
            here.append(who)
            self._steps.append(Join(ROOM, who))
        else:
            who = self._one(here)
            here.remove(who)
            self._steps.append(Leave(ROOM, who))

    def _rename(self, talk: str) -> None:
        self._renamed += 1
        who = self._one(self._present[ROOM])
        self._steps.append(Rename(ROOM, who, f"{who}-{self._renamed}"))

    def _recent(self, talk: str) -> _Message | None:
        """One of the last few that still stand."""
        standing = [each for each in self._said[talk][-_RECENT:] if not each.retracted]
        return self._chance.choice(standing) if standing else None

    def _text(self, number: int, version: int) -> str:
        words = " ".join(self._chance.choices(_WORDS, k=self._chance.randrange(5, 12)))
        more = "\nand a second line" if self._chance.random() < 0.05 else ""
        return f"{token(number, version)} {words}{more}"

    def _one(self, of: list | tuple):  # type: ignore[no-untyped-def, type-arg]
        return self._chance.choice(of)


_ACTS = (
    (0.07, _Writer._edit),
    (0.04, _Writer._retract),
    (0.12, _Writer._react),
    (0.03, _Writer._take_back),
    (0.06, _Writer._come_or_go),
    (0.015, _Writer._rename),
)
"""How often each follows a message."""
