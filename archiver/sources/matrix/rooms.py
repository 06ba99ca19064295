"""The rooms of a homeserver as they are now: read from the ledger at first need, and kept up with every event."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from archiver.importers.matrix.event import Line
from archiver.importers.matrix.survey import Room
from archiver.sources.matrix.ledger import Known

AT_ONCE = 500
"""Rooms in memory; of others only the ledger knows."""
NOTED = 10_000
"""Events noted of a room in memory; then it is read anew, as memory keeps what was when, and the ledger what is."""
STATE = frozenset(
    f"m.room.{each}" for each in ("create", "member", "name", "topic", "encryption", "history_visibility")
)
"""What is kept of a room: what the telling of later events depends on."""

_line = msgspec.json.Decoder(Line).decode


class Met:
    """A room, and whether it is known who was in it before its first event here."""

    def __init__(self, identity: str, known: Known) -> None:
        self.room = Room(identity, None)
        self.noted = 0
        self.met = known.met
        self.room.direct = known.direct
        for body in known.state:
            self.room.note(_line(body))


class Rooms:
    """`known` reads the ledger."""

    def __init__(self, known: Callable[[str], Known]) -> None:
        self._known = known
        self._rooms: OrderedDict[str, Met] = OrderedDict()

    def get(self, identity: str) -> Met:
        found = self._rooms.get(identity)
        if found is None:
            found = self._rooms[identity] = Met(identity, self._known(identity))
        self._rooms.move_to_end(identity)
        return found

    def trim(self) -> None:
        """Between transactions: one may concern more rooms than are kept."""
        for identity in [identity for identity, met in self._rooms.items() if met.noted > NOTED]:
            del self._rooms[identity]
        while len(self._rooms) > AT_ONCE:
            self._rooms.popitem(last=False)


def kept(line: Line) -> bytes:
    """A state event as the ledger keeps it: without what was before it."""
    return msgspec.json.encode(msgspec.structs.replace(line, unsigned=None))
