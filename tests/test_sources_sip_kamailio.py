"""SIP as real programs speak it: sipp's clients talk through Kamailio, which tells of it by HEPv3."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from contracts.source import Spooled
from servers.kamailio import free_udp_port, kamailio, sipp
from test_sources_sip import until

from archiver.events import Captured
from archiver.sources.listening import Address
from archiver.sources.sip.source import SipSource

HEADERS = """
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: "Ann" <sip:ann@a.example>;tag=[pid]t[call_number]
To: <sip:bob@b.example>{tag}
Call-ID: [call_id]
CSeq: {number} {method}
Contact: <sip:ann@[local_ip]:[local_port]>
Max-Forwards: 70
"""

ECHO = """[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:bob@[local_ip]:[local_port]>
Content-Length: 0
"""


def send(method: str, number: int, body: str = "", *, within: bool = False) -> str:
    """A request; `within` a call it goes where the answer said, by the way it came."""
    head = f"{method} {'[next_url]' if within else 'sip:bob@b.example'} SIP/2.0"
    head += HEADERS.format(method=method, number=number, tag="[peer_tag_param]" if within else "")
    head += "[routes]\n" if within else ""
    kind = "Content-Type: text/plain\n" if body else ""
    retrans = ' retrans="200"' if method != "ACK" else ""
    return f"<send{retrans}><![CDATA[\n{head}{kind}Content-Length: [len]\n\n{body}\n]]></send>"


def reply(tag: str = "") -> str:
    return f"<send><![CDATA[\nSIP/2.0 200 OK\n{ECHO.format(tag=tag)}\n]]></send>"


TAKEN = '<recv response="100" optional="true"/><recv response="200" rrs="true"/>'
TELL = send("MESSAGE", 1, "number [call_number]") + TAKEN
HEAR = '<recv request="MESSAGE"/>' + reply(";tag=b[call_number]")
CALL = send("INVITE", 1) + TAKEN + send("ACK", 1, within=True)
CALL += '<pause milliseconds="200"/>' + send("BYE", 2, within=True) + TAKEN  # one worker must not overtake the other
TAKE = '<recv request="INVITE"/>' + reply(";tag=b[call_number]")
TAKE += '<recv request="ACK"/><recv request="BYE"/>' + reply()


def talk(tmp_path: Path, source: SipSource, saying: str, hearing: str, count: int) -> None:
    taker = free_udp_port()
    with kamailio(tmp_path, hep=source.address.port, taker=taker) as port:
        hears = sipp(tmp_path, hearing, "-p", str(taker), "-m", str(count))
        says = sipp(tmp_path, saying, f"127.0.0.1:{port}", "-p", str(free_udp_port()), "-m", str(count), "-r", "100")
        try:
            assert says.wait(60) == 0
        finally:
            for each in (says, hears):
                each.kill()
                each.wait(10)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    ("saying", "hearing", "types"),
    [(TELL, HEAR, {"message.sent": 200}), (CALL, TAKE, {"call.started": 200, "call.ended": 200})],
)
def test_what_is_said_through_a_proxy_comes_once(tmp_path, saying, hearing, types):
    spooled = Spooled()
    source = SipSource("test", Address())
    source.start(spooled)
    try:
        talk(tmp_path, source, saying, hearing, 200)
        until(lambda: len(spooled.records) >= sum(types.values()))
    finally:
        source.stop()
    events = [each.event for each in spooled.records if isinstance(each, Captured)]
    assert len(events) == len(spooled.records)
    assert Counter(each.type for each in events) == types
    assert {each.data.conversation.id for each in events} == {"ann@a.example bob@b.example"}
    texts = sorted(spooled.texts)
    assert texts == (sorted(f"number {each}" for each in range(1, 201)) if "message.sent" in types else [])
    assert source.signs().gaps == 0 and source.signs().refused == {}
