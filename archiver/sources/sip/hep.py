"""HEPv3: what a capture agent wraps each message in that it saw. Chunks of 6 bytes and content, network byte order.

Every length is checked against what is there; nothing is unpacked. Source: the HEPv3 network protocol, sipcapture.org.
"""

from __future__ import annotations

from msgspec import Struct

from archiver.exceptions import EventError

MAGIC = b"HEP3"
HEAD = 6
"""Bytes before the first chunk, and before each chunk's content."""

CORRELATION = 512
"""Bytes of it that are kept."""

_SECONDS, _MICROSECONDS, _KIND, _AGENT, _KEY, _PAYLOAD, _CORRELATION = 9, 10, 11, 12, 14, 15, 17
_SIP = 1


class Packet(Struct, frozen=True):
    """`time` is the agent's, in microseconds since 1970, 0 for none; `sip` says whether the payload is SIP.

    `correlation` is what the agent says it belongs to, such as both calls that an agent between them made of one.
    """

    payload: bytes
    sip: bool = True
    time: int = 0
    agent: int = 0
    key: bytes = b""
    correlation: str = ""


def length_of(head: bytes) -> int:
    """How long the packet that begins with these `HEAD` bytes says to be. Raises `EventError` for what is none."""
    if len(head) < HEAD or not head.startswith(MAGIC):
        raise EventError("not HEPv3")
    length = int.from_bytes(head[4:6])
    if length < HEAD:
        raise EventError("lying length")
    return length


def read_packet(content: bytes) -> Packet:
    """Raises `EventError` for whatever isn't exactly one packet."""
    if length_of(content[:HEAD]) != len(content):
        raise EventError("lying length")
    chunks = _chunks(content)
    if _PAYLOAD not in chunks:
        raise EventError("no payload")
    return Packet(
        payload=chunks[_PAYLOAD],
        sip=_number(chunks, _KIND, 1) == _SIP,
        time=_number(chunks, _SECONDS, 4) * 1_000_000 + _number(chunks, _MICROSECONDS, 4) % 1_000_000,
        agent=_number(chunks, _AGENT, 4),
        key=chunks.get(_KEY, b""),
        correlation=chunks.get(_CORRELATION, b"")[:CORRELATION].strip(b"\0 ").decode("utf-8", "replace"),
    )


def _chunks(content: bytes) -> dict[int, bytes]:
    """The generic ones (vendor 0) by type; of several of a type the first."""
    found: dict[int, bytes] = {}
    at = HEAD
    while at < len(content):
        vendor, kind, length = (int.from_bytes(content[at + n : at + n + 2]) for n in (0, 2, 4))
        if length < HEAD or at + length > len(content):
            raise EventError("lying length")
        if vendor == 0:
            found.setdefault(kind, content[at + HEAD : at + length])
        at += length
    return found


def _number(chunks: dict[int, bytes], kind: int, width: int) -> int:
    content = chunks.get(kind)
    if content is None:
        return 0
    if len(content) != width:
        raise EventError("lying length")
    return int.from_bytes(content)
