"""Text of files that don't say what they are written in: each line UTF-8, else as a legacy charset has it.

Line by line, since real logs mix them. Knows no format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct

from archiver.events import Event, lines
from archiver.exceptions import UsageError
from archiver.importers.document import Document
from archiver.importers.protocol import Options

CHARSET = "windows-1252"
LINE_LIMIT = 64 * 1024


class Charset(Struct, frozen=True):
    """What a text is read in that isn't UTF-8; `guess` is the mark of it where nobody named it."""

    name: str
    guess: str | None

    def decoded(self, raw: bytes) -> tuple[str, Charset | None]:
        """The text, and this charset where it had to be used; bytes it hasn't become U+FFFD."""
        try:
            return raw.decode(), None
        except UnicodeDecodeError:
            return raw.decode(self.name, "replace"), self


def charset_of(options: Options) -> Charset:
    """Raises `UsageError` for one there is not."""
    name = options.charset or CHARSET
    try:
        b"a".decode(name)
    except (LookupError, ValueError) as fault:
        raise UsageError(f"no such charset: {options.charset}", hint="for example windows-1257") from fault
    return Charset(name.lower(), None if options.charset else f"charset={CHARSET}")


class TextLine(NamedTuple):
    """`charset` is what it had to be read in, None for UTF-8; `fault` says what is wrong with it, "" for nothing."""

    number: int
    raw: bytes
    text: str
    charset: Charset | None
    fault: str


def text_lines(document: Document, charset: Charset, limit: int = LINE_LIMIT) -> Iterator[TextLine]:
    """The lines of a document without their ends; none is longer than `limit` bytes."""
    with document.open() as stream:
        for number, raw, fault in lines(stream, limit):
            text, needed = charset.decoded(raw)
            yield TextLine(number, raw, text, needed, fault)


def charset_in(several: Iterable[TextLine]) -> Charset | None:
    """What any of the lines had to be read in."""
    return next((line.charset for line in several if line.charset is not None), None)


def undecodable(event: Event) -> tuple[str, ...]:
    """The note for `capture` of bytes that the charset it was read in hasn't."""
    if event.archivercharset is None:
        return ()
    data = event.data
    said = (data.message and data.message.text, data.text, data.topic, data.reason, data.actor and data.actor.name)
    return ("undecodable bytes",) if any("\ufffd" in each for each in said if each) else ()
