"""A talk by mail and by events over HTTP, through a daemon that dies, a network that breaks, into real mailboxes."""

from __future__ import annotations

import pytest

from live.gateway import GatewayPerformer
from live.mail import MailPerformer
from live.playing import hold

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_a_talk_by_mail_and_journal_reports_is_in_every_mailbox_once() -> None:
    hold(MailPerformer())


def test_a_talk_of_a_gateway_is_in_every_mailbox_once() -> None:
    hold(GatewayPerformer())
