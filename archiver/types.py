"""The records that pass between the layers: frozen, no I/O, no rules.

Flow: `Captured` events -> `Conversation` -> `View` per mailbox -> `Look` -> `Item` -> a `Put` into the store, and
`Filing` with its `Delivery` rows in the journal. Times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from archiver.events import Captured, Kind


class Role(StrEnum):
    """What the owner of a view was in the conversation."""

    TOOK_PART = "took part"
    MISSED = "missed"


class Presence(Struct, frozen=True):
    """One participant as the roster carries them from one conversation to the next.

    `addresses` are all that this participation has borne, the current one last (a nickname change adds one);
    `joined` is when it began, None where nobody saw it; `acted` the last time they did something, None if never;
    `since` the time of the first event that shows them here.
    """

    addresses: tuple[str, ...]
    name: str | None = None
    hidden: bool = False
    joined: int | None = None
    acted: int | None = None
    since: int | None = None


class Roster(Struct, frozen=True):
    """What earlier events of a place add up to: who is present, and the topic.

    `topic_since` is when it was last said; None where that isn't known.
    """

    present: tuple[Presence, ...] = ()
    topic: str | None = None
    topic_since: int | None = None


class Participation(Struct, frozen=True):
    """One join-to-leave interval of one participant within one conversation.

    `first` and `last` are indices into `Conversation.events` (both included) between which they were present, `mask`
    the events they could see by their presence (whispers not yet taken out). `voices` are those of their addresses
    that said something in it, and `spoke` whether any did. `joined` and `left` are the times of the join and the leave
    where they are on record, else None (carried over from before; still there at the end). `invited` is True for
    somebody invited who never came: then the interval is the invitation alone.
    """

    addresses: tuple[str, ...]
    name: str | None
    hidden: bool
    first: int
    last: int
    joined: int | None
    left: int | None
    spoke: bool
    invited: bool = False
    mask: int = 0
    voices: tuple[str, ...] = ()


class Conversation(Struct, frozen=True):
    """Events of one place, bounded; one numbered part of it where it is long.

    `events` are in order (time, sequence, id), references to its messages included at their own time, wherever that
    is. `roster` is who was present before the first event. `started` and `ended` are the first and last time of its
    own events (references don't count). `ripe` is the watermark at which it can be filed. `part` counts from 1.
    """

    source: str
    place: str
    kind: Kind
    session: str | None
    part: int
    topic: str | None
    events: tuple[Captured, ...]
    roster: Roster
    participations: tuple[Participation, ...]
    started: int
    ended: int
    ripe: int
    partial: bool = False
    """True where the source records no leaves: presence is inferred, and only who spoke gets an item."""


class View(Struct, frozen=True):
    """What the owner of one mailbox could see of a conversation: bit i of `mask` is event i of it.

    `side` is the owner's address in a one-to-one (its rendering names the other), else None.
    """

    mailbox: str
    addresses: frozenset[str]
    mask: int
    role: Role
    side: str | None = None


class Look(Struct, frozen=True):
    """All that a rendering depends on besides the conversation; equal looks are one rendering.

    `locale` is a BCP 47 or Babel name ("en", "zh_Hant"), `zone` an IANA name, `show_retracted` whether the text
    of retracted messages stays readable. `complete` is the compliance archive's: nobody's own view, so nothing is
    veiled in it; what two people send each other as files is only named.
    """

    mask: int
    role: Role
    side: str | None
    locale: str
    zone: str
    show_retracted: bool = False
    complete: bool = False


class Item(Struct, frozen=True):
    """The MIME message put in a folder. Equal looks at equal events give equal bytes, name and Message-ID.

    `name` is the Maildir base name (no flags), `date` the first event and `changed` the last one the view shows.
    """

    key: str
    name: str
    message_id: str
    subject: str
    date: int
    changed: int
    seen: bool
    content: bytes


class Mailbox(Struct, frozen=True):
    """What the directory knows of one mailbox. `version` is its store's, as configured; unknown ones close the gate.

    `exchange_archiving` is where its archive is meant to be: "uninitialized" (as its holds say), "local", "mailbox"
    or "none". `migration` is "legacy", "migrating" or "mailbox" while it moves between stores, else empty;
    `migration_ends` when migrating must be over, `quota` the bytes its owner may fill, both None where not set.
    """

    address: str
    version: str
    locale: str
    zone: str
    folder: str | None = None
    exchange_archiving: str = "uninitialized"
    migration: str = ""
    migration_ends: int | None = None
    quota: int | None = None


class Hold(Struct, frozen=True):
    """A legal hold on one mailbox: who placed it, why and when, and when it was released, if it was.

    `query` is what it covers, as it was given; empty: everything.
    """

    number: int
    mailbox: str
    by: str
    reason: str
    placed: int
    released: int | None = None
    query: str = ""


class Head(Struct, frozen=True):
    """How far an archive's manifest goes: its lines, and the SHA-256 (hex) of the last one, which binds all before it.

    Noted elsewhere too, it shows a manifest that was cut: the lines left of it fit together still.
    """

    length: int
    digest: str


class Finding(Struct, frozen=True):
    """What one check said; `check` is its short name, `scope` where its rule was set ("global", "site berlin")."""

    check: str
    allowed: bool
    reason: str
    scope: str = ""


class Decision(Struct, frozen=True):
    """The gate's answer for one mailbox and feature; `reason` is a sentence that quotes row and source.

    `findings` are all checks in their order: the first that said no gave the reason.
    """

    allowed: bool
    reason: str
    findings: tuple[Finding, ...] = ()


class Destination(StrEnum):
    """Where one delivery goes: the owner's folder, the compliance archive beside the mailbox, or the spool's own."""

    HISTORY = "history"
    ARCHIVE = "archive"
    LOCAL = "local"


class Archiving(StrEnum):
    """Where a conversation is archived for one mailbox; BOTH only while it migrates."""

    NONE = "none"
    LOCAL = "local"
    MAILBOX = "mailbox"
    BOTH = "both"


_DESTINATIONS = {
    Archiving.NONE: (),
    Archiving.LOCAL: (Destination.LOCAL,),
    Archiving.MAILBOX: (Destination.ARCHIVE,),
    Archiving.BOTH: (Destination.ARCHIVE, Destination.LOCAL),
}


class ArchiveDecision(Struct, frozen=True):
    """What policy says of one conversation and one mailbox; `reason` is the finding that decided.

    `allowed` is False where the mailbox's archive should get it and can't now: that delivery is withheld, the local
    one is not. `findings` are all rules in the order they were asked.
    """

    archiving: Archiving
    allowed: bool
    reason: str
    findings: tuple[Finding, ...] = ()

    @property
    def destinations(self) -> tuple[Destination, ...]:
        return _DESTINATIONS[self.archiving]


class Failure(Struct, frozen=True):
    """Deliveries of one source's conversations to the archives that failed and wait: since when, how many, why."""

    source: str
    since: int
    deliveries: int
    reason: str


class DeliveryState(StrEnum):
    """Where one delivery stands. ATTEMPTED: recorded before it was made, so it may or may not be in the folder."""

    ATTEMPTED = "attempted"
    FILED = "filed"
    WITHHELD = "withheld"
    PARKED = "parked"
    SUPERSEDED = "superseded"
    GONE = "gone"
    """Moved, deleted or trashed by its owner: only what came after it is filed again."""
    DROPPED = "dropped"
    """Withheld, then given up by a person's command: as if its owner had deleted it."""
    PURGED = "purged"
    """Taken out again because its time was over: as if its owner had deleted it."""


class Delivery(Struct, frozen=True):
    """One item (to be) put into one mailbox: a row of the journal.

    `mask` are the events of its filing that the item covers. `name` is the Maildir base name, empty where withheld
    or parked before rendering. `replaces` are numbers of earlier deliveries that this one takes out. A mailbox has at
    most one delivery of a filing to each destination.
    """

    mailbox: str
    folder: str
    name: str
    mask: int
    state: DeliveryState
    reason: str = ""
    size: int = 0
    replaces: tuple[int, ...] = ()
    number: int = 0
    destination: Destination = Destination.HISTORY


class Filing(Struct, frozen=True):
    """One version of a conversation with its deliveries. `events` are spool numbers in the conversation's order.

    `version` is a digest over them and who saw which: a filing with the same version needs nothing more.
    """

    place: int
    version: bytes
    started: int
    ended: int
    part: int
    events: tuple[int, ...]
    deliveries: tuple[Delivery, ...]
    number: int = 0
    attempts: int = 0
    empty: bool = False
    """True where it has no content (only joins, leaves, topics), so that there is nothing to file."""


class Lease(Struct, frozen=True):
    """A claim on one place: whose, until when (microseconds), and up to which event number it reads."""

    place: int
    source: str
    conversation: str
    owner: str
    expires: int
    upto: int
    attempts: int
    partial: bool
    roster: Roster
    filed: bool
    """True where the place has earlier filings, so that the journal must be asked for them."""


class Exclusion(Struct, frozen=True):
    """What is left out of the spool, by the time at which it was said: from `since` until just before `until`.

    A source (also a pattern, `irc:*`), one room of a source, or what one person does (their normal address): what isn't
    meant is empty. `events` were left out so far.
    """

    number: int
    source: str
    conversation: str
    person: str
    since: int
    until: int | None
    by: str
    reason: str
    placed: int
    events: int = 0

    @property
    def title(self) -> str:
        """In words, for lists and the audit log."""
        if self.person:
            return f"person {self.person}"
        return f"room {self.conversation} of {self.source}" if self.conversation else f"source {self.source}"
