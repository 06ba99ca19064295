"""A component's stream with its server: XEP-0114. Gives elements one by one, bounded, and knows none's meaning.

On asyncio's own reader and the parser of the importers, not on an XMPP library: those read on whatever becomes of what
they read, and bound no stanza. Here nothing is read before what came before is safe, so that TCP holds the server back.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.sax.saxutils import quoteattr

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser
from msgspec import Struct

from archiver.exceptions import EnvironmentFault
from archiver.importers.xmlfile import COST, DEPTH_LIMIT, ELEMENT_LIMIT, Target
from archiver.sources.listening import Address

NAMESPACE = "{jabber:component:accept}"
CLIENT = "{jabber:client}"
_LET_IN = f"{CLIENT}handshake"
_ERROR = "{http://etherx.jabber.org/streams}error"
_HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    "xmlns:stream='http://etherx.jabber.org/streams' to={}>"
)
_PIECE = 64 * 1024
PATIENCE = 10.0
"""Seconds for a connection, and for each answer while it is opened."""


class Ended(Exception):
    """The stream is over, as said."""


class Spoilt(Struct, frozen=True):
    """An element that is larger or deeper than any that is read: as much of it as was."""

    element: Element
    reason: str


class Elements(Target[Element | Spoilt]):
    """Those right below the stream's own; `id` is what that has."""

    def __init__(self) -> None:
        super().__init__()
        self.id: str | None = None
        self._open: list[str] = []
        self._builder: TreeBuilder | None = None
        self._spoilt: Spoilt | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        if self.depth == 1:
            self.id = attributes.get("id", "")
            return
        if self.depth == 2:
            self._builder, self._spoilt, self.size = TreeBuilder(), None, 0
        if self._builder is not None:
            # Copies are as clients got them, whatever the namespace around them.
            tag = tag.replace(NAMESPACE, CLIENT, 1)
            self._builder.start(tag, attributes)
            self._open.append(tag)
            self._grow(COST + len(tag) + sum(len(each) + len(attributes[each]) for each in attributes))

    def data(self, text: str) -> None:
        super().data(text)
        if self._builder is not None:
            self._builder.data(text)
            self._grow(len(text))

    def end(self, tag: str) -> None:
        if self._builder is not None:
            self._builder.end(self._open.pop())
        if self.depth == 2:
            if self._builder is not None:
                self.done.append(self._builder.close())
            elif self._spoilt is not None:
                self.done.append(self._spoilt)
            self._builder = self._spoilt = None
        super().end(tag)

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > ELEMENT_LIMIT:
            self._spoil(f"an element of over {ELEMENT_LIMIT:,} characters")
        elif self.depth > DEPTH_LIMIT:
            self._spoil(f"elements nested over {DEPTH_LIMIT} deep")

    def _spoil(self, reason: str) -> None:
        assert self._builder is not None
        while self._open:
            self._builder.end(self._open.pop())
        self._spoilt, self._builder = Spoilt(self._builder.close(), reason), None


class Stream:
    """An open one. Lives on one loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._target = Elements()
        self._parser = DefusedXMLParser(target=self._target, forbid_dtd=True, encoding="utf-8")
        self._end = ""
        self._ahead: list[Element | Spoilt] = []

    async def read(self) -> list[Element | Spoilt]:
        """What is whole by now; may be nothing. Raises `Ended`, after what came before the end. Harmless to cancel."""
        if self._ahead:
            ahead, self._ahead = self._ahead, []
            return ahead
        if self._end:
            raise Ended(self._end)
        try:
            piece = await self._reader.read(_PIECE)
        except OSError as fault:
            raise Ended(f"the connection broke: {fault}") from fault
        if not piece:
            raise Ended("the server closed the connection")
        self._end = self._feed(piece)
        whole = self._target.taken()
        if self._end and not whole:
            raise Ended(self._end)
        return whole

    def _feed(self, piece: bytes) -> str:
        """Why nothing can follow."""
        target = self._target
        target.quiet += len(piece)
        try:
            self._parser.feed(piece)
        except (ParseError, DefusedXmlException, ValueError, LookupError) as fault:
            return f"the server sent what is no stream: {type(fault).__name__} {fault}"
        if target.quiet > ELEMENT_LIMIT:  # a tag that never ends: the parser would gather it without bound
            return f"the server sent a tag of over {ELEMENT_LIMIT:,} characters"
        return "the server ended the stream" if target.id is not None and target.depth == 0 else ""

    def send(self, text: str) -> None:
        self._writer.write(text.encode("utf-8", "replace"))

    async def flush(self) -> None:
        """Raises `Ended` where the server doesn't take what we send."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._writer.drain()
        except (OSError, TimeoutError) as fault:
            raise Ended(f"the server takes nothing: {str(fault) or 'in time'}") from fault

    async def open(self, name: str, secret: str) -> None:
        """Raises `Ended`, `TimeoutError`, or `EnvironmentFault` where we aren't let in."""
        self.send(_HEADER.format(quoteattr(name)))
        early: list[Element | Spoilt] = []
        async with asyncio.timeout(PATIENCE):
            while self._target.id is None:
                early += await self.read()
            _refuse_errors(early, name)
            self.send(f"<handshake>{handshake(self._target.id, secret)}</handshake>")
            while not (answers := await self.read()):
                pass
        _refuse_errors(answers, name)
        first, *self._ahead = answers
        if not isinstance(first, Element) or first.tag != _LET_IN:
            raise Ended("the server answered the handshake with something else")

    async def close(self) -> None:
        with suppress(OSError, asyncio.TimeoutError, TimeoutError):
            self.send("</stream:stream>")
            self._writer.close()
            async with asyncio.timeout(1):
                await self._writer.wait_closed()


def handshake(stream: str, secret: str) -> str:
    """XEP-0114, 3: what shows that both know the secret."""
    return hashlib.sha1(f"{stream}{secret}".encode(), usedforsecurity=False).hexdigest()


async def connected(address: Address) -> Stream:
    """Raises `OSError` or `TimeoutError`."""
    async with asyncio.timeout(PATIENCE):
        return Stream(*await asyncio.open_connection(address.host, address.port, limit=_PIECE))


def _refuse_errors(answers: list[Element | Spoilt], name: str) -> None:
    for each in answers:
        if isinstance(each, Element) and each.tag == _ERROR:
            why = ", ".join(str(child.tag).rpartition("}")[2] for child in each)[:200] or "no reason given"
            hint = "its listener ejabberd_service must name this component, with the same password as the secret here"
            raise EnvironmentFault(f"the server doesn't let {name} in: {why}", hint=hint)
