"""events.xml -> a flat stream of elements, in constant memory, whatever the file holds.

No tree is built: an event is a handful of texts, everything else is counted in depth and passed by. Nothing here knows
what an event means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from archiver.importers import xmlfile


class Element(NamedTuple):
    """One element below the root, or the root itself when it begins. `texts` are its children's, by tag."""

    tag: str
    attributes: dict[str, str]
    texts: dict[str, str]


def elements(stream: BinaryIO) -> Iterator[Element]:
    """The root (without texts), then each of its children as soon as it ends. Raises `xmlfile.Broken`."""
    return xmlfile.pieces(stream, _Flat())


class _Flat(xmlfile.Target[Element]):
    """The parser's target: keeps the current child of the root and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self._attributes: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        self._field: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        super().start(tag, attributes)
        if self.depth == 1:
            self.done.append(Element(tag, attributes, {}))
        elif self.depth == 2:
            self._attributes, self._texts, self.size = attributes, {}, 0
        elif self.depth == 3:
            self._field = self._texts.setdefault(tag, [])
            self.size += len(tag) + xmlfile.COST

    def data(self, text: str) -> None:
        super().data(text)
        if self.depth >= 3:
            self._field.append(text)
            self.size += len(text)

    def end(self, tag: str) -> None:
        if self.depth == 2:
            texts = {name: "".join(parts) for name, parts in self._texts.items()}
            self.done.append(Element(tag, self._attributes, texts))
        super().end(tag)
