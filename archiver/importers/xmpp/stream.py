"""XML with stanzas in it -> envelopes: MAM results (XEP-0313), portable exports (XEP-0227), logs of stanzas.

What lies around the stanzas is passed by and never held. A file that is a row of stanzas needs no root.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from xml.etree.ElementTree import Element

from archiver.exceptions import EventError
from archiver.importers import xmlfile
from archiver.importers.xmpp.stanza import DELAY, Envelope, bare, delayed, kind

_FORWARDED = "{urn:xmpp:forward:0}forwarded"
_STANZAS = frozenset(("message", "presence", "result", "include"))
_SPACES = ("jabber:", "urn:xmpp:mam:", "http://www.w3.org/2001/XInclude")


class Found(NamedTuple):
    """A stanza or MAM result as it stands in the file, and whose archive the elements around it say it is."""

    element: Element
    owner: str | None


def found(stream: BinaryIO) -> Iterator[Found]:
    """Raises `xmlfile.Broken`."""
    target = _Stanzas()
    yield from xmlfile.pieces(stream, target, 'stanzas xmlns="jabber:client"')
    if target.begun and not target.elements:
        raise xmlfile.Broken("no XML")


class _Stanzas(xmlfile.Elements[Found]):
    """Of what is around the stanzas it knows the host's and the user's names."""

    def __init__(self) -> None:
        super().__init__()
        self._host = self._user = ""
        self.elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        self.elements += self.depth > 1

    def is_kept(self, tag: str) -> bool:
        space, _, name = tag[1:].rpartition("}")
        return name in _STANZAS and space.startswith(_SPACES)

    def passed(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag[1:].rpartition("}")[2]
        if name == "host":
            self._host = attributes.get("jid", "")
        elif name == "user":
            self._user = attributes.get("name", "")

    def made(self, element: Element) -> Found:
        return Found(element, f"{self._user}@{self._host}".lower() if self._user and self._host else None)


def enveloped(piece: Found) -> Envelope:
    """Raises `EventError` for what stands where a stanza should."""
    element, owner = piece
    if kind(element) == "include":
        raise EventError("XInclude is not followed: name the files it leads to as well")
    result = element if kind(element) == "result" else _result(element)
    if result is None:
        return Envelope(element, delayed(element), owner=owner)
    forwarded = result.find(_FORWARDED)
    inner = [each for each in (forwarded if forwarded is not None else ()) if kind(each) in ("message", "presence")]
    if forwarded is None or not inner:
        raise EventError("a result of an archive without a message")
    sender = bare(element.get("from")) if result is not element else ""
    room = sender if sender and sender == bare(inner[0].get("from")) and inner[0].get("type") == "groupchat" else None
    at = delayed(forwarded) if forwarded.find(DELAY) is not None else delayed(inner[0])
    owner = owner or (bare(element.get("to")) if result is not element else "") or None
    return Envelope(inner[0], at, result.get("id"), owner, room)


def _result(message: Element) -> Element | None:
    return next(
        (each for each in message if str(each.tag).startswith("{urn:xmpp:mam:") and kind(each) == "result"), None
    )
