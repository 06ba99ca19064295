"""The records of the event contract and the names of its types. No reading, no rules.

The contract itself is docs/event-format.md; `archiver/event.schema.json` is generated from these records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Kind = Literal["im", "group", "conference"]
History = Literal["present", "members"]

SECOND = 1_000_000
"""Times are whole microseconds since 1970-01-01 UTC everywhere inside the archiver."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Record(Struct, frozen=True, gc=False, omit_defaults=True):
    """Base of every record of the contract: frozen, compared by value, unset members left out."""


class Participant(Record, frozen=True):
    """`address` is the source's own; `hidden` keeps it out of every other participant's item."""

    address: str
    name: str | None = None
    hidden: bool = False


class Attachment(Record, frozen=True):
    """A shared file: its bytes by `sha256` in the blob store, or only its description."""

    name: str | None = None
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    content: str | None = None
    path: str | None = None
    url: str | None = None


class Message(Record, frozen=True):
    id: str
    text: str | None = None
    html: str | None = None
    language: str | None = None
    in_reply_to: str | None = None
    thread: str | None = None
    to: tuple[Participant, ...] | None = None


class Poll(Record, frozen=True):
    id: str
    question: str | None = None
    options: tuple[str, ...] | None = None
    choice: str | int | tuple[str | int, ...] | None = None
    tally: dict[str, int] | tuple[int, ...] | None = None


class Place(Record, frozen=True):
    """`data.conversation`: the source's own key for where it was said, and what is known of it."""

    id: str
    kind: Kind
    topic: str | None = None
    session: str | None = None
    participants: tuple[Participant, ...] | None = None
    history: History = "present"


class Data(Record, frozen=True):
    conversation: Place
    actor: Participant | None = None
    subject: Participant | None = None
    reason: str | None = None
    message: Message | None = None
    reaction: str | None = None
    removed: bool = False
    attachments: tuple[Attachment, ...] | None = None
    poll: Poll | None = None
    topic: str | None = None
    title: str | None = None
    text: str | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    language: str | None = None


class Event(Record, frozen=True):
    """One captured thing that happened; never changed. Identity is `(source, id)`.

    The `archiver…` attributes are ours (CloudEvents extensions): the time as the source had it where it was replaced
    or raised, what was mended in a few words, the legacy charset a text was decoded from, and what had to be guessed
    of it (see `guessing`).
    """

    source: Annotated[str, Meta(min_length=1)]
    id: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, Meta(min_length=1)]
    time: Annotated[datetime, Meta(tz=True)]
    data: Data
    # A factory, so that `omit_defaults` still writes it: CloudEvents requires the attribute.
    specversion: Literal["1.0"] = field(default_factory=lambda: "1.0")
    sequence: str | None = None
    datacontenttype: Literal["application/json"] | None = None
    archivertime: str | None = None
    archivercleaned: str | None = None
    archivercharset: str | None = None
    archiverguessed: str | None = None


class Captured(Struct, frozen=True, gc=False):
    """An event as the spool holds it: decoded, and beside it its canonical JSON (sorted keys, unknown members kept).

    `time` and `received` are microseconds; `time` is the event's own after cleaning, `number` the spool's row
    (0 before it is spooled). `cleaned` says in a few words each what was mended; `original` are then the bytes as
    they came, for quarantine.
    """

    event: Event
    time: int
    received: int
    body: bytes
    number: int = 0
    cleaned: tuple[str, ...] = ()
    original: bytes | None = None
    attached: tuple[tuple[str, bytes | Path], ...] = ()
    """Contents still to be stored as blobs, by SHA-256: bytes, or a file beside the event file."""
    position: str = ""
    """Where a cleaned event stood in its input."""


class Outcome(StrEnum):
    """What became of one piece of input."""

    ACCEPTED = "accepted"
    CLEANED = "cleaned"
    """Accepted as cleaned; its original bytes are in quarantine."""
    DUPLICATE = "duplicate"
    """Seen before with the same content, or a conflict that is on record already."""
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"
    EXCLUDED = "excluded"
    """Left out by an exclusion: counted, and not kept."""
    BLOCKED = "blocked"
    """Not taken now: critical mode. Whoever sent it keeps it and comes again."""


class Rejected(Struct, frozen=True):
    """Input that can't be read as an event: the bytes whole, where they stood, and why."""

    content: bytes
    position: str
    reason: str
    source: str | None = None


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exact."""
    return (moment - EPOCH) // _MICROSECOND


def moment(time: int) -> datetime:
    """The UTC datetime of microseconds since 1970."""
    return EPOCH + time * _MICROSECOND


# What a message, a poll or an answer to one is called in `type`.
SENT = "message.sent"
EDITED = "message.edited"
RETRACTED = "message.retracted"
REACTED = "message.reacted"
POLL_OPENED = "poll.opened"
POLL_VOTED = "poll.voted"
POLL_CLOSED = "poll.closed"
STARTED = "conversation.started"
ENDED = "conversation.ended"
TOPIC_CHANGED = "conversation.topic.changed"
JOINED = "participant.joined"
LEFT = "participant.left"
INVITED = "participant.invited"
RENAMED = "participant.renamed"

REFERENCES = frozenset({EDITED, RETRACTED, REACTED, POLL_VOTED, POLL_CLOSED})
"""Types that belong to the conversation of the message or poll they refer to, whenever they come."""

BARE = frozenset({STARTED, ENDED, TOPIC_CHANGED, JOINED, LEFT, INVITED, RENAMED})
"""Types that alone don't make a conversation worth an item; every other type, unknown ones too, is content."""


def named(event: Event) -> Iterator[str]:
    """Every address an event names: who did it, to whom, who is present, who may see it."""
    data = event.data
    people = (data.actor, data.subject, *(data.conversation.participants or ()))
    people += data.message.to or () if data.message is not None else ()
    yield from (each.address for each in people if each is not None)


def kinds_of(captured: Iterable[Captured]) -> frozenset[Kind]:
    """Every kind that events claim for their conversation: they need not agree."""
    return frozenset(each.event.data.conversation.kind for each in captured)


def target(event: Event) -> str | None:
    """The message or poll that an event is, or refers to: what `REFERENCES` are matched by; None for the rest."""
    if event.data.message is not None:
        return event.data.message.id
    return "poll:" + event.data.poll.id if event.data.poll is not None else None


def parties(event: Event) -> frozenset[str] | None:
    """Who alone may see a whisper: who sent it and whom it is to; None where it is none."""
    message, actor = event.data.message, event.data.actor
    if message is None or message.to is None:
        return None
    return frozenset([who.address for who in message.to] + ([actor.address] if actor is not None else []))
