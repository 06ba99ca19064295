"""The same chat from another tool, as far as it can be told: messages with the same people, minute and text elsewhere.

Two tools that give a message different ids give it twice, and nothing may drop one of two messages that are alike: so
it is only said. A bounded look at the largest rooms of a run, at events that are still in the spool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, json

from archiver.decisions.excluding import Whose
from archiver.events import SENT, Event
from archiver.spool import Spool
from archiver.spool.beside import Beside
from archiver.spool.undoing import Ranges

ROOMS = 50
"""Rooms of a run that are looked at."""
_OTHERS = 20
_EVENTS = 200
_FEW = 2
"""Fewer are chance: the same short answer in two rooms."""
_MINUTE = 60_000_000

_decode = json.Decoder(Event).decode
_Said = tuple[int, str, str]
"""Minute, by whom, what."""


class Resemblance(Struct, frozen=True):
    """Of the `compared` messages that a run brought to a room, `alike` are in the other room too, under other ids."""

    source: str
    conversation: str
    other_source: str
    other_conversation: str
    alike: int
    compared: int


def resembling(spool: Spool, whose: Whose, run: int, rooms: Iterable[tuple[str, str]]) -> Iterator[Resemblance]:
    """`rooms` (source and conversation) are those to which the run brought most; each pair is told once."""
    numbers = spool.brought_numbers(run)
    told: set[frozenset[tuple[str, str]]] = set()
    for room in rooms:
        found = spool.beside(*room, _OTHERS)
        if found is None or not found.rooms:
            continue
        own = _said(spool, whose, room[0], found.place, found, numbers)
        for other in found.rooms:
            pair = frozenset((room, (other.source, other.conversation)))
            theirs = _said(spool, whose, other.source, other.place, found)
            alike = (own & theirs).total()
            if pair not in told and alike >= _FEW and 2 * alike >= own.total():
                told.add(pair)
                yield Resemblance(*room, other.source, other.conversation, alike, own.total())


def _said(
    spool: Spool, whose: Whose, source: str, place: int, found: Beside, numbers: Ranges | None = None
) -> Counter[_Said]:
    rows = spool.said(place, found, _EVENTS)
    return Counter(_messages(whose, source, [row for row in rows if numbers is None or row[0] in numbers]))


def _messages(whose: Whose, source: str, rows: Sequence[tuple[int, int, bytes]]) -> Iterator[_Said]:
    for _, time, body in rows:
        data = (event := _decode(body)).data
        if event.type == SENT and data.actor is not None and data.message is not None and data.message.text:
            who = whose(source, data.actor.address) or data.actor.address
            yield time // _MINUTE, who, " ".join(data.message.text.split())
