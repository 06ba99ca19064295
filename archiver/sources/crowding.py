"""Who goes where one client too many came. Who opens many connections and goes no further must keep nobody out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TypeVar

Client = TypeVar("Client")
Waiting = tuple[bool, float]
"""Whether a client has come some way, and since when it is waited for, by any clock."""


def giving_way(newest: Client, clients: Iterable[Client], waiting: Callable[[Client], Waiting | None]) -> Client:
    """Who has come no way goes first, then who is waited for longest; the newest where nobody else is waited for.

    `waiting` gives None for a client that isn't.
    """
    stalled = [(how, each) for each in clients if each is not newest and (how := waiting(each)) is not None]
    return min(stalled, key=itemgetter(0))[1] if stalled else newest
