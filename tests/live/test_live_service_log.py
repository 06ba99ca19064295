"""A talk that ejabberd's own mod_service_log tells of, into real mailboxes. It tells nothing twice, keeps nothing."""

from __future__ import annotations

import pytest

from live.playing import hold
from live.service_log import ServiceLogPerformer

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_while_the_component_is_connected_nothing_is_lost() -> None:
    performer = ServiceLogPerformer()
    print(hold(performer, mishaps=((0.3, "rest"), (0.5, "restart"), (0.8, "rest"))))
    assert performer.gaps == 1, "while the server was restarted nobody listened"
