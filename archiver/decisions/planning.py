"""What one version of a conversation asks of each mailbox, given what was filed there before (pure).

Decides withheld or filed, new or continued, which earlier items go and which flags stay. Reads no folder: what the
store found of earlier items is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

from msgspec import Struct, structs

from archiver.events import INVITED, REFERENCES, SENT, Captured
from archiver.types import Conversation, Delivery, DeliveryState, Destination, Filing, Look, Role, View

FULL = "The mailbox can't take it now: "
"""What the reasons begin with for which an item is withheld until its owner has room."""


class Earlier(Struct, frozen=True):
    """An earlier delivery to a mailbox that covers events of the conversation now planned.

    `covered` are those of its events that the new version has too, as a mask over them; `flags` are the Maildir flags
    the item bears now, None where it is not in its folder. `ours`: not its owner took it out, but an attempt that was
    cut short before it could say so.
    """

    delivery: Delivery
    covered: int
    flags: str | None
    ours: bool = False


class Planned(Struct, frozen=True):
    """A delivery and what must be done for it.

    `look` is to be rendered and put under `flags`, None where nothing is put. `outdated` are the items to take out of
    the mailbox once it is.
    """

    delivery: Delivery
    look: Look | None = None
    flags: str = ""
    outdated: tuple[Delivery, ...] = ()
    tried: bool = False
    """True where an earlier attempt may have left something."""


def version(numbers: Sequence[int]) -> bytes:
    """Digest of event numbers, in order."""
    return blake2b(_packed(numbers), digest_size=16).digest()


def version_of(conversation: Conversation, awake: Iterable[str]) -> bytes:
    """Equal where nothing came since: the same events, seen by the same people, who found the same.

    Who came or went, and the topic, are told by earlier events too, and those may be the ones that come late. `awake`
    can't have missed it.
    """
    digest = blake2b(_packed([captured.number for captured in conversation.events]), digest_size=16)
    sights = [f"{p.addresses} {p.mask:x} {p.invited} {p.hidden}" for p in conversation.participations]
    which = f"{conversation.session!r} {conversation.part}"
    told = [which, *sorted(sights), *sorted(awake), *_found(conversation)]
    digest.update("\n".join(told).encode("utf-8", "replace"))
    return digest.digest()


def _found(conversation: Conversation) -> Iterable[str]:
    """Of the roster, what items show. When somebody last did something counts only where their presence ends by it."""
    yield f"{conversation.roster.topic or None!r}"
    for who in conversation.roster.present:
        yield f"{who.addresses} {who.name!r} {who.hidden} {who.acted if conversation.partial else None}"


def _packed(numbers: Iterable[int]) -> bytes:
    return b"".join([number.to_bytes(8, "big") for number in numbers])


def overlapping(
    priors: Iterable[Filing],
    conversation: Conversation,
    own: bytes,
    destination: Destination = Destination.HISTORY,
) -> tuple[dict[str, Delivery], dict[str, list[tuple[Delivery, int]]]]:
    """Deliveries of this very version to one destination, by mailbox, and earlier ones with the events they share.

    Superseded ones are nobody's any more.
    """
    bits = {captured.number: 1 << index for index, captured in enumerate(conversation.events)}
    same: dict[str, Delivery] = {}
    earlier: dict[str, list[tuple[Delivery, int]]] = {}
    for filing in priors:
        for delivery in filing.deliveries:
            if (
                delivery.destination is not destination
                or delivery.state is DeliveryState.SUPERSEDED
                or (delivery.state is DeliveryState.FILED and not delivery.name)
            ):
                continue
            if filing.version == own:
                same[delivery.mailbox] = delivery
                continue
            covered = 0
            for index, number in enumerate(filing.events):
                if delivery.mask >> index & 1:
                    covered |= bits.get(number, 0)
            if covered:
                earlier.setdefault(delivery.mailbox, []).append((delivery, covered))
    return same, earlier


def withhold(
    conversation: Conversation, view: View, folder: str, reason: str, earlier: Sequence[Earlier], said: int
) -> Planned | None:
    """Keep a view back in the spool, without what its owner took away or a person dropped (None: nothing is left).

    What was filed of it before stays where it is.
    """
    mask = _left(view, earlier, said)
    if mask is None:
        return None
    size = sum(len(captured.body) for captured in _seen(conversation, mask))
    replaces = tuple(e.delivery.number for e in earlier if e.delivery.state in _KEPT_BACK)
    return Planned(Delivery(view.mailbox, folder, "", mask, DeliveryState.WITHHELD, reason, size, replaces))


def plan(
    conversation: Conversation,
    view: View,
    look: Look,
    folder: str,
    earlier: Sequence[Earlier],
    name_of: Callable[[Look], str],
    said: int,
) -> Planned | None:
    """File one view: whole, or only what continues the items that its owner took away (None: nothing does).

    `look` is for the whole view; a continuation has it with fewer events. `said` are the events that say something:
    a mere reaction to what its owner deleted is no reason to file anything again.
    """
    mask = _left(view, earlier, said)
    if mask is None:
        return None
    replaced = [e for e in earlier if not is_gone(e)]
    look = look if look.mask == mask else structs.replace(look, mask=mask)
    name = name_of(look)
    numbers = tuple(e.delivery.number for e in replaced)
    delivery = Delivery(view.mailbox, folder, name, mask, DeliveryState.ATTEMPTED, "", 0, numbers)
    for e in replaced:
        if e.delivery.name == name and e.flags is not None:
            delivery = structs.replace(delivery, size=e.delivery.size)
            return Planned(
                delivery, outdated=_lying(replaced, name)
            )  # it lies there already: only the journal has news
    return Planned(delivery, look, _flags(conversation, view, mask, replaced), _lying(replaced, name))


def _left(view: View, earlier: Iterable[Earlier], said: int) -> int | None:
    """What a view has besides the items that are gone; None where nothing of it says anything."""
    taken = _union(e.covered for e in earlier if is_gone(e))
    mask = view.mask & ~taken
    return None if taken and not mask & said else mask


def _lying(earlier: Iterable[Earlier], name: str) -> tuple[Delivery, ...]:
    return tuple(e.delivery for e in earlier if e.flags is not None and e.delivery.name != name)


def is_gone(earlier: Earlier) -> bool:
    """Moved, deleted or trashed by its owner, dropped or purged. An attempt that left nothing was none."""
    if earlier.delivery.state in (DeliveryState.GONE, DeliveryState.DROPPED, DeliveryState.PURGED):
        return True
    return earlier.delivery.state is DeliveryState.FILED and earlier.flags is None and not earlier.ours


_KEPT_BACK = frozenset({DeliveryState.WITHHELD, DeliveryState.PARKED})


def _flags(conversation: Conversation, view: View, mask: int, replaced: Sequence[Earlier]) -> str:
    """The Maildir flags of the item: its predecessors' where there are any, else seen unless missed.

    Seen goes only where the item brings messages that its owner didn't write; it comes where it was missed only so far.
    """
    found = [e for e in replaced if e.flags is not None]
    if not found:
        return "" if view.role is Role.MISSED else "S"
    letters = set().union(*(e.flags or "" for e in found)) - {"S"}
    known = [e for e in found if not _was_missed(conversation, view, e.covered)]
    fresh = mask & ~_union(e.covered for e in found)
    unread = not all("S" in (e.flags or "") for e in known)
    if not known or not (unread or _brings(conversation, fresh, view.addresses)):
        letters.add("S")
    return "".join(sorted(letters))


def _was_missed(conversation: Conversation, view: View, covered: int) -> bool:
    """True where an earlier item was of something missed, but its owner, as is known now, came or answered.

    They would have had it as seen in the first place.
    """
    if view.role is Role.MISSED:
        return False
    if conversation.kind != "im":
        return all(captured.event.type == INVITED for captured in _seen(conversation, covered))
    acts = 0
    for index, captured in enumerate(conversation.events):
        actor = captured.event.data.actor
        if actor is not None and actor.address in view.addresses and captured.event.type not in REFERENCES:
            acts |= 1 << index
    return bool(acts) and not acts & covered


def _brings(conversation: Conversation, fresh: int, addresses: frozenset[str]) -> bool:
    """True where the fresh events hold a message by somebody else; an edit or reaction never makes an item unread."""
    for captured in _seen(conversation, fresh):
        actor = captured.event.data.actor
        if captured.event.type == SENT and (actor is None or actor.address not in addresses):
            return True
    return False


def _seen(conversation: Conversation, mask: int) -> Iterable[Captured]:
    return (captured for index, captured in enumerate(conversation.events) if mask >> index & 1)


def _union(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union


def given_up(same: Delivery | None) -> Planned | None:
    """Of a view of which nothing is left: what was withheld of it waits no longer."""
    if same is None or same.state is not DeliveryState.WITHHELD:
        return None
    nothing = structs.replace(
        same, name="", mask=0, state=DeliveryState.FILED, reason="taken away by its owner", size=0
    )
    return Planned(nothing)


def forsaken(views: Iterable[View], earlier: Mapping[str, Sequence[Earlier]]) -> list[Planned]:
    """Take out the items of mailboxes whose owners, as it turned out later, could see none of it."""
    served = {view.mailbox for view in views}
    made: list[Planned] = []
    for mailbox, found in earlier.items():
        mine = [e for e in found if not is_gone(e)]
        if mailbox in served or not mine:
            continue
        numbers = tuple(e.delivery.number for e in mine)
        folder = mine[0].delivery.folder
        nothing = Delivery(mailbox, folder, "", 0, DeliveryState.ATTEMPTED, "not theirs to see", 0, numbers)
        made.append(Planned(nothing, outdated=_lying(mine, "")))
    return made
