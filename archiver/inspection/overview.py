"""All mailboxes at a glance: what lies in their folders and archives, and what has not got there.

Reads stores through their own protocol; what the journal counts is given to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Protocol

from archiver.inspection.listing import FolderSummary, folders
from archiver.store.protocol import Folders
from archiver.types import DeliveryState, Destination


class State(StrEnum):
    FILED = "filed"
    ARCHIVED = "archived"
    WITHHELD = "withheld"
    PARKED = "parked"


class Share(FolderSummary, frozen=True):
    """What one folder or archive of a mailbox has; or what it should have, where that is kept back.

    Of what lies in no folder nobody knows more than number and bytes.
    """

    state: State = State.FILED


class Counted(Protocol):
    """The journal's count of deliveries of one mailbox to one destination in one state."""

    @property
    def mailbox(self) -> str: ...
    @property
    def destination(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def deliveries(self) -> int: ...
    @property
    def bytes(self) -> int: ...


_PLACES = {
    Destination.HISTORY: "Conversation History",
    Destination.ARCHIVE: "Recoverable Items/Purges",
    Destination.LOCAL: "local archive",
}
_KEPT = {DeliveryState.WITHHELD: State.WITHHELD, DeliveryState.PARKED: State.PARKED}


def lying(store: Folders, state: State) -> Iterator[Share]:
    """What lies in a store's folders."""
    for f in folders(store):
        yield Share(f.mailbox, f.folder, f.items, f.unseen, f.bytes, f.first, f.last, state)


def counted(counts: Iterable[Counted]) -> Iterator[Share]:
    """What no folder shows: what is kept back, and what the spool's own archive has."""
    sums: defaultdict[tuple[str, str, State], list[int]] = defaultdict(lambda: [0, 0])
    for count in counts:
        state = _KEPT.get(DeliveryState(count.state))
        if count.state == DeliveryState.FILED and count.destination == Destination.LOCAL:
            state = State.ARCHIVED
        if state is not None:
            total = sums[count.mailbox, _PLACES[Destination(count.destination)], state]
            total[0] += count.deliveries
            total[1] += count.bytes
    for (mailbox, place, state), (items, size) in sums.items():
        yield Share(mailbox, place, items, 0, size, None, None, state)


def in_order(found: Iterable[Share]) -> list[Share]:
    """By mailbox, in each what lies there before what doesn't."""
    states = list(State)
    return sorted(found, key=lambda share: (share.mailbox, states.index(share.state), share.folder))
