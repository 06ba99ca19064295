"""One SIP message (RFC 3261, 7) -> its start line, headers and body. Knows nothing of events.

Messages are at most as long as a HEP packet, 64 KiB; every expression here takes time linear in its input.
"""

from __future__ import annotations

import re

from msgspec import Struct

from archiver.exceptions import EventError

HEADERS = 500
"""Header lines of one message that are looked at."""

# RFC 3261, 7.3.3 and 20.
_COMPACT = {
    b"c": "content-type",
    b"e": "content-encoding",
    b"f": "from",
    b"i": "call-id",
    b"l": "content-length",
    b"m": "contact",
    b"s": "subject",
    b"t": "to",
    b"v": "via",
}
_REQUEST = re.compile(rb"([A-Za-z0-9.!%*_+`'~-]{1,40}) ([^\s]{1,8192}) SIP/2\.0")
_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])(?: .*)?")
_HEADER = re.compile(rb"([A-Za-z0-9.!%*_+`'~-]{1,100})[ \t]{0,20}:")
_CSEQ = re.compile(r"([0-9]{1,10})\s{1,9}([A-Za-z0-9.!%*_+`'~-]{1,40})")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_TAG = re.compile(r";\s{0,9}tag\s{0,9}=\s{0,9}([^\s;,>]{1,256})", re.IGNORECASE)
_URI = re.compile(r"(?i)(sips?|im|pres|tel):([^\s<>\",]{1,1024})")
_FOCUS = re.compile(r"(?i);opaque=(app:conf:[a-z-]{1,40}:id:([^\s;?>]{1,200}))")
_CONTROLS = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029]+")


class Party(Struct, frozen=True):
    """Who a From, To or Contact header names: `address` without scheme, port and parameters, lower-cased.

    `conference` is the id of a Lync or Skype for Business conference that the address stands for, "" for none.
    """

    address: str
    name: str | None = None
    tag: str = ""
    conference: str = ""

    @property
    def place(self) -> str:
        """As a conference; of Lync's, the address alone is its organizer's."""
        return f"{self.address};{self.conference}" if self.conference else self.address


class Message(Struct, frozen=True):
    """A request (`method`, `target`, `status` 0) or a response, whose `method` is that of its CSeq.

    `correlation` is what its capture agent says it belongs to, "" for nothing.
    """

    method: str
    status: int
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    number: int
    size: int
    correlation: str = ""

    def first(self, name: str) -> str:
        return next((value for header, value in self.headers if header == name), "")

    @property
    def call(self) -> str:
        return self.first("call-id")

    @property
    def author(self) -> Party:
        return party(self.first("from"))

    @property
    def recipient(self) -> Party:
        return party(self.first("to"))

    @property
    def is_focus(self) -> bool:
        """Whether who sent this is a conference (RFC 4579, 5.1: the `isfocus` parameter of its Contact)."""
        parameters = self.first("contact").rpartition(">")[2].lower().replace(" ", "")
        return "isfocus" in parameters.split(";")


def read_message(content: bytes, correlation: str = "") -> Message:
    """Raises `EventError` with what is wrong."""
    content = content.lstrip(b"\r\n")
    head, body = _split(content)
    start, _, rest = head.partition(b"\n")
    headers = _headers(rest)
    request, status = _REQUEST.fullmatch(start.rstrip(b"\r")), _STATUS.fullmatch(start.rstrip(b"\r"))
    if request is None and status is None:
        raise EventError("neither a request nor a response of SIP")
    named = dict(reversed(headers))
    cseq = _CSEQ.fullmatch(named.get("cseq", ""))
    if cseq is None or any(not named.get(each) for each in ("call-id", "from", "to")):
        raise EventError("without Call-ID, CSeq, From or To")
    if len(named["call-id"]) > 512:
        raise EventError("a Call-ID of more than 512 characters")
    return Message(
        method=cseq[2].upper() if request is None else request[1].decode().upper(),
        status=int(status[1]) if status is not None else 0,
        target=_text(request[2]) if request is not None else "",
        headers=tuple(headers),
        body=_whole(body, named.get("content-length", "")),
        number=int(cseq[1]),
        size=len(content),
        correlation=correlation,
    )


def party(header: str) -> Party:
    """RFC 3261, 20.10: `"Name" <uri>;tag=x`, or `uri;tag=x` where parameters are the header's."""
    before, bracket, after = _outside_quotes(header)
    uri, _, parameters = after.partition(">") if bracket else header.partition(";")
    tag = _TAG.search(parameters if bracket else ";" + parameters)
    address, conference = address_of(uri)
    return Party(address, _name(before) if bracket else None, tag[1] if tag else "", conference)


def _split(content: bytes) -> tuple[bytes, bytes]:
    ends = [(at, len(end)) for end in (b"\r\n\r\n", b"\n\n") if (at := content.find(end)) >= 0]
    if not ends:
        return content, b""
    at, length = min(ends)
    return content[:at], content[at + length :]


def _headers(content: bytes) -> list[tuple[str, str]]:
    lines = _FOLD.sub(b" ", content).split(b"\n")
    if len(lines) > HEADERS:
        raise EventError(f"more than {HEADERS} headers")
    found = []
    for line in lines:
        match = _HEADER.match(line)
        if match is not None:
            name = match[1].lower()
            found.append((_COMPACT.get(name, name.decode()), _text(line[match.end() :].strip())))
    return found


def _whole(body: bytes, stated: str) -> bytes:
    """RFC 3261, 18.3: without a length all the rest; what is shorter than it says was cut on its way."""
    if not stated:
        return body
    if not re.fullmatch("[0-9]{1,9}", stated):
        raise EventError("a Content-Length that is no number")
    if int(stated) > len(body):
        raise EventError(f"cut short: {len(body):,} bytes of {int(stated):,}")
    return body[: int(stated)]


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _outside_quotes(header: str) -> tuple[str, str, str]:
    """The header before, at and after the `<` that isn't inside a quoted name."""
    if not header.startswith('"'):
        return header.partition("<")
    at = 1
    while at < len(header) and header[at] != '"':
        at += 2 if header[at] == "\\" else 1
    before, bracket, after = header[at + 1 :].partition("<")
    return header[: at + 1] + before, bracket, after


def _name(raw: str) -> str | None:
    text = raw.strip()
    if text.startswith('"'):
        text = re.sub(r"\\(.)", r"\1", text[1:].rstrip('"'))
    return name_of(text)


def name_of(text: str) -> str | None:
    """What somebody is shown by, on one line and not too long; None for nothing."""
    return _CONTROLS.sub(" ", text).strip()[:200] or None


def address_of(uri: str) -> tuple[str, str]:
    """(address, conference): user@host, or a bare host or number, lower-cased; ("", "") for what is no such URI."""
    match = _URI.match(uri.strip())
    if match is None:
        return "", ""
    conference = _FOCUS.search(match[2])
    bare = re.split("[;?]", match[2], maxsplit=1)[0].lower()
    user, at, host = bare.rpartition("@")
    host = host if host.endswith("]") or not at else re.sub(":[0-9]{1,5}$", "", host)
    return f"{user.partition(':')[0]}{at}{host}", conference[2] if conference else ""
