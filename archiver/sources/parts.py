"""The leaves of a MIME tree, sorted into what a mail says and what it carries. Knows nothing of events.

The tree is the standard library's, parsed with its oldest and most lenient policy; nothing here uses its header
objects, which raise on much that real mails hold.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.errors import HeaderParseError
from email.generator import BytesGenerator
from email.message import Message
from email.policy import Compat32, Policy
from itertools import islice

from msgspec import Struct

from archiver.events import guess_mark
from archiver.exceptions import EventError
from archiver.hypertext import text_of
from archiver.sources.decoding import HEADER_LIMIT, charset_guess, header_text, text_from

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")

PARTS = 2000
"""Parts of one mail that are looked at."""

EFFORT = 20_000_000
"""Lines looked at: the standard library's parser looks at each once more for each multipart that it may be nested in.

A mail of 64 MiB as people write them has a million lines.
"""

HEADERS = 10_000
"""Header fields of one part."""

TAGS = 1_000_000
"""Of one HTML body."""

_TREE = re.compile(rb"(?i)(?:multipart|message)/")

HTML_LIMIT = 256 * 1024
"""Characters of an HTML body that stand in the event; a longer one is kept as a file beside its text."""


class _Raw(Compat32):
    """Headers as they came: the default puts an object of its own, and U+FFFD, in place of 8-bit ones."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value


class _AsItCame(_Raw):
    """Headers are written as they were read."""

    def fold(self, name: str, value: str) -> str:
        return f"{name}: {value}{self.linesep}"

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("utf-8", "surrogateescape")


_RAW, _AS_IT_CAME = _Raw(), _AsItCame()
_STRUCTURED = ("content-type", "content-disposition")


class _Bounded(Message):
    """What a parser fills in; raises `EventError` for headers that nobody writes.

    Of those with parameters the standard library reads each as often as there are others.
    """

    def set_raw(self, name: str, value: str) -> None:
        if len(self._headers) >= HEADERS:  # type: ignore[attr-defined]
            raise EventError(f"more than {HEADERS:,} header fields")
        if len(value) > HEADER_LIMIT and name.lower() in _STRUCTURED:
            raise EventError(f"a {name.title()} header of {len(value):,} characters; {HEADER_LIMIT:,} are looked at")
        super().set_raw(name, value)


class Part(Struct, frozen=True):
    """One leaf: `content` with its transfer encoding undone, `name` without folders. `inline` is meant to be read."""

    media_type: str
    charset: str | None
    name: str | None
    inline: bool
    content: bytes

    @property
    def text(self) -> str:
        return text_from(self.content, self.charset).replace("\r\n", "\n").replace("\r", "\n")


class Body(Struct, frozen=True):
    """What a mail says, the parts that it carries beside, and the mark of what was guessed to read it."""

    text: str
    html: str | None
    files: tuple[Part, ...]
    guessed: str | None = None


class Mail(Struct, frozen=True):
    """Headers in their order, as the parser left them (8-bit bytes as surrogates, folded), and all leaves."""

    headers: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name]

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")


def read_parts(content: bytes) -> Mail:
    """Raises `EventError` for a mail that nobody writes and that would keep us busy for minutes, or fill us."""
    trees = sum(1 for _ in _TREE.finditer(content))  # a list of them could be far larger than the mail
    lines = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    if (trees + 1) * lines > EFFORT:
        raise EventError(f"{trees:,} multiparts in {lines:,} lines")
    message = message_from_bytes(content, _makes_parts(), policy=_RAW)
    headers = tuple((name.lower(), str(value)) for name, value in message.raw_items())
    leaves = list(islice(_leaves(message), PARTS + 1))
    if len(leaves) > PARTS:
        raise EventError(f"more than {PARTS:,} parts")
    return Mail(headers, tuple(map(_part, leaves)))


def _makes_parts() -> Callable[..., Message]:
    """Leaves and what holds them, while they are read: each takes a kilobyte."""
    left = iter(range(2 * PARTS))

    def make(policy: Policy) -> Message:
        if next(left, None) is None:
            raise EventError(f"more than {PARTS:,} parts")
        return _Bounded(policy)

    return make


def body_of(parts: tuple[Part, ...]) -> Body:
    """Text from the text/plain parts, else from the HTML; whatever is neither is a file."""
    plain = [part for part in parts if part.inline and part.media_type == "text/plain"]
    texts = [text for part in plain if (text := _trimmed(part.text)).strip()]
    pages = [part for part in parts if part.inline and part.media_type == "text/html"]
    html = pages[0].text if pages else None
    if html is not None and html.count("<") > TAGS:
        raise EventError(f"more than {TAGS:,} tags in its HTML")
    text = "\n\n".join(texts) if texts or html is None else text_of(html)
    kept = pages[0] if html is not None and len(html) <= HTML_LIMIT else None
    said = {id(part) for part in (*plain, kept)}
    files = tuple(part for part in parts if id(part) not in said)
    guessed = guess_mark(*(charset_guess(part.content, part.charset) for part in (*plain, *pages[:1])))
    return Body(text, html if kept is not None else None, files, guessed)


def _leaves(message: Message) -> Iterator[Message]:
    children = message.get_payload() if message.get_content_maintype() == "multipart" else None
    if not isinstance(children, list):  # a multipart whose boundary never comes has text as its payload
        yield message
        return
    for child in children:
        if isinstance(child, Message):
            yield from _leaves(child)


def _part(leaf: Message) -> Part:
    media_type = leaf.get_content_type().lower()
    if not _MEDIA_TYPE.fullmatch(media_type):
        media_type = "application/octet-stream"
    if media_type.startswith("multipart/"):
        media_type = "text/plain"
    name = _name(leaf)
    disposition = str(leaf.get("content-disposition", "")).partition(";")[0].strip().lower()
    inline = disposition != "attachment" and name is None
    return Part(media_type, _charset(leaf), name, inline, _content(leaf))


def _charset(leaf: Message) -> str | None:
    try:
        charset = leaf.get_content_charset()
    except (UnicodeError, LookupError, ValueError):
        return None
    return charset if isinstance(charset, str) else None


def _name(leaf: Message) -> str | None:
    try:
        name = leaf.get_filename()
    except (UnicodeError, LookupError, ValueError, IndexError):  # RFC 2231 parameters numbered or encoded wrongly
        return None
    return re.split(r"[/\\]", header_text(name))[-1].strip() or None if name else None


def _content(leaf: Message) -> bytes:
    if leaf.is_multipart():  # message/rfc822, message/delivery-status: the mails inside, whole
        return b"\n".join(_flat(inner) for inner in leaf.get_payload() if isinstance(inner, Message))
    content = leaf.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _flat(message: Message) -> bytes:
    try:
        return _written(message, None)
    except HeaderParseError:  # a line end in a header that would make two of it
        return _written(message, _AS_IT_CAME)


class _Writer(BytesGenerator):
    """The standard library's, for which a multipart that has no parts may hold nothing beyond ASCII."""

    def write(self, s: str) -> None:
        self._fp.write(s.encode("utf-8", "surrogateescape"))  # type: ignore[attr-defined]


def _written(message: Message, policy: Compat32 | None) -> bytes:
    file = io.BytesIO()
    _Writer(file, mangle_from_=False, maxheaderlen=0, policy=policy).flatten(message)
    return file.getvalue()


def _trimmed(text: str) -> str:
    return text.lstrip("\n").rstrip()
