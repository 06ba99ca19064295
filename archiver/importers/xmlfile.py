"""XML files of exports as a stream, in constant memory, whatever the file holds. Nothing here knows a format.

A format says what it keeps by its own `Target`; no tree of the file is built. DTDs and entities are refused
(defusedxml).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Generic, TypeVar
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser
from defusedxml.ElementTree import fromstring as defused

from archiver.events import BOM, chunks

CHUNK = 64 * 1024
ELEMENT_LIMIT = 1024 * 1024
"""Characters of one element's tags and texts; what is longer is nothing that anybody said."""
COST = 64
"""What an element without a text costs, so that many of them count too."""
DEPTH_LIMIT = 100
_DECLARATION = re.compile(rb"\s*<\?xml[^>]{0,200}\?>")

T = TypeVar("T")


class Broken(Exception):
    """The XML can't be read further; what came before counts."""


class Target(Generic[T]):
    """What the parser speaks to. A format extends `start`, `data` and `end`, and puts what is whole into `done`.

    `depth` is that of the element that is open; `size` what is kept of the current piece.
    """

    def __init__(self) -> None:
        self.begun = False
        self.quiet = self.depth = self.size = 0
        self.done: list[T] = []

    def taken(self) -> list[T]:
        done, self.done = self.done, []
        return done

    def check_size(self) -> None:
        # A tag that never ends reaches no method here: the parser would gather it without bound.
        if self.size > ELEMENT_LIMIT or self.quiet > ELEMENT_LIMIT:
            raise Broken(f"an element of over {ELEMENT_LIMIT:,} characters")
        if self.depth > DEPTH_LIMIT:
            raise Broken(f"elements nested over {DEPTH_LIMIT} deep")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.quiet = 0
        self.depth += 1

    def data(self, text: str) -> None:
        self.quiet = 0

    def end(self, tag: str) -> None:
        self.quiet = 0
        self.depth -= 1

    def close(self) -> None:
        return None


class Elements(Target[T]):
    """Keeps whole elements, one at a time. A format says which by `is_kept`, what each comes to by `made`, and sees
    by `passed` the ones around them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._builder: TreeBuilder | None = None
        self._since = 0

    def is_kept(self, tag: str) -> bool:
        raise NotImplementedError

    def made(self, element: Element) -> T:
        raise NotImplementedError

    def passed(self, tag: str, attributes: dict[str, str]) -> None:
        return None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        if self._builder is None and self.is_kept(tag):
            self._builder, self._since, self.size = TreeBuilder(), self.depth, 0
        if self._builder is None:
            self.passed(tag, attributes)
        else:
            self._builder.start(tag, attributes)
            self.size += COST + len(tag) + sum(map(len, attributes.values()))

    def data(self, text: str) -> None:
        super().data(text)
        if self._builder is not None:
            self._builder.data(text)
            self.size += len(text)

    def end(self, tag: str) -> None:
        if self._builder is not None:
            self._builder.end(tag)
            if self.depth == self._since:
                self.done.append(self.made(self._builder.close()))
                self._builder, self.size = None, 0
        super().end(tag)


def pieces(stream: BinaryIO, target: Target[T], around: str = "") -> Iterator[T]:
    """What `target` makes of the stream, as soon as it is whole. Raises `Broken`.

    `around` names an element (with attributes) to put around it: for files that are a row of elements, in UTF-8.
    """
    parser = DefusedXMLParser(target=target, forbid_dtd=True, encoding="utf-8" if around else None)
    bytes_ = chunks(stream, CHUNK)
    while True:
        try:
            piece = next(bytes_, None)
            if piece is None and not target.begun:
                return
            if piece is None:
                parser.feed(f"</{around.partition(' ')[0]}>" if around else "")
                parser.close()
            elif isinstance(piece, str):
                raise Broken(piece)
            else:
                if around and not target.begun:
                    piece = _DECLARATION.sub(b"", piece.removeprefix(BOM), count=1)
                    parser.feed(f"<{around}>")
                target.begun = target.begun or bool(piece.strip()) or bool(around)
                target.quiet += len(piece)
                parser.feed(piece)
                target.check_size()
        except (Broken, ParseError, DefusedXmlException, ValueError, LookupError) as fault:
            yield from target.taken()
            raise Broken(_reason(fault)) from fault
        yield from target.taken()
        if piece is None:
            return


def element(text: str) -> Element:
    """A small piece of XML as a tree. Raises `Broken`."""
    if len(text) > ELEMENT_LIMIT:
        raise Broken(f"an element of over {ELEMENT_LIMIT:,} characters")
    try:
        made: Element = defused(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as fault:
        raise Broken(_reason(fault)) from fault
    return made


def _reason(fault: Exception) -> str:
    if isinstance(fault, Broken):
        return str(fault)
    if isinstance(fault, DefusedXmlException):
        return f"XML with a DTD or entities is refused ({type(fault).__name__})"
    if isinstance(fault, ParseError):
        return f"not well-formed XML: {fault}"
    return f"unreadable XML: {fault}"  # an encoding there is not, or that lies
