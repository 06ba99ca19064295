"""What the spool tells: results of an append, feeds, watermarks, counts for `status`. Frozen, no I/O."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from archiver.events import Kind, Outcome
from archiver.types import Delivery, DeliveryState, Destination, Item, Roster


class Appended(Struct, frozen=True):
    """One durable append: `outcomes` in the order given, `held` the seconds it held the write lock.

    `accepted` counts the cleaned ones too.
    """

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    cleaned: int = 0
    outcomes: tuple[Outcome, ...] = ()
    held: float = 0.0

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        return self.accepted, self.duplicates, self.conflicts, self.quarantined, self.cleaned


class Room(Struct, frozen=True):
    """A place that has events in the spool."""

    place: int
    source: str
    conversation: str


class Feed(Struct, frozen=True):
    """A live source or one import run. `contact` is the last sign of life of a live one."""

    number: int
    name: str
    kind: Literal["live", "import"]
    state: Literal["open", "closed"]
    partial: bool
    opened: int
    contact: int | None
    closed: int | None
    owner: str | None
    path: str | None
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    cleaned: int = 0


class Reading(Struct, frozen=True):
    """What a running live source tells of itself now and then, for `status`: counts are since its start.

    `heard` is when its last event came, `lag` how many microseconds after it happened, `rate` events a second over the
    last minute. `gaps` are events known to be lost, None where the source can't tell; `refused` is input it refused.
    `fault` says why it doesn't run, "" where it does; `restarts` is how often it broke and was started anew.
    """

    heard: int | None
    lag: int | None
    rate: float
    gaps: int | None
    refused: int
    at: int
    fault: str = ""
    restarts: int = 0


class Watermark(Struct, frozen=True):
    """Up to which time nothing more is expected: None while nothing is ready. `warning` says why it went on alone."""

    time: int | None
    warning: str = ""


class SourceCount(Struct, frozen=True):
    """`spooled` events are in the spool now, `forgotten` have left it; `waiting` are places with work.

    `empty` are conversations with no content (only joins, leaves, topics): they are not filed.
    """

    source: str
    spooled: int
    forgotten: int
    waiting: int
    empty: int
    live: str | None


class MailboxCount(Struct, frozen=True):
    """One mailbox's deliveries to one destination in one state."""

    mailbox: str
    destination: str
    state: str
    deliveries: int
    bytes: int


class Kept(Struct, frozen=True):
    """Deliveries of one mailbox to one destination withheld or parked for one reason; `since` is the oldest."""

    mailbox: str
    destination: str
    reason: str
    deliveries: int
    bytes: int
    since: int


class Dropped(Struct, frozen=True):
    """One command to drop what was withheld: of which conversation (empty: all), by whom, why, and when."""

    mailbox: str
    conversation: str
    person: str
    reason: str
    deliveries: int
    bytes: int
    at: int


class Placed(Struct, frozen=True):
    """One place, and how it stands: `events` are in the spool, `last` is the time of their last.

    It is looked at from `due` on, `claimed` while somebody does; `error` is why it was `parked` or is tried again.
    `forgotten`: older events have left the spool.
    """

    place: int
    source: str
    conversation: str
    kind: Kind
    events: int
    last: int | None
    due: int | None
    claimed: bool
    parked: int | None
    error: str
    forgotten: bool


class Traced(Struct, frozen=True):
    """One version of a conversation, and what came of one delivery of it; None where it asked for none."""

    filing: int
    started: int
    ended: int
    part: int
    attempts: int
    state: str
    at: int
    delivery: Delivery | None


class ParkedFiling(Struct, frozen=True):
    filing: int
    source: str
    conversation: str
    attempts: int
    reason: str
    since: int


class ParkedPlace(Struct, frozen=True):
    place: int
    source: str
    conversation: str
    attempts: int
    reason: str
    since: int


class Quarantined(Struct, frozen=True):
    """`file` is relative to DATA/quarantine; `cleaned` where the event itself was accepted, mended."""

    number: int
    feed: str
    source: str
    position: str
    reason: str
    file: str
    size: int
    cleaned: bool
    at: int


class Conflict(Struct, frozen=True):
    """Two events under one identity: `kept` is the first (None if it was forgotten), `other` the one kept aside.
    `why` tells what their files alone differ in, "" where more does; `run` is the backfill that brought the first."""

    number: int
    source: str
    id: str
    feed: str
    kept: bytes | None
    other: bytes
    at: int
    run: int | None = None
    why: str = ""


class Stranger(Struct, frozen=True):
    """Somebody without a mailbox of ours: how often and when last seen."""

    source: str
    address: str
    seen: int
    last: int


class Totals(Struct, frozen=True):
    """`spooled`: events in the spool; the rest as their own lists count. `archived` is filed in either archive, and
    `unarchived` what is withheld from them; `filed` and `withheld` are Conversation History's."""

    spooled: int
    forgotten: int
    waiting: int
    empty: int
    filed: int
    withheld: int
    dropped: int
    parked: int
    quarantined: int
    cleaned: int
    conflicts: int
    archived: int = 0
    unarchived: int = 0


class LocalCopy(Struct, frozen=True):
    """A complete item for the local archive: of which conversation version, and whom it is archived for."""

    place: int
    version: bytes
    item: Item
    mailboxes: tuple[str, ...]


class AgedDelivery(Struct, frozen=True):
    """A filed delivery, and the times of its conversation: all that its retention asks for."""

    number: int
    mailbox: str
    destination: Destination
    folder: str
    name: str
    size: int
    started: int
    ended: int


class Exported(Struct, frozen=True):
    """An item of a mailbox or of its archive that was exported: its base name, and the SHA-256 of what was written."""

    mailbox: str
    destination: Destination
    name: str
    sha256: str
    at: int


class Journalled(Struct, frozen=True):
    """What the journal says of one delivery, whatever became of it."""

    number: int
    filing: int
    mailbox: str
    destination: Destination
    folder: str
    name: str
    state: DeliveryState


class Rostered(Struct, frozen=True):
    """A place that ever had events, and what those add up to that it has forgotten, if any."""

    place: int
    source: str
    conversation: str
    kind: Kind
    roster: Roster | None


class LocalItem(Struct, frozen=True):
    """An item of the local archive without its content. `first` and `last` are the times of its events."""

    number: int
    name: str
    sha256: str
    size: int
    first: int
    last: int
    at: int
    exported: int | None
    version: bytes
    source: str
    conversation: str
    mailboxes: tuple[str, ...]


class Untold(Struct, frozen=True):
    """A mailbox that is archived and wasn't told so; `begun` is when an attempt to tell it began, if one did."""

    mailbox: str
    begun: int | None


class PutOff(Struct, frozen=True):
    """Events that critical mode refused for now, of the sources of one pool ("": those in none), ever."""

    pool: str
    events: int
    last: int


class Reaped(Struct, frozen=True):
    """What was cleaned up at start."""

    leases: int
    files: int
    feeds: int


class Entry(Struct, frozen=True):
    """One thing for the audit log: what was done ("hold placed"), to whom or what, by whom and why."""

    action: str
    subject: str
    by: str
    reason: str
    details: dict[str, Any] = field(default_factory=dict)


class Audited(Struct, frozen=True):
    """An entry as it stands in the audit log; `hash` covers it and all before it."""

    number: int
    at: int
    action: str
    subject: str
    by: str
    reason: str
    details: dict[str, Any]
    hash: str


class Checked(Struct, frozen=True):
    """The audit log's length, its last digest, and what is wrong with it."""

    length: int
    head: str
    damage: tuple[str, ...]


class Unindexed(Struct, frozen=True):
    """A place where something was filed or taken out since the search index looked there; `name` is the item's."""

    number: int
    mailbox: str
    folder: str
    name: str


class Backlog(Struct, frozen=True):
    """How many entries wait for the search index, and since when the oldest does (None: none does)."""

    entries: int
    since: int | None


class RoomFigure(Struct, frozen=True):
    """How many conversations of a room were filed."""

    source: str
    conversation: str
    kind: Kind
    conversations: int


class WaitingFigure(Struct, frozen=True):
    """Places of one source whose time has come, and for how many microseconds the first of them waits."""

    source: str
    places: int
    longest: int


class Figures(Struct, frozen=True):
    """The whole in numbers. `days` are (days since 1970 UTC, conversations begun on it) where there were any, in order;
    `latencies` how many conversations were filed how long after their end, in the classes of `figures.BOUNDS`."""

    days: tuple[tuple[int, int], ...]
    rooms: tuple[RoomFigure, ...]
    latencies: tuple[int, ...]
    waiting: tuple[WaitingFigure, ...]
