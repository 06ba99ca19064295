"""events.xml -> a flat stream of elements, in constant memory, whatever the file holds.

No tree is built: an event is a handful of texts, everything else is counted in depth and passed by. DTDs and entities
are refused (defusedxml). Nothing here knows what an event means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from archiver.events import chunks

CHUNK = 64 * 1024
EVENT_LIMIT = 1024 * 1024
"""Characters of one event's tags and texts; what is longer is no event of a meeting."""
ELEMENT = 64
"""What an element without a text costs, so that many of them count too."""
DEPTH_LIMIT = 100


class Element(NamedTuple):
    """One element below the root, or the root itself when it begins. `texts` are its children's, by tag."""

    tag: str
    attributes: dict[str, str]
    texts: dict[str, str]


class Broken(Exception):
    """The XML can't be read further; what came before counts."""


def elements(stream: BinaryIO) -> Iterator[Element]:
    """The root (without texts), then each of its children as soon as it ends. Raises `Broken`."""
    flat = _Flat()
    parser = DefusedXMLParser(target=flat, forbid_dtd=True)
    pieces = chunks(stream, CHUNK)
    while True:
        try:
            piece = next(pieces, None)
            if piece is None and not flat.begun:
                return
            if piece is None:
                parser.close()
            elif isinstance(piece, str):
                raise Broken(piece)
            else:
                flat.begun = flat.begun or bool(piece.strip())
                flat.quiet += len(piece)
                parser.feed(piece)
                flat.check_size()
        except (Broken, ParseError, DefusedXmlException, ValueError, LookupError) as fault:
            yield from flat.taken()
            raise Broken(_reason(fault)) from fault
        yield from flat.taken()
        if piece is None:
            return


def _reason(fault: Exception) -> str:
    if isinstance(fault, Broken):
        return str(fault)
    if isinstance(fault, DefusedXmlException):
        return f"XML with a DTD or entities is refused ({type(fault).__name__})"
    if isinstance(fault, ParseError):
        return f"not well-formed XML: {fault}"
    return f"unreadable XML: {fault}"  # an encoding there is not, or that lies


class _Flat:
    """The parser's target: keeps the current child of the root and nothing else."""

    def __init__(self) -> None:
        self.begun = False
        self.quiet = 0
        self._depth = 0
        self._done: list[Element] = []
        self._attributes: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        self._field: list[str] = []
        self._size = 0

    def taken(self) -> list[Element]:
        done, self._done = self._done, []
        return done

    def check_size(self) -> None:
        # A tag that never ends reaches no method here: the parser would gather it without bound.
        if self._size > EVENT_LIMIT or self.quiet > EVENT_LIMIT:
            raise Broken(f"an element of over {EVENT_LIMIT:,} characters")
        if self._depth > DEPTH_LIMIT:
            raise Broken(f"elements nested over {DEPTH_LIMIT} deep")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.quiet = 0
        self._depth += 1
        if self._depth == 1:
            self._done.append(Element(tag, attributes, {}))
        elif self._depth == 2:
            self._attributes, self._texts, self._size = attributes, {}, 0
        elif self._depth == 3:
            self._field = self._texts.setdefault(tag, [])
            self._size += len(tag) + ELEMENT

    def data(self, text: str) -> None:
        self.quiet = 0
        if self._depth >= 3:
            self._field.append(text)
            self._size += len(text)

    def end(self, tag: str) -> None:
        self.quiet = 0
        if self._depth == 2:
            texts = {name: "".join(parts) for name, parts in self._texts.items()}
            self._done.append(Element(tag, self._attributes, texts))
        self._depth -= 1

    def close(self) -> None:
        return None
