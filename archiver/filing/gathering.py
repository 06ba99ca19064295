"""What filing gathers until it is worth a sync, and what came of each part of it. Reads nothing and writes nothing."""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Callable

import structlog
from msgspec import Struct, structs

from archiver.decisions.planning import Planned
from archiver.directory import Directory
from archiver.events import SECOND
from archiver.exceptions import ArchiverError
from archiver.filing.showing import Showing
from archiver.store.protocol import Put
from archiver.types import Conversation, Delivery, DeliveryState, Destination, Filing, Lease

log = structlog.get_logger(__name__)

ATTEMPTS = 5
"""After so many failed attempts a conversation is parked, for a person."""
SUSPECT = 2
"""A conversation with so many attempts that came to no end is filed alone: it may be what ends the process."""
EXTEND = 60 * SECOND
RETRY = 10 * SECOND
"""Wait before the second attempt; four times as long before each further one."""
MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})

BATCH_ITEMS = 250
BATCH_BYTES = 4 * 1024 * 1024


class Tally(Struct):
    """What a run did. `renderings` counts events times the items they were rendered into."""

    conversations: int = 0
    waiting: int = 0
    """Not ready yet."""
    empty: int = 0
    """Only joins, leaves and topics: nothing is filed."""
    unowned: int = 0
    """Nobody in it has a mailbox to file it in."""
    items: int = 0
    copies: int = 0
    renderings: int = 0
    bytes: int = 0
    withheld: int = 0
    archived: int = 0
    """Complete items, in either archive."""
    unarchived: int = 0
    """Withheld from an archive."""
    parked: int = 0
    failed: int = 0

    def add(self, other: Tally) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Work(Struct):
    """One conversation on its way: what was planned, and the filing that records it."""

    conversation: Conversation
    showing: Showing
    filing: Filing
    planned: list[Planned]
    gone: list[int]
    tried: int = 0
    """Attempts before this one that came to no end."""
    error: str = ""


class Chosen(Struct):
    """A put, and whose it is: the delivery at `index` of `work`."""

    work: Work
    index: int
    put: Put

    @property
    def destination(self) -> Destination:
        return self.work.planned[self.index].delivery.destination

    @property
    def careful(self) -> bool:
        """Whether an earlier attempt is on record."""
        return self.work.filing.attempts > 1 or self.work.planned[self.index].tried


class Batch:
    """Conversations gathered until they are worth a sync."""

    def __init__(self, leases: list[Lease], now: int) -> None:
        self.leases = leases
        self.works: list[Work] = []
        self.strangers: Counter[tuple[str, str]] = Counter()
        self._began = now, time.monotonic()
        self._extended = now
        self._done: list[Lease] = []
        self._settled = 0
        self._dues: dict[int, int] = {}
        self._items = 0
        self._bytes = 0
        self._versions: tuple[int, set[bytes]] = (0, set())

    def look_again(self, place: int, due: int) -> None:
        self._dues[place] = min(self._dues.get(place, due), due)

    def end(self, lease: Lease) -> None:
        """All conversations of this place are in."""
        self._done.append(lease)

    def settled(self) -> list[tuple[Lease, int | None]]:
        """The places that are through, once what was gathered is recorded, and when to look at them again."""
        self._settled += len(self._done)
        return [(lease, self._dues.pop(lease.place, None)) for lease in self._done]

    def now(self) -> int:
        """The time, as the caller's clock has it."""
        return self._began[0] + round((time.monotonic() - self._began[1]) * SECOND)

    def to_extend(self) -> list[Lease]:
        """The leases not settled yet, when they need to be prolonged: a large place takes long."""
        if self.now() - self._extended < EXTEND:
            return []
        self._extended = self.now()
        return self.leases[self._settled :]

    def add(self, work: Work) -> None:
        self.works.append(work)
        self._items += len(work.planned)
        self._bytes += sum(len(captured.body) for captured in work.conversation.events)

    @property
    def full(self) -> bool:
        return self._items >= BATCH_ITEMS or self._bytes >= BATCH_BYTES

    def clear(self) -> None:
        self.works, self.strangers, self._done = [], Counter(), []
        self._items = self._bytes = 0

    def versions(self, place: int, read: Callable[[int], set[bytes]]) -> set[bytes]:
        if self._versions[0] != place:
            self._versions = (place, read(place))
        return self._versions[1]

    def mailbox_of(self, source: str, directory: Directory) -> Callable[[str], str | None]:
        """Whose mailbox an address of the source is; those without one are counted."""

        def mailbox_of(address: str) -> str | None:
            mailbox = directory.mailbox_of(source, address)
            if mailbox is None:
                self.strangers[source, address] += 1
            return mailbox

        return mailbox_of


def holder(delivery: Delivery) -> str:
    return f"delivery:{delivery.number}"


def begun(work: Work, filing: Filing) -> None:
    """Take over numbers, and states that an earlier attempt reached already."""
    work.filing = filing
    for index, delivery in enumerate(filing.deliveries):
        planned = work.planned[index]
        look = planned.look if delivery.state is DeliveryState.ATTEMPTED else None
        work.planned[index] = structs.replace(planned, delivery=delivery, look=look)


def filed(work: Work, index: int, size: int) -> None:
    planned = work.planned[index]
    delivery = structs.replace(planned.delivery, state=DeliveryState.FILED, size=size, reason="")
    work.planned[index] = structs.replace(planned, delivery=delivery)


def failed(work: Work, error: ArchiverError) -> None:
    """Note why; a fault of the whole machine is no fault of this conversation and ends the run."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in MACHINE:
        raise error
    work.error = str(error)


def withheld(work: Work, index: int, size: int, reason: str) -> None:
    """It couldn't be put, and waits until it can be; for the rest of its conversation that is no failure."""
    planned = work.planned[index]
    delivery = structs.replace(planned.delivery, state=DeliveryState.WITHHELD, size=size, reason=reason)
    work.planned[index] = structs.replace(planned, delivery=delivery)


def park_or_retry(work: Work, batch: Batch, now: int) -> None:
    attempts = work.filing.attempts
    if attempts < ATTEMPTS:
        batch.look_again(work.filing.place, now + RETRY * 4 ** (attempts - 1))
    else:
        for index, planned in enumerate(work.planned):
            if planned.delivery.state is DeliveryState.ATTEMPTED:
                parked = structs.replace(planned.delivery, state=DeliveryState.PARKED, reason=work.error)
                work.planned[index] = structs.replace(planned, delivery=parked)
    log.error(
        "not filed" if attempts < ATTEMPTS else "parked",
        conversation=work.conversation.place,
        source=work.conversation.source,
        filing=work.filing.number,
        attempts=attempts,
        why=work.error,
    )


def count(work: Work, tally: Tally) -> None:
    tally.conversations += 1
    if work.filing.empty:
        tally.empty += 1
    elif not work.planned:
        tally.unowned += 1
    if work.error:
        tally.failed += 1
    for planned in work.planned:
        state, put = planned.delivery.state, planned.look is not None
        tally.parked += state is DeliveryState.PARKED
        if planned.delivery.destination is Destination.HISTORY:
            tally.copies += state is DeliveryState.FILED and put
            tally.withheld += state is DeliveryState.WITHHELD
        else:
            tally.archived += state is DeliveryState.FILED and put
            tally.unarchived += state is DeliveryState.WITHHELD
