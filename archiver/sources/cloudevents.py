"""CloudEvents 1.0 in the JSON format, as media types carry them -> pieces of input. Knows no mail and no HTTP.

A document that isn't what its media type says is an `EventError`; an event in it that can't be read is `Rejected`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from archiver.events import Captured, Rejected, capture, read_events
from archiver.exceptions import EventError

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"
TYPES = (ONE, BATCH, LINES)

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
COMMAS = 2_000_000
"""Of one array: they bound its elements, each of which is an object of its own before the first is looked at."""

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def pieces(content: bytes, media_type: str, *, name: str, received: int) -> Iterator[Captured | Rejected]:
    """What a document of one of `TYPES` holds; `name` stands in the position of what is rejected."""
    if media_type == ONE:
        yield one(_checked_object(content), name=name, received=received)
    elif media_type == BATCH:
        yield from batch(content, name=name, received=received)
    else:
        yield from lines(io.BytesIO(content), name=name, received=received)


def one(content: bytes, *, name: str, received: int) -> Captured | Rejected:
    try:
        return capture(content, received=received, position=name)
    except EventError as reason:
        return Rejected(content, name, str(reason))


def batch(content: bytes, *, name: str, received: int) -> Iterator[Captured | Rejected]:
    if content.count(b",") > COMMAS:
        raise EventError(f"an array of too many elements: more than {COMMAS:,} commas")
    try:
        events = _read_array(content)
    except _UNREADABLE as fault:
        raise EventError(f"not a JSON array of events: {fault}") from fault
    for number, event in enumerate(events, 1):
        yield one(bytes(event), name=f"{name}:{number}", received=received)


def lines(stream: BinaryIO, *, name: str, received: int) -> Iterator[Captured | Rejected]:
    return read_events(stream, name=name, received=received)


def _checked_object(content: bytes) -> bytes:
    try:
        _read_object(content)
    except _UNREADABLE as fault:
        raise EventError(f"not a JSON object: {fault}") from fault
    return content
