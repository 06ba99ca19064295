"""Talks in a real Janus, which is killed, as the daemon is, and cut off from it. It tells once what is said."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from janus_clients import Handle, Talker
from servers.dovecot import dovecot, mail_directory
from servers.janus import Janus

from live import reading
from live.janus import SECRET, JanusPerformer, table
from live.playing import MISHAPS, hold
from live.script import token
from live.stage import Stage

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_while_the_daemon_is_there_nothing_is_lost() -> None:
    performer = JanusPerformer()
    print(hold(performer, mishaps=((0.3, "rest"), (0.5, "restart"), (0.8, "rest"))))
    assert performer.unheard == [] and performer.stated == performer.again == 0


def test_what_is_said_while_nobody_hears_is_lost_and_nothing_else() -> None:
    """Nor who came and went meanwhile: what is said later is in the mailboxes of those who were there by then."""
    performer = JanusPerformer()
    print(hold(performer, mishaps=MISHAPS), len(performer.unheard), performer.stated)
    assert 0 < len(performer.unheard) < 200
    assert performer.again > 0 and 0 <= performer.stated <= len(performer.unheard)


def test_what_is_said_while_a_daemon_is_started_anew_waits_where_its_port_stays_open() -> None:
    """A room waits for its post: nothing is lost, if who starts the daemon holds its socket."""
    with ExitStack() as held:
        stage = Stage(held.enter_context(mail_directory()), held)
        port = stage.handed()
        stage.configure(table(stage, port))
        janus = Janus(stage.folder, port, SECRET)
        held.callback(janus.stop)
        asyncio.run(_talk(stage, janus))
        with dovecot(stage.data / "mail") as server:
            for who in ("ann", "bob"):
                found = reading.read(server, f"{who}@conference")
                texts = sorted(each.text for each in found.seen.elements())
                assert texts == [f"{token(number)} words" for number in range(3)], who


async def _talk(stage: Stage, janus: Janus) -> None:
    await stage.start()
    janus.start()
    Handle(janus, "textroom").ask("create", room=1, post=janus.post)
    ann, bob = [await Talker(janus, who).come() for who in ("ann", "bob")]
    try:
        for each in (ann, bob):
            await each.join(1, each.who)
        await ann.say(1, f"{token(0)} words")
        await stage.kill()
        waiting = asyncio.create_task(ann.say(1, f"{token(1)} words"))
        await asyncio.sleep(1)
        assert not waiting.done()
        await stage.start()
        await waiting
        await bob.say(1, f"{token(2)} words")
        for each in (ann, bob):
            await each.tell("leave", 1)
        await stage.quiet()
    finally:
        for each in (ann, bob):
            await each.go()
        await stage.kill()
