"""What everybody could see at the end, worked out from the steps alone. Knows nothing of the archiver's code.

The rules are the ones people know from the systems themselves: one sees what is done while one is there, a private
message is its parties', an edited message reads as edited last, a retracted one says nothing any more. Who had left
before an edit or a retraction doesn't learn of it; who comes between a message and its edit sees only the edit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from live.script import PEOPLE, TALKS, Edit, Join, Leave, React, Rename, Retract, Say, Step


@dataclass(frozen=True)
class Seen:
    """One message as it stands in the end for one person. Blanks of all kinds count as one blank."""

    kind: str
    """What the talk is: im, group or conference."""
    author: str
    """As they were called when they said it."""
    text: str
    """As it reads last; empty where it was retracted."""
    before: tuple[str, ...] = ()
    private: bool = False
    reply: bool = False
    reactions: tuple[tuple[str, int], ...] = ()
    """Each that stands, with how many people gave it, in the order of the reactions."""
    file: str = ""


@dataclass
class _Message:
    say: Say
    author: str
    witnesses: frozenset[str]
    edits: list[tuple[str, str, frozenset[str]]] = field(default_factory=list)
    """Text, the author's name then, and who was there."""
    reactions: list[tuple[React, frozenset[str]]] = field(default_factory=list)
    retracted: frozenset[str] = frozenset()


def seen(steps: Iterable[Step], kinds: Mapping[str, str]) -> dict[str, Counter[Seen]]:
    """By person, how often each thing is to be found. `kinds` are those of the talks that the system holds."""
    made = {who: Counter[Seen]() for who in PEOPLE if any(who in TALKS[talk] for talk in kinds)}
    for message in _folded(tuple(steps)):
        for who, counted in made.items():
            counted.update(_as_seen(message, who, kinds[message.say.talk]))
    return made


def plain(text: str) -> str:
    return " ".join(text.split())


def _folded(steps: tuple[Step, ...]) -> Iterable[_Message]:
    come_and_go = {step.talk for step in steps if isinstance(step, Join)}
    present = {talk: set() if talk in come_and_go else set(people) for talk, people in TALKS.items()}
    names: dict[tuple[str, str], str] = {}
    messages: dict[int, _Message] = {}
    for step in steps:
        here = frozenset(present[step.talk])
        name = names.get((step.talk, step.who), step.who)
        match step:
            case Join():
                present[step.talk].add(step.who)
            case Leave():
                present[step.talk].discard(step.who)
            case Rename():
                names[step.talk, step.who] = step.name
            case Say():
                witnesses = here if step.to is None else frozenset((step.who, step.to))
                messages[step.number] = _Message(step, name, witnesses)
            case Edit():
                messages[step.number].edits.append((step.text, name, here))
            case Retract():
                messages[step.number].retracted = here
            case React():
                messages[step.number].reactions.append((step, here))
    return messages.values()


def _as_seen(message: _Message, who: str, kind: str) -> Iterable[Seen]:
    edits = [(text, name) for text, name, there in message.edits if who in there]
    gone = who in message.retracted
    if who not in message.witnesses:
        for text, name in edits:
            yield Seen(kind, name, "" if gone else plain(text))
        return
    say = message.say
    texts = [plain(text) for text in (say.text, *(text for text, _ in edits))]
    yield Seen(
        kind,
        message.author,
        "" if gone else texts[-1],
        () if gone else tuple(texts[:-1]),
        say.to is not None,
        say.reply_to is not None,
        _standing(message, who),
        say.file.name if say.file and not gone else "",
    )


def _standing(message: _Message, who: str) -> tuple[tuple[str, int], ...]:
    given: dict[str, str] = {}
    for react, there in message.reactions:
        if who not in there:
            continue
        if react.removed:
            given.pop(react.who, None)
        else:
            given[react.who] = react.reaction
    return tuple(sorted(Counter(given.values()).items()))


def gone(steps: Iterable[Step], who: str, kinds: Mapping[str, str]) -> set[str]:
    """The tokens that may stand nowhere in somebody's mailbox: of what they never saw, and of what was retracted."""
    held: set[str] = set()
    every: set[str] = set()
    for message in _folded(tuple(steps)):
        texts = [message.say.text, *(text for text, _, _ in message.edits)]
        every.update(text.split()[0] for text in texts)
        for one in _as_seen(message, who, kinds[message.say.talk]):
            held.update(text.split()[0] for text in (one.text, *one.before) if text)
    return every - held


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
