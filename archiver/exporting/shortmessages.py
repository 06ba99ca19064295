"""Events -> what an RSMF 2.0 manifest says: participants, conversation, events. Pure.

Relativity Short Message Format 2.0.0, as its vendor documents it: an edit, a reaction and a retraction belong to the
message they are of; what has no type there is `unknown`, with the name of ours among its custom properties.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import nh3
from msgspec import Struct, field

from archiver.addresses import normal
from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    REACTED,
    RETRACTED,
    SENT,
    Attachment,
    Event,
    Participant,
    microseconds,
    moment,
)
from archiver.rendering.evidence import ROSTER, Line
from archiver.rendering.headers import addr_spec, bare, clean, spelling

VERSION = "2.0.0"
_LONGEST_REACTION = 30
_INVALID = ".invalid"


class Custom(Struct, frozen=True):
    name: str
    value: str


class Person(Struct, omit_defaults=True):
    id: str
    display: str
    account_id: str
    email: str | None = None


class Talk(Struct, omit_defaults=True):
    """`type` is direct where nobody comes and goes, else channel."""

    id: str
    display: str
    platform: str
    type: str
    participants: list[str]
    custodian: str | None = None
    custom: list[Custom] = field(default_factory=list)


class Reaction(Struct, omit_defaults=True):
    value: str
    count: int
    participants: list[str]


class Edit(Struct, omit_defaults=True):
    participant: str
    timestamp: str
    previous: str
    new: str


class Held(Struct, frozen=True):
    """A file of the item: `id` is its name in the zip."""

    id: str
    display: str
    size: int


class ShortMessage(Struct, omit_defaults=True):
    type: str
    conversation: str
    timestamp: str
    id: str | None = None
    parent: str | None = None
    participant: str | None = None
    body: str | None = None
    deleted: bool = False
    direction: str | None = None
    reactions: list[Reaction] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    attachments: list[Held] = field(default_factory=list)
    custom: list[Custom] = field(default_factory=list)


class Sheet(Struct):
    """The manifest as a whole."""

    version: str
    participants: list[Person]
    conversations: list[Talk]
    events: list[ShortMessage]
    eventcollectionid: str


def sheet_of(lines: Sequence[Line], files: Mapping[str, Held], *, subject: str, mailbox: str) -> Sheet:
    """Of one item's lines, at least one; `files` by SHA-256. `mailbox` is whose view it is, empty for nobody's."""
    return _Sheet(lines, files, subject, mailbox).made()


class _Sheet:
    def __init__(self, lines: Sequence[Line], files: Mapping[str, Held], subject: str, mailbox: str) -> None:
        first = lines[0].data.conversation
        self._lines = lines
        self._files = files
        self._mailbox = mailbox
        self._source = lines[0].source
        self._people: dict[str, Person] = {}
        self._messages: dict[str, ShortMessage] = {}
        self._events: list[ShortMessage] = []
        is_direct = first.kind == "im"
        self._talk = Talk(
            id=first.id,
            display=subject or first.topic or first.id,
            platform=self._source.partition(":")[0],
            type="direct" if is_direct else "channel",
            participants=[self._person(who) for who in first.participants or ()],
            custom=[Custom("source", self._source), Custom("kind", first.kind)],
        )

    def made(self) -> Sheet:
        for line in self._lines:
            if line.type != ROSTER:
                self._take(line)
        if self._talk.type == "direct" or not self._talk.participants:
            self._talk.participants = [person.id for person in self._people.values()]
        collection = spelling(f"{self._source} {self._talk.id}")
        self._talk.custodian = next((p.id for p in self._people.values() if self._is_owner(p.account_id)), None)
        if self._talk.custodian not in self._talk.participants:
            self._talk.custodian = None
        return Sheet(VERSION, list(self._people.values()), [self._talk], self._events, collection)

    def _person(self, who: Participant) -> str:
        known = self._people.get(who.address)
        if known is None:
            email = addr_spec(self._source, who.address)
            known = Person(
                id=f"P{len(self._people) + 1}",
                display=clean(who.name or "") or clean(bare(who.address)) or "?",
                account_id=who.address,
                email=None if email.endswith(_INVALID) else email,
            )
            self._people[who.address] = known
        elif who.name and (name := clean(who.name)):
            known.display = name
        return known.id

    def _is_owner(self, address: str) -> bool:
        return bool(self._mailbox) and normal(self._source, address) == self._mailbox

    def _take(self, line: Line) -> None:
        message = line.data.message
        target = self._messages.get(message.id) if message is not None and line.type != SENT else None
        if target is None or not self._changed(target, line):
            self._events.append(self._event(line))
        else:
            target.custom += [each for each in _guessed(line) if each not in target.custom]

    def _changed(self, target: ShortMessage, line: Line) -> bool:
        """Whether it stands with the message it is of."""
        match line.type:
            case t if t == EDITED:
                self._edit(target, line)
            case t if t == RETRACTED:
                target.deleted = True
                target.custom.append(Custom("retracted", _stamp(line)))
            case t if t == REACTED and line.data.reaction:
                self._react(target, line)
            case _:
                return False
        return True

    def _edit(self, target: ShortMessage, line: Line) -> None:
        new = _text(line)
        who = self._person(line.data.actor) if line.data.actor else target.participant
        if who is not None:
            target.edits.append(Edit(who, _stamp(line), target.body or "", new))
        target.body = new

    def _react(self, target: ShortMessage, line: Line) -> None:
        value = (line.data.reaction or "")[:_LONGEST_REACTION]
        who = [self._person(line.data.actor)] if line.data.actor else []
        reaction = next((each for each in target.reactions if each.value == value), None)
        if line.data.removed:
            if reaction is not None:
                reaction.participants = [each for each in reaction.participants if each not in who]
                reaction.count = max(0, reaction.count - 1)
                target.reactions = [each for each in target.reactions if each.count]
        elif reaction is None:
            target.reactions.append(Reaction(value, 1, who))
        elif not set(who) <= set(reaction.participants) or not who:
            reaction.participants += who
            reaction.count += 1

    def _event(self, line: Line) -> ShortMessage:
        data = line.data
        who = self._who(line)
        held, named = self._attached(data.attachments or ())
        made = ShortMessage(
            type=_type(line),
            conversation=self._talk.id,
            timestamp=_stamp(line),
            participant=self._person(who) if who else None,
            body=_text(line) or None,
            deleted=line.archiverredacted is not None,
            attachments=held,
            custom=[Custom("event", line.type), *named, *self._more(line), *_guessed(line)],
        )
        if who and self._mailbox:
            made.direction = "outgoing" if self._is_owner(who.address) else "incoming"
        if line.type == SENT and data.message is not None:
            self._thread(made, line)
        return made

    def _who(self, line: Line) -> Participant | None:
        return line.data.subject or line.data.actor if line.type in (JOINED, LEFT) else line.data.actor

    def _thread(self, made: ShortMessage, line: Line) -> None:
        message = line.data.message
        assert message is not None
        if message.id not in self._messages:
            made.id = message.id
            self._messages[message.id] = made
        for above in (message.in_reply_to, message.thread):
            if above in self._messages and above != message.id:
                made.parent = above
                return

    def _attached(self, attachments: Sequence[Attachment]) -> tuple[list[Held], list[Custom]]:
        """Those whose contents the item holds, and the others by what is known of them."""
        held, named = [], []
        for each in attachments:
            if each.sha256 is not None and each.sha256 in self._files:
                held.append(self._files[each.sha256])
            elif known := each.name or each.url or each.media_type:
                named.append(Custom("file, not in the item", known))
        return held, named

    def _more(self, line: Line) -> list[Custom]:
        data, found = line.data, []
        if data.message is not None:
            if data.message.to:
                found.append(("only to", ", ".join(clean(who.name or who.address) for who in data.message.to)))
            if line.type != SENT:
                found.append(("of message", data.message.id))
        if data.subject is not None:
            found.append(("subject", clean(data.subject.name or data.subject.address)))
            if line.type in (JOINED, LEFT) and data.actor is not None:
                found.append(("by", clean(data.actor.name or data.actor.address)))
        found += [("reason", data.reason or ""), ("reaction", data.reaction or "")]
        return [Custom(name, value) for name, value in found if value]


def _type(line: Line) -> str:
    if line.type == JOINED:
        return "join"
    if line.type == LEFT:
        return "leave"
    data = line.data
    is_said = line.type == SENT or (line.type != EDITED and (data.attachments or data.poll or data.text))
    return "message" if is_said else "unknown"


def _guessed(line: Line) -> list[Custom]:
    """What had to be guessed of it, as its own mark says."""
    return [Custom("guessed", clean(line.archiverguessed))] if line.archiverguessed else []


def _text(line: Event) -> str:
    data = line.data
    if data.message is not None:
        text, markup = data.message.text, data.message.html
        return html.unescape(nh3.clean(markup, tags=set())) if text is None and markup else text or ""
    if data.poll is not None:
        return "\n".join(filter(None, (data.poll.question, *(f"- {option}" for option in data.poll.options or ()))))
    return data.text or data.title or data.topic or ""


def _stamp(line: Event) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return moment(microseconds(line.time)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
