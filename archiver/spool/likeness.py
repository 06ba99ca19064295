"""Whether an event that came again says the same as the first, and only knows its people or its time less or better.

A product's webhook names people by their ids, its export by mail address; a room's archive has the nick of somebody
whose address the server knew; an export doesn't say when a reaction was given. What came first stays: told here is
whether the other is a duplicate, or a conflict. Pure; who is known by which addresses is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product

from msgspec import Struct, json, structs

from archiver.events import Event, Participant, guesses_of
from archiver.spool import identity
from archiver.spool.batch import Sealed

Others = Callable[[str, str], Iterable[str]]
"""Source and address -> the other addresses by which the same person is known."""

ADDS_FILES = "has files that the first lacks"
LACKS_FILES = "lacks files that the first has"
_GUESSED_TIMES = frozenset({"sent", "edited", "retracted", "reacted"})
_MOST = 64
"""Ways of calling its people that are tried of one event."""

_decode = json.Decoder(Event).decode


class First(Struct, frozen=True):
    """The event that came first: its digest, and while it is in the spool, its time (microseconds) and body."""

    digest: int
    time: int = 0
    body: bytes | None = None


def says_the_same(again: Sealed, first: First, others: Others) -> bool:
    event = _decode(again.body)
    if first.body is None:
        return any(identity.digest(each, again.time) == first.digest for each in _called_otherwise(event, others))
    known = _decode(first.body)
    unknown = _is_guessed(event) or _is_guessed(known) or _is_mended_alike(event, known)
    time = first.time if unknown else again.time
    return identity.digest(_as_known_to(known, event, others), time) == first.digest


def _is_guessed(event: Event) -> bool:
    return bool(_GUESSED_TIMES & guesses_of([event.archiverguessed or ""]).keys())


def _is_mended_alike(event: Event, first: Event) -> bool:
    """What stands for a time that nobody can mean is its receipt's or its neighbour's: another each time it comes."""
    return event.archivertime is not None and event.archivertime == first.archivertime


def differs_in_files(kept: bytes, other: bytes) -> str:
    """What of shared files alone tells two events of one identity apart, where nothing else does."""
    first, second = _decode(kept), _decode(other)
    alike = structs.replace(first, data=structs.replace(first.data, attachments=second.data.attachments))
    if first.time != second.time or identity.digest(alike, 0) != identity.digest(second, 0):
        return ""
    had, has = _contents(first), _contents(second)
    return "" if had == has else ADDS_FILES if had < has else LACKS_FILES if has < had else "has other files"


def _contents(event: Event) -> set[str]:
    return {each.sha256 for each in event.data.attachments or () if each.sha256}


def nobody_else(source: str, address: str) -> tuple[str, ...]:
    """Where no directory says anything."""
    return ()


def _called_otherwise(event: Event, others: Others) -> Iterator[Event]:
    ways = [(each.address, *others(event.source, each.address)) for each in _compared(event)]
    return (_with(event, way) for way in islice(product(*ways), _MOST))


def _as_known_to(first: Event, event: Event, others: Others) -> Event:
    """With the addresses that the first one has for the same people."""
    pairs = list(zip(_compared(event), _compared(first), strict=False))
    if not len(pairs) == len(_compared(event)) == len(_compared(first)):
        return event
    return _with(event, [known.address if _is_same(event, who, known, others) else who.address for who, known in pairs])


def _is_same(event: Event, who: Participant, known: Participant, others: Others) -> bool:
    by_name = (known.name, f"{event.data.conversation.id}/{known.name}")  # XEP-0045: an occupant is room/nick
    return (known.name is not None and who.address in by_name) or known.address in others(event.source, who.address)


def _compared(event: Event) -> tuple[Participant, ...]:
    """Whose addresses are part of what is compared."""
    actor, message = event.data.actor, event.data.message
    return ((actor,) if actor else ()) + ((message.to or ()) if message else ())


def _with(event: Event, addresses: Iterable[str]) -> Event:
    left = iter(addresses)
    actor, message = event.data.actor, event.data.message
    if actor is not None:
        actor = structs.replace(actor, address=next(left))
    if message is not None and message.to:
        message = structs.replace(message, to=tuple(structs.replace(each, address=next(left)) for each in message.to))
    return structs.replace(event, data=structs.replace(event.data, actor=actor, message=message))
