"""Append: captured events into the spool, idempotent by identity, one transaction a batch.

All digests and columns are made before the transaction begins, all files are durable before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from archiver.events import Captured, Rejected
from archiver.spool import files, runs
from archiver.spool.accepting import Pair, Step, Terms, Unjudged
from archiver.spool.batch import Batch, Sealed, prepare
from archiver.spool.database import Connections, Transaction, faults
from archiver.spool.likeness import Others, says_the_same
from archiver.spool.memory import Memory
from archiver.spool.records import Appended


class Intake:
    """Appends of one process. Remembers numbers of places and sources that are committed."""

    def __init__(
        self,
        connections: Connections,
        blobs: files.Tree,
        quarantine: files.Tree,
        others: Others,
        *,
        idle: int,
        lateness: int,
    ) -> None:
        self._connections = connections
        self._blobs = blobs
        self._quarantine = quarantine
        self._others = others
        self._idle = idle
        self._lateness = lateness
        self.memory = Memory()
        self._by_serial: bool | None = None

    def append(
        self,
        items: Sequence[Captured | Sealed | Rejected],
        feed: int,
        *,
        live: bool,
        now: int,
        backfill: runs.Step | None = None,
    ) -> Appended:
        batch = prepare(items, by_serial=self._is_by_serial())
        same: dict[Pair, bool] = {}
        terms = Terms(live, now, self._idle, self._lateness)
        while True:
            self._write_files(batch)
            try:
                with self._connections.writing(live=live) as transaction:
                    if not self._blobs_there(batch):
                        continue  # housekeeping removed one between our writing and our row: write it again
                    step = Step(transaction.connection, batch, feed, self.memory, same, terms)
                    result = step.run(len(items))
                    if backfill is not None:
                        runs.record(
                            transaction.connection, backfill, step.numbers, step.again, result.counts, result.outcomes
                        )
            except Unjudged as unjudged:
                same |= {pair: says_the_same(*both, self._others) for pair, both in unjudged.found.items()}
                continue
            self.memory.remember(feed, step)
            return self._with_held(result, transaction)

    def _is_by_serial(self) -> bool:
        """False where this spool's first identities were kept by another archiver, which knew of no serials."""
        if self._by_serial is None:
            with self._connections.reading() as connection:
                row = connection.execute("SELECT value FROM counter WHERE name = 'by_serial'").fetchone()
            self._by_serial = row[0] == 1
        return self._by_serial

    def _write_files(self, batch: Batch) -> None:
        with faults(self._connections.path):
            self._quarantine.write(batch.quarantine)
            self._blobs.write([entry for _, _, entry in batch.blobs])

    def _blobs_there(self, batch: Batch) -> bool:
        return all(self._blobs.has(entry.path) for _, _, entry in batch.blobs)

    def _with_held(self, result: Appended, transaction: Transaction) -> Appended:
        return Appended(
            result.accepted,
            result.duplicates,
            result.conflicts,
            result.quarantined,
            result.cleaned,
            result.outcomes,
            transaction.held,
        )
