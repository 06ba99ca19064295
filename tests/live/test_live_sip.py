"""What two people say by SIP, through a real Kamailio. UDP tells nothing twice: what is lost is lost, and no more."""

from __future__ import annotations

import pytest

from live.playing import MISHAPS, hold
from live.sip import SipPerformer

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_while_the_network_holds_nothing_is_lost() -> None:
    hold(SipPerformer(), messages=1_700, mishaps=((0.3, "rest"), (0.5, "restart"), (0.8, "rest")))


def test_what_is_told_while_nobody_hears_is_lost_and_nothing_else() -> None:
    performer = SipPerformer()
    hold(performer, messages=1_700, mishaps=MISHAPS, exact=False)
    assert performer.network.lost > 0
