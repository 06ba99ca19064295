"""The exact events of a view as NDJSON: what the item carries as its last attachment, and what its key is made of.

What the text hides these lines hide too: a retracted message's content is replaced by its digest, hidden addresses
are left out. A first line of type `archiver.roster` says who was present before, so that the view can be rebuilt.
"""

from __future__ import annotations

import re
import zlib
from email import message_from_bytes, policy
from hashlib import sha256
from itertools import compress
from typing import Any

import msgspec

from archiver.events import moment
from archiver.exceptions import UsageError
from archiver.rendering.reading import Reading, first_bit
from archiver.types import Presence

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
_SAID = {"text", "html", "topic", "question", "options", "reason", "reaction", "title", "choice", "tally"}


class Evidence:
    """The lines of one conversation; made once an event, chosen by each view."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._events = reading.conversation.events
        self._lines = [captured.body for captured in self._events]
        self._redacted: dict[int, bytes] = {}
        self._chunks: dict[tuple[bytes, ...], bytes] = {}
        for index in self._changed():
            self._lines[index] = encode(self._veiled(msgspec.json.decode(self._lines[index])))

    def _changed(self) -> list[int]:
        """Lines that can't stand as they are: of hidden people, or with an attachment's content or path."""
        changed = []
        hidden = [_inner(address) for address in self._reading.hidden]
        for index, event in enumerate(self._reading.events):
            files = event.data.attachments
            if (files and any(a.content is not None or a.path is not None for a in files)) or (
                hidden and any(address in self._lines[index] for address in hidden)
            ):
                changed.append(index)
        return changed

    def lines(self, mask: int, concealed: int) -> list[bytes]:
        """The lines of a view: who was there, then its events in order."""
        chosen = self._lines
        if concealed:
            chosen = list(chosen)
            for index in range(len(chosen)):
                if concealed >> index & 1:
                    chosen[index] = self._redact(index)
        # The binary digits of the mask, lowest first, are the selectors.
        selected = list(compress(chosen, map(int, f"{mask:b}"[::-1])))
        roster = self._roster(mask)
        return [roster, *selected] if roster else selected

    def _redact(self, index: int) -> bytes:
        if index not in self._redacted:
            self._redacted[index] = encode(redacted(msgspec.json.decode(self._lines[index])))
        return self._redacted[index]

    def _roster(self, mask: int) -> bytes | None:
        """Who was present just before the first event of a view, and the topic: what its owner found."""
        first = first_bit(mask)
        conversation = self._reading.conversation
        topic = self._reading.topic_before(first)
        people = self._present(first, mask)
        if not people and not topic:
            return None
        place: dict[str, Any] = {"id": conversation.place, "kind": conversation.kind, "participants": people}
        for name, value in (("session", conversation.session), ("topic", topic)):
            if value is not None:
                place[name] = value
        event = {
            "specversion": "1.0",
            "source": conversation.source,
            "id": f"{ROSTER}.{self._events[first].event.id}",
            "type": ROSTER,
            "time": _rfc3339(self._events[first].time),
            "data": {"conversation": place},
        }
        return encode(self._veiled(event) if self._reading.hidden else event)

    def _present(self, first: int, mask: int) -> list[dict[str, Any]]:
        conversation = self._reading.conversation
        if first == 0:
            return [_present(p, inferred=conversation.partial) for p in conversation.roster.present]
        here = [
            p
            for p in conversation.participations
            if not p.invited and p.mask >> first & 1 and p.mask & (1 << first) - 1
        ]
        return [_participant(self._reading.person_address(p, mask), p.name, p.hidden) for p in here]

    def _veiled(self, value: Any) -> Any:
        """Leave out hidden addresses, and attachments' contents; texts that people wrote stay as they wrote them."""
        if isinstance(value, str):
            return self._reading.veil(value)
        if isinstance(value, list):
            return [self._veiled(one) for one in value]
        if not isinstance(value, dict):
            return value
        made = {key: one if key in _SAID else self._veiled(one) for key, one in value.items()}
        files = made.get("attachments")
        if isinstance(files, list):
            made["attachments"] = [_without_content(one) for one in files]
        return made

    def packed(self, lines: list[bytes]) -> bytes:
        """The lines as a gzip file. A function of the lines alone, whatever other views were packed before."""
        if len(lines) < _CHUNK_FROM:
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            return packer.compress(b"\n".join(lines) + b"\n") + packer.flush()
        checksum = size = 0
        pieces = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03"]
        for chunk in _cut(lines):
            data = b"\n".join(chunk) + b"\n"
            checksum = zlib.crc32(data, checksum)
            size += len(data)
            pieces.append(self._chunk(chunk, data))
        pieces.append(b"\x03\x00" + checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))
        return b"".join(pieces)

    def _chunk(self, chunk: tuple[bytes, ...], data: bytes) -> bytes:
        """Whole deflate blocks (RFC 1951): a full flush makes them independent, so that views can share them."""
        if chunk not in self._chunks:
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
            self._chunks[chunk] = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
        return self._chunks[chunk]


def _cut(lines: list[bytes]) -> list[tuple[bytes, ...]]:
    """Pieces that end at lines chosen by their own content, so that equal stretches of two views are equal pieces."""
    ends = [n + 1 for n, line in enumerate(lines) if zlib.crc32(line[-200:]) & 31 == 0]
    starts = [0, *ends]
    if starts[-1] == len(lines):
        starts.pop()
    return [tuple(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _inner(address: str) -> bytes:
    return encode(address)[1:-1]


def _present(presence: Presence, *, inferred: bool) -> dict[str, Any]:
    """Where presence is inferred, it runs out some time after the last act: so that belongs to it."""
    made = _participant(presence.addresses[-1], presence.name, presence.hidden)
    return {**made, ACTED: _rfc3339(presence.acted)} if inferred and presence.acted is not None else made


def _participant(address: str, name: str | None, hidden: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"address": address}
    if name is not None:
        made["name"] = name
    if hidden:
        made["hidden"] = True
    return made


def _rfc3339(time: int) -> str:
    return moment(time).isoformat().replace("+00:00", "Z")


def _without_content(file: Any) -> Any:
    if not isinstance(file, dict):
        return file
    return {key: value for key, value in file.items() if key not in ("content", "path")}


_REDACTED_ALREADY = re.compile(r"sha256:[0-9a-f]{64}")


def _digest(value: Any) -> str:
    if isinstance(value, str) and _REDACTED_ALREADY.fullmatch(value):
        return value  # an item rebuilt from an item: the content went then
    octets = value.encode("utf-8", "replace") if isinstance(value, str) else encode(value)
    return "sha256:" + sha256(octets).hexdigest()


def redacted(event: dict[str, Any]) -> dict[str, Any]:
    """A sent or edited message without its content: each member that holds some is replaced by its digest."""
    made = {k: v if k in _KEPT_OF_EVENT or k.startswith("archiver") else _digest(v) for k, v in event.items()}
    data = event.get("data") or {}
    kept = {k: v if k in _KEPT_OF_DATA else _digest(v) for k, v in data.items() if k not in _NOT_TEXT}
    message = data.get("message")
    if isinstance(message, dict):
        kept["message"] = {k: v if k in _KEPT_OF_MESSAGE else _digest(v) for k, v in message.items()}
    files = data.get("attachments")
    if isinstance(files, list):
        kept["attachments"] = [{"sha256": _file_digest(file)} for file in files]
    made["data"] = kept
    made[REDACTED] = "retracted"
    return made


def _file_digest(file: Any) -> str:
    known = file.get("sha256") if isinstance(file, dict) else None
    return known if isinstance(known, str) else sha256(encode(file)).hexdigest()


def lines_of(item: bytes) -> list[bytes]:
    """The event lines an item carries, the roster's first."""
    message = message_from_bytes(item, policy=policy.default)
    for part in message.iter_attachments():
        if part.get_filename() == FILE_NAME:
            packed = part.get_payload(decode=True)
            return re.findall(rb"[^\n]+", _unpacked(packed if isinstance(packed, bytes) else b""))
    raise UsageError("this message carries no events", hint="only items made by the archiver have them")


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        data = unpacker.decompress(packed, MAXIMUM_UNPACKED)
    except zlib.error as error:
        raise UsageError(f"the item's events are damaged: {error}") from error
    if not unpacker.eof:
        raise UsageError("the item's events are cut off, or larger than anything the archiver writes")
    return data


def events_of(item: bytes) -> list[dict[str, Any]]:
    """The events an item carries, decoded."""
    return [msgspec.json.decode(line) for line in lines_of(item)]
