"""A talk on Prosody, which is killed, as the daemon is, and cut off from it, into real mailboxes."""

from __future__ import annotations

import pytest

from live.playing import hold
from live.prosody import ProsodyPerformer

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_a_talk_on_prosody_is_in_every_mailbox_once() -> None:
    print(hold(ProsodyPerformer()))
