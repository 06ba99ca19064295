"""Conversations and looks -> items: rendering key, names, headers, MIME bytes; always the same bytes.

    conversation ─► reading (facts) ─► evidence (lines, key)  ─┐
                                    └► transcript (text, HTML) ─┴► parts ─► item per look

Pure: no clock, no file but the package's own words and zone rules. What several looks share is made once.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import version
from typing import TypeVar

from msgspec import Struct

from archiver.events import SECOND, Attachment
from archiver.rendering.entries import View
from archiver.rendering.envelope import Envelope, address_fields, place_fields
from archiver.rendering.evidence import FILE_NAME, Evidence, events_of, lines_of
from archiver.rendering.files import DOMAIN, Fetch, Limits, Shelf, content_id, is_picture, media_type, name_of
from archiver.rendering.headers import file_parameters
from archiver.rendering.mime import Lines, Part, base64_lines, lines, multipart, text_part
from archiver.rendering.reading import Reading, first_bit
from archiver.rendering.transcript import Told, Transcript
from archiver.rendering.wording import clock_of, negotiate, words
from archiver.types import Conversation, Item, Look, Role

__all__ = ["RENDERER", "Limits", "Rendering", "base_name", "events_of", "key", "lines_of", "message_id", "render"]

RENDERER = (
    f"conversation-archiver-renderer/1 babel/{version('babel')} tzdata/{version('tzdata')}"
    f" nh3/{version('nh3')} zlib/{zlib.ZLIB_RUNTIME_VERSION}"
)
"""Whatever an item's bytes depend on besides what its key says."""


_KEPT = 4
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def key(conversation: Conversation, look: Look) -> str:
    """The rendering key of a look: equal keys are one item, and nothing is rendered to find it."""
    return Rendering(conversation).key(look)


def base_name(key: str, date: int) -> str:
    """The Maildir base name, without flags, of the item with this key whose first visible event is at `date`."""
    return f"{date // SECOND}.K{key}.conversation-archiver"


_BASE_NAME = re.compile(r"[0-9]+\.K[0-9a-f]{32}\.conversation-archiver")


def is_base_name(name: str) -> bool:
    """Whether a file's base name is one that `base_name` gives."""
    return _BASE_NAME.fullmatch(name) is not None


def message_id(key: str) -> str:
    return f"<{key}@{DOMAIN}>"


def render(
    conversation: Conversation, looks: Sequence[Look], attachment: Fetch, limits: Limits | None = None
) -> list[Item]:
    """One item a look, in their order. `attachment` gives a shared file's content by SHA-256, None where it is gone."""
    rendering = Rendering(conversation, attachment, limits)
    # Looks of one view one after the other, so that what they share is still at hand.
    order = sorted(range(len(looks)), key=lambda n: looks[n].mask)
    made = {n: rendering.item(looks[n]) for n in order}
    return [made[n] for n in range(len(looks))]


class _Traces(Struct, frozen=True):
    """What a view's events come to before any words: the lines, their digest so far, what is hidden."""

    lines: list[bytes]
    digest: blake2b
    concealed: int


class _Sheet(Struct, frozen=True):
    """What looks of one mask, language, zone and retraction setting share: all but title and headers."""

    text: Lines
    html: Lines
    addressed: str
    files: tuple[Part, ...]
    pictures: tuple[Part, ...]
    events: Part


_EVENTS_FIELDS = (
    f'Content-Type: application/gzip;\n name="{FILE_NAME}"\nContent-Transfer-Encoding: base64\n'
    f'Content-Disposition: attachment;\n filename="{FILE_NAME}"\n'
)


class Rendering:
    """One conversation's renderings; whatever looks share is made once and kept while this lives."""

    def __init__(
        self, conversation: Conversation, attachment: Fetch = lambda digest: None, limits: Limits | None = None
    ) -> None:
        self.conversation = conversation
        self._reading = Reading(conversation)
        self._evidence = Evidence(self._reading)
        self._shelf = Shelf(self._reading, attachment, limits or Limits())
        self._transcripts: dict[tuple[str, str], Transcript] = {}
        self._traces: dict[tuple[int, bool], _Traces] = {}
        self._sheets: dict[tuple[int, str, str, bool], _Sheet] = {}
        self._packed: dict[tuple[int, bool], Part] = {}

    def key(self, look: Look) -> str:
        digest = self._trace(look).digest.copy()
        other = self._reading.other(look.side, look.mask)
        parameters = (
            negotiate(look.locale),
            look.zone,
            look.role.value,
            look.show_retracted,
            self.conversation.part,
            self.conversation.kind,
            self.conversation.session,
            None if other is None else other.address,
        )
        digest.update(repr(parameters).encode("utf-8", "replace"))
        return digest.hexdigest()

    def name(self, look: Look) -> str:
        """The Maildir base name that its item will have."""
        return base_name(self.key(look), self.conversation.events[first_bit(look.mask)].time)

    @property
    def has_files(self) -> bool:
        return self._shelf.holders != 0

    def kept(self, look: Look) -> frozenset[str]:
        """Digests of the files that its item only names: they stay in the blob store as long as it does."""
        return self._shelf.kept(look.mask & ~self._trace(look).concealed)

    def item(self, look: Look) -> Item:
        key = self.key(look)
        sheet = self._sheet(look)
        transcript = self._transcript(look)
        events = self.conversation.events
        first, last = events[first_bit(look.mask)].time, events[look.mask.bit_length() - 1].time
        envelope = Envelope(self._reading, transcript, look, self._place)
        opening = transcript.opening(envelope.title, envelope.topic, look.mask)
        body = _body(key, opening, sheet)
        fields = envelope.fields(key, message_id(key), sheet.addressed, (first, last))
        return Item(
            key=key,
            name=base_name(key, first),
            message_id=message_id(key),
            subject=envelope.subject,
            date=first,
            changed=last,
            seen=look.role is Role.TOOK_PART,
            content=(fields + body.fields + "\n").encode("ascii") + body.body,
        )

    # What looks share

    @cached_property
    def _place(self) -> str:
        return place_fields(self._reading, RENDERER)

    def _trace(self, look: Look) -> _Traces:
        which = (look.mask, look.show_retracted)
        if which not in self._traces:
            concealed = self._reading.concealed(look.mask, look.show_retracted)
            seen = self._evidence.lines(look.mask, concealed)
            digest = blake2b(b"\n".join(seen), digest_size=16)
            people = self._reading.people(look.mask)
            known = [(p.address, p.name, p.spans, p.invited) for p in people]
            digest.update(repr((known, self._reading.borrowed(look.mask))).encode("utf-8", "replace"))
            self._traces[which] = _Traces(seen, digest, concealed)
        return self._traces[which]

    def _transcript(self, look: Look) -> Transcript:
        which = (negotiate(look.locale), look.zone)
        if which not in self._transcripts:
            made = Transcript(self._reading, words(look.locale), clock_of(look.zone), self._shelf)
            self._transcripts[which] = made
        return self._transcripts[which]

    def _sheet(self, look: Look) -> _Sheet:
        which = (look.mask, negotiate(look.locale), look.zone, look.show_retracted)
        if which not in self._sheets:
            concealed = self._trace(look).concealed
            held, over = self._shelf.chosen(look.mask & ~concealed)
            transcript = self._transcript(look)
            told = transcript.told(View(look.mask, concealed, over))
            addressed = address_fields(self._reading, transcript.names, look.mask)
            parts = {digest: self._file_part(digest, file) for digest, file in held.items()}
            pictures = tuple(part for digest, part in parts.items() if is_picture(held[digest]))
            files = tuple(part for digest, part in parts.items() if not is_picture(held[digest]))
            made = _Sheet(lines(told.text), lines(told.html), addressed, files, pictures, self._events_part(look))
            _remember(self._sheets, which, made)
        return self._sheets[which]

    def _events_part(self, look: Look) -> Part:
        which = (look.mask, look.show_retracted)
        if which not in self._packed:
            packed = self._evidence.packed(self._trace(look).lines)
            _remember(self._packed, which, Part(_EVENTS_FIELDS, base64_lines(packed)))
        return self._packed[which]

    def _file_part(self, digest: str, file: Attachment) -> Part:
        in_type, in_disposition = file_parameters(name_of(file))
        disposition = "inline" if is_picture(file) else "attachment"
        fields = (
            f"Content-Type: {media_type(file)}{in_type}\nContent-Transfer-Encoding: base64\n"
            f"Content-ID: <{content_id(digest)}>\nContent-Disposition: {disposition}{in_disposition}\n"
        )
        return Part(fields, base64_lines(self._shelf.content(digest) or b""))


def _remember(cache: dict[_Key, _Value], which: _Key, made: _Value) -> None:
    """Keep only the latest: a busy room's views are large, many and mostly all different."""
    if len(cache) >= _KEPT:
        del cache[next(iter(cache))]
    cache[which] = made


def _body(key: str, opening: Told, sheet: _Sheet) -> Part:
    """multipart/mixed of both texts, the shared files and, last, the events."""
    # No content can hold the key: it is a digest of that content.
    plain = text_part("plain", lines(opening.text), sheet.text)
    html = text_part("html", lines(opening.html), sheet.html)
    if sheet.pictures:
        html = multipart("related", f"=_{key}_r", (html, *sheet.pictures))
    texts = multipart("alternative", f"=_{key}_a", (plain, html))
    return multipart("mixed", f"=_{key}_m", (texts, *sheet.files, sheet.events))
