"""A talk on a real Synapse, through a daemon that dies, a homeserver that dies and a network that breaks."""

from __future__ import annotations

import pytest

from live.matrix import MatrixPerformer
from live.playing import hold

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_a_talk_on_synapse_is_in_every_mailbox_once() -> None:
    performer = MatrixPerformer()
    print(hold(performer))
    assert len(performer.performed) > 1_200, "little was left out"
