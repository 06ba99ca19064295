"""A talk on an XMPP server, which is killed, as the daemon is, and cut off from it, into real mailboxes."""

from __future__ import annotations

import pytest
from servers.ejabberd import Ejabberd
from servers.prosody import Prosody
from servers.xmpp import XmppServer

from live.module import ModulePerformer
from live.playing import hold

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.mark.parametrize("server_type", [Prosody, Ejabberd])
def test_a_talk_is_in_every_mailbox_once(server_type: type[XmppServer]) -> None:
    print(hold(ModulePerformer(server_type)))
