"""The archives as filing sees them: asks policy and holds, puts complete items, and gives none up.

    conversation ─► people, holds, policy ─► decisions ─► archiving.plan ─► put ─► outcomes, heads of manifests

Each destination settles on its own: what an archive can't take is withheld with the reason, and Conversation History
neither waits for it nor hears of it. Rules are `policy`'s, plans `archiving`'s, files `store.archive`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from msgspec import Struct

from archiver.conversations.views import content
from archiver.decisions import archiving, holding, policy
from archiver.decisions.archiving import PASSING, Version
from archiver.decisions.planning import Planned
from archiver.directory import Directory
from archiver.events import kinds_of
from archiver.exceptions import ArchiverError, OverQuota
from archiver.filing.gathering import MACHINE, Chosen, filed, withheld
from archiver.filing.showing import Showing
from archiver.spool.records import LocalCopy
from archiver.store import PURGES, ArchiveStore, Receipt, Where
from archiver.types import ArchiveDecision, Conversation, Destination, Filing, Head, Hold

log = structlog.get_logger(__name__)


class Memory(Protocol):
    """What is asked of the spool."""

    def standing_holds(self, mailboxes: Iterable[str]) -> dict[str, tuple[Hold, ...]]: ...
    def heads(self, mailboxes: Iterable[str]) -> dict[str, Head]: ...


class Record(Protocol):
    """What is written into the spool, durably, before a filing is finished."""

    def keep_local(self, copies: Sequence[LocalCopy], now: int) -> None: ...
    def note_heads(self, heads: Mapping[str, Head]) -> None: ...
    def note_failures(self, failed: Iterable[tuple[int, str]], now: int) -> None: ...


class Rules(Struct, frozen=True):
    """One configuration's: the rules by scope, who has a mailbox, and the language and zone of complete items."""

    policy: policy.Rules
    directory: Directory
    locale: str
    zone: str


class Archives:
    """Both archives. One per process."""

    def __init__(self, memory: Memory, record: Record, store: ArchiveStore, rules: Rules) -> None:
        self._memory = memory
        self._record = record
        self._store = store
        self._rules = rules

    # Planning

    def concerns(self, source: str, priors: Sequence[Filing]) -> bool:
        """The one question that a conversation nobody archives costs. What was to be archived before isn't forgotten
        when archiving is switched off."""
        return self._rules.policy.configuration(source).archive != "none" or _has_archived(priors)

    def plan(self, showing: Showing, digest: bytes, priors: Sequence[Filing], now: int) -> list[Planned]:
        """What the archives are to get of a version, decided once for each who was in it."""
        conversation = showing.conversation
        look = archiving.complete_look(conversation, policy.is_archived, self._rules.locale, self._rules.zone)
        if look is None or not look.mask & sum(content(conversation)):
            return []
        decisions = _still_open(self._decisions(conversation, now), digest, priors)
        if not policy.conversation_is_archived(decisions.values()) and not _has_archived(priors):
            return []
        version = Version(conversation, digest, look, showing.name(look), PURGES, priors)
        self._end_attempts(version, now)
        return archiving.plan(version, decisions)

    def _decisions(self, conversation: Conversation, now: int) -> dict[str, ArchiveDecision]:
        rules, source, kinds = self._rules, conversation.source, kinds_of(conversation.events)
        mailboxes, internal = archiving.people(conversation, lambda each: rules.directory.mailbox_of(source, each))
        holds = self._holds(conversation, mailboxes)
        return {
            mailbox: policy.decide(
                policy.Asked(rules.directory.mailbox(mailbox), source, kinds, internal, holds.get(mailbox, ()), now),
                rules.policy,
            )
            for mailbox in mailboxes
        }

    def _holds(self, conversation: Conversation, mailboxes: Iterable[str]) -> dict[str, tuple[Hold, ...]]:
        """Those that cover the conversation."""
        standing = self._memory.standing_holds(mailboxes)
        if not standing:
            return {}
        facts: list[holding.Facts] = []

        def look() -> holding.Facts:
            if not facts:
                facts.append(_facts(conversation, self._rules.directory))
            return facts[0]

        return {mailbox: holding.covering(holds, look) for mailbox, holds in standing.items()}

    def _end_attempts(self, version: Version, now: int) -> None:
        """A put of an earlier version that was killed halfway is ended: a file without its line would be nobody's."""
        wheres = [Where(each.mailbox, each.folder, each.name) for each in archiving.attempted(version)]
        if wheres:
            known = self._memory.heads({where.mailbox for where in wheres})
            note(self._record, self._store.finish(wheres, now, known=known))

    # Putting

    def put(self, chosen: Sequence[Chosen], now: int) -> None:
        """Put all; what can't be is withheld. Nothing that an archive does ends the run."""
        for careful in (False, True):
            some = [each for each in chosen if each.destination is Destination.ARCHIVE and each.careful is careful]
            if some:
                self._put(some, now, careful=careful)
        self._keep_local([each for each in chosen if each.destination is Destination.LOCAL], now)

    def _put(self, chosen: Sequence[Chosen], now: int, *, careful: bool) -> None:
        puts = [each.put for each in chosen]
        failures: list[tuple[int, str]] = []
        try:
            known = self._memory.heads({put.mailbox for put in puts})
            receipt = self._store.put(puts, now, careful=careful, known=known)
        except (ArchiverError, OSError) as error:
            receipt = refusal(error, len(puts))
        note(self._record, receipt)
        for each, outcome in zip(chosen, receipt.outcomes, strict=True):
            size = len(each.put.item.content)
            if outcome is None:
                filed(each.work, each.index, size)
            else:
                reason = why_not(outcome, each.put.mailbox)
                withheld(each.work, each.index, size, reason)
                failures.append((each.work.planned[each.index].delivery.number, reason))
        if failures:  # at once: what else fails in this run may end it
            self._record.note_failures(failures, now)

    def _keep_local(self, chosen: Sequence[Chosen], now: int) -> None:
        """One row a version, for all of its people who are archived there."""
        copies: dict[tuple[int, bytes], list[Chosen]] = {}
        for each in chosen:
            copies.setdefault((each.work.filing.place, each.work.filing.version), []).append(each)
        if copies:
            self._record.keep_local(
                [
                    LocalCopy(place, version, some[0].put.item, tuple(sorted(each.put.mailbox for each in some)))
                    for (place, version), some in copies.items()
                ],
                now,
            )
        for each in chosen:
            filed(each.work, each.index, len(each.put.item.content))


def _facts(conversation: Conversation, directory: Directory) -> holding.Facts:
    others = [address for each in conversation.participations for address in each.addresses]
    facts = holding.facts_of(conversation.events, directory.mailbox_of, others)
    assert facts is not None, "a conversation has events"
    return facts


def _still_open(
    decisions: Mapping[str, ArchiveDecision], digest: bytes, priors: Iterable[Filing]
) -> Mapping[str, ArchiveDecision]:
    """Who isn't archived was decided when a version was first planned; of it only what is on record is asked again."""
    known = next((filing for filing in priors if filing.version == digest), None)
    if known is None:
        return decisions
    recorded = {each.mailbox for each in known.deliveries if each.destination is not Destination.HISTORY}
    return {mailbox: decision for mailbox, decision in decisions.items() if mailbox in recorded}


def _has_archived(priors: Iterable[Filing]) -> bool:
    return any(each.destination is not Destination.HISTORY for filing in priors for each in filing.deliveries)


def note(record: Record, receipt: Receipt) -> None:
    """Heads go on record before the filings that made them are finished."""
    if receipt.heads:
        record.note_heads(receipt.heads)
    for mailbox, damage in receipt.damages.items():
        log.error("the archive is damaged", mailbox=mailbox, code=damage.code, where=damage.place, why=damage.found)
    for mailbox, size in receipt.nearly_full.items():
        log.warning("the archive is nearly full", mailbox=mailbox, bytes=size)


def refusal(error: ArchiverError | OSError, puts: int) -> Receipt:
    """What became of puts where the archives as a whole failed."""
    if not isinstance(error, ArchiverError):
        made = ArchiverError(str(error))
        made.__cause__ = error
        return Receipt([made] * puts)
    return Receipt([error] * puts)


def why_not(error: ArchiverError, mailbox: str) -> str:
    """The same words for all that one fault keeps back, so that one attempt tells whether it is over."""
    cause = error.__cause__
    if isinstance(error, OverQuota):
        return f"{PASSING}the archive of {mailbox} is full"
    if isinstance(cause, OSError) and cause.errno in MACHINE:
        return PASSING + os.strerror(cause.errno)
    return PASSING + str(error)
