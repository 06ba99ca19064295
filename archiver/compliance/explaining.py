"""Why a conversation was, or was not, filed and archived for one mailbox: every rule asked, with where it was set.

Asks the directory, the gate, policy and the holds as filing does, and lays the journal's answer beside theirs. Changes
nothing. The rules answer for now; the journal says what they answered then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from msgspec import Struct, structs

from archiver.conversations.conversation import kind_of
from archiver.decisions import excluding, gate, holding, policy
from archiver.decisions.policy import Asked
from archiver.events import Captured, Kind, kinds_of, named
from archiver.exceptions import UsageError
from archiver.filing.pipeline import Terms
from archiver.spool import FOREVER, Spool
from archiver.spool.records import Placed, Traced
from archiver.types import ArchiveDecision, Decision, Exclusion, Finding, Hold, Mailbox

KINDS: tuple[Kind, ...] = get_args(Kind)


class Answered(Struct, frozen=True):
    """What the rules say now of conversations of one kind. `internal` where everybody in it has a mailbox here."""

    kind: Kind
    source: str
    pool: str
    site: str
    internal: bool
    history: Decision
    archive: ArchiveDecision


class Told(Struct, frozen=True):
    """One conversation's place, and what came of its versions for the mailbox, the newest first.

    `there` tells whether its owner is known to be or have been in it; None where nobody can say any more. Whoever never
    was gets no answers: no rule was asked for them.
    """

    placed: Placed
    mailbox: Mailbox
    there: bool | None
    exclusions: tuple[Exclusion, ...]
    answers: tuple[Answered, ...]
    versions: tuple[Traced, ...]


class Explanation(Struct, frozen=True):
    """`mailbox` is None where the address has none here; `holds` and `exclusions` are what it stands under.

    `only_local` are items that lie in the local archive and not in the mailbox's own.
    """

    address: str
    mailbox: Mailbox | None
    holds: tuple[Hold, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    answers: tuple[Answered, ...] = ()
    conversations: tuple[Told, ...] = ()
    only_local: int = 0


def explain(terms: Terms, spool: Spool | None, address: str, source: str, now: int) -> Explanation:
    """For conversations of every kind in one source; without a name, a source that is in no pool."""
    found = terms.directory.mailbox_of(source, address)
    if found is None:
        return Explanation(address, None)
    mailbox = terms.directory.mailbox(found)
    holds = _standing(spool, found)
    covering = _covering(terms, holds, [])
    answers = tuple(
        _answer(terms, Asked(mailbox, source, frozenset({kind}), internal, covering, now))
        for kind in KINDS
        for internal in (True, False)
    )
    only_local = spool.only_local(found) if spool is not None else 0
    return Explanation(address, mailbox, holds, _exclusions(spool, source, "", found), answers, only_local=only_local)


def explain_conversation(
    terms: Terms, spool: Spool, address: str, conversation: str, source: str | None, span: int, now: int
) -> Explanation:
    """For one conversation, in every source that has one of that name. Its last `span` says who is in it."""
    found = spool.placed(conversation, source)
    if not found:
        raise UsageError(
            f"nothing of a conversation {conversation!a}{f' of {source!a}' if source else ''} was ever taken",
            hint=f"name it by its source's own key: `archiver inspect {address} --json` gives each item's as `room`",
        )
    told: list[Told] = []
    for placed in found:
        mailbox = terms.directory.mailbox_of(placed.source, address)
        if mailbox is not None:
            told.append(_tell(terms, spool, placed, terms.directory.mailbox(mailbox), span, now))
    if not told:
        return Explanation(address, None)
    first = told[0].mailbox
    return Explanation(
        address,
        first,
        _standing(spool, first.address),
        conversations=tuple(told),
        only_local=spool.only_local(first.address),
    )


def _tell(terms: Terms, spool: Spool, placed: Placed, mailbox: Mailbox, span: int, now: int) -> Told:
    versions = tuple(spool.traced(placed.place, mailbox.address))
    there = _is_there(terms, spool, placed, mailbox.address, versions)
    answers = () if there is False else tuple(_answers(terms, spool, placed, mailbox, span, now))
    excluded = _exclusions(spool, placed.source, placed.conversation, mailbox.address)
    return Told(placed, mailbox, there, excluded, answers, versions)


def _is_there(terms: Terms, spool: Spool, placed: Placed, mailbox: str, versions: tuple[Traced, ...]) -> bool | None:
    """By what names anybody there, and by the journal; what was forgotten may have named them."""
    people = spool.people(placed.source, placed.conversation)
    known = {terms.directory.mailbox_of(placed.source, address) for address in people}
    if mailbox in known or any(each.delivery is not None for each in versions):
        return True
    return None if placed.forgotten else False


def _answers(terms: Terms, spool: Spool, placed: Placed, mailbox: Mailbox, span: int, now: int) -> Iterator[Answered]:
    events = _last(spool, placed, span)
    covering = _covering(terms, _standing(spool, mailbox.address), events)
    kinds = kinds_of(events) or frozenset({placed.kind})
    for internal in _internal(terms, placed.source, events):
        yield _answer(terms, Asked(mailbox, placed.source, kinds, internal, covering, now))


def _covering(terms: Terms, holds: tuple[Hold, ...], events: list[Captured]) -> tuple[Hold, ...]:
    """Where the events have left the spool, only what covers everything is known to cover them."""
    facts = holding.facts_of(events, terms.directory.mailbox_of)
    if facts is None:
        return tuple(hold for hold in holds if not hold.query)
    return holding.covering(holds, lambda: facts)


def _last(spool: Spool, placed: Placed, span: int) -> list[Captured]:
    if placed.last is None:
        return []
    return list(spool.events(placed.place, FOREVER, since=placed.last - span))


def _internal(terms: Terms, source: str, events: list[Captured]) -> tuple[bool, ...]:
    """Whether everybody has a mailbox here; both where the events have left the spool, and nobody can say."""
    if not events:
        return True, False
    people = {address for captured in events for address in named(captured.event)}
    return (all(terms.directory.mailbox_of(source, each) is not None for each in people),)


def _answer(terms: Terms, asked: Asked) -> Answered:
    pool, site = terms.policy.place(asked.source)
    kind = kind_of(asked.kinds)
    history = gate.decide(asked.mailbox, kind, terms.gate)
    archive = policy.decide(asked, terms.policy)
    own = terms.directory.own(asked.mailbox.address)
    return Answered(
        kind,
        asked.source,
        pool.name if pool else "",
        site.name if site else "",
        asked.internal,
        structs.replace(history, findings=tuple(_set_in(own, history.findings))),
        structs.replace(archive, findings=tuple(_set_in(own, archive.findings))),
    )


_FACTS = {"capability": "version", "exchange_archiving": "exchange_archiving"}


def _set_in(own: frozenset[str], findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """A fact of the mailbox that nothing is said of is the default for all."""
    for finding in findings:
        fact = _FACTS.get(finding.check)
        yield structs.replace(finding, scope=gate.GLOBAL) if fact is not None and fact not in own else finding


def _standing(spool: Spool | None, mailbox: str) -> tuple[Hold, ...]:
    return spool.standing_holds([mailbox]).get(mailbox, ()) if spool is not None else ()


def _exclusions(spool: Spool | None, source: str, conversation: str, mailbox: str) -> tuple[Exclusion, ...]:
    return excluding.concerning(spool.exclusions(), source, conversation, mailbox) if spool is not None else ()
