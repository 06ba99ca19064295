"""One mail -> its events: those it carries, or itself as one message that was sent.

A gateway's mail with an event file attached gives exactly the events in it, a journal report the mail that it reports.
Any other is a transcript of one message: who wrote it, to whom, when, what. Pure. Never raises for what a mail holds:
what can't be understood is `Rejected` with the whole mail.

Events say who said what where, so they are believed of gateways only: anybody can write to somebody, and would write
history. A gateway hands its mail over itself, while each server that passes a mail on says so (RFC 5321, 4.4). What is
reported to a journal came from anybody.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from archiver.events import Captured, Participant, Rejected, capture, guess_mark, moment
from archiver.exceptions import EventError
from archiver.sources.carried import carrying, events_of
from archiver.sources.decoding import HEADER_LIMIT, date, header_text, people
from archiver.sources.googlechat import SENDER, space_of
from archiver.sources.journal import Recipient, Report, is_report, report_of
from archiver.sources.parts import Body, Mail, Part, body_of, read_parts

log = structlog.get_logger("archiver.sources")

SOURCE_HEADER = "x-archiver-source"
"""A gateway that turns messages of some system into mails names that system here (`xmpp:chat.example.org`)."""

Believed = Literal["direct", "all", "none"]
"""Whose attached events are believed: of mail that no server passed on, of all, of none."""

_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")
_TNEF_BEGINS = b"\x78\x9f\x3e\x22"
"""As it is stored, little-endian: some mail servers give it a name and a type of their own."""
_OF_A_MAIL = ("from", "sender", "date", "message-id", "to")
_SOURCE = re.compile(r"[!-~]{1,255}")
_ID = re.compile(r"<([^<>]+)>")


def read_mail(
    content: bytes,
    *,
    source: str,
    received: int,
    sender: str = "",
    recipients: Iterable[str] = (),
    arrived: int | None = None,
    events: Believed = "direct",
) -> Iterator[Captured | Rejected]:
    """`source` is the events' own where the mail names none; `sender` stands in for a From that is missing.

    `recipients` are those it was delivered to: addresses of ours. `arrived` is when a mail was delivered that states no
    time, where that is known better than by `received`.
    """
    ours = frozenset(each.lower() for each in recipients)
    delivery = _Delivery(content, source, sender, ours, received, received if arrived is None else arrived)
    try:
        mail = read_parts(content)
        delivery = replace(delivery, trusted=events == "all" or (events == "direct" and not mail.first("received")))
        if is_report(mail) and not _carried(mail, delivery):
            yield from _journalled(report_of(mail), delivery)
        else:
            yield from _given(mail, delivery)
    except EventError as reason:
        yield Rejected(content, _position(content), str(reason), source)
    except RecursionError:
        yield Rejected(content, _position(content), "parts, comments or groups nested too deeply", source)
    except MemoryError:
        raise
    except Exception as fault:
        # Whatever odd mail made a parser fail, it must not be refused for ever: kept whole, and the bug said.
        log.exception("mail_not_understood", source=source, size=len(content))
        yield Rejected(
            content, _position(content), f"not understood as a mail: {type(fault).__name__}: {fault}", source
        )


class _Delivery(Struct, frozen=True):
    """One mail as it was delivered, and when; `content` is what goes to quarantine where something is mended. `trusted`
    where what it says of a conversation is believed."""

    content: bytes
    source: str
    sender: str
    recipients: frozenset[str]
    received: int
    arrived: int
    trusted: bool = False


def _given(mail: Mail, delivery: _Delivery) -> Iterator[Captured | Rejected]:
    if carried := _carried(mail, delivery):
        where = f"mail {_message_id(mail) or 'without Message-ID'}"
        yield from events_of(mail, carried, where, delivery.received)
    else:
        yield _message(mail, delivery, _people(mail, delivery))


def _carried(mail: Mail, delivery: _Delivery) -> list[Part]:
    return carrying(mail) if delivery.trusted else []


def _journalled(report: Report, delivery: _Delivery) -> Iterator[Captured | Rejected]:
    """The mail that was reported, and a copy for those who got it and whom it doesn't name.

    The copy is a message of its own between its author and them: whoever is named can't see who else got it, and
    reports of one mail that name different recipients contradict nothing.
    """
    mail = read_parts(report.original)
    if not any(mail.first(name) for name in _OF_A_MAIL):
        raise EventError("a journal report whose mail can't be read: it has no header of a mail")
    reported = replace(delivery, sender=report.sender, trusted=False)
    people = _people(mail, reported)
    yield _message(mail, reported, people, report.identity)
    named = {person.address for person in people.everybody}
    others = [recipient for recipient in report.recipients if recipient.address not in named]
    if others:
        yield _message(mail, reported, _copied(people, others), report.identity)


class _People(Struct, frozen=True):
    """Who wrote, and everybody who is concerned. `space` is the place of a chat, `copied` tells copies apart."""

    author: Participant | None
    everybody: list[Participant]
    space: str | None = None
    copied: str = ""


def _copied(people: _People, others: list[Recipient]) -> _People:
    """Several who got it blindly don't learn of each other; a single one and the author do."""
    several = len(others) > 1
    got = [Participant(each.address, hidden=each.blind and several) for each in others]
    everybody = [*got, people.author] if people.author is not None else got
    digest = hashlib.sha256(" ".join(sorted(each.address for each in others)).encode()).hexdigest()
    return _People(people.author, sorted(everybody, key=lambda person: person.address), copied=f" to:{digest[:16]}")


def _position(content: bytes) -> str:
    return f"mail sha256:{hashlib.sha256(content).hexdigest()}"


def _message(mail: Mail, delivery: _Delivery, people: _People, identity: str = "") -> Captured:
    """A plain mail as one `message.sent`; `identity` is for one without a Message-ID."""
    body = body_of(mail.parts)
    if not body.text.strip() and any(_is_sealed(part) for part in mail.parts):
        raise EventError("its text is in TNEF (winmail.dat), which isn't read")
    subject = header_text(mail.first("subject"))
    addresses = sorted({person.address for person in people.everybody})
    kind = "im" if len(addresses) <= 2 and people.space is None else "group"
    data: dict[str, Any] = {
        "conversation": {"id": people.space or " ".join(addresses), "kind": kind, "participants": people.everybody},
        "message": _said(mail, body, subject),
    }
    if people.author is not None:
        data["actor"] = people.author
    if subject and kind == "group" and people.space is None:
        data["conversation"]["topic"] = subject
    if subject:  # in one-to-one no topic says it, and nothing a mail said may be lost
        data["mail"] = {"subject": subject}
    if body.files:
        data["attachments"] = [_attachment(file) for file in body.files]
    said = _message_id(mail) or identity or _digest(data)
    written = _written_at(mail)
    at = written or _first_taken(mail) or moment(delivery.arrived)
    data["message"]["id"] = said + people.copied
    event = {
        "specversion": "1.0",
        "source": (_source(mail) if delivery.trusted else "") or delivery.source,
        "id": said + people.copied,
        "type": "message.sent",
        "time": at.isoformat(),
        "data": data,
    }
    if (guessed := guess_mark(None if written is not None else "sent", body.guessed)) is not None:
        event["archiverguessed"] = guessed
    line = msgspec.json.encode(event, order="sorted")
    return capture(line, received=delivery.received, original=delivery.content)


def _digest(data: dict[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()


def _is_sealed(part: Part) -> bool:
    named = part.media_type in _TNEF or (part.name or "").lower() == "winmail.dat"
    return named or part.content.startswith(_TNEF_BEGINS)


def _said(mail: Mail, body: Body, subject: str) -> dict[str, Any]:
    message: dict[str, Any] = {"text": body.text or subject}
    if body.html is not None:
        message["html"] = body.html
    answered = _ID.search(header_text(mail.first("in-reply-to")))
    if answered:
        message["in_reply_to"] = answered[1].strip()
    thread = _ID.search(header_text(mail.first("references")))
    if thread:
        message["thread"] = thread[1].strip()
    return message


def _people(mail: Mail, delivery: _Delivery) -> _People:
    """Who wrote, and everybody named in From, To and Cc, each once, in the order of their addresses."""
    authors = _named(mail, "from") or _named(mail, "sender") or people(delivery.sender)
    found: dict[str, Participant] = {}
    for person in [*authors, *_named(mail, "to"), *_named(mail, "cc")]:
        if person.address not in found or found[person.address].name is None:
            found[person.address] = person
    if not found:
        raise EventError("names nobody: no address in From, To or Cc")
    author = found[authors[0].address] if authors else None
    space = space_of(author.address, header_text(mail.first("subject"))) if author is not None else None
    if space is not None:  # neither Google nor the archive takes part
        ours = delivery.recipients | {SENDER}
        others = [found[address] for address in sorted(found) if address not in ours]
        return _People(None, others, space)
    return _People(author, [found[address] for address in sorted(found)])


def _named(mail: Mail, header: str) -> list[Participant]:
    values = mail.all(header)
    length = sum(map(len, values))
    if length > HEADER_LIMIT:
        raise EventError(f"a {header.title()} header of {length:,} characters; {HEADER_LIMIT:,} are looked at")
    return [person for value in values for person in people(value)]


def _attachment(file: Part) -> dict[str, str]:
    described = {"media_type": file.media_type, "content": base64.b64encode(file.content).decode("ascii")}
    return described if file.name is None else {"name": file.name, **described}


def _message_id(mail: Mail) -> str:
    raw = header_text(mail.first("message-id"))
    found = _ID.search(raw)
    identity = found[1].strip() if found else raw
    # RFC 5322, 2.1.1: no line is longer; one that is would make our own index grow without bound.
    return identity if len(identity) <= 998 else ""


def _source(mail: Mail) -> str:
    named = header_text(mail.first(SOURCE_HEADER))
    return named if _SOURCE.fullmatch(named) else ""


def _written_at(mail: Mail) -> datetime | None:
    return _stated([mail.first("date")])


def _first_taken(mail: Mail) -> datetime | None:
    """When the first server had it, which stays the same if it is delivered again."""
    return _stated(value.rpartition(";")[2] for value in reversed(mail.all("received")))


def _stated(stamps: Iterable[str]) -> datetime | None:
    found = next((stated for stamp in stamps if stamp and (stated := date(stamp)) is not None), None)
    try:
        return found.astimezone(UTC) if found is not None and found.year > 1 else None
    except OverflowError:  # in the last hours of the year 9999, west of Greenwich
        return None
