"""Which identities the spool has, and what an append would make of events that come again. Writes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from archiver.events import Outcome
from archiver.spool.batch import Sealed
from archiver.spool.likeness import First, Others, says_the_same

_KNOWN = "SELECT event, digest FROM identity WHERE serial = ? AND key = ?"
_FIRST = "SELECT time, body FROM event WHERE n = ?"


def known(connection: sqlite3.Connection, wanted: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Number and digest, by key, of those of these serials and keys that there are."""
    found: dict[int, tuple[int, int]] = {}
    for serial, key in wanted:
        for number, digest in connection.execute(_KNOWN, (serial, key)):
            found[key] = number, digest
    return found


def first(connection: sqlite3.Connection, number: int, digest: int) -> First:
    return First(digest, *(connection.execute(_FIRST, (number,)).fetchone() or ()))


def would_be(connection: sqlite3.Connection, batch: Sequence[Sealed], others: Others) -> list[Outcome]:
    # Under 0 too: so a spool that an older archiver began has them.
    there = known(connection, ((serial, each.key) for each in batch for serial in {each.serial, 0}))

    def outcome(event: Sealed) -> Outcome:
        if event.key not in there:
            return Outcome.ACCEPTED
        number, digest = there[event.key]
        is_same = digest == event.digest or says_the_same(event, first(connection, number, digest), others)
        return Outcome.DUPLICATE if is_same else Outcome.CONFLICT

    return [outcome(each) for each in batch]
