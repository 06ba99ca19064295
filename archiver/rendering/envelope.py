"""The header fields of one item: who, to whom, about what, when, and the private ones that say how it was made.

Everything derives from what the rendering key covers, so that the same view has the same headers whoever owns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from msgspec import Struct

from archiver.events import Captured, guess_mark, moment
from archiver.rendering.files import DOMAIN
from archiver.rendering.headers import addr_spec, addresses, clean, mailbox, token, unstructured
from archiver.rendering.people import Names
from archiver.rendering.reading import Reading, parties
from archiver.rendering.transcript import Transcript
from archiver.rendering.wording import Clock, header_date
from archiver.types import Conversation, Look, Role

_SUBJECT = 250
_TOPIC = 500
_NAMES = 6
"""Names in a subject; if there are more, the rest are counted."""
_RECIPIENTS = 1_000

_CLASSES = {Role.TOOK_PART: "IPM.Note.Microsoft.Conversation", Role.MISSED: "IPM.Note.Microsoft.Missed"}


class Dates(Struct, frozen=True):
    """When, as fields have it: the first event by the view's clock, and the first and last as they were."""

    begun: str
    span: str

    @classmethod
    def of(cls, clock: Clock, events: Sequence[Captured]) -> Dates:
        first, last = events[0].time, events[-1].time
        span = f"X-Archiver-First: {moment(first).isoformat()}\nX-Archiver-Last: {moment(last).isoformat()}\n"
        return cls(f"Date: {header_date(clock, first)}\n", span)


class Envelope:
    """What the headers of one look say."""

    def __init__(self, reading: Reading, transcript: Transcript, look: Look, place: str) -> None:
        self._reading = reading
        self._transcript = transcript
        self._words = transcript.words
        self._look = look
        self._place = place
        self._people = reading.people
        topic = reading.topic
        self.topic = clean(topic, _TOPIC) or None if topic else None
        self.title = self._title()
        self.subject = clean(self._numbered(clean(self.title, _SUBJECT)), _SUBJECT + 50)

    def _title(self) -> str:
        missed = self._look.role is Role.MISSED
        other = self._reading.other(self._look.side)
        if other is not None:
            names = self._transcript.names.person(other).name
        elif self.topic and not missed:
            return self.topic
        else:
            names = self._names(missed)
        if missed and self.topic and other is None:
            return self._words("Missed conversation with {names}: {topic}", names=names, topic=self.topic)
        return self._words("Missed conversation with {names}" if missed else "Conversation with {names}", names=names)

    def _names(self, missed: bool) -> str:
        """Everybody, in order of first appearance; of a missed one, who it was missed with."""
        people = self._people
        if missed:
            people = tuple([person for person in people if not person.invited]) or people
        shown = people if len(people) <= _NAMES + 1 else people[:_NAMES]
        names = self._words.join([self._transcript.names.person(person).name for person in shown])
        if len(shown) == len(people):
            return names or self._words("unknown")
        return self._words("{names} and {count} others", names=names, count=len(people) - _NAMES)

    def _numbered(self, title: str) -> str:
        part = self._reading.conversation.part
        return self._words("{subject} (part {part})", subject=title, part=part) if part >= 2 else title

    def fields(self, key: str, message_id: str, addressed: str, dates: Dates) -> str:
        """All header fields but those of the content. Ends in a newline."""
        return "".join(
            (
                dates.begun,
                addressed,
                unstructured("Subject", self.subject),
                f"Message-ID: {message_id}\n{self._place}",
                unstructured("Thread-Topic", clean(self.title, _SUBJECT)),
                "Auto-Submitted: auto-generated\nMIME-Version: 1.0\n",
                self._private(key, dates.span),
            )
        )

    def _private(self, key: str, span: str) -> str:
        look = self._look
        side = "" if look.side is None else token("X-Archiver-Side", look.side)
        return (
            f"X-Archiver-Item-Class: {_CLASSES[look.role]}\n{side}{span}"
            f"X-Archiver-Key: {key}\n"
            f"X-Archiver-Locale: {self._words.tag}\n"
            f"X-Archiver-Zone: {look.zone}\n"
            f"X-Archiver-Role: {look.role.value}\n"
            f"X-Archiver-Retracted: {'shown' if look.show_retracted else 'hidden'}\n"
            + ("X-Archiver-Transcript: complete\n" if look.complete else "")
        )


def address_fields(reading: Reading, names: Names) -> str:
    """From the initiator, To the others."""
    sender = reading.sender
    others = [names.person(person).mailbox for person in reading.people if person is not sender][:_RECIPIENTS]
    if sender is None:
        origin = mailbox("", addr_spec(reading.conversation.source, "system", real=False))
    else:
        origin = names.person(sender).mailbox
    return addresses("From", [origin]) + addresses("To", list(dict.fromkeys(others)))


def place_fields(reading: Reading, renderer: str) -> str:
    """Where it was said, what it is threaded by and what made it: the fields that all items of a conversation share."""
    conversation = reading.conversation
    session = "" if conversation.session is None else token("X-Archiver-Session", conversation.session)
    inferred = "X-Archiver-Presence: inferred\n" if conversation.partial else ""
    guessed = unstructured("X-Archiver-Guessed", _guessed(reading)) if reading.guesses else ""
    return (
        f"References: {thread(conversation)}\n"
        + token("X-Archiver-Source", conversation.source)
        + token("X-Archiver-Conversation", conversation.place)
        + f"X-Archiver-Kind: {conversation.kind}\n{session}X-Archiver-Part: {conversation.part}\n{inferred}"
        + guessed
        + unstructured("X-Archiver-Renderer", renderer)
    )


def _guessed(reading: Reading) -> str:
    """As one mark: `zone=UTC; next-day`."""
    parts = [
        f"{reason}={value}" if reason and value else reason or value
        for reason, values in reading.guesses.items()
        for value in values or ("",)
    ]
    return guess_mark(*parts) or ""


def thread(conversation: Conversation) -> str:
    """The message that all between these people, or from this place, is a reply to; it never existed.

    RFC 5256 REFERENCES groups by it, whatever the subjects are.
    """
    if conversation.kind == "im":
        named = ["im", *parties(conversation)]
    else:
        named = ["place", conversation.source, conversation.place]
    digest = blake2b(repr(named).encode("utf-8", "replace"), digest_size=16).hexdigest()
    return f"<{digest}.thread@{DOMAIN}>"
