"""A retraction of what was filed long ago: the item is made anew where it stands, though its events are forgotten.

The item itself carries them (see `rebuilding`). Finds and plans; putting and recording is the pipeline's work, as for
any other conversation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Protocol

from msgspec import Struct

from archiver.conversations.rules import Rules
from archiver.decisions import planning
from archiver.decisions.planning import Planned
from archiver.events import EDITED, REFERENCES, RETRACTED, Captured, target
from archiver.exceptions import ArchiverError
from archiver.filing.rebuilding import rebuild
from archiver.filing.showing import Showing
from archiver.rendering import Limits
from archiver.store import LARGEST, Found, Store, Where
from archiver.types import Conversation, Delivery, DeliveryState, Destination, Filing


class Memory(Protocol):
    """What is asked of the spool: which filings hold messages whose events it has forgotten."""

    def recalled(self, place: int, targets: Iterable[str]) -> list[tuple[str, Filing]]: ...
    def whispered(self, place: int, targets: Iterable[str]) -> dict[str, frozenset[str]]: ...
    def priors(self, place: int, started: int, ended: int) -> list[Filing]: ...
    def blob(self, sha256: str) -> bytes | None: ...


class Renewed(Struct):
    """One item to be made anew, for all mailboxes that have it."""

    showing: Showing
    filing: Filing
    planned: list[Planned]


def retractions(conversation: Conversation) -> list[Captured]:
    """Retractions of messages that the conversation doesn't hold itself; an edit of one is no message."""
    held = {target(c.event) for c in conversation.events if c.event.type not in REFERENCES}
    return [c for c in conversation.events if c.event.type == RETRACTED and target(c.event) not in held]


def renew(
    memory: Memory, store: Store, place: int, late: Sequence[Captured], rules: Rules, limits: Limits
) -> Iterator[Renewed]:
    """The items that `late` retractions change, with their text gone. Those already renewed are left out."""
    by_target = {key: captured for captured in late if (key := target(captured.event)) is not None}
    whispered = memory.whispered(place, by_target)
    for key, origin in memory.recalled(place, by_target):
        captured = by_target[key]
        priors = memory.priors(place, origin.started, origin.ended)
        for prior in priors:
            # One that covers it is renewed already. Others may still wait: each name has a filing of its own.
            if captured.number not in prior.events and set(prior.events) & set(origin.events):
                yield from _renewed(memory, store, prior, captured, rules, limits, whisper=key in whispered)


def _renewed(
    memory: Memory, store: Store, prior: Filing, captured: Captured, rules: Rules, limits: Limits, *, whisper: bool
) -> Iterator[Renewed]:
    """`whisper`: not everybody who has an item of it may know of the message."""
    shared: dict[str, Lying] = {}
    filed = [d for d in prior.deliveries if _is_in_history(d)]
    for delivery, found in zip(filed, store.locate_all([_where(d) for d in filed]), strict=True):
        if found is not None:
            shared.setdefault(delivery.name, []).append((delivery, found))
    events = (*prior.events, captured.number)
    for name, content, lying in _by_content(store, shared):
        try:
            conversation, look = rebuild(content, rules, (captured,))
        except ArchiverError:  # damaged: then there is nothing to renew
            continue
        if whisper and not _holds(conversation, captured):
            continue
        showing = Showing(conversation, memory.blob, rules, limits)
        version = planning.version([*events, *name.encode(), *sha256(content).digest()])
        bit = 1 << len(prior.events)
        planned = [
            Planned(
                Delivery(
                    delivery.mailbox,
                    delivery.folder,
                    showing.name(look),
                    delivery.mask | bit,
                    DeliveryState.ATTEMPTED,
                    replaces=(delivery.number,),
                ),
                look,
                found.flags,
                (delivery,),
            )
            for delivery, found in lying
        ]
        filing = Filing(
            prior.place, version, prior.started, prior.ended, prior.part, events, tuple(p.delivery for p in planned)
        )
        yield Renewed(showing, filing, planned)


Lying = list[tuple[Delivery, Found]]


def _by_content(store: Store, shared: Mapping[str, Lying]) -> Iterator[tuple[str, bytes, Lying]]:
    """Of one name there is one content, but for what an owner wrote in its place: that is made anew for them alone.

    What is larger than any item is left as it is.
    """
    for name, lying in shared.items():
        contents: dict[bytes, Lying] = {}
        for each, read in zip(lying, store.read_all([_where(d) for d, _ in lying], LARGEST + 1), strict=True):
            if read is not None and len(read[1]) <= LARGEST:
                contents.setdefault(read[1], []).append(each)
        for content, those in contents.items():
            yield name, content, those


def _holds(conversation: Conversation, retraction: Captured) -> bool:
    """True where a text of what is retracted is there to be taken out."""
    texts = (c.event for c in conversation.events if c.event.type == EDITED or c.event.type not in REFERENCES)
    return target(retraction.event) in map(target, texts)


def _is_in_history(delivery: Delivery) -> bool:
    """In an archive every version stays as it is."""
    return delivery.destination is Destination.HISTORY and delivery.state is DeliveryState.FILED and delivery.name != ""


def _where(delivery: Delivery) -> Where:
    return Where(delivery.mailbox, delivery.folder, delivery.name)
