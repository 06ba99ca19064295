"""Claiming work: places that are due, leased to an owner for a time. Holds no rule of when a place becomes due.

A claim takes `due_at` away and keeps it in `claimed_due`: what becomes due meanwhile is seen by the finish, and a
claim that dies is due again as before. Two partial indexes hold only what is due and what is leased, so that their
size, and the cost of a claim, don't grow with what is filed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import json

from archiver.events import SECOND
from archiver.spool.database import Connections
from archiver.types import Lease, Roster

_BACKOFF = 10 * SECOND
_LONGEST_BACKOFF = 3_600 * SECOND

_CLAIM = """
UPDATE place SET owner = :owner, lease_until = :until, claimed_due = due_at, due_at = NULL, attempts = attempts + 1
WHERE n IN (SELECT n FROM place WHERE due_at IS NOT NULL AND owner IS NULL {due} {feed} ORDER BY due_at LIMIT :limit)
RETURNING n, (SELECT name FROM source WHERE source.n = place.source), conversation, attempts, partial,
    (SELECT body FROM roster WHERE roster.place = place.n), EXISTS (SELECT 1 FROM filing WHERE filing.place = place.n),
    (SELECT value FROM counter WHERE name = 'event')
"""
_CLAIM_ONE = """
UPDATE place SET owner = ?, lease_until = ?, claimed_due = due_at, due_at = NULL, attempts = attempts + 1
    WHERE n = ? AND owner IS NULL
"""
_DUE = "AND due_at <= :now"
_FEED = "AND EXISTS (SELECT 1 FROM feed_place WHERE feed_place.feed = :feed AND feed_place.place = place.n)"
_FINISH = """
UPDATE place SET due_at = CASE WHEN due_at IS NULL THEN ?1 WHEN ?1 IS NULL THEN due_at ELSE min(due_at, ?1) END,
    attempts = 0, error = NULL, owner = NULL, lease_until = NULL, claimed_due = NULL WHERE n = ?2 AND owner = ?3
"""
_RELEASE = """
UPDATE place SET due_at = min(ifnull(due_at, claimed_due), ifnull(claimed_due, due_at)),
    attempts = max(attempts - 1, 0), owner = NULL, lease_until = NULL, claimed_due = NULL WHERE n = ?1 AND owner = ?2
"""
_RETRY = """
UPDATE place SET due_at = ?1, error = ?2, owner = NULL, lease_until = NULL, claimed_due = NULL
    WHERE n = ?3 AND owner = ?4
"""
# A first death says little (a kill, a power cut); a place that was claimed again and again and never finished may be
# what kills the process, so it waits longer each time. Places leased only to forget have nothing due.
_LOST = """
UPDATE place SET due_at = CASE WHEN attempts >= 2 AND claimed_due IS NOT NULL THEN ?1
    ELSE min(ifnull(due_at, claimed_due), ifnull(claimed_due, due_at)) END,
    owner = NULL, lease_until = NULL, claimed_due = NULL WHERE n = ?2 AND owner = ?3
"""

_decode_roster = json.Decoder(Roster).decode


_AHEAD = 33 * 24 * 3_600 * SECOND
"""Nothing waits for longer, by a clock that goes on: neither for an event that may still come nor to be tried again."""


def backoff(attempts: int) -> int:
    """How long to wait after so many attempts: 10 s, 40 s, 160 s … an hour."""
    return int(min(_BACKOFF * 4 ** min(max(attempts, 1) - 1, 10), _LONGEST_BACKOFF))


def claim(
    connections: Connections, owner: str, now: int, limit: int, *, expires: int, feed: int | None, only_due: bool
) -> list[Lease]:
    statement = _CLAIM.format(due=_DUE if only_due else "", feed="" if feed is None else _FEED)
    values = {"owner": owner, "until": expires, "now": now, "feed": feed, "limit": limit}
    lose(connections, now, lambda _: False)
    _bring_back(connections, now)
    with connections.reading() as connection:
        # Asked first, so that looking for work in vain takes no lock.
        query = f"SELECT 1 FROM place WHERE due_at IS NOT NULL AND owner IS NULL {_DUE if only_due else ''} LIMIT 1"  # noqa: S608
        if connection.execute(query, {"now": now} if only_due else {}).fetchone() is None:
            return []
    with connections.writing() as transaction:
        rows = transaction.connection.execute(statement, values).fetchall()
    return [_lease_from_row(row, owner, expires) for row in sorted(rows)]


def claim_place(connections: Connections, owner: str, place: int, expires: int) -> bool:
    """One place, due or not; False where it is somebody's."""
    with connections.writing() as transaction:
        return bool(transaction.connection.execute(_CLAIM_ONE, (owner, expires, place)).rowcount)


def is_any_leased(connections: Connections) -> bool:
    with connections.reading() as connection:
        query = "SELECT 1 FROM place INDEXED BY place_leased WHERE owner IS NOT NULL LIMIT 1"
        return connection.execute(query).fetchone() is not None


def release_place(connections: Connections, owner: str, place: int) -> None:
    """Due again as before `claim_place`."""
    with connections.writing() as transaction:
        transaction.connection.execute(_RELEASE, (place, owner))


def _lease_from_row(row: Sequence[Any], owner: str, expires: int) -> Lease:
    number, source, conversation, attempts, partial, roster, filed, upto = row
    floor = Roster() if roster is None else _decode_roster(roster)
    return Lease(number, source, conversation, owner, expires, upto, attempts, bool(partial), floor, bool(filed))


def extend(connections: Connections, leases: Iterable[Lease], expires: int) -> list[Lease]:
    """Those still held, with their new end; a lease that was lost is missing in the answer."""
    kept = []
    with connections.writing() as transaction:
        for lease in leases:
            done = transaction.connection.execute(
                "UPDATE place SET lease_until = ? WHERE n = ? AND owner = ?", (expires, lease.place, lease.owner)
            )
            if done.rowcount:
                kept.append(_lease_until(lease, expires))
    return kept


def _lease_until(lease: Lease, expires: int) -> Lease:
    return Lease(
        lease.place,
        lease.source,
        lease.conversation,
        lease.owner,
        expires,
        lease.upto,
        lease.attempts,
        lease.partial,
        lease.roster,
        lease.filed,
    )


def finish(connections: Connections, dues: Iterable[tuple[Lease, int | None]]) -> int:
    rows = [(due, lease.place, lease.owner) for lease, due in dues]
    with connections.writing() as transaction:
        return transaction.connection.executemany(_FINISH, rows).rowcount


def release(connections: Connections, leases: Iterable[Lease]) -> int:
    rows = [(lease.place, lease.owner) for lease in leases]
    with connections.writing() as transaction:
        return transaction.connection.executemany(_RELEASE, rows).rowcount


def retry(connections: Connections, lease: Lease, reason: str, now: int) -> int:
    at = now + backoff(lease.attempts)
    with connections.writing() as transaction:
        transaction.connection.execute(_RETRY, (at, reason, lease.place, lease.owner))
    return at


def _bring_back(connections: Connections, now: int) -> None:
    """What is due later than anything waits was due by a clock that has been set back since: it is due now."""
    late = "due_at > ? AND due_at IS NOT NULL AND owner IS NULL"
    with connections.reading() as connection:
        if connection.execute(f"SELECT 1 FROM place WHERE {late} LIMIT 1", (now + _AHEAD,)).fetchone() is None:  # noqa: S608
            return
    with connections.writing() as transaction:
        transaction.connection.execute(f"UPDATE place SET due_at = ? WHERE {late}", (now, now + _AHEAD))  # noqa: S608


def lose(connections: Connections, now: int, is_dead: Callable[[str], bool]) -> int:
    """Free leases that have expired or whose owner is dead; how many."""
    with connections.reading() as connection:
        found = connection.execute(
            "SELECT n, owner, attempts, lease_until FROM place INDEXED BY place_leased WHERE owner IS NOT NULL"
        ).fetchall()
    dead = {owner: is_dead(owner) for owner in {row[1] for row in found}}
    lost = [(now + backoff(tried), n, owner) for n, owner, tried, until in found if until < now or dead[owner]]
    if not lost:
        return 0
    with connections.writing() as transaction:
        return transaction.connection.executemany(_LOST, lost).rowcount


def hurry(connections: Connections, feed: int, now: int) -> int:
    """What a feed brought and what backs off after deaths or failures is due now: somebody asked for it again."""
    with connections.writing() as transaction:
        return transaction.connection.execute(
            """UPDATE place SET due_at = ?1 WHERE due_at > ?1 AND attempts > 0 AND owner IS NULL
            AND n IN (SELECT place FROM feed_place WHERE feed = ?2)""",
            (now, feed),
        ).rowcount
