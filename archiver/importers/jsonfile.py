"""JSON files of exports: small ones whole, lists of any length element by element, both with bounds.

What can't be read is `Broken`, with a reason for people; nothing here knows a format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from hashlib import blake2b
from typing import Any, BinaryIO, TypeVar

import ijson
import msgspec

from archiver.events import BOM, DAMAGED
from archiver.importers.document import Document

WHOLE_LIMIT = 256 * 1024 * 1024
"""Bytes of a file that is read whole: a day of one channel, a list of users."""
ELEMENT_LIMIT = 16 * 1024 * 1024
"""Bytes that one element of a long list may take."""
DEPTH_LIMIT = 10_000
CHUNK = 256 * 1024

T = TypeVar("T")


class Broken(Exception):
    """This file can't be read, or not further than to here."""


def whole(document: Document, type_: type[T]) -> T:
    """A file as one record. Raises `Broken`."""
    return decoded(content(document), type_)


def content(document: Document, limit: int = WHOLE_LIMIT) -> bytes:
    """A file's bytes, without a byte order mark. Raises `Broken`."""
    try:
        with document.open() as stream:
            data = stream.read(limit + 1)
    except DAMAGED as fault:
        raise Broken(f"damaged: {fault}") from fault
    if len(data) > limit:
        raise Broken(f"larger than {limit:,} bytes")
    return data.removeprefix(BOM)


def decoded(data: bytes, type_: type[T]) -> T:
    """Raises `Broken` where it is no JSON, or not of that shape."""
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Broken(f"not the JSON that was expected: {fault}") from fault


def record(element: Any, type_: type[T]) -> T:
    """An element as a record. Raises `Broken`."""
    try:
        return msgspec.convert(element, type_, strict=False)
    except msgspec.ValidationError as fault:
        raise Broken(f"not of the shape that was expected: {fault}") from fault


def original(element: Any) -> bytes:
    """An element as JSON, for what is rejected."""
    try:
        return msgspec.json.encode(element)
    except (UnicodeEncodeError, TypeError, RecursionError):
        return repr(element).encode("utf-8", "replace")


def digest(value: Any) -> str:
    """A short digest of a JSON value, for ids where a format has none."""
    return blake2b(original(value), digest_size=6).hexdigest()


def items(document: Document, prefixes: Collection[str], *, whole_if: str = "") -> Iterator[Any]:
    """The elements of lists at `prefixes`, as ijson names them ("item": the file is a list), in constant memory.

    A file that is one object with the member `whole_if` is the only element itself. Raises `Broken` where the file
    can't be read further; what came before counts.
    """
    with document.open() as stream:
        bounded = _Bounded(stream)
        found = False
        try:
            events = ijson.parse(bounded, use_float=True, buf_size=CHUNK)
            for prefix, event, value in events:
                if prefix in prefixes:
                    found = True
                    yield _built(prefix, event, value, events)
                    bounded.forget()
        except (ijson.JSONError, UnicodeDecodeError, ValueError, OverflowError, *DAMAGED) as fault:
            raise Broken(f"not well-formed JSON: {fault}") from fault
    if whole_if and not found:
        element = whole(document, dict[str, Any])
        if whole_if in element:
            yield element
        else:
            raise Broken("no list of messages")


def listed(document: Document, parents: Collection[str], name: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """The elements of every list `name` in an object at one of `parents` ("" is the file itself), in constant memory.

    With each comes what stood in its object before the list, and in the file's own. None as an element says that a
    list begins.
    Raises `Broken` where the file can't be read further; what came before counts.
    """
    with document.open() as stream:
        bounded = _Bounded(stream)
        try:
            for header, element in _walk(ijson.parse(bounded, use_float=True, buf_size=CHUNK), parents, name):
                bounded.forget()
                yield header, element
        except (ijson.JSONError, UnicodeDecodeError, ValueError, OverflowError, *DAMAGED) as fault:
            raise Broken(f"not well-formed JSON: {fault}") from fault


def _walk(
    events: Iterator[tuple[str, str, Any]], parents: Collection[str], name: str
) -> Iterator[tuple[dict[str, Any], Any]]:
    lists = {f"{parent}.{name}".lstrip("."): parent for parent in parents}
    items = {f"{place}.item": parent for place, parent in lists.items()}
    inner = {place[:end] for place in lists for end in _ends(place)}
    headers: dict[str, dict[str, Any]] = {}
    for prefix, event, value in events:
        if prefix in lists and event == "start_array":
            yield headers.get(lists[prefix], {}), None
        elif prefix in items:
            yield headers.get(items[prefix], {}), _built(prefix, event, value, events)
        elif prefix in parents and event == "start_map":
            headers[prefix] = dict(headers.get("", ()))
        elif event in _BEGINS and prefix not in inner and _parent(prefix) in headers:
            headers[_parent(prefix)][prefix.rpartition(".")[2]] = _built(prefix, event, value, events)


def _ends(place: str) -> Iterator[int]:
    """Where the path of a list or of something above it ends."""
    yield from (index for index, character in enumerate(place) if character == ".")
    yield len(place)


_BEGINS = frozenset(("start_map", "start_array", "string", "number", "boolean", "null"))
_ENDS = frozenset(("end_map", "end_array"))


def _parent(prefix: str) -> str:
    return prefix.rpartition(".")[0]


def _built(prefix: str, event: str, value: Any, events: Iterator[tuple[str, str, Any]]) -> Any:
    """One value, whose first event was taken already."""
    if event not in ("start_map", "start_array"):
        return value
    builder = ijson.ObjectBuilder()
    builder.event(event, value)
    for inner, each, content in events:
        builder.event(each, content)
        if inner == prefix and each in _ENDS:
            return builder.value
    raise Broken("the file ends inside an element")


class _Bounded:
    """A stream that ends with an error when too much was read since the last element was whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._begun = False
        self.forget()

    def forget(self) -> None:
        """An element is whole: the next may be as large, and as deep."""
        self._since = self._depth = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        if not self._begun:
            self._begun, data = True, data.removeprefix(BOM)
        self._since += len(data)
        # Brackets in texts count too: so the limit is far above what anybody nests, and far below what hurts.
        self._depth += data.count(b"[") + data.count(b"{") - data.count(b"]") - data.count(b"}")
        if self._since > ELEMENT_LIMIT + CHUNK:
            raise Broken(f"one element of over {ELEMENT_LIMIT:,} bytes")
        if self._depth > DEPTH_LIMIT:
            raise Broken("nested too deeply")
        return data
