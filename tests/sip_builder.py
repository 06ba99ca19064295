"""SIP messages and HEPv3 packets for tests, as Kamailio's siptrace sends them."""

from __future__ import annotations

ANN, BOB, FOCUS = "sip:ann@a.example", "sip:bob@b.example", "sip:room@conf.example"
AT = 1_700_000_000_000_000


def chunk(kind: int, content: bytes, vendor: int = 0) -> bytes:
    return vendor.to_bytes(2) + kind.to_bytes(2) + (len(content) + 6).to_bytes(2) + content


def hep(
    payload: bytes, *, time: int = AT, agent: int = 42, key: bytes = b"", kind: int = 1, correlation: str = ""
) -> bytes:
    seconds, rest = divmod(time, 1_000_000)
    chunks = chunk(1, b"\2") + chunk(2, b"\x11") + chunk(3, b"\x7f\0\0\1") + chunk(7, b"\x13\xc4")
    chunks += chunk(9, seconds.to_bytes(4)) + chunk(10, rest.to_bytes(4)) + chunk(11, bytes([kind]))
    chunks += chunk(17, correlation.encode()) if correlation else b""
    chunks += chunk(12, agent.to_bytes(4)) + (chunk(14, key) if key else b"") + chunk(15, payload)
    return b"HEP3" + (len(chunks) + 6).to_bytes(2) + chunks


def request(
    method: str = "MESSAGE",
    body: str | bytes = "hello",
    *,
    call: str = "c1",
    number: int = 1,
    author: str = ANN,
    to: str = BOB,
    tag: str = "t1",
    to_tag: str = "",
    headers: str = "",
    kind: str = "text/plain",
) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    within = f";tag={to_tag}" if to_tag else ""
    return (
        f"{method} {to} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK-1\r\n"
        f'From: "Ann" <{author}>;tag={tag}\r\nTo: <{to}>{within}\r\nCall-ID: {call}\r\nCSeq: {number} {method}\r\n'
        f"{headers}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def answer(
    status: int = 200,
    method: str = "MESSAGE",
    *,
    call: str = "c1",
    number: int = 1,
    author: str = ANN,
    to: str = BOB,
    tag: str = "t1",
    headers: str = "",
) -> bytes:
    return (
        f"SIP/2.0 {status} Said\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK-1\r\n"
        f'From: "Ann" <{author}>;tag={tag}\r\nTo: <{to}>;tag=t2\r\nCall-ID: {call}\r\nCSeq: {number} {method}\r\n'
        f"{headers}Content-Length: 0\r\n\r\n"
    ).encode()


def report(
    version: int, *people: str, entity: str = FOCUS, state: str = "full", users: str = "", topic: str = ""
) -> str:
    """A roster as RFC 4575 has it: `people` are in, or `users` says of each what there is to say."""
    users = users or "".join(
        f'<user entity="{each}"><endpoint entity="{each};dev"><status>connected</status></endpoint></user>'
        for each in people
    )
    described = f"<conference-description><subject>{topic}</subject></conference-description>" if topic else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="{entity}" state="{state}" '
        f'version="{version}">{described}<users state="{state}">{users}</users></conference-info>'
    )


def roster(
    version: int, *people: str, to: str = ANN, call: str = "s1", author: str = FOCUS, status: int = 200, **more: str
) -> tuple[bytes, bytes]:
    """A NOTIFY of a subscription, and its answer."""
    within = {"call": call, "author": author, "to": to, "tag": "f1", "number": version + 1}
    body = report(version, *people, **more)
    told = request("NOTIFY", body, kind="application/conference-info+xml", to_tag="t9", **within)
    return told, answer(status, "NOTIFY", **within)
