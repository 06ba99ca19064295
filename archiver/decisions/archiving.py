"""What one version of a conversation asks of the archives: the complete transcript for everybody archived (pure).

Nothing is replaced there and nothing taken out: each version that brings something stands beside those before it.
Decides nothing of who is archived, or where to; that is policy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, structs

from archiver.decisions.planning import Planned, overlapping
from archiver.types import (
    ArchiveDecision,
    Archiving,
    Conversation,
    Delivery,
    DeliveryState,
    Destination,
    Filing,
    Look,
    Role,
)

IsArchived = Callable[[str], bool]
"""Whether events of a type are archived."""

PASSING = "The archive can't take it now: "
"""What the reasons begin with for which an item is withheld until a fault is over."""

_OPEN = frozenset({DeliveryState.WITHHELD, DeliveryState.ATTEMPTED})
_NEVER_PUT = frozenset({DeliveryState.WITHHELD, DeliveryState.PARKED, DeliveryState.ATTEMPTED})


def complete_look(conversation: Conversation, is_archived: IsArchived, locale: str, zone: str) -> Look | None:
    """The one look at all that is archived of a conversation, whoever saw it; None where nothing is."""
    mask = 0
    for index, captured in enumerate(conversation.events):
        if is_archived(captured.event.type):
            mask |= 1 << index
    return Look(mask, Role.TOOK_PART, None, locale, zone, show_retracted=True, complete=True) if mask else None


def people(conversation: Conversation, mailbox_of: Callable[[str], str | None]) -> tuple[frozenset[str], bool]:
    """The mailboxes of everybody who was in a conversation, and whether nobody in it is without one.

    Who was invited and never came wasn't in it.
    """
    mailboxes: set[str] = set()
    internal = True
    for participation in conversation.participations:
        addresses = participation.voices if conversation.partial else participation.addresses
        if participation.invited or not addresses:
            continue
        found = {mailbox for address in addresses if (mailbox := mailbox_of(address)) is not None}
        internal = internal and bool(found)
        mailboxes |= found
    return frozenset(mailboxes), internal


class Version(Struct, frozen=True):
    """One version of a conversation as the archives would have it, and what was filed of it before."""

    conversation: Conversation
    digest: bytes
    look: Look
    name: str
    folder: str
    """The archive's; the local one has none."""
    priors: Sequence[Filing]


def plan(version: Version, decisions: Mapping[str, ArchiveDecision]) -> list[Planned]:
    """The deliveries to both archives, given each mailbox's decision.

    What was decided once stays: an attempt under way is ended where it was going, and what is filed is done. What is
    withheld asks again; where nothing is to be archived any more, it stays, until a person drops it.
    """
    before = {each: _before(version, each) for each in (Destination.ARCHIVE, Destination.LOCAL)}
    return [
        made
        for mailbox, decision in sorted(decisions.items())
        for made in _Box(version, mailbox, decision, before).planned()
    ]


def attempted(version: Version) -> list[Delivery]:
    """Earlier versions' attempts on record that came to no end: they may be in an archive, or halfway."""
    _, found = overlapping(version.priors, version.conversation, version.digest, Destination.ARCHIVE)
    flat = (delivery for each in found.values() for delivery, _ in each)
    return [delivery for delivery in flat if delivery.state is DeliveryState.ATTEMPTED and delivery.name]


Before = Mapping[Destination, tuple[dict[str, Delivery], dict[str, list[Delivery]]]]
"""For each archive: this version's deliveries by mailbox, and those of earlier ones."""


def _before(version: Version, destination: Destination) -> tuple[dict[str, Delivery], dict[str, list[Delivery]]]:
    same, found = overlapping(version.priors, version.conversation, version.digest, destination)
    return same, {mailbox: [delivery for delivery, _ in each] for mailbox, each in found.items()}


class _Box:
    """One mailbox's part in a version."""

    def __init__(self, version: Version, mailbox: str, decision: ArchiveDecision, before: Before) -> None:
        self._version = version
        self._mailbox = mailbox
        self._decision = decision
        self._same = {each: same.get(mailbox) for each, (same, _) in before.items()}
        self._earlier = {each: earlier.get(mailbox, []) for each, (_, earlier) in before.items()}

    def planned(self) -> Iterator[Planned]:
        unwanted: list[int] = []
        for destination in self._same:
            if not self._is_going(destination) and (waiting := self._waiting(destination)):
                if self._decision.archiving is Archiving.NONE:
                    yield self._still(destination, waiting)
                else:
                    unwanted += [each.number for each in waiting]
        for destination, same in self._same.items():
            if self._is_going(destination):
                yield self._one(destination, same, unwanted)

    def _is_going(self, destination: Destination) -> bool:
        return destination in self._decision.destinations or _is_under_way(self._same[destination])

    def _waiting(self, destination: Destination) -> list[Delivery]:
        """What was to go there and hasn't: of this version, else of those before it, whose events it has."""
        same = self._same[destination]
        if same is not None:
            return [same] if same.state is DeliveryState.WITHHELD else []
        return self._never_put(destination)

    def _never_put(self, destination: Destination) -> list[Delivery]:
        return [each for each in self._earlier[destination] if each.state in _NEVER_PUT]

    def _still(self, destination: Destination, waiting: Sequence[Delivery]) -> Planned:
        """Nothing is archived any more; what waits goes on waiting, in its newest version."""
        same = self._same[destination]
        if same is not None:
            return Planned(structs.replace(same, reason=self._decision.reason))
        return Planned(self._delivery(destination, waiting))

    def _delivery(self, destination: Destination, replaced: Iterable[Delivery]) -> Delivery:
        return Delivery(
            self._mailbox,
            self._version.folder if destination is Destination.ARCHIVE else "",
            "",
            self._version.look.mask,
            DeliveryState.WITHHELD,
            self._decision.reason,
            sum(len(captured.body) for captured in self._version.conversation.events),
            tuple(each.number for each in replaced),
            destination=destination,
        )

    def _one(self, destination: Destination, same: Delivery | None, unwanted: Iterable[int]) -> Planned:
        if same is not None and same.state not in _OPEN:
            return Planned(structs.replace(same, replaces=(*same.replaces, *unwanted)))
        version, earlier = self._version, self._earlier[destination]
        delivery = self._delivery(destination, self._never_put(destination))
        delivery = structs.replace(delivery, replaces=(*delivery.replaces, *unwanted))
        if destination is Destination.ARCHIVE and not self._decision.allowed and not _is_under_way(same):
            return Planned(delivery)
        delivery = structs.replace(delivery, name=version.name, state=DeliveryState.ATTEMPTED, reason="", size=0)
        lying = [each for each in earlier if each.state is DeliveryState.FILED and each.name == version.name]
        if lying:  # what came since is none of the archive's: only the journal has news
            numbers = tuple(each.number for each in lying)
            return Planned(structs.replace(delivery, size=lying[0].size, replaces=(*delivery.replaces, *numbers)))
        return Planned(delivery, version.look, "S", tried=same is not None and bool(same.name))


def _is_under_way(same: Delivery | None) -> bool:
    return same is not None and same.state is DeliveryState.ATTEMPTED
