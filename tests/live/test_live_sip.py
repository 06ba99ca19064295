"""What a pair and a conference of ten say by SIP, through a real Kamailio. UDP tells nothing twice: what is lost is
lost, counted, and no more."""

from __future__ import annotations

import pytest

from live.playing import MISHAPS, hold
from live.sip import SipPerformer

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_while_the_network_holds_nothing_is_lost() -> None:
    performer = SipPerformer()
    hold(performer, mishaps=((0.3, "rest"), (0.5, "restart"), (0.8, "rest")))
    assert (performer.network.lost, performer.told) == (0, 0)


def test_what_is_told_while_nobody_hears_is_lost_and_nothing_else() -> None:
    performer = SipPerformer()
    hold(performer, mishaps=MISHAPS, exact=False)
    assert performer.network.lost > 0
    assert performer.told > 0
