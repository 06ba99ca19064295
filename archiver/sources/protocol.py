"""What every live source is to the daemon. Holds no source and no rule.

To add one (XMPP, Matrix …), write a module with a class of this shape, a table for it in `archiver.config.sources`,
and one line in `archiver.daemon.sources`; nothing else needs to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from archiver.events import Captured, Outcome, Rejected

Accept = Callable[[Sequence[Captured | Rejected]], Sequence[Outcome]]
"""Takes a batch and returns only when it is durable: only then may a source acknowledge it.

What became of each piece comes back in the order given. `Outcome.BLOCKED`, which only sources that say `blocking` are
ever told, means: not taken now, whoever sent it must keep it. Everything else may be acknowledged. Raises `TryLater`
when the spool can't take more now; what was taken of the batch stays, and comes again harmlessly, as identity is
`(source, id)`. A source calls it from one thread of its own, never from two at once.
"""


class Signs(Struct, frozen=True):
    """What only a source itself knows, since its start: input it `refused`, counted by reason, and `gaps`.

    `gaps` are events that it knows to be lost for good; None where it can't tell.
    """

    refused: Mapping[str, int] = {}
    gaps: int | None = None


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
    def fault(self) -> str:
        """What broke since its start and doesn't mend by itself: its thread, its socket; "" while nothing did.

        The daemon then stops it and makes another. A source that only waits for whom it connects to isn't `up`, and
        has no fault. Callable from any thread, at any time.
        """
        ...

    @property
    def blocking(self) -> bool:
        """Whether one request can be refused without holding up others: in critical mode it then is.

        False for a source that is read in order, or that only listens: one conversation must not stop it.
        """
        ...

    def probe(self) -> None:
        """Try what a start needs, and leave no trace: files that it reads, log-ins, whom it connects to.

        Raises `EnvironmentFault`, or `UsageError` for what the configuration got wrong. Where it would listen is
        looked at by `archiver doctor` itself.
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

    def signs(self) -> Signs:
        """Callable from any thread, at any time."""
        ...
