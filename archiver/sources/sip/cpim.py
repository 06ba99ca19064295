"""Message/CPIM (RFC 3862): who says it to whom, around a MIME entity. Knows nothing of events."""

from __future__ import annotations

import re

from msgspec import Struct

from archiver.exceptions import EventError

HEADERS = 500

_FORMAL = re.compile(r"(.*?)[ \t]{0,9}<([^<>]{1,1024})>")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b"}


class Named(Struct, frozen=True):
    """`uri` as it stands there, `name` the formal name before it."""

    uri: str
    name: str | None = None


class Wrapped(Struct, frozen=True):
    """`content` is a MIME entity, its headers first."""

    author: Named | None
    recipients: tuple[Named, ...]
    subject: str
    content: bytes


def read_cpim(content: bytes) -> Wrapped:
    """`content` begins with the message headers (RFC 3862, 2.2). Raises `EventError` where nothing follows them."""
    head, found, rest = content.replace(b"\r\n", b"\n").lstrip(b"\n").partition(b"\n\n")
    lines = head.split(b"\n")
    if not found or len(lines) > HEADERS:
        raise EventError("a Message/CPIM without its content")
    headers = [_header(line) for line in lines if b":" in line]
    authors = [_named(value) for name, value in headers if name == "from"]
    return Wrapped(
        author=authors[0] if authors else None,
        recipients=tuple(_named(value) for name, value in headers if name in ("to", "cc")),
        subject=next((unescaped(value) for name, value in headers if name == "subject"), ""),
        content=rest,
    )


def unescaped(text: str) -> str:
    r"""RFC 3862, 2.3.1: \\uXXXX and backslashed characters; half of a surrogate pair is no character."""
    return _ESCAPE.sub(lambda match: _character(match[1]) if match[1] else _ESCAPED.get(match[2], match[2]), text)


def _character(digits: str) -> str:
    code = int(digits, 16)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("utf-8", "replace").partition(":")
    return name.strip().lower(), _without_parameters(value.strip())


def _without_parameters(value: str) -> str:
    """RFC 3862, 3.3: a header's parameters stand before its value, as in `Subject:;lang=fr texte`."""
    return value.partition(" ")[2].strip() if value.startswith(";") else value


def _named(value: str) -> Named:
    match = _FORMAL.fullmatch(value)
    if match is None:
        return Named(value[:1024])
    return Named(match[2], unescaped(match[1].strip().strip('"'))[:200] or None)
