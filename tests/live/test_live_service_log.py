"""A talk that ejabberd's own mod_service_log tells of, into real mailboxes. It tells nothing twice, and keeps nothing:
what is said while the component is away is lost, told of, and no more."""

from __future__ import annotations

import pytest

from live.playing import MISHAPS, hold
from live.script import Ability
from live.service_log import ServiceLogPerformer

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_while_the_component_is_connected_nothing_is_lost() -> None:
    performer = ServiceLogPerformer()
    print(hold(performer, mishaps=((0.3, "rest"), (0.5, "restart"), (0.8, "rest"))))
    assert performer.gaps == 1, "while the server was restarted nobody listened"


def test_what_is_said_while_it_is_away_is_lost_told_of_and_nothing_else() -> None:
    """Without what refers to others' messages: where that is lost, the message is seen as it was before."""
    performer = ServiceLogPerformer()
    performer.abilities = {Ability.MEMBERSHIP, Ability.RENAME, Ability.PRIVATE, Ability.REPLY}
    hold(performer, mishaps=MISHAPS, exact=False)
    assert performer.gaps >= 4
