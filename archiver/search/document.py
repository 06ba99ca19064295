"""What of an item is searched: facts, and texts by field. Pure: reads what it is given, and no folder.

An item of ours is read from the events it carries: those of one view, without what its text hides. Anything else, and
what is damaged, from its headers and its text.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from datetime import datetime
from email.header import decode_header, make_header
from email.message import Message
from hashlib import blake2b
from urllib.parse import unquote

import nh3
from msgspec import Struct, json

from archiver.events import BARE, Event, Participant, microseconds
from archiver.inspection.item import UNPACKED, is_missed, last_of
from archiver.inspection.messages import attached, date_of, header, headers_of, parsed, parts_of, text_of
from archiver.rendering.evidence import FILE_NAME, Line, lines_of
from archiver.store.protocol import Found

_MOST = 8 * 1024 * 1024
"""Characters of an item that are searched; a part of a conversation is cut long before."""


class Texts(Struct, frozen=True):
    """What is looked for words in. `said` has a line for each thing said, beginning with who said it."""

    authors: str
    subject: str
    people: str
    room: str
    said: str
    files: str


class Document(Struct, frozen=True):
    """`digest` is that of the item's bytes: equal items are one document. Times in microseconds."""

    digest: bytes
    first: int
    last: int
    kind: str
    missed: bool
    has_file: bool
    texts: Texts


_decode = json.Decoder(Line).decode


def digest_of(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def document_of(found: Found, content: bytes) -> Document:
    message = parts_of(content)  # its fields as they stand: to parse them all takes as long as the rest
    first = _first(message, content, found)
    texts = _texts(message, content)
    return Document(
        digest=digest_of(content),
        first=first,
        last=max(first, last_of(message, first)),
        kind=header(message, "X-Archiver-Kind") or "mail",
        missed=is_missed(message),
        has_file=bool(texts.files),
        texts=texts,
    )


def _first(message: Message, content: bytes, found: Found) -> int:
    try:
        return microseconds(datetime.fromisoformat(header(message, "X-Archiver-First")))
    except (ValueError, OverflowError, TypeError):
        date = date_of(headers_of(content))
        return found.modified if date is None else date


def _texts(message: Message, content: bytes) -> Texts:
    sender = _raw(message, "From")
    people = [sender, _raw(message, "To"), _raw(message, "Cc")]
    room = [unquote(header(message, name)) for name in ("X-Archiver-Conversation", "X-Archiver-Source")]
    try:
        events = [_decode(line) for line in lines_of(message, UNPACKED)]
    except Exception:  # no events, damaged ones, or parts that the parser fails on
        authors, said = [sender], _plain(content)
        files = [name for name in attached(message) if name != FILE_NAME]
    else:
        authors = _names(event.data.actor for event in events if event.type not in BARE)
        people += _names(person for event in events for person in _people(event))
        room.append(next((e.data.conversation.topic for e in events if e.data.conversation.topic), ""))
        said = "\n".join(_said(events))
        files = [file.name or file.url or "?" for event in events for file in event.data.attachments or ()]
    return Texts(
        authors=_joined(authors),
        subject=_joined([_raw(message, "Subject")]),
        people=_joined(people),
        room=_joined(room),
        said=_clean(said),
        files=_joined(files),
    )


def _joined(texts: Iterable[str]) -> str:
    """On a line each, so that no two of them read as one phrase in what is shown."""
    return _clean("\n".join(dict.fromkeys(" ".join(text.split()) for text in texts if text)))


def _clean(text: str) -> str:
    """Not too long, and without lone surrogates, which stand for bytes that nobody could read."""
    return text[:_MOST].encode("utf-8", "replace").decode()


def _raw(message: Message, name: str) -> str:
    """A field decoded as it stands: parsing a thousand people takes a hundred times as long."""
    value = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    try:
        return str(make_header(decode_header(value)))
    except Exception:  # the parser fails in many ways on what it was never meant for
        return value


def _people(event: Event) -> Iterator[Participant | None]:
    data = event.data
    yield from (data.actor, data.subject, *(data.conversation.participants or ()))


def _names(people: Iterable[Participant | None]) -> list[str]:
    return list(dict.fromkeys(f"{who.name or ''} {who.address}" for who in people if who is not None))


def _said(events: Iterable[Line]) -> Iterator[str]:
    """What was replaced by a digest nobody looks for."""
    for event in events:
        if event.archiverredacted is None and (text := " ".join(filter(None, _contents(event)))):
            actor = event.data.actor
            yield f"{actor.name or actor.address}: {text}" if actor is not None else text


def _contents(event: Event) -> Iterator[str | None]:
    data = event.data
    if data.message is not None:
        text = data.message.text
        yield _without_tags(data.message.html) if text is None and data.message.html else text
    if data.poll is not None:
        yield data.poll.question
        yield from data.poll.options or ()
    yield from (data.topic, data.title, data.text, data.reaction, data.reason)


def _without_tags(markup: str) -> str:
    return html.unescape(nh3.clean(markup, tags=set()))


def _plain(content: bytes) -> str:
    message = parsed(content)
    try:
        body = message.get_body(("plain", "html"))
        is_html = body is not None and body.get_content_subtype() == "html"
    except Exception:
        return ""
    text = text_of(message)[:_MOST]
    return _without_tags(text) if is_html else text
