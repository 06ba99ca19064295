"""What lies in an input and is left alone, with the reason: counted, and a few of each named. Looks at no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from msgspec import Struct, structs

from archiver.exceptions import ArchiverError
from archiver.importers.document import readable

NAMED = 20
"""Files of one reason that are named."""
REASONS = 50
OTHER = "for other reasons"
NO_FORMAT = "of no known format; taken only where a conversation names them"
MEDIA = "pictures, sounds and the like; taken where a conversation names them"
SERVERS_OWN = "what mail servers and our own exports keep beside mails"
SENT = "of a known format, where a chat keeps what was sent in it; name it alone to read it"
CHAT_S_OWN = "of a known format, but sent in a chat that lies beside it and names it; name it alone to read it"
EXPECTED = frozenset((MEDIA, SERVERS_OWN, SENT))
"""Nobody need look at these."""


class Left(Struct):
    """Files left alone for one reason. `is_fault`: they should have been read, and somebody should look."""

    why: str
    count: int = 0
    is_fault: bool = False
    such: list[str] = []


class Leave(Protocol):
    """Told of everything that is left alone."""

    def __call__(self, place: str, why: str, *, is_fault: bool = False, count: int = 1) -> None: ...


class Leavings:
    """Gathers what is told: a `Leave`."""

    def __init__(self, before: Iterable[Left] = ()) -> None:
        self._found = {each.why: structs.replace(each, such=list(each.such)) for each in before}

    def __call__(self, place: str, why: str, *, is_fault: bool = False, count: int = 1) -> None:
        place, why = readable(place), readable(why)
        why = why if why in self._found or len(self._found) < REASONS else OTHER
        left = self._found.setdefault(why, Left(why))
        left.count += count
        left.is_fault = left.is_fault or is_fault
        if len(left.such) < NAMED:
            left.such.append(place)

    @property
    def told(self) -> list[Left]:
        """Those that ask for attention first."""
        return sorted(self._found.values(), key=lambda each: not each.is_fault)


class Holding:
    """Keeps what is wrong with archives until it is known which of them were sent: nobody need look at those."""

    def __init__(self, leave: Leave, is_archive: Callable[[str], bool]) -> None:
        self._leave = leave
        self._is_archive = is_archive
        self._held: list[tuple[str, Callable[[], None]]] = []

    def __call__(self, place: str, why: str, *, is_fault: bool = False, count: int = 1) -> None:
        tell = partial(self._leave, place, why, is_fault=is_fault, count=count)
        if self._is_archive(place):
            self._held.append((place, tell))
        else:
            tell()

    def tell(self, is_sent: Callable[[str], bool] = lambda place: False) -> None:
        for place, tell in self._held:
            if not is_sent(place):
                tell()
        self._held.clear()


def reason_of(fault: Exception) -> str:
    """Why a file can't be read, without its place, which is told apart."""
    if isinstance(fault, OSError):
        return f"can't be read: {fault.strerror or fault}"
    place = fault.facts.get("path") if isinstance(fault, ArchiverError) else None
    said = str(fault).removeprefix(f"{place}: ")
    return said if said.startswith("can't") else f"can't be read: {said}"


def unheeded(place: str, why: str, *, is_fault: bool = False, count: int = 1) -> None:
    """A `Leave` where nobody asks."""


def both(first: Leave, second: Leave) -> Leave:
    """Tells two."""

    def leave(place: str, why: str, *, is_fault: bool = False, count: int = 1) -> None:
        for each in (first, second):
            each(place, why, is_fault=is_fault, count=count)

    return leave
