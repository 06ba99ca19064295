"""What is remembered of stanzas for the ones that refer to them: as pairs of texts, so that a file can hold it too."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

REMEMBERED = 200_000


class Memory(Protocol):
    """The oldest is forgotten first, once there is too much. `key` begins with what kind of thing it is."""

    def recall(self, *key: str) -> str | None: ...

    def note(self, value: str, *key: str) -> None: ...


class Recent:
    """A `Memory` for as long as one file is read."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, ...], str] = OrderedDict()

    def recall(self, *key: str) -> str | None:
        return self._held.get(key)

    def note(self, value: str, *key: str) -> None:
        self._held[key] = value
        self._held.move_to_end(key)
        if len(self._held) > REMEMBERED:
            self._held.popitem(last=False)
