"""One entry of a chat as Telegram Desktop writes it, and its words.

What a message shows beside its text (a place, a contact, a game, an invoice) stands in brackets: it was part of what
was said. Source: Telegram Desktop, export_output_json.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from archiver.importers import jsonfile


class Piece(Struct):
    type: str = ""
    text: str = ""
    href: str | None = None


class Answer(Struct):
    """`voters` is how many chose it, up to the export."""

    text: Any = ""
    voters: int | None = None


class Question(Struct):
    """When it was `closed` isn't told."""

    question: Any = ""
    closed: bool = False
    answers: list[Answer] = []

    @property
    def tally(self) -> tuple[int, ...] | None:
        """By answer; None where it isn't told of each."""
        counts = tuple(each.voters for each in self.answers if each.voters is not None)
        return counts if len(counts) == len(self.answers) else None


class Recent(Struct):
    """One who reacted; only the latest are told."""

    from_id: str | None = None
    date: str | None = None


class Reaction(Struct):
    type: str = ""
    emoji: str | None = None
    count: int = 0
    recent: list[Recent] = []


class Spot(Struct):
    latitude: float
    longitude: float


class Contact(Struct):
    first_name: str | None = None
    last_name: str | None = None
    phone_number: str | None = None


class Invoice(Struct):
    title: str | None = None
    description: str | None = None


class Line(Struct, rename={"from_": "from"}):
    id: int | None = None
    type: str = "message"
    date: str | None = None
    date_unixtime: str | None = None
    edited: str | None = None
    edited_unixtime: str | None = None
    from_: str | None = None
    from_id: str | None = None
    actor: str | None = None
    actor_id: str | None = None
    action: str | None = None
    title: str | None = None
    members: list[str | None] | None = None
    duration_seconds: int | None = None
    duration: int | None = None
    text: Any = ""
    reply_to_message_id: int | None = None
    forwarded_from: str | None = None
    photo: str | None = None
    file: str | None = None
    file_name: str | None = None
    mime_type: str | None = None
    sticker_emoji: str | None = None
    poll: Question | None = None
    location_information: Spot | None = None
    place_name: str | None = None
    address: str | None = None
    contact_information: Contact | None = None
    contact_vcard: str | None = None
    game_title: str | None = None
    game_description: str | None = None
    invoice_information: Invoice | None = None
    reactions: list[Reaction] = []

    @property
    def words(self) -> str:
        forwarded = f"[forwarded from {self.forwarded_from}]" if self.forwarded_from else ""
        said = " ".join(filter(None, (forwarded, plain(self.text) or self.sticker_emoji)))
        return "\n".join(filter(None, (said, *_shown(self))))


def _shown(line: Line) -> Iterator[str]:
    spot, contact, invoice = line.location_information, line.contact_information, line.invoice_information
    where = f"{spot.latitude}, {spot.longitude}" if spot is not None else ""
    yield _bracketed("location", line.place_name, line.address, where)
    if contact is not None:
        called = " ".join(filter(None, (contact.first_name, contact.last_name)))
        yield _bracketed("contact", called, contact.phone_number)
    yield _bracketed("game", line.game_title, line.game_description)
    if invoice is not None:
        yield _bracketed("invoice", invoice.title, invoice.description)


def _bracketed(kind: str, *details: str | None) -> str:
    told = ", ".join(filter(None, details))
    return f"[{kind}: {told}]" if told else ""


def plain(text: Any) -> str:
    """A text, or a list of texts and marked pieces, as one text; a link keeps where it leads."""
    if isinstance(text, str):
        return text
    return "".join(_piece(each) for each in text) if isinstance(text, list) else ""


def _piece(piece: Any) -> str:
    if isinstance(piece, str):
        return piece
    try:
        made = jsonfile.record(piece, Piece)
    except jsonfile.Broken:
        return ""
    return f"{made.text} ({made.href})" if made.href and made.href != made.text else made.text
