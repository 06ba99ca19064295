"""Conversations and looks -> items: rendering key, names, headers, MIME bytes; always the same bytes.

    view's conversation ─► reading (facts) ─► evidence (lines, key)  ─┐
                                           └► transcript (text, HTML) ─┴► parts ─► item per look

Pure: no clock, no file but the package's own words and zone rules. What several looks, or views, share is made once.
"""

from __future__ import annotations

import re
import zlib
from functools import cache, cached_property
from hashlib import blake2b
from importlib.metadata import version

from msgspec import Struct

from archiver.events import SECOND, Attachment
from archiver.rendering.entries import View
from archiver.rendering.envelope import Dates, Envelope, address_fields, place_fields
from archiver.rendering.evidence import FILE_NAME, Chunks, lines_for
from archiver.rendering.files import DOMAIN, Fetch, Files, Limits, Shelf, content_id, is_picture, media_type, name_of
from archiver.rendering.headers import file_parameters, spelling
from archiver.rendering.mime import Lines, Part, base64_lines, lines, multipart, text_part
from archiver.rendering.people import Known
from archiver.rendering.reading import Reading
from archiver.rendering.transcript import Made, Told, Transcript, html_head
from archiver.rendering.wording import clock_of, negotiate, words
from archiver.types import Conversation, Item, Look, Role

RENDERER = (
    f"conversation-archiver-renderer/1 babel/{version('babel')} tzdata/{version('tzdata')}"
    f" nh3/{version('nh3')} zlib/{zlib.ZLIB_RUNTIME_VERSION}"
)
"""Whatever an item's bytes depend on besides what its key says."""


def base_name(key: str, date: int) -> str:
    """The Maildir base name, without flags, of the item with this key whose first visible event is at `date`."""
    return f"{date // SECOND}.K{key}.conversation-archiver"


_BASE_NAME = re.compile(r"[0-9]+\.K[0-9a-f]{32}\.conversation-archiver")


def is_base_name(name: str) -> bool:
    """Whether a file's base name is one that `base_name` gives."""
    return _BASE_NAME.fullmatch(name) is not None


def message_id(key: str) -> str:
    return f"<{key}@{DOMAIN}>"


_MESSAGE_ID = re.compile(rf"<[0-9a-f]{{32}}@{re.escape(DOMAIN)}>")


def is_message_id(text: str) -> bool:
    """Whether a Message-ID is one that `message_id` gives."""
    return _MESSAGE_ID.fullmatch(text) is not None


def is_ours(name: str, message_id: str) -> bool:
    """Whether a message is an item, by its base name or, where a client gave it another, by its Message-ID."""
    return is_base_name(name) or is_message_id(message_id)


class Shared:
    """What the renderings of one conversation's views have in common: files, packed stretches, lines."""

    def __init__(self, attachment: Fetch = lambda digest: None, limits: Limits | None = None) -> None:
        self.files = Files(attachment, limits or Limits())
        self.chunks = Chunks()
        self._people: dict[str, Known] = {}
        self._lines: dict[tuple[str, str], dict[bytes, tuple[str, str]]] = {}

    def made(self, locale: str, zone: str, *, alone: bool) -> Made:
        """What is to be kept of a language and zone; no lines where a view is `alone`, without another to keep for."""
        people = self._people.setdefault(locale, {})
        return Made(people, None if alone else self._lines.setdefault((locale, zone), {}))


class _Traces(Struct, frozen=True):
    """What a view's events come to before any words: the lines, their digest so far, what is hidden."""

    lines: list[bytes]
    digest: blake2b
    concealed: frozenset[int]


class _Sheet(Struct, frozen=True):
    """What looks of one language, zone and retraction setting share: all but title and headers."""

    text: Lines
    html: Lines
    addressed: str
    dates: Dates
    files: tuple[Part, ...]
    pictures: tuple[Part, ...]
    events: Part


_EVENTS_FIELDS = (
    f'Content-Type: application/gzip;\n name="{FILE_NAME}"\nContent-Transfer-Encoding: base64\n'
    f'Content-Disposition: attachment;\n filename="{FILE_NAME}"\n'
)


class Rendering:
    """The renderings of one view: all events of `conversation` are shown. What looks at it share is made once.

    Whoever is hidden in it bears a pseudonym already, but in a `complete` one.
    """

    def __init__(self, conversation: Conversation, shared: Shared | None = None, *, complete: bool = False) -> None:
        self.conversation = conversation
        self._shared = shared or Shared()
        self._reading = Reading(conversation, complete=complete)
        self._shelf = Shelf(self._reading, self._shared.files)
        self._transcripts: dict[tuple[str, str], Transcript] = {}
        self._traces: dict[bool, _Traces] = {}
        self._sheets: dict[tuple[str, str, bool], _Sheet] = {}
        self._packed: dict[bool, Part] = {}
        self._keys: dict[Look, str] = {}

    def key(self, look: Look) -> str:
        """The rendering key of a look: equal keys are one item, and nothing is rendered to find it."""
        if look not in self._keys:
            conversation = self.conversation
            digest = self._trace(look.show_retracted).digest.copy()
            parameters = (
                negotiate(look.locale),
                look.zone,
                look.role.value,
                look.show_retracted,
                conversation.part,
                conversation.kind,
                conversation.partial,
                # As the headers have them, which cut what is too long.
                None if conversation.session is None else spelling(conversation.session),
                None if look.side is None else spelling(look.side),
                *(("complete",) if look.complete else ()),
            )
            digest.update(repr(parameters).encode("utf-8", "replace"))
            self._keys[look] = digest.hexdigest()
        return self._keys[look]

    def name(self, look: Look) -> str:
        """The Maildir base name that its item will have."""
        return base_name(self.key(look), self.conversation.events[0].time)

    def kept(self, look: Look) -> frozenset[str]:
        """Digests of the files that its item only names: they stay in the blob store as long as it does."""
        return self._shelf.kept(self._trace(look.show_retracted).concealed)

    def item(self, look: Look) -> Item:
        key = self.key(look)
        sheet = self._sheet(look)
        transcript = self._transcript(look)
        events = self.conversation.events
        first, last = events[0].time, events[-1].time
        envelope = Envelope(self._reading, transcript, look, self._place)
        body = _body(key, head(transcript.words.tag), transcript.opening(envelope.title, envelope.topic), sheet)
        fields = envelope.fields(key, message_id(key), sheet.addressed, sheet.dates)
        return Item(
            key=key,
            name=base_name(key, first),
            message_id=message_id(key),
            subject=envelope.subject,
            date=first,
            changed=last,
            seen=look.role is Role.TOOK_PART,
            content=body.message(fields),
        )

    def let_go(self) -> None:
        """Drop the texts that were made; they come again where they are asked for again."""
        self._transcripts, self._sheets, self._packed = {}, {}, {}

    # What looks share

    @cached_property
    def _place(self) -> str:
        return place_fields(self._reading, RENDERER)

    def _trace(self, show_retracted: bool) -> _Traces:
        if show_retracted not in self._traces:
            concealed = frozenset[int]() if show_retracted else self._reading.retracted
            echoes = frozenset[int]() if show_retracted else self._reading.echoes
            seen = lines_for(self.conversation, concealed, echoes, self._shelf.holders)
            self._traces[show_retracted] = _Traces(seen, blake2b(b"\n".join(seen), digest_size=16), concealed)
        return self._traces[show_retracted]

    def _transcript(self, look: Look) -> Transcript:
        which = (negotiate(look.locale), look.zone)
        if which not in self._transcripts:
            # In a one-to-one both see the same.
            made = self._shared.made(*which, alone=self.conversation.kind == "im")
            self._transcripts[which] = Transcript(
                self._reading, words(look.locale), clock_of(look.zone), self._shelf, made
            )
        return self._transcripts[which]

    def _sheet(self, look: Look) -> _Sheet:
        which = (negotiate(look.locale), look.zone, look.show_retracted)
        if which not in self._sheets:
            concealed = self._trace(look.show_retracted).concealed
            held, over = self._shelf.chosen(concealed)
            transcript = self._transcript(look)
            told = transcript.told(View(concealed, over))
            addressed = address_fields(self._reading, transcript.names)
            parts = {digest: self._file_part(digest, file) for digest, file in held.items()}
            pictures = tuple(part for digest, part in parts.items() if is_picture(held[digest]))
            files = tuple(part for digest, part in parts.items() if not is_picture(held[digest]))
            self._sheets[which] = _Sheet(
                text=lines(told.text),
                html=lines(told.html),
                addressed=addressed,
                dates=Dates.of(transcript.clock, self.conversation.events),
                files=files,
                pictures=pictures,
                events=self._events_part(look.show_retracted),
            )
        return self._sheets[which]

    def _events_part(self, show_retracted: bool) -> Part:
        if show_retracted not in self._packed:
            packed = self._shared.chunks.packed(self._trace(show_retracted).lines)
            self._packed[show_retracted] = Part(_EVENTS_FIELDS, [base64_lines(packed)])
        return self._packed[show_retracted]

    def _file_part(self, digest: str, file: Attachment) -> Part:
        in_type, in_disposition = file_parameters(name_of(file))
        disposition = "inline" if is_picture(file) else "attachment"
        fields = (
            f"Content-Type: {media_type(file)}{in_type}\nContent-Transfer-Encoding: base64\n"
            f"Content-ID: <{content_id(digest)}>\nContent-Disposition: {disposition}{in_disposition}\n"
        )
        return Part(fields, [base64_lines(self._shelf.content(digest) or b"")])


@cache
def head(tag: str) -> Lines:
    """The beginning of every HTML text in one language."""
    return lines(html_head(tag))


def _body(key: str, above: Lines, opening: Told, sheet: _Sheet) -> Part:
    """multipart/mixed of both texts, the shared files and, last, the events."""
    # No content can hold the key: it is a digest of that content.
    plain = text_part("plain", lines(opening.text), sheet.text)
    html = text_part("html", above, lines(opening.html), sheet.html)
    if sheet.pictures:
        html = multipart("related", f"=_{key}_r", (html, *sheet.pictures))
    texts = multipart("alternative", f"=_{key}_a", (plain, html))
    return multipart("mixed", f"=_{key}_m", (texts, *sheet.files, sheet.events))
