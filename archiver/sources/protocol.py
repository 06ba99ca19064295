"""What every live source is to the daemon. Holds no source and no rule.

To add one (XMPP, Matrix, HTTP …), write a module with a class of this shape; nothing else needs to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from archiver.events import Captured, Rejected

Accept = Callable[[Sequence[Captured | Rejected]], None]
"""Takes a batch and returns only when it is durable: only then may a source acknowledge it.

Raises `TryLater` when the spool can't take more now; what was taken of the batch stays, and comes again harmlessly,
as identity is `(source, id)`. Raises `Blocked` where only this request can't be taken. A source calls it from one
thread of its own, never from two at once.
"""


class Source(Protocol):
    """One live way in. It owns its thread or loop, its connections and its reconnecting.

    What can't be read as an event is handed over as `Rejected`, whole, and then acknowledged like any other input:
    it is safely kept. Input that was not accepted is refused for now, never for good, and never acknowledged.
    """

    @property
    def name(self) -> str:
        """Short and unique among the running sources; it names the feed in the spool and in `status`."""
        ...

    @property
    def up(self) -> bool:
        """Connected and caught up: while it is True, the feed's watermark follows the clock."""
        ...

    @property
    def blocking(self) -> bool:
        """Whether one request can be refused without holding up others: in critical mode it then is.

        False for a source that is read in order, or that only listens: one conversation must not stop it.
        """
        ...

    def start(self, accept: Accept) -> None:
        """Begin; returns when the source is ready. Raises `EnvironmentFault` where it can't be: a port in use …"""
        ...

    def stop(self) -> None:
        """Take nothing new, finish what is being taken in, return when nothing will call `accept` again.

        Bounded in time: what isn't finished by then is left unacknowledged. Harmless twice, or before a start.
        """
        ...

    def describe(self) -> str:
        """One line for a person: what it listens to or is connected to."""
        ...
