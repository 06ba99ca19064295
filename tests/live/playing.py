"""Holds a talk in a real system while things break, and looks what came of it in everybody's mailbox."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Protocol

from servers.dovecot import Dovecot, dovecot, mail_directory
from system.archives import archiver

from live import model, reading
from live.script import Ability, Say, Step, within, write
from live.stage import IDLE, Stage


class Performer(Protocol):
    """One system: its server, its clients, and the daemon's side of it. Made for one talk."""

    abilities: Collection[Ability]
    """What the system can; steps that need another are left out of its talk."""
    kinds: Mapping[str, str]
    """The talks it holds, and what each is to the archiver: `{PAIR: "im", ROOM: "group"}`, or a conference."""

    async def prepare(self, stage: Stage) -> str:
        """First of all: take ports and relays from the stage; what the configuration needs, as `[[source]]` tables.

        What connects the server with the daemon, in either direction, goes through `stage.relay(port)`.
        """
        ...

    async def start(self) -> None:
        """Server and clients, once the daemon runs (its configuration is `stage.config`); nobody is in the room yet."""
        ...

    async def perform(self, step: Step) -> None:
        """Returns once the server has it, and everybody there: what comes next may come from somebody else.

        The daemon may be dead or out of reach at that moment. People are shown by the name `step.who`, and in the
        room after a `Rename` by its `name`.
        """
        ...

    async def restart(self) -> None:
        """Stops the server and starts it again; all who were in the room are in it again, by their last names.

        Where that makes joins and leaves, nothing is said meanwhile, so that nobody misses anything. A system
        without a server does nothing.
        """
        ...

    async def settle(self) -> None:
        """Ends whatever keeps a conversation open (a meeting), and waits until the server has told the daemon all."""
        ...

    async def stop(self) -> None:
        """Clients and server, also after `start` failed half-way."""
        ...

    def mailbox(self, person: str) -> str:
        """Where the archiver files what `person` saw."""
        ...


REST = IDLE + 1.5
"""Seconds after which a conversation has ended, and is filed."""

MISHAPS = (
    (0.15, "rest"),
    (0.20, "kill"),
    (0.27, "revive"),
    (0.40, "cut"),
    (0.47, "mend"),
    (0.60, "restart"),
    (0.75, "kill"),
    (0.75, "revive"),
    (0.85, "rest"),
)
"""After which share of the steps what happens. The daemon is dead, and the network cut, for seven of a hundred."""


class _Run:
    def __init__(self, performer: Performer, stage: Stage, steps: Sequence[Step]) -> None:
        self._performer = performer
        self._stage = stage
        self._steps = steps
        self._happen: dict[str, Callable[[], Awaitable[None]]] = {
            "rest": lambda: asyncio.sleep(REST),
            "kill": stage.kill,
            "revive": stage.start,
            "cut": stage.cut,
            "mend": stage.mend,
            "restart": performer.restart,
        }

    async def play(self, mishaps: Sequence[tuple[float, str]]) -> None:
        due = list(mishaps)
        for number, step in enumerate(self._steps):
            while due and number >= due[0][0] * len(self._steps):
                await self._happen[due.pop(0)[1]]()
            await self._performer.perform(step)
        assert not due


def hold(
    performer: Performer,
    *,
    seed: int = 1,
    messages: int = 1_000,
    mishaps: Sequence[tuple[float, str]] = MISHAPS,
    exact: bool = True,
) -> dict[str, float]:
    """Hold the talk and check all mailboxes. What each stretch of it took, in seconds, for whoever asks why.

    `exact` is for systems that can tell everything again; without it, what is found may be less, never more.
    """
    return asyncio.run(_hold(performer, seed, messages, mishaps, exact))


async def _hold(
    performer: Performer, seed: int, messages: int, mishaps: Sequence[tuple[float, str]], exact: bool
) -> dict[str, float]:
    steps = within(write(seed, messages), performer.abilities, performer.kinds)
    marks = [time.monotonic()]
    with ExitStack() as held:
        stage = Stage(held.enter_context(mail_directory()), held)
        stage.configure(await performer.prepare(stage))
        await stage.start()
        try:
            await performer.start()
            marks.append(time.monotonic())
            await _Run(performer, stage, steps).play(mishaps)
            marks.append(time.monotonic())
            await performer.settle()
            await stage.quiet()
            marks.append(time.monotonic())
            # Who leaves out what the system can't do just then keeps the steps that were made.
            made = getattr(performer, "performed", steps)
            await asyncio.to_thread(_check, performer, stage, made, exact)
        except BaseException:
            print(stage.log[-4000:])
            raise
        finally:
            await performer.stop()
            await stage.kill()
        marks.append(time.monotonic())
    names = ("start", "talk", "settle", "check")
    return {name: round(b - a, 1) for name, (a, b) in zip(names, pairwise(marks), strict=True)}


# --- what came of it


def _check(performer: Performer, stage: Stage, steps: Sequence[Step], exact: bool) -> None:
    expected = model.seen(steps, performer.kinds)
    assert sum(map(len, expected.values())) > 0
    assert _mailboxes(stage) == {performer.mailbox(who) for who in expected}
    with dovecot(stage.data / "mail") as server:
        for who, due in expected.items():
            found = _settled(server, performer.mailbox(who))
            assert_same(found, due, who, exact)
            assert_in_its_place(found, steps, who, performer)
    totals = stage.status()["totals"]
    assert isinstance(totals, dict)
    assert {totals[each] for each in ("quarantined", "conflicts", "parked", "waiting")} == {0}, totals
    archiver(stage.data, "inspect", "--verify", config=stage.config)


def _settled(server: Dovecot, mailbox: str) -> reading.Found:
    return reading.read(server, mailbox)


def assert_same(found: reading.Found, due: Counter[model.Seen], who: str, exact: bool) -> None:
    """Exactly what they could see, once; and of what they couldn't see, or was taken back, no trace."""
    missing, too_much = due - found.seen, found.seen - due
    told = f"{who}'s mailbox of {found.items} items\nmissing: {_some(missing)}\ntoo much: {_some(too_much)}"
    assert not too_much, told
    assert not exact or not missing, told


def _some(counted: Counter[model.Seen]) -> str:
    shown = sorted(counted.elements(), key=lambda one: one.text)[:8]
    return f"{counted.total()}" + "".join(f"\n    {one}" for one in shown)


def assert_in_its_place(found: reading.Found, steps: Sequence[Step], who: str, performer: Performer) -> None:
    traces = found.tokens & model.gone(steps, who, performer.kinds)
    assert not traces, f"{who} must not have {sorted(traces)[:8]}"
    says = {step.number: step for step in steps if isinstance(step, Say)}
    for token, quoted in found.quotes.items():
        assert says[int(token[1:5])].reply_to == int(quoted[1:5]), f"{token} is no answer to {quoted}"
    shown = Counter(one.file for one in found.seen.elements() if one.file)
    files = {step.file.name: model.digest(step.file.content) for step in says.values() if step.file}
    assert found.files == Counter({files[name]: count for name, count in shown.items()}), f"{who}'s files"
    for one in found.seen:
        if one.text:
            assert found.hypertext[one.text.split()[0]] >= 1, f"{who}: only the text part has {one.text!r}"


def _mailboxes(stage: Stage) -> set[str]:
    folders = (stage.data / "mail").glob("*/*/.Conversation History")
    return {f"{each.parent.name}@{each.parent.parent.name}" for each in folders}
