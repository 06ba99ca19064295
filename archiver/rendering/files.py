"""The shared files of a conversation: which go into an item, shown in place or attached, and which are only named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum

from msgspec import Struct

from archiver.events import Attachment
from archiver.rendering.headers import file_name
from archiver.rendering.reading import Reading

DOMAIN = "conversation-archiver.invalid"
"""What our own identifiers end in; .invalid never resolves (RFC 2606 2)."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]{0,63})/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\Z")
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

Fetch = Callable[[str], bytes | None]


class Limits(Struct, frozen=True):
    """Sizes in bytes: of one file that an item may hold, and of all its files together."""

    file: int = 10 * 1024 * 1024
    files: int = 25 * 1024 * 1024


class State(Enum):
    SHOWN = "shown"
    ATTACHED = "attached"
    KEPT = "kept"
    MISSING = "missing"
    LEFT_OUT = "left out"
    """What two people send each other is none of the archive's: it only says that there was such a file."""
    LINKED = "linked"


def digest_of(file: Attachment) -> str | None:
    """The file's SHA-256, if it is one: it comes from outside and goes into a header."""
    return file.sha256 if file.sha256 is not None and _DIGEST.match(file.sha256) else None


def media_type(file: Attachment) -> str:
    """A type safe to attach. Composite ones may not be base64 (RFC 2046 5.1 and 5.2.1), so they are mere octets."""
    found = _TYPE.match((file.media_type or "").partition(";")[0].strip().lower())
    return "application/octet-stream" if not found or found[1] in ("multipart", "message") else found[0]


def is_picture(file: Attachment) -> bool:
    return media_type(file) in _PICTURES


def content_id(digest: str) -> str:
    return f"{digest}@{DOMAIN}"


def name_of(file: Attachment) -> str:
    return file_name(file.name or "")


class Files:
    """Contents of shared files, each fetched once, at first need; and how large they may be."""

    def __init__(self, fetch: Fetch, limits: Limits) -> None:
        self.limits = limits
        self._fetch = fetch
        self._contents: dict[str, bytes | None] = {}

    def content(self, digest: str) -> bytes | None:
        if digest not in self._contents:
            self._contents[digest] = self._fetch(digest)
        return self._contents[digest]


class Shelf:
    """The files of one view."""

    def __init__(self, reading: Reading, files: Files) -> None:
        self._reading = reading
        self._limits = files.limits
        self._left_out = reading.complete and reading.conversation.kind == "im"
        self.content = files.content
        self.holders = [index for index, event in enumerate(reading.events) if event.data.attachments]

    def state(self, file: Attachment, over: frozenset[str]) -> State:
        """What becomes of a file; `over` are those that the item has no more room for."""
        digest = digest_of(file)
        if digest is None:
            return State.LINKED if file.url else State.MISSING
        if self._left_out:
            return State.LEFT_OUT
        if digest in over or (file.size or 0) > self._limits.file:
            return State.KEPT
        content = self.content(digest)
        if content is None:
            return State.MISSING
        if len(content) > self._limits.file:
            return State.KEPT
        return State.SHOWN if is_picture(file) else State.ATTACHED

    def chosen(self, concealed: frozenset[int]) -> tuple[dict[str, Attachment], frozenset[str]]:
        """The files the item holds, by digest, and those left out for want of room."""
        held: dict[str, Attachment] = {}
        over: set[str] = set()
        room = self._limits.files
        for file in self._shared(concealed):
            digest = digest_of(file)
            if digest is None or digest in held or digest in over:
                continue
            if self.state(file, frozenset()) in (State.SHOWN, State.ATTACHED):
                size = len(self.content(digest) or b"")
                if size > room:
                    over.add(digest)
                else:
                    held[digest] = file
                    room -= size
        return held, frozenset(over)

    def kept(self, concealed: frozenset[int]) -> frozenset[str]:
        """Digests of the files that are too large for the item."""
        if not self.holders:
            return frozenset()
        _, over = self.chosen(concealed)
        digests = ((file, digest_of(file)) for file in self._shared(concealed))
        return frozenset(digest for file, digest in digests if digest and self.state(file, over) is State.KEPT)

    def _shared(self, concealed: frozenset[int]) -> Iterator[Attachment]:
        for index in self.holders:
            if index not in concealed:
                yield from self._reading.events[index].data.attachments or ()
