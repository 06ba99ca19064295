"""How much one append takes at once, so that the write lock is never held for long (pure)."""

from __future__ import annotations

BESIDE = 0.020
"""Seconds a batch may hold the write lock while a daemon runs: at 50 ms others got "locked" again and again."""
ALONE = 0.250
_LEAST = 16
_MOST_BESIDE = 4_000
_MOST_ALONE = 8_000
_BYTES_A_ROW = 1_000


class Pace:
    """Batch sizes from measured hold times. A large body counts as several rows."""

    def __init__(self, *, alone: bool) -> None:
        self._goal = ALONE if alone else BESIDE
        self._most = _MOST_ALONE if alone else _MOST_BESIDE
        self.rows = 2_000 if alone else 200

    def weight(self, size: int) -> int:
        """How many rows one of this many bytes counts for."""
        return 1 + size // _BYTES_A_ROW

    def measured(self, rows: int, held: float) -> None:
        """Aim at 7/10 of the goal; grow slowly, shrink at once: one slow sync must not pass on to the next batch."""
        if held <= 0 or rows < 1:
            return
        fitting = rows * self._goal * 0.7 / held
        if fitting < self.rows:
            self.rows = max(_LEAST, int(fitting))
        elif rows >= self.rows // 2:
            self.rows = min(self._most, int(min(fitting, self.rows * 1.5)) + 1)
