"""JSON files of exports: small ones whole, lists of any length element by element, both with bounds.

What can't be read is `Broken`, with a reason for people; nothing here knows a format.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, TypeVar

import ijson
import msgspec

from archiver.events import BOM, DAMAGED
from archiver.importers.document import Document

WHOLE_LIMIT = 256 * 1024 * 1024
"""Bytes of a file that is read whole: a day of one channel, a list of users."""
ELEMENT_LIMIT = 16 * 1024 * 1024
"""Bytes that one element of a long list may take."""
CHUNK = 256 * 1024

T = TypeVar("T")


class Broken(Exception):
    """This file can't be read, or not further than to here."""


def whole(document: Document, type_: type[T]) -> T:
    """A file as one record. Raises `Broken`."""
    return decoded(content(document), type_)


def content(document: Document) -> bytes:
    """A file's bytes, without a byte order mark. Raises `Broken`."""
    try:
        with document.open() as stream:
            data = stream.read(WHOLE_LIMIT + 1)
    except DAMAGED as fault:
        raise Broken(f"damaged: {fault}") from fault
    if len(data) > WHOLE_LIMIT:
        raise Broken(f"larger than {WHOLE_LIMIT:,} bytes")
    return data.removeprefix(BOM)


def decoded(data: bytes, type_: type[T]) -> T:
    """Raises `Broken` where it is no JSON, or not of that shape."""
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Broken(f"not the JSON that was expected: {fault}") from fault


def elements(document: Document, prefix: str) -> Iterator[Any]:
    """The elements of a list, as ijson names its place ("messages.item"), in constant memory.

    Raises `Broken` where the file can't be read further; what came before counts.
    """
    with document.open() as stream:
        bounded = _Bounded(stream)
        try:
            for element in ijson.items(bounded, prefix, use_float=True, buf_size=CHUNK):
                bounded.since = 0
                yield element
        except (ijson.JSONError, UnicodeDecodeError, ValueError, OverflowError, *DAMAGED) as fault:
            raise Broken(f"not well-formed JSON: {fault}") from fault


class _Bounded:
    """A stream that ends with an error when too much was read since the last element was whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._begun = False
        self.since = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        if not self._begun:
            self._begun, data = True, data.removeprefix(BOM)
        self.since += len(data)
        if self.since > ELEMENT_LIMIT + CHUNK:
            raise Broken(f"one element of over {ELEMENT_LIMIT:,} bytes")
        return data
