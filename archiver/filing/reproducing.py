"""An item against its own events: made again from nothing but itself, it must come out the same.

Joins rebuilding and showing. Files the item only names can't be had from it: what it says of them is taken as one of
the two things it could say. An item of another renderer's making may differ in its words; then it says which made it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from hashlib import sha256
from itertools import islice, product

from msgspec import Struct

from archiver.conversations.rules import Rules
from archiver.exceptions import UsageError
from archiver.filing.rebuilding import rebuild
from archiver.filing.showing import Showing
from archiver.rendering import RENDERER, Limits
from archiver.store.damage import Code
from archiver.types import Conversation, Item, Look

Blob = Callable[[str], bytes | None]

_MOST_WAYS = 16
_TRANSPORT = re.compile(rb"^X-TUID: [^\n]*\n", re.MULTILINE)
"""What mbsync adds to find a message again that it has stored."""
_MAKER = "conversation-archiver-renderer/"


def nothing(_: str) -> None:
    """Where there are no files but the item's own."""


class Proof(Struct, frozen=True):
    """What came of it: `code` is None where all is well. `name` and `changed` are the base name and date it should
    have, empty and 0 where it can't be made again; `renderer` is who made it where its words can't be compared."""

    code: Code | None
    found: str = ""
    name: str = ""
    changed: int = 0
    renderer: str = ""


def prove(content: bytes, rules: Rules, limits: Limits, blob: Blob = nothing) -> Proof:
    """Also takes what a mail client copied: its line ends, and the header field that mbsync adds, are no change."""
    content = _as_filed(content)
    try:
        message = message_from_bytes(content)
        conversation, look = rebuild(message, rules)
        own = dict(_files(message))
        made = [_made(conversation, look, way, rules, limits, own) for way in _ways(conversation, own, blob)]
    except UsageError as error:
        return Proof(Code.EVENTS_MISSING if "no events" in str(error) else Code.EVENTS_UNREADABLE, str(error))
    except Exception as error:  # whatever somebody has made of it, the others are still to be checked
        return Proof(Code.EVENTS_UNREADABLE, f"its events can't be made an item again: {type(error).__name__}: {error}")
    return _compared(content, message, made)


def _compared(content: bytes, message: Message, made: list[Item]) -> Proof:
    item = made[0]
    said = str(message.get("X-Archiver-Renderer", "")).replace("\n", "")
    if any(each.content == content for each in made):
        return Proof(None, "", item.name, item.changed)
    other = said if said != RENDERER and said.startswith(_MAKER) else ""
    if str(message.get("X-Archiver-Key", "")).strip() != item.key and not (other and _generation(other)):
        return Proof(Code.EVENTS_CHANGED, "its events are not those that its key was made of", item.name, item.changed)
    if other:
        return Proof(None, "", item.name, item.changed, other)
    return Proof(Code.CHANGED, "made again from its own events it is another", item.name, item.changed)


def _generation(renderer: str) -> bool:
    """Whether keys themselves are made otherwise by now."""
    return renderer.split()[0] != RENDERER.split()[0]


def _as_filed(content: bytes) -> bytes:
    if b"\r\n" in content[:4096]:
        content = content.replace(b"\r\n", b"\n")
    end = content.find(b"\n\n") + 1
    return _TRANSPORT.sub(b"", content[:end]) + content[end:]


def _files(message: Message) -> Iterator[tuple[str, bytes]]:
    """The files it holds, by their digest as they are now."""
    for part in message.walk():
        if part.get("Content-ID") is not None:
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield sha256(payload).hexdigest(), payload


def _ways(conversation: Conversation, own: dict[str, bytes], blob: Blob) -> Iterator[dict[str, bytes | None]]:
    """For files that the item only names: each either too large for it, or nowhere to be had."""
    named = {
        file.sha256
        for captured in conversation.events
        for file in captured.event.data.attachments or ()
        if file.sha256 is not None and file.sha256 not in own
    }
    absent = sorted(named)
    yield {digest: blob(digest) for digest in absent}
    if absent:
        ways = product((None, b""), repeat=len(absent))
        yield from (dict(zip(absent, way, strict=True)) for way in islice(ways, _MOST_WAYS))


def _made(
    conversation: Conversation,
    look: Look,
    way: dict[str, bytes | None],
    rules: Rules,
    limits: Limits,
    own: dict[str, bytes],
) -> Item:
    sizes = [len(content) for content in own.values()]
    room = Limits(max([limits.file, *sizes]), max(limits.files, sum(sizes)))
    too_large = b"\0" * (room.file + 1) if b"" in way.values() else b""

    def fetch(digest: str) -> bytes | None:
        if digest in own:
            return own[digest]
        found = way.get(digest)
        return too_large if found == b"" else found

    return Showing(conversation, fetch, rules, room).item(look)
