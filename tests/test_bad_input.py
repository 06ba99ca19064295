"""Bad input, item by item: refused in its protocol's own words, told in the log, counted; and a neighbour goes on.

All real sources of one daemon stand beside each other here; what each makes of what is stranger is its own tests'.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from every_source import MATRIX, OTHER, SECRET, Everything, event
from janus_builder import log_in
from sip_builder import ANN, FOCUS, answer, hep, report, request
from structlog.testing import capture_logs
from test_sources_webhooks import signed
from tls_strangers import ALWAYS, ASKED, Stranger
from xmpp_builder import body, message, ndjson

from archiver.sources import connection, serving
from archiver.sources.http import receiving
from archiver.sources.sip import source as sip
from archiver.sources.sip.receiving import Limits
from archiver.sources.sip.roster import MEDIA_TYPE

pytestmark = pytest.mark.slow

SLOW = 1.0
"""Seconds after which who is slow is given up here; half a minute to minutes outside."""
FLUENT = 2.0
"""Seconds that nothing of the neighbour's may take: it takes milliseconds, but for whoever else uses this machine."""
KEY = SECRET.encode()
DEEP = b'{"a":' * 8_000 + b"1" + b"}" * 8_000
LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiving, "FIRST_SECONDS", SLOW)
        patch.setattr(serving, "HEAD_SECONDS", SLOW)
        patch.setattr(serving, "IDLE_SECONDS", 0)
        patch.setattr(connection, "TIMEOUT", SLOW)
        patch.setattr(sip, "Limits", lambda: Limits(slow=SLOW))
        made = Everything(tmp_path_factory.mktemp("every"))
        yield made
        made.close()


# --- How each is sent

Attack = Callable[[Everything], str]
"""Sends it, and gives what was answered."""


def posted(
    at: Everything, name: str, path: str, content: bytes, method: str = "POST", token: str = "", **headers: str
) -> str:
    """The status and the media type of the reply, and what it says."""
    client = http.client.HTTPConnection("127.0.0.1", at.port(name), timeout=30)
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    try:
        with suppress(BrokenPipeError):  # refused before all of it was sent
            client.request(method, path, content, given | ({"Authorization": f"Bearer {token}"} if token else {}))
        reply = client.getresponse()
        return f"{reply.status} {reply.headers['Content-Type']} {reply.read().decode()}"
    finally:
        client.close()


def to_gateway(content: bytes, token: str = SECRET, media_type: str = "application/cloudevents+json") -> Attack:
    return lambda at: posted(at, "http:gateway", "/events", content, token=token, Content_Type=media_type)


def to_slack(content: bytes, ago: float = 0, secret: str = SECRET) -> Attack:
    def attack(at: Everything) -> str:
        headers = {name.replace("-", "_"): value for name, value in signed(content, time.time() - ago, secret).items()}
        return posted(at, "webhook:slack", "/webhook", content, **headers)

    return attack


def to_xmpp(*records: dict[str, Any], token: str = SECRET, content: bytes = b"") -> Attack:
    said = content or ndjson(*records)
    return lambda at: posted(at, "xmpp:server", "/records", said, token=token, Content_Type="application/x-ndjson")


def to_matrix(content: bytes, token: str = MATRIX.hs_token) -> Attack:
    return lambda at: posted(at, "matrix:office", "/_matrix/app/v1/transactions/1", content, "PUT", token)


def to_janus(path: str, content: bytes, secret: str = SECRET) -> Attack:
    """Its senders take any answer for an acknowledgement: who isn't acknowledged gets none."""

    def attack(at: Everything) -> str:
        try:
            return posted(at, "janus:meeting", path, content, **log_in(secret, "sender"))
        except (OSError, http.client.HTTPException):
            return "closed"

    return attack


def by_stream(name: str, said: bytes) -> Attack:
    """All that is answered until the other side closes, and then "closed"."""

    def attack(at: Everything) -> str:
        with socket.create_connection(("127.0.0.1", at.port(name)), timeout=30) as client:
            client.sendall(said)
            told = b""
            with suppress(ConnectionResetError):
                while more := client.recv(65_536):
                    told += more
            return f"{told.decode()} closed"

    return attack


def by_mail(name: str, *said: str) -> Attack:
    """The last reply."""

    def attack(at: Everything) -> str:
        with socket.create_connection(("127.0.0.1", at.port(name)), timeout=30) as client:
            replies = client.makefile("rb")
            line = replies.readline()
            for each in ("EHLO me", *said):
                client.sendall(each.encode() + b"\r\n")
                line = replies.readline()
                while line[3:4] == b"-":
                    line = replies.readline()
            return line.decode()

    return attack


def by_handshake(stranger: Stranger) -> Attack:
    """The alert."""

    def attack(at: Everything) -> str:
        return stranger.meet(socket.create_connection(("127.0.0.1", at.port("http:secure")), timeout=30))

    return attack


def by_starttls(stranger: Stranger) -> Attack:
    """The alert."""

    def attack(at: Everything) -> str:
        client = socket.create_connection(("127.0.0.1", at.port("smtp:secure")), timeout=30)
        with client.makefile("rb", buffering=0) as replies:
            replies.readline()
            client.sendall(b"HELO me\r\nSTARTTLS\r\n")
            assert replies.readline().startswith(b"250") and replies.readline().startswith(b"220")
        return stranger.meet(client)

    return attack


def by_datagram(*packets: bytes) -> Attack:
    """Nobody answers a datagram."""

    def attack(at: Everything) -> str:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            for each in packets:
                client.sendto(each, ("127.0.0.1", at.port("sip:proxy")))
        return ""

    return attack


class Bad(NamedTuple):
    what: str
    source: str
    attack: Attack
    answer: str
    """What the answer has in it."""
    counted: str
    """The reason it is counted under; "quarantined" for what is kept whole, for a person, instead of being refused."""


MAIL = ("MAIL FROM:<ann@a.example>", "RCPT TO:<journal@x.example>", "DATA")
LARGE = b"x" * 70_000
LINES = "application/x-ndjson"
EMPTY = b"\n" * 30_000
QUARANTINED = '"quarantined":1'
HEAD = f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Type: {LINES}\r\n".encode()
SHORT = b"Content-Length: 50\r\n\r\n{"
FORGED = message(body("x"), sender="ann@elsewhere.example/x", host="elsewhere.example")
LAUGHING = message(body("x")) | {"stanza": LAUGHS + "<message><body>&b;</body></message>"}
ROSTER: dict[str, Any] = {"author": FOCUS, "to": ANN}
LAUGHING_ROSTER = (
    hep(request("NOTIFY", LAUGHS + report(1, ANN).partition("\n")[2], kind=MEDIA_TYPE, **ROSTER), key=KEY),
    hep(answer(200, "NOTIFY", **ROSTER), key=KEY),
)

NO_TOKEN = "401 application/problem+json"
NOT_THEIRS = "403 application/problem+json"
TOO_LARGE = "413 application/problem+json"
SMUGGLED = by_mail("smtp:mail", *MAIL, "one\n.\nMAIL FROM:<eve@a.example>\r\n.")
DRIBBLED = b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<j@x.example>\r\nDATA\r\nSubject: x"
UNCLEAR = HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
FOR_GATEWAY, FOR_NEIGHBOUR = event("test:gateway", "1"), event("test:neighbour", "n1", "forged")
NO_EVENTS = b'{"events":[]}'

ITEMS = [
    Bad("unauthenticated", "http:gateway", to_gateway(FOR_GATEWAY, ""), NO_TOKEN, "not authorized"),
    Bad("unauthenticated", "smtp:guarded", by_mail("smtp:guarded", MAIL[0]), "530 5.7.0", "not logged in"),
    Bad("wrong password", "smtp:guarded", by_mail("smtp:guarded", "AUTH PLAIN AHgAeA=="), "535 5.7.8", "log-in"),
    Bad("unauthenticated", "xmpp:server", to_xmpp(message(body("x")), token=""), NO_TOKEN, "not authorized"),
    Bad("unauthenticated", "matrix:office", to_matrix(NO_EVENTS, ""), "401 application/json", "no token"),
    Bad("unauthenticated", "webhook:slack", to_slack(b"{}", secret=OTHER), "403", "forged"),
    Bad("unauthenticated", "sip:proxy", by_datagram(hep(request())), "", "wrong key"),
    Bad("unauthenticated", "janus:meeting", to_janus("/events", b"[]", OTHER), "closed", "not authorized"),
    Bad("wrong audience", "http:gateway", to_gateway(FOR_GATEWAY, OTHER), NO_TOKEN, "not authorized"),
    Bad("wrong audience", "matrix:office", to_matrix(NO_EVENTS, MATRIX.as_token), "M_FORBIDDEN", "forged"),
    Bad("replayed signature", "webhook:slack", to_slack(b"{}", ago=600), "403", "replayed"),
    Bad("oversized", "http:gateway", to_gateway(LARGE), TOO_LARGE, "too large"),
    Bad("oversized", "xmpp:server", to_xmpp({"a": "x" * 70_000}), TOO_LARGE, "too large"),
    Bad("empty lines", "http:gateway", to_gateway(EMPTY, media_type=LINES), TOO_LARGE, "too large"),
    Bad("empty lines", "xmpp:server", to_xmpp(content=EMPTY), TOO_LARGE, "too large"),
    Bad("oversized", "webhook:slack", to_slack(LARGE), "413", "too large"),
    Bad("oversized", "janus:meeting", to_janus("/events", b"x" * (5 << 20)), "", "too large"),
    Bad("oversized", "matrix:office", to_matrix(b"x" * (9 << 20)), "M_TOO_LARGE", "too large"),
    Bad("oversized by its word", "smtp:mail", by_mail("smtp:mail", MAIL[0] + " SIZE=70000"), "552", "too big"),
    Bad("oversized", "smtp:mail", by_mail("smtp:mail", *MAIL, LARGE.decode() + "\r\n."), "552 5.3.4", "too big"),
    Bad("deep JSON", "http:gateway", to_gateway(DEEP), "400 application/problem+json", "not readable"),
    Bad("deep JSON in a line", "http:gateway", to_gateway(DEEP, media_type=LINES), QUARANTINED, "quarantined"),
    Bad("deep JSON", "webhook:slack", to_slack(DEEP), "200", "quarantined"),
    Bad("deep JSON", "matrix:office", to_matrix(b'{"events":[' + DEEP + b"]}"), "200", "quarantined"),
    Bad("deep JSON", "janus:meeting", to_janus("/events", DEEP), "200", "quarantined"),
    Bad("XML with entities", "xmpp:server", to_xmpp(LAUGHING), "200", "quarantined"),
    Bad("XML with entities", "sip:proxy", by_datagram(*LAUGHING_ROSTER), "", "quarantined"),
    Bad("HEP with lying lengths", "sip:proxy", by_datagram(b"HEP3\xff\xff" + b"x" * 50), "", "lying length"),
    Bad("HEP with lying lengths", "sip:proxy", by_stream("sip:proxy", b"HEP3\0\2xxxx"), "closed", "lying length"),
    Bad("SMTP smuggling", "smtp:mail", SMUGGLED, "550 5.5.2", "unclear end"),
    Bad("an unknown command", "smtp:mail", by_mail("smtp:mail", "BDAT 9 LAST"), "500", "malformed"),
    Bad("a command without end", "smtp:mail", by_mail("smtp:mail", "NOOP " + "x" * 9_000), "500", "malformed"),
    Bad("HTTP smuggling", "http:gateway", by_stream("http:gateway", UNCLEAR), "HTTP/1.1 400", "unclear length"),
    Bad("no HTTP at all", "http:gateway", by_stream("http:gateway", b"\x16\3\1\r\n\r\n"), "HTTP/1.1 400", "malformed"),
    Bad("a slow body", "http:gateway", by_stream("http:gateway", HEAD + SHORT), "HTTP/1.1 408", "too slow"),
    Bad("a slow head", "http:gateway", by_stream("http:gateway", HEAD), "HTTP/1.1 408", "too slow"),
    Bad("a slow mail", "smtp:mail", by_stream("smtp:mail", DRIBBLED), "421 4.4.2", "too slow"),
    Bad("a slow packet", "sip:proxy", by_stream("sip:proxy", hep(request(), key=KEY)[:-9]), "closed", "too slow"),
    Bad("another's source", "http:gateway", to_gateway(FOR_NEIGHBOUR), NOT_THEIRS, "another's source"),
    Bad("another's source", "xmpp:server", to_xmpp(FORGED), NOT_THEIRS, "another's source"),
]
ITEMS += [
    Bad(f"TLS, {what}", "http:secure", by_handshake(stranger), stranger.told, stranger.counted)
    for what, stranger in (ASKED | ALWAYS).items()
]
ITEMS += [
    Bad(f"STARTTLS, {what}", "smtp:secure", by_starttls(stranger), stranger.told, stranger.counted)
    for what, stranger in ALWAYS.items()
]


@pytest.mark.parametrize("bad", ITEMS, ids=lambda bad: f"{bad.what}, {bad.source}")
def test_it_is_refused_told_counted_and_the_neighbour_goes_on(everything: Everything, bad: Bad) -> None:
    before = counted(everything, bad)
    with capture_logs() as logs, everything.neighbour() as took:
        told = bad.attack(everything)
        assert bad.answer in told, told
        end = time.monotonic() + 10
        while counted(everything, bad) == before and time.monotonic() < end:
            time.sleep(0.02)
        while len(took) < 5:
            time.sleep(0.02)
    assert counted(everything, bad) == before + 1
    assert min(took) > 0 and max(took) < FLUENT, took
    lines = [each for each in logs if each.get("source") == bad.source and each["log_level"] == "warning"]
    assert SECRET not in json.dumps(lines, default=str)
    assert len(lines) == 1 or (not lines and before), "the first of its kind is told, others for a while are not"
    assert everything.capture.faults() == {}


def counted(at: Everything, bad: Bad) -> float:
    metric = "events" if bad.counted == "quarantined" else "refused"
    return at.figures().get((f"archiver_source_{metric}_total", bad.source, bad.counted), 0.0)


FLOOD = 3.0
"""Seconds of it."""
QUICK = [bad for bad in ITEMS if "slow" not in bad.what and bad.answer and bad.counted != "quarantined"]


def test_a_flood_of_it_is_counted_to_the_last_and_fills_no_log(everything: Everything) -> None:
    before = sum({(bad.source, bad.counted): counted(everything, bad) for bad in QUICK}.values())
    over = time.monotonic() + FLOOD

    def flood(lane: int) -> int:
        made = 0
        while time.monotonic() < over:
            bad = QUICK[(lane + made) % len(QUICK)]
            assert bad.answer in bad.attack(everything)
            made += 1
        return made

    with capture_logs() as logs, everything.neighbour() as took, ThreadPoolExecutor(4) as lanes:
        made = sum(lanes.map(flood, range(0, 20, 5)))
    after = sum({(bad.source, bad.counted): counted(everything, bad) for bad in QUICK}.values())
    assert after - before == made > len(QUICK)
    assert min(took) > 0 and max(took) < FLUENT, took
    assert len(logs) < 100 + made / 10


def test_what_is_forged_changes_nothing(everything: Everything) -> None:
    """Not even a conflict with what the other really said."""
    everything.tell()
    assert to_gateway(event("test:neighbour", "n0", "forged"))(everything).startswith("403")
    assert everything.figures()["archiver_conflicts",] == 0
