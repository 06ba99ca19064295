"""How conversations are bounded, and in which order the events of a place stand. Holds the figures, and no fold."""

from __future__ import annotations

from msgspec import Struct

from archiver.events import SECOND, Captured

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class Rules(Struct, frozen=True):
    """How conversations are bounded. Times in microseconds, sizes in bytes of canonical JSON."""

    idle: int = 10 * MINUTE
    """A pause longer than this ends a conversation without a session."""
    span: int = 12 * HOUR
    """No conversation without a session is longer; what comes later starts the next."""
    silence: int = 4 * HOUR
    """A session whose end was never seen is ready after this silence."""
    tail: int = 5 * MINUTE
    """What comes this long after a session's end, before another start, still belongs to it."""
    part_events: int = 1_000
    part_bytes: int = 5 * 1024 * 1024
    partial_leave: int = 30 * MINUTE
    """Where leaves are not recorded, someone is taken to have left this long after their last own event."""
    missed_quiet: int = HOUR
    """A one-to-one is missed by a party silent in it and this long before."""

    def cuts(self, started: int, last: int, time: int) -> bool:
        """Whether something at `time` begins another conversation than the one without a session so far."""
        return time - last > self.idle or time - started >= self.span


def order(captured: Captured) -> tuple[int, bool, str, str]:
    """Sort key of events within a place: time, then sequence (absent first), then id, bytewise.

    Code points sort as their UTF-8 bytes do.
    """
    sequence = captured.event.sequence
    return captured.time, sequence is not None, sequence or "", captured.event.id
