"""Whether a homeserver reaches us, and has told by now what it kept while it didn't (pure). Times are seconds.

Where it just came back, what it sends first is old. Until it isn't any more, nobody may take what there is for all.
"""

from __future__ import annotations

RECENT = 5.0
"""A transaction whose last event is no older tells of now."""
QUIET = 10.0
"""Without a further old one for so long, there is none: clocks may differ by more than a few seconds."""
LONGEST = 1_800.0
"""Of catching up; then it counts as done, whatever its clock says."""


class Reach:
    def __init__(self) -> None:
        self.reached = False
        self._catching_up: float | None = None
        self._old = 0.0

    def tried(self, now: float, *, reached: bool) -> None:
        """The homeserver was asked to reach us."""
        if reached and not self.reached:
            self._catching_up, self._old = now, now - QUIET
        self.reached = reached

    def told(self, now: float, age: float) -> None:
        """It sent something, the last of it `age` seconds old."""
        self.tried(now, reached=True)
        if age < RECENT:
            self._catching_up = None
        else:
            self._old = now

    def is_up(self, now: float) -> bool:
        if not self.reached or self._catching_up is None:
            return self.reached
        return now - self._old >= QUIET or now - self._catching_up > LONGEST
