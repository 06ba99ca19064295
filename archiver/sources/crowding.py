"""Who goes where one client, or one byte, too many came. Who holds much and goes no further must keep nobody out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TypeVar

Client = TypeVar("Client")
Waiting = tuple[bool, float]
"""Whether a client has shown who it is, and since when it is waited for, by any clock."""

PACE = 16 * 1024
"""Bytes a second that nobody is waited for who brings them."""


def since(began: float, size: int) -> float:
    """Since when one is waited for that began to bring something then, and has brought so many bytes.

    Who stalls must not drive out who brings something large: that takes longer than any stall needs to.
    """
    return began + size / PACE


def giving_way(newest: Client, clients: Iterable[Client], waiting: Callable[[Client], Waiting | None]) -> Client:
    """Who is waited for longest, of strangers while there are some; the newest where nobody else is waited for.

    `waiting` gives None for a client that isn't. That one has begun a body or mail doesn't count: of those that stall
    there, there would soon be so many that only who has just come could go.
    """
    stalled = [(how, each) for each in clients if each is not newest and (how := waiting(each)) is not None]
    return min(stalled, key=itemgetter(0))[1] if stalled else newest
