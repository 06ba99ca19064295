"""Opening the spool, its locks, and cleaning up after the dead."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Literal, Self

from archiver.events import SECOND
from archiver.exceptions import UsageError
from archiver.spool import feeds, files, intake, journal, locks, mark, pieces, places, schema
from archiver.spool.database import Connections, faults
from archiver.spool.likeness import Others, nobody_else
from archiver.spool.records import Reaped

IDLE = 600 * SECOND
LATENESS = 120 * SECOND
LEASE = 300 * SECOND
"""How long a claim lasts; whoever works longer extends it."""


def clock() -> int:
    return time.time_ns() // 1_000


def missing(data: Path) -> UsageError:
    hint = "name another data directory with --data; `archiver run` and `archiver backfill` make a new one"
    return UsageError(f"there is no spool in {data}", hint=hint)


class Opened:
    """A spool that is open, with what all its steps work on."""

    def __init__(
        self, data: Path, others: Others, *, idle: int, lateness: int, readonly: bool, patience: float
    ) -> None:
        self.data = data
        self.readonly = readonly
        self._run = data / "run"
        self._pid = os.getpid()
        self._connections = Connections(
            data / "spool.db", locks.Gate(self._run, patience), readonly=readonly, patience=patience
        )
        self.owner = ""
        self._lock: locks.Lock | None = None
        if readonly:
            with faults(self._connections.path):
                schema.require_current(self._connections.db)
        else:
            self._enter()
        self._blobs = files.Tree(data / "blobs", self.owner)
        self._quarantine = files.Tree(data / "quarantine", self.owner)
        self._others = others
        self._intake = intake.Intake(
            self._connections, self._blobs, self._quarantine, others, idle=idle, lateness=lateness
        )
        self._appending = threading.Lock()
        self._journal = journal.Journal(self._connections, self._run)

    def _enter(self) -> None:
        with faults(self.data):
            for directory in (self.data, self._run, self.data / "blobs", self.data / "quarantine"):
                files.make_directory(directory)
            with locks.schema_alone(self._run):
                with faults(self._connections.path):
                    schema.bring_up_to_date(self._connections.db)
                mark.compare(self._connections, self._run)
                files.sync_directory(self.data)
            self.owner, self._lock = locks.enter(self._run)

    @staticmethod
    def exists(data: Path) -> bool:
        """Whether there is one in this data directory; raises `EnvironmentFault` where one may not look."""
        with faults(data):
            return (data / "spool.db").exists()

    @classmethod
    def open(
        cls,
        data: Path | str,
        *,
        readonly: bool = False,
        idle: int = IDLE,
        lateness: int = LATENESS,
        patience: float = 10.0,
        others: Others = nobody_else,
    ) -> Self:
        """`data` is the data directory. `patience`: seconds to wait for a lock before `TryLater`.

        `others` says by which other addresses somebody is known, so that an event told by another of them is a
        duplicate and no conflict.

        `readonly` serves worker processes: it writes nothing, takes no lock, and needs a spool that exists.
        """
        data = Path(data)
        if readonly and not cls.exists(data):
            raise missing(data)
        return cls(data, others, idle=idle, lateness=lateness, readonly=readonly, patience=patience)

    def close(self) -> None:
        """Leases still held by this one are free again."""
        if self._pid != os.getpid():
            return
        self._connections.close()
        if self._lock is not None:
            self._lock.release(remove=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def shrink(self) -> None:
        """Give back the memory that many appends have filled with pages and names; nothing else changes."""
        with self._appending:
            self._intake.memory.forget_places()
            self._connections.shrink()

    # Locks of the data directory

    def hold(self, name: Literal["daemon", "backfill"], description: str) -> locks.Lock:
        """Be the one daemon or backfill until the lock is released; else `InUse` says who is."""
        with faults(self._run):
            return locks.take(self._run, name, description)

    def holder(self, name: Literal["daemon", "backfill"]) -> str | None:
        """Who holds it just now, as they described themselves; None if nobody."""
        return locks.holder(self._run, name)

    def reap(self, now: int) -> Reaped:
        """Clean up after the dead: their leases, unfinished files, lock files, feeds closed halfway."""
        with faults(self.data):
            leases = places.lose(self._connections, now, lambda owner: not self._is_alive(owner))
            left = self._blobs.remove_unfinished(self._is_alive) + self._quarantine.remove_unfinished(self._is_alive)
            settled = feeds.settle_closed(self._connections, now)
            left += len(locks.remove_dead(self._run)) + pieces.sweep(self._connections)
        return Reaped(leases, left, settled)

    def _is_alive(self, owner: str) -> bool:
        return locks.is_alive(self._run, owner)
