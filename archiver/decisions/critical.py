"""Critical mode: since when archiving fails, what then is refused, and what is taken all the same (pure).

    failures by source ─► outage of a pool ─► critical after `failure_after`, where `block_on_failure` is on

Follows the original (section "Failure behaviour"): people who are archived can't talk unrecorded, conferences of the
pool stop, everybody else goes on. Holds no memory: what failed, and since when, is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from archiver.decisions import policy
from archiver.decisions.policy import Asked, Rules
from archiver.events import Kind, moment
from archiver.types import Archiving, Failure, Hold, Mailbox


class Outage(Struct, frozen=True):
    """Archiving fails for the sources of one pool ("": of those in none).

    `critical_from` is when critical mode begins, if nothing is mended before; None where nothing is ever blocked.
    """

    pool: str
    since: int
    deliveries: int
    reason: str
    critical_from: int | None

    def is_critical(self, now: int) -> bool:
        return self.critical_from is not None and self.critical_from <= now


def pool_of(source: str, rules: Rules) -> str:
    pool = rules.place(source)[0]
    return pool.name if pool is not None else ""


def outages(failures: Iterable[Failure], rules: Rules) -> dict[str, Outage]:
    """By pool. Each began with the first failure that still waits; later ones, and what succeeds meanwhile, change
    nothing of that."""
    found: dict[str, Outage] = {}
    for failure in sorted(failures, key=lambda each: (each.since, each.source)):
        pool = pool_of(failure.source, rules)
        first = found.get(pool)
        found[pool] = _outage(pool, failure, rules) if first is None else _with(first, failure)
    return found


def _outage(pool: str, first: Failure, rules: Rules) -> Outage:
    how = rules.configuration(first.source)
    begins = first.since + how.failure_after if how.block_on_failure else None
    return Outage(pool, first.since, first.deliveries, first.reason, begins)


def _with(outage: Outage, more: Failure) -> Outage:
    deliveries = outage.deliveries + more.deliveries
    return Outage(outage.pool, outage.since, deliveries, outage.reason, outage.critical_from)


def can_block(rules: Rules) -> bool:
    """Whether any scope has critical mode at all."""
    return any(how.block_on_failure for how in rules.configurations())


class Met(Struct, frozen=True):
    """A conversation as far as it is known: `kinds` are those that its events claim, `people` the mailboxes in it;
    `internal` is True where nobody is without one, `holds` are those that stand, by mailbox."""

    source: str
    kinds: frozenset[Kind]
    people: tuple[Mailbox, ...]
    internal: bool
    holds: Mapping[str, tuple[Hold, ...]]


def is_refused(met: Met, outage: Outage | None, rules: Rules, now: int) -> bool:
    """Whether critical mode refuses what is said there. What a hold's query covers shows only when a conversation is
    over: until then each hold that stands may be the one."""
    if outage is None or not outage.is_critical(now):
        return False
    if "conference" in met.kinds and policy.is_switched_on(rules.configuration(met.source), "conference"):
        return True
    return any(_is_archived(mailbox, met, rules, now) for mailbox in met.people)


def _is_archived(mailbox: Mailbox, met: Met, rules: Rules, now: int) -> bool:
    holds = met.holds.get(mailbox.address, ())
    asked = Asked(mailbox, met.source, met.kinds, met.internal, holds, now)
    return policy.decide(asked, rules).archiving is not Archiving.NONE


def told(outage: Outage, now: int) -> str:
    """In words, for status and doctor."""
    pool = f"of pool {outage.pool}" if outage.pool else "of sources in no pool"
    waits = "1 item waits" if outage.deliveries == 1 else f"{outage.deliveries:,} items wait"
    fails = f"archiving {pool} fails since {_when(outage.since)} ({outage.reason}); {waits}"
    if outage.critical_from is None:
        return f"{fails}; everything is taken (block_on_failure = false)"
    if outage.is_critical(now):
        return f"CRITICAL MODE: {fails}; blocking sources answer try later since {_when(outage.critical_from)}"
    return f"{fails}; critical mode begins {_when(outage.critical_from)}"


def _when(time: int) -> str:
    return f"{moment(time):%Y-%m-%d %H:%M:%S} UTC"
