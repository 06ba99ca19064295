"""What is withheld and may go on now: by the gate's present answer, by policy's, or by an attempt that succeeds.

A fault of the archives, or a full mailbox, is asked about with one conversation a minute: once that is filed, all it
kept back is due.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from archiver.decisions import gate, policy
from archiver.decisions.archiving import PASSING
from archiver.decisions.planning import FULL
from archiver.events import SECOND
from archiver.filing.pipeline import Terms
from archiver.spool import Spool
from archiver.spool.records import Kept
from archiver.types import Destination, Mailbox

ASK_AGAIN = 60 * SECOND
_AT_ONCE = 20
"""Faults asked about at once, each with one conversation."""
_FEATURES = (gate.Feature.IM, gate.Feature.GROUP, gate.Feature.CONFERENCE)


class Waking:
    """One for one configuration. Each reason is looked at only once: what one kept back may stay back for another."""

    def __init__(self, spool: Spool, terms: Terms) -> None:
        self._spool = spool
        self._terms = terms
        self._woken: set[tuple[str, str, str]] = set()
        self._counts: dict[str, int] = {}
        self._asked: dict[str, int] = {}

    def wake(self, now: int) -> None:
        if not self._spool.withheld_mailboxes():
            return
        decided: list[Kept] = []
        failed: list[Kept] = []
        for kept in self._spool.withheld():
            (failed if kept.reason.startswith((PASSING, FULL)) else decided).append(kept)
        self._wake_decided(decided, now)
        self._wake_failed(failed, now)

    def _wake_decided(self, found: Iterable[Kept], now: int) -> None:
        fresh = {_key(kept) for kept in found} - self._woken
        outdated = {each for each in fresh if not self._stands(*each)}
        if outdated:
            self._spool.wake({mailbox for mailbox, *_ in outdated}, now)
            self._woken |= outdated

    def _stands(self, address: str, destination: str, reason: str) -> bool:
        mailbox = self._terms.directory.mailbox(address)
        if destination == Destination.HISTORY:
            return reason in self._refusals(mailbox)
        return policy.keeps_back(reason, mailbox, self._terms.policy)

    def _refusals(self, mailbox: Mailbox) -> set[str]:
        decisions = [gate.decide(mailbox, feature, self._terms.gate) for feature in _FEATURES]
        return {decision.reason for decision in decisions if not decision.allowed}

    def _wake_failed(self, found: Iterable[Kept], now: int) -> None:
        counts: Counter[str] = Counter()
        mailboxes: defaultdict[str, set[str]] = defaultdict(set)
        for kept in found:
            counts[kept.reason] += kept.deliveries
            mailboxes[kept.reason].add(kept.mailbox)
        over = {reason for reason, count in counts.items() if count < self._counts.get(reason, 0)}
        for reason in over:
            self._spool.wake(mailboxes[reason], now)
        due = [reason for reason in counts if self._is_due(reason, now)]
        for reason in sorted(set(due) - over, key=lambda each: self._asked.get(each, 0))[:_AT_ONCE]:
            self._spool.wake_one(reason, now)
            self._asked[reason] = now
        self._asked = {reason: at for reason, at in self._asked.items() if reason in counts}
        self._counts = dict(counts)

    def _is_due(self, reason: str, now: int) -> bool:
        """Also where the clock has jumped back behind the last time."""
        asked = self._asked.get(reason)
        return asked is None or not asked <= now < asked + ASK_AGAIN


def _key(kept: Kept) -> tuple[str, str, str]:
    return kept.mailbox, kept.destination, kept.reason
