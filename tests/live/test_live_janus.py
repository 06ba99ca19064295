"""Talks in a real Janus, which is killed, as the daemon is, and cut off from it. It tells once what is said."""

from __future__ import annotations

import pytest

from live.janus import JanusPerformer
from live.playing import MISHAPS, hold

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
    assert performer.again > 0 and performer.stated <= len(performer.unheard)
