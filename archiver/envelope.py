"""The header fields of one item: who, to whom, about what, when, and the private ones that say how it was made.

Everything derives from what the rendering key covers, so that the same view has the same headers whoever owns it.
"""

from __future__ import annotations

from hashlib import blake2b

from archiver.events import moment
from archiver.files import DOMAIN
from archiver.headers import addr_spec, addresses, clean, mailbox, token, unstructured
from archiver.reading import Person, Reading, parties
from archiver.transcript import Transcript
from archiver.types import Conversation, Look, Role
from archiver.wording import header_date

_SUBJECT = 250
_TOPIC = 500
_NAMES = 6
"""Names in a subject; if there are more, the rest are counted."""
_RECIPIENTS = 1_000

_CLASSES = {Role.TOOK_PART: "IPM.Note.Microsoft.Conversation", Role.MISSED: "IPM.Note.Microsoft.Missed"}


class Envelope:
    """What the headers of one look say."""

    def __init__(self, reading: Reading, transcript: Transcript, look: Look, place: str) -> None:
        self._reading = reading
        self._transcript = transcript
        self._words = transcript.words
        self._look = look
        self._place = place
        self._people = reading.people(look.mask)
        self._initiator = reading.initiator(look.mask)
        topic = reading.topic(look.mask)
        self.topic = clean(topic, _TOPIC) or None if topic else None
        self.title = self._title()
        self.subject = clean(self._numbered(clean(self.title, _SUBJECT)), _SUBJECT + 50)

    def _title(self) -> str:
        missed = self._look.role is Role.MISSED
        other = self._reading.other(self._look.side, self._look.mask)
        if other is not None:
            names = self._transcript.names.person(other)
        elif self.topic and not missed:
            return self.topic
        else:
            names = self._names(missed)
        if missed and self.topic and other is None:
            return self._words("Missed conversation with {names}: {topic}", names=names, topic=self.topic)
        return self._words("Missed conversation with {names}" if missed else "Conversation with {names}", names=names)

    def _names(self, missed: bool) -> str:
        """Everybody, in order of first appearance; of a missed one, who it was missed with."""
        people = [p for p in self._people if not (missed and p.invited)] or list(self._people)
        names = [self._transcript.names.person(person) for person in people]
        if len(names) <= _NAMES + 1:
            return self._words.join(names) or self._words("unknown")
        shown = self._words.join(names[:_NAMES])
        return self._words("{names} and {count} others", names=shown, count=len(names) - _NAMES)

    def _numbered(self, title: str) -> str:
        part = self._reading.conversation.part
        return self._words("{subject} (part {part})", subject=title, part=part) if part >= 2 else title

    def fields(self, key: str, message_id: str, renderer: str, span: tuple[int, int]) -> str:
        """All header fields but those of the content. Ends in a newline."""
        first, last = span
        sender, others = self._mailboxes()
        return "".join(
            (
                f"Date: {header_date(self._transcript.clock, first)}\n",
                addresses("From", [sender]),
                addresses("To", others),
                unstructured("Subject", self.subject),
                f"Message-ID: {message_id}\n{self._place}",
                unstructured("Thread-Topic", clean(self.title, _SUBJECT)),
                "Auto-Submitted: auto-generated\nMIME-Version: 1.0\n",
                self._private(key, renderer, first, last),
            )
        )

    def _mailboxes(self) -> tuple[str, list[str]]:
        """The initiator, then the others."""
        sender = next((p for p in self._people if p.address == self._initiator), None)
        if sender is None and self._initiator is not None:
            sender = self._borne(self._initiator)
        if sender is None:
            sender = self._people[0] if self._people else None
        others = [self._mailbox(p) for p in self._people if p is not sender][:_RECIPIENTS]
        return self._mailbox(sender), list(dict.fromkeys(others))

    def _borne(self, address: str) -> Person | None:
        """Who acted under an address that is not their last one; a stranger to the roster as a last resort."""
        for participation in self._reading.conversation.participations:
            if address in participation.addresses and participation.mask & self._look.mask:
                last = self._reading.person_address(participation, self._look.mask)
                return next((p for p in self._people if p.address == last), None)
        name = self._reading.name(address, self._look.mask)
        return Person(name, address, address in self._reading.hidden, (), 0, False)

    def _mailbox(self, person: Person | None) -> str:
        source = self._reading.conversation.source
        if person is None:
            return mailbox("", addr_spec(source, "system", real=False))
        name = self._transcript.names.person(person)
        if person.hidden:
            return mailbox(name, addr_spec(source, person.name or "hidden", real=False))
        return mailbox(name, addr_spec(source, person.address))

    def _private(self, key: str, renderer: str, first: int, last: int) -> str:
        look = self._look
        return (
            f"X-Archiver-Item-Class: {_CLASSES[look.role]}\n"
            f"X-Archiver-First: {moment(first).isoformat()}\n"
            f"X-Archiver-Last: {moment(last).isoformat()}\n"
            f"X-Archiver-Key: {key}\n"
            f"X-Archiver-Locale: {self._words.tag}\n"
            f"X-Archiver-Zone: {look.zone}\n"
            f"X-Archiver-Role: {look.role.value}\n"
            f"X-Archiver-Retracted: {'shown' if look.show_retracted else 'hidden'}\n"
            f"{unstructured('X-Archiver-Renderer', renderer)}"
        )


def place_fields(reading: Reading) -> str:
    """Where it was said and what it is threaded by: the fields that all items of a conversation share."""
    conversation = reading.conversation
    session = "" if conversation.session is None else token("X-Archiver-Session", conversation.session)
    return (
        f"References: {thread(conversation)}\n"
        + token("X-Archiver-Source", conversation.source)
        + token("X-Archiver-Conversation", reading.veil(conversation.place))
        + f"X-Archiver-Kind: {conversation.kind}\n{session}X-Archiver-Part: {conversation.part}\n"
    )


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
