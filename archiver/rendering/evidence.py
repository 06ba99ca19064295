"""The exact events of a view as NDJSON: what the item carries as its last attachment, and what its key is made of.

What the text hides these lines hide too: a retracted message's content is replaced by its digest. (Hidden addresses
have been left out before, see `veil`.) A first line of type `archiver.roster` says who was present before, so that
the view can be rebuilt.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable
from email import message_from_bytes
from email.message import Message
from hashlib import sha256
from typing import Any

import msgspec

from archiver.events import Attachment, Event, moment
from archiver.exceptions import UsageError
from archiver.types import Conversation, Presence

FILE_NAME = "conversation.ndjson.gz"
ROSTER = "archiver.roster"
ACTED = "acted"
"""Member of a participant in the roster line: when they last did something."""
REDACTED = "archiverredacted"
"""Extension attribute of an event whose content was replaced by its digest."""

MAXIMUM_UNPACKED = 256 * 1024 * 1024

_LEVEL = 1
_GZIP = 31
"""zlib's window bits for a gzip stream; its header has no time and no name."""
_CHUNK_FROM = 128
"""Views of fewer lines are one deflate stream; larger ones are cut where their lines say, to share the pieces."""

_KEPT_OF_EVENT = {"specversion", "source", "id", "type", "time", "sequence", "datacontenttype"}
_KEPT_OF_DATA = {"conversation", "actor", "subject", "removed", "language"}
_KEPT_OF_MESSAGE = {"id", "in_reply_to", "thread", "to", "language"}
_NOT_TEXT = {"poll", "until"}


class Line(Event, frozen=True):
    """One line of an item: an event, and whether its content was replaced by its digest."""

    archiverredacted: str | None = None


class Chunks:
    """Packed stretches of lines, by their lines: the views of one conversation share most."""

    def __init__(self) -> None:
        self._made: dict[tuple[bytes, ...], bytes] = {}
        self._ends: dict[bytes, bool] = {}

    def packed(self, lines: list[bytes]) -> bytes:
        """The lines as a gzip file. A function of the lines alone, whatever other views were packed before."""
        if len(lines) < _CHUNK_FROM:
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            return packer.compress(b"\n".join(lines) + b"\n") + packer.flush()
        checksum = size = 0
        pieces = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03"]
        for chunk in self._cut(lines):
            data = b"\n".join(chunk) + b"\n"
            checksum = zlib.crc32(data, checksum)
            size += len(data)
            pieces.append(self._chunk(chunk, data))
        pieces.append(b"\x03\x00" + checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))
        return b"".join(pieces)

    def _cut(self, lines: list[bytes]) -> list[tuple[bytes, ...]]:
        """Pieces that end at lines chosen by their own content, so that equal stretches of two views are equal."""
        known = self._ends
        for line in lines:
            if line not in known:
                known[line] = zlib.crc32(line[-200:]) & 31 == 0
        ends = [number for number, line in enumerate(lines, 1) if known[line]]
        starts = [0, *ends]
        if starts[-1] == len(lines):
            starts.pop()
        return [tuple(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]

    def _chunk(self, chunk: tuple[bytes, ...], data: bytes) -> bytes:
        """Whole deflate blocks (RFC 1951): a full flush makes them independent, so that views can share them."""
        if chunk not in self._made:
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
            self._made[chunk] = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
        return self._made[chunk]


def lines_for(
    conversation: Conversation, concealed: frozenset[int], echoes: Iterable[int], files: Iterable[int]
) -> list[bytes]:
    """The lines of a view: who was there, then its events in order, without the content of those `concealed`.

    `echoes` are other events, which only lose what they repeat of a concealed message; `files` those that share some:
    the contents are not repeated here.
    """
    lines = [captured.body for captured in conversation.events]
    for index in concealed.union(files):
        if index in concealed:
            lines[index] = encode(redacted(msgspec.json.decode(lines[index])))
        elif any(_has_content(file) for file in conversation.events[index].event.data.attachments or ()):
            lines[index] = encode(_without_contents(msgspec.json.decode(lines[index])))
    for index in echoes:
        lines[index] = _without_echo(lines[index])
    roster = _roster(conversation)
    return lines if roster is None else [roster, *lines]


def _roster(conversation: Conversation) -> bytes | None:
    """Who was present just before the first event, and the topic: what the view's owner found."""
    roster, first = conversation.roster, conversation.events[0]
    # A source may call an event anything; before one that looks like this line stands the real one.
    if not roster.present and not roster.topic and first.event.type != ROSTER:
        return None
    people = [_participant(presence, inferred=conversation.partial) for presence in roster.present]
    place: dict[str, Any] = {"id": conversation.place, "kind": conversation.kind, "participants": people}
    for name, value in (("session", conversation.session), ("topic", roster.topic)):
        if value is not None:
            place[name] = value
    event = {
        "specversion": "1.0",
        "source": conversation.source,
        "id": f"{ROSTER}.{first.event.id}",
        "type": ROSTER,
        "time": _rfc3339(first.time),
        "data": {"conversation": place},
    }
    return encode(event)


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _participant(presence: Presence, *, inferred: bool) -> dict[str, Any]:
    """Where presence is inferred, it runs out some time after the last act: so that belongs to it."""
    made: dict[str, Any] = {"address": presence.addresses[-1]}
    if presence.name is not None:
        made["name"] = presence.name
    if presence.hidden:
        made["hidden"] = True
    if inferred and presence.acted is not None:
        made[ACTED] = _rfc3339(presence.acted)
    return made


def _rfc3339(time: int) -> str:
    return moment(time).isoformat().replace("+00:00", "Z")


def _has_content(file: Attachment) -> bool:
    return file.content is not None or file.path is not None


def _without_contents(event: dict[str, Any]) -> dict[str, Any]:
    """An event whose files are only described: what they hold stands in the item itself, or nowhere."""
    files = [{k: v for k, v in file.items() if k not in ("content", "path")} for file in event["data"]["attachments"]]
    return {**event, "data": {**event["data"], "attachments": files}}


_REDACTED_ALREADY = re.compile(r"sha256:[0-9a-f]{64}")


def _digest(value: Any) -> str | None:
    if value is None:
        return None
    octets = value.encode("utf-8", "replace") if isinstance(value, str) else encode(value)
    return "sha256:" + sha256(octets).hexdigest()


def _digest_once(value: Any) -> str | None:
    """For events from an item: the content of one redacted went then."""
    return value if isinstance(value, str) and _REDACTED_ALREADY.fullmatch(value) else _digest(value)


def redacted(event: dict[str, Any]) -> dict[str, Any]:
    """A sent or edited message without its content: each member that holds some is replaced by its digest."""
    digest = _digest_once if REDACTED in event else _digest
    made = {k: v if k in _KEPT_OF_EVENT or k.startswith("archiver") else digest(v) for k, v in event.items()}
    data = event["data"]
    kept = {k: v if k in _KEPT_OF_DATA else digest(v) for k, v in data.items() if k not in _NOT_TEXT}
    message = data.get("message")
    if isinstance(message, dict):
        kept["message"] = _bare_message(message, digest)
    files = data.get("attachments")
    if isinstance(files, list):
        kept["attachments"] = [{"sha256": _file_digest(file)} for file in files]
    made["data"] = kept
    made[REDACTED] = "retracted"
    return made


def _bare_message(message: dict[str, Any], digest: Callable[[Any], str | None]) -> dict[str, Any]:
    return {k: v if k in _KEPT_OF_MESSAGE else digest(v) for k, v in message.items()}


def _without_echo(line: bytes) -> bytes:
    """A reaction, or a retraction itself, without the text of the message it names."""
    event = msgspec.json.decode(line)
    message = event["data"]["message"]
    if message.keys() <= _KEPT_OF_MESSAGE:
        return line
    bare = _bare_message(message, _digest_once if REDACTED in event else _digest)
    return encode({**event, "data": {**event["data"], "message": bare}, REDACTED: "retracted"})


def _file_digest(file: Any) -> str:
    known = file.get("sha256") if isinstance(file, dict) else None
    return known if isinstance(known, str) else sha256(encode(file)).hexdigest()


def lines_of(item: bytes | Message, most: int = MAXIMUM_UNPACKED) -> list[bytes]:
    """The event lines an item carries, the roster's first: `most` bytes. Who has parsed it already gives that."""
    message = item if isinstance(item, Message) else message_from_bytes(item)
    for part in reversed(list(message.walk())):
        if part.get_filename() == FILE_NAME:
            packed = part.get_payload(decode=True)
            return re.findall(rb"[^\n]+", _unpacked(packed if isinstance(packed, bytes) else b"", most))
    raise UsageError("this message carries no events", hint="only items made by the archiver have them")


def _unpacked(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        data = unpacker.decompress(packed, most)
    except zlib.error as error:
        raise UsageError(f"the item's events are damaged: {error}") from error
    if not unpacker.eof:
        raise UsageError("the item's events are cut off, or larger than anything the archiver writes")
    return data


def events_of(item: bytes) -> list[dict[str, Any]]:
    """The events an item carries, decoded."""
    return [msgspec.json.decode(line) for line in lines_of(item)]
