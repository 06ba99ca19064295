"""The way of a conversation into its participants' folders: calls everything in order and decides nothing.

    claim       leased places come in, each with the events up to its claim
    converse    survey, conversation                     events -> conversations, ripe or not yet
    gate        views, directory, gate                   -> who gets which view, or why not yet
    plan        planning                                 -> deliveries, with what they replace
                compliance: policy, holds, archiving     -> what the archives get besides
    begin       journal                                  the attempt is on record before it is made
    render      render                                   -> items, shared fragments made once
    put         preserving, store                        what a hold covers is kept first; many items, few syncs
    finish      journal, then what was replaced goes     only now it is filed

Every step can be the last one: each is recorded, and doing it again gives what once would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

import structlog
from msgspec import Struct, structs

from archiver.compliance.preserving import HeldStore, Keeper, NotKept
from archiver.conversations import views as viewing
from archiver.conversations.conversation import conversations
from archiver.conversations.rules import Rules
from archiver.conversations.survey import survey
from archiver.decisions import gate, planning, policy
from archiver.decisions.planning import Earlier, Planned
from archiver.directory import Directory
from archiver.events import SECOND, Captured
from archiver.filing import recall
from archiver.filing.archives import Archives
from archiver.filing.archives import Rules as ArchiveRules
from archiver.filing.gathering import (
    ATTEMPTS,
    SUSPECT,
    Batch,
    Chosen,
    Tally,
    Work,
    begun,
    count,
    failed,
    filed,
    holder,
    park_or_retry,
    withheld,
)
from archiver.filing.quotas import Quotas
from archiver.filing.showing import Showing
from archiver.rendering import Limits
from archiver.spool.records import LocalCopy, Watermark
from archiver.store import ArchiveStore
from archiver.store.protocol import Put, Store, Where
from archiver.types import (
    Conversation,
    Delivery,
    DeliveryState,
    Destination,
    Filing,
    Head,
    Hold,
    Item,
    Lease,
    Look,
    View,
)

log = structlog.get_logger(__name__)

LOOK_AGAIN = 60 * SECOND
"""When a feed that is down will be asked again."""
AT_ONCE = 5_000
"""A place with no more events than this is read once and held; a larger one is read anew for each pass."""


class Reader(Protocol):
    """What filing reads of the spool."""

    def events(self, place: int, upto: int) -> Iterator[Captured]: ...
    def versions(self, place: int) -> set[bytes]: ...
    def priors(self, place: int, started: int, ended: int) -> list[Filing]: ...
    def recalled(self, place: int, targets: Iterable[str]) -> list[tuple[str, Filing]]: ...
    def whispered(self, place: int, targets: Iterable[str]) -> dict[str, frozenset[str]]: ...
    def blob(self, sha256: str) -> bytes | None: ...
    def watermark(self, place: int, now: int, lateness: int) -> Watermark: ...
    def standing_holds(self, mailboxes: Iterable[str]) -> dict[str, tuple[Hold, ...]]: ...
    def heads(self, mailboxes: Iterable[str]) -> dict[str, Head]: ...


AHEAD = 24 * 3_600 * SECOND
"""By how much a clock may be wrong before that is taken for what it is."""


class Journal(Protocol):
    """Where attempts and results are recorded, durably, in the order of the calls."""

    def begin(self, filings: Sequence[Filing], now: int) -> list[Filing]: ...
    def finish(self, filings: Sequence[Filing], now: int, *, gone: Iterable[int]) -> None: ...
    def extend(self, leases: Iterable[Lease], now: int) -> object: ...
    def finish_places(self, dues: Iterable[tuple[Lease, int | None]]) -> object: ...
    def hold_blobs(self, holder: str, digests: Iterable[str]) -> None: ...
    def drop_blobs(self, holder: str) -> None: ...
    def note_strangers(self, people: Iterable[tuple[str, str, int]], now: int) -> None: ...
    def keep_local(self, copies: Sequence[LocalCopy], now: int) -> None: ...
    def note_heads(self, heads: Mapping[str, Head]) -> None: ...
    def note_failures(self, failed: Iterable[tuple[int, str]], now: int) -> None: ...


class Terms(Struct, frozen=True):
    """What decides besides events: rules, directory, gate, and how items look. One object for one configuration."""

    rules: Rules
    gate: gate.Rules
    policy: policy.Rules
    directory: Directory
    folder_of: Callable[[str], str]
    """The folder's name in a locale, where the mailbox names none."""
    lateness: int
    show_retracted: bool
    limits: Limits
    locale: str
    zone: str
    """In which the archives' items are written, whoever they are for."""


class Filer:
    """Files what is ripe in leased places. One per process; `run` may be called again and again."""

    def __init__(self, reader: Reader, journal: Journal, store: Store, archive: ArchiveStore, terms: Terms) -> None:
        self._reader = reader
        self._journal = journal
        self._store = HeldStore(store, Keeper(archive, reader, journal, terms.directory.mailbox_of))
        self._terms = terms
        self._quotas = Quotas(store, terms.directory.mailbox)
        rules = ArchiveRules(terms.policy, terms.directory, terms.locale, terms.zone)
        self._archives = Archives(reader, journal, archive, rules)

    def run(self, leases: Iterable[Lease], now: int) -> Tally:
        """Work through `leases` in batches; each lease is settled once all its conversations are recorded."""
        tally = Tally()
        batch = Batch(list(leases), now)
        self._quotas.count_anew()
        for lease in batch.leases:
            for due, conversation in self._conversations(lease, now):
                if due is not None:
                    batch.look_again(lease.place, due)
                    tally.waiting += 1
                    continue
                renewed = self._renew(lease, conversation)
                for work in [*renewed, *self._plan(lease, conversation, batch, renewed)]:
                    self._gather(work, batch, tally)
            batch.end(lease)
        self._file(batch, tally)
        return tally

    def _gather(self, work: Work, batch: Batch, tally: Tally) -> None:
        """Add to the batch. What may have ended the process before goes alone, so that only it counts as guilty."""
        suspect = work.tried >= SUSPECT
        if suspect:
            self._file(batch, tally)
        batch.add(work)
        if suspect or batch.full:
            self._file(batch, tally)

    def _conversations(self, lease: Lease, now: int) -> Iterator[tuple[int | None, Conversation]]:
        """The conversations of a place; with one that is not ripe yet comes the time to look again."""
        rules, partial = self._terms.rules, lease.partial
        mark = self._reader.watermark(lease.place, now, self._terms.lateness)
        if mark.warning:
            log.warning("feed is silent", source=lease.source, conversation=lease.conversation, why=mark.warning)
        if mark.time is None:
            return
        read = self._reading(lease)
        looked = survey(read, lease.roster, rules, partial=partial)
        for conversation in conversations(read(), looked, lease.roster, rules, partial=partial):
            # What is ripe later than anything waits was heard before the clock was set back, who knows how long ago.
            if mark.time < conversation.ripe <= max(mark.time, now) + max(rules.idle, rules.silence) + AHEAD:
                # A feed that is down holds its watermark back: then look again in a while.
                due = conversation.ripe + self._terms.lateness
                yield due if due > now else now + LOOK_AGAIN, conversation
            else:
                yield None, conversation

    def _reading(self, lease: Lease) -> Callable[[], Iterable[Captured]]:
        few = list(islice(self._reader.events(lease.place, lease.upto), AT_ONCE + 1))
        if len(few) <= AT_ONCE:
            return lambda: few
        return lambda: self._reader.events(lease.place, lease.upto)

    def _renew(self, lease: Lease, conversation: Conversation) -> list[Work]:
        """Items whose events are forgotten, but which a retraction that came late still changes."""
        late = recall.retractions(conversation) if lease.filed else []
        if not late:
            return []
        found = recall.renew(self._reader, self._store, lease.place, late, self._terms.rules, self._terms.limits)
        return [Work(one.showing.conversation, one.showing, one.filing, one.planned, []) for one in found]

    def _plan(self, lease: Lease, conversation: Conversation, batch: Batch, renewed: Sequence[Work]) -> Iterator[Work]:
        """What the conversation asks for, if it has news: nothing of a mere mark for who has it in a renewed item."""
        numbers = tuple(captured.number for captured in conversation.events)
        version = planning.version_of(conversation, viewing.awake(conversation, self._terms.rules))
        if lease.filed and version in batch.versions(lease.place, self._reader.versions):
            return
        filing = Filing(lease.place, version, *_span(conversation), conversation.part, numbers, deliveries=())
        showing = Showing(conversation, self._reader.blob, self._terms.rules, self._terms.limits)
        said, marks = viewing.content(conversation)
        if not (said or marks):
            yield Work(conversation, showing, structs.replace(filing, empty=True), [], [])
            return
        told = {planned.delivery.mailbox for work in renewed for planned in work.planned} if not said else set()
        views = [
            view
            for view in viewing.views(
                conversation,
                batch.mailbox_of(conversation.source, self._terms.directory),
                self._terms.rules,
                self._reader.whispered(lease.place, viewing.absent(conversation)) if lease.filed else {},
            )
            if view.mailbox not in told
        ]
        priors = self._priors(lease, conversation) if lease.filed else []
        same, tried, earlier = self._earlier(priors, conversation, version)
        planned = [made for view in views if (made := self._deliver(showing, view, same, earlier, said))]
        planned += planning.forsaken(views, earlier)
        gone = [
            e.delivery.number
            for found in earlier.values()
            for e in found
            if planning.is_gone(e) and e.delivery.state is DeliveryState.FILED
        ]
        if self._archives.concerns(conversation.source, priors):
            planned += self._archives.plan(showing, version, priors, batch.now())
        filing = structs.replace(filing, deliveries=tuple(made.delivery for made in planned))
        yield Work(conversation, showing, filing, planned, gone, tried)

    def _priors(self, lease: Lease, conversation: Conversation) -> list[Filing]:
        # A reference may have been filed alone, at its own time, before the message it refers to arrived.
        return self._reader.priors(lease.place, *_span(conversation))

    def _earlier(
        self, priors: Sequence[Filing], conversation: Conversation, version: bytes
    ) -> tuple[dict[str, Delivery], int, dict[str, list[Earlier]]]:
        """What was filed of this conversation before: this version with its attempts, earlier ones and where they lie.

        An item missing because an attempt that got as far as its successor took it out is not its owner's doing; nor
        is one that was being taken from somebody who may not see it.
        """
        if not priors:
            return {}, 0, {}
        same, found = planning.overlapping(priors, conversation, version)
        flat = [(delivery, covered) for each in found.values() for delivery, covered in each]
        open_ones = [delivery for delivery in same.values() if delivery.state is DeliveryState.ATTEMPTED]
        known = [*open_ones, *(delivery for delivery, _ in flat)]
        named = [delivery for delivery in known if delivery.name]
        lying = self._store.locate_all([Where(d.mailbox, d.folder, d.name) for d in named])
        flags = {d.number: lies.flags for d, lies in zip(named, lying, strict=True) if lies is not None}
        by_us = {
            number
            for delivery in known
            if delivery.state is DeliveryState.ATTEMPTED and (delivery.number in flags or not delivery.name)
            for number in delivery.replaces
            if number not in flags
        }
        earlier: dict[str, list[Earlier]] = {}
        for delivery, covered in flat:
            each = Earlier(delivery, covered, flags.get(delivery.number), delivery.number in by_us)
            earlier.setdefault(delivery.mailbox, []).append(each)
        attempts = max((prior.attempts for prior in priors if prior.version == version), default=0)
        return same, attempts if open_ones else 0, earlier

    def _deliver(
        self,
        showing: Showing,
        view: View,
        same: dict[str, Delivery],
        earlier: dict[str, list[Earlier]],
        said: int,
    ) -> Planned | None:
        done = same.get(view.mailbox)
        if done is not None and done.state not in (DeliveryState.WITHHELD, DeliveryState.ATTEMPTED):
            return Planned(done)
        conversation, terms = showing.conversation, self._terms
        mailbox = terms.directory.mailbox(view.mailbox)
        folder = mailbox.folder or terms.folder_of(mailbox.locale)
        before: Sequence[Earlier] = earlier.get(view.mailbox, ())
        decision = gate.decide(mailbox, conversation.kind, terms.gate)
        if decision.allowed:
            look = Look(view.mask, view.role, view.side, mailbox.locale, mailbox.zone, terms.show_retracted)
            before = self._as_it_lies(before, view.mailbox, folder, look, showing)
            made = planning.plan(conversation, view, look, folder, before, showing.name, said)
        else:
            made = planning.withhold(conversation, view, folder, decision.reason, before, said)
        return planning.given_up(done) if made is None else made

    def _as_it_lies(
        self, before: Sequence[Earlier], mailbox: str, folder: str, look: Look, showing: Showing
    ) -> Sequence[Earlier]:
        """Where the item of all of it lies there already, its predecessors went with it: the journal is older than the
        mail, and nobody took them away."""
        if not any(map(planning.is_gone, before)):
            return before
        if self._store.locate(mailbox, folder, showing.name(look)) is None:
            return before
        return [structs.replace(each, ours=True) for each in before]

    def _file(self, batch: Batch, tally: Tally) -> None:
        """Begin, render, put, finish: everything gathered so far."""
        now = batch.now()
        if batch.works:
            for work, filing in zip(
                batch.works, self._journal.begin([w.filing for w in batch.works], now), strict=True
            ):
                begun(work, filing)
            self._put([chosen for work in batch.works for chosen in self._render(work, tally)], now)
            # Before the end is on record: what is filed isn't looked at again. A crash counts somebody twice at worst.
            if people := [(source, address, seen) for (source, address), seen in sorted(batch.strangers.items())]:
                self._journal.note_strangers(people, now)
            self._finish(batch, now, tally)
        if settled := batch.settled():
            self._journal.finish_places(settled)
        batch.clear()
        if held := batch.to_extend():
            self._journal.extend(held, batch.now())

    def _render(self, work: Work, tally: Tally) -> list[Chosen]:
        if work.tried >= ATTEMPTS:
            work.error = f"{work.tried} attempts to file this ended with the whole process"
            return []
        wanted = dict.fromkeys(planned.look for planned in work.planned if planned.look is not None)
        views = sorted((look for look in wanted if not look.complete), key=lambda look: look.mask)
        made = self._items(work, views) | self._items(work, [look for look in wanted if look.complete])
        if not made:
            return []
        if not work.showing.has_files:
            work.showing.let_go()
        tally.renderings += sum(look.mask.bit_count() for look in made)
        tally.items += len(made)
        tally.bytes += sum(len(item.content) for item in made.values())
        return [
            Chosen(work, index, Put(planned.delivery.mailbox, planned.delivery.folder, item, planned.flags))
            for index, planned in enumerate(work.planned)
            if planned.look is not None and (item := made.get(planned.look)) is not None
        ]

    def _items(self, work: Work, looks: Sequence[Look]) -> dict[Look, Item]:
        """Rendered, or none: what goes wrong in people's own items keeps nothing from the archives, nor the reverse."""
        try:
            return {look: work.showing.item(look) for look in looks}  # those of one view in a row: they share most
        except Exception as error:  # one bad conversation must not stop the rest; it is parked after some attempts
            work.error = f"{type(error).__name__}: {error}"
            log.exception("not rendered", conversation=work.conversation.place, source=work.conversation.source)
            return {}

    def _put(self, chosen: list[Chosen], now: int) -> None:
        """Put all, those tried before with care; note sizes and failures where they belong.

        The archives come first: a fault of the machine that ends the run would hide that they fail too.
        """
        own = [each for each in chosen if each.destination is Destination.HISTORY]
        if len(own) < len(chosen):
            self._archives.put([each for each in chosen if each.destination is not Destination.HISTORY], now)
        self._put_history(self._quotas.admitted(self._replacing(own)))

    def _replacing(self, chosen: list[Chosen]) -> list[Chosen]:
        """Those that may take out what they replace: what a hold covers of it is kept first. The others wait."""
        replaced = [each.work.planned[each.index].outdated for each in chosen]
        unkept = self._store.unkept([_where(old) for outdated in replaced for old in outdated])
        if not unkept:
            return chosen
        admitted: list[Chosen] = []
        for each, outdated in zip(chosen, replaced, strict=True):
            if error := next((unkept[_where(old)] for old in outdated if _where(old) in unkept), None):
                withheld(each.work, each.index, len(each.put.item.content), str(error))
            else:
                admitted.append(each)
        return admitted

    def _put_history(self, chosen: list[Chosen]) -> None:
        for careful in (False, True):
            some = [each for each in chosen if each.careful is careful]
            if not some:
                continue
            outcomes = self._store.put([each.put for each in some], careful=careful)
            for each, outcome in zip(some, outcomes, strict=True):
                size = len(each.put.item.content)
                if outcome is None:
                    filed(each.work, each.index, size)
                elif isinstance(outcome, NotKept):
                    withheld(each.work, each.index, size, str(outcome))
                else:
                    failed(each.work, outcome)

    def _finish(self, batch: Batch, now: int, tally: Tally) -> None:
        """Take out what was replaced, then record all. In this order: see `_earlier`."""
        outdated: list[Where] = []
        filings: list[Filing] = []
        self._settle(batch.works)
        for work in batch.works:
            if work.error:
                park_or_retry(work, batch, now)
            for planned in work.planned:
                if planned.delivery.state is DeliveryState.FILED:
                    outdated += map(_where, planned.outdated)
            filings.append(structs.replace(work.filing, deliveries=tuple(p.delivery for p in work.planned)))
            count(work, tally)
        self._keep_blobs(batch)
        self._store.remove_all(outdated)
        self._journal.finish(filings, now, gone=[number for work in batch.works for number in work.gone])

    def _settle(self, works: Sequence[Work]) -> None:
        """Deliveries that put nothing: of some the journal alone has news, others only take out what isn't theirs."""
        mere = [
            (work, index, planned)
            for work in works
            for index, planned in enumerate(work.planned)
            if planned.look is None and planned.delivery.state is DeliveryState.ATTEMPTED
        ]
        unkept = self._store.unkept([_where(old) for *_, planned in mere for old in planned.outdated])
        for work, index, planned in mere:
            if error := next((unkept[_where(old)] for old in planned.outdated if _where(old) in unkept), None):
                withheld(work, index, planned.delivery.size, str(error))
            else:
                filed(work, index, planned.delivery.size)

    def _keep_blobs(self, batch: Batch) -> None:
        """Files too large for an item stay in the blob store as long as the item that names them."""
        for work in batch.works:
            if not work.showing.has_files:
                continue
            for planned in work.planned:
                if planned.delivery.state is not DeliveryState.FILED:
                    continue
                if planned.look is not None and (kept := work.showing.kept(planned.look)):
                    self._journal.hold_blobs(holder(planned.delivery), sorted(kept))
                for delivery in planned.outdated:
                    self._journal.drop_blobs(holder(delivery))


def _span(conversation: Conversation) -> tuple[int, int]:
    """From its first event to its last one: what refers to its messages counts, which makes it no longer elsewhere."""
    first, last = conversation.events[0].time, conversation.events[-1].time
    return min(conversation.started, first), max(conversation.ended, last)


def _where(delivery: Delivery) -> Where:
    return Where(delivery.mailbox, delivery.folder, delivery.name)
