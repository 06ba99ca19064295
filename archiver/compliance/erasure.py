"""Erasing one person: what they said and who they were, from everybody's items, both archives, the spool and its file.

    look      items, spool, local archive: where they are, whose mailboxes that concerns, which messages are theirs
    refuse    while a hold stands on any of those mailboxes
    erase     spool; items (see `replacing`); indexes; blobs; the file

Alone: no daemon and no backfill may run. Again, it finds what was left, whatever ended it. Item by item, whatever their
number: what has to be remembered stands in a `Worklist`. Joins everything that holds people's words; what of an event
is theirs is `withholding`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from archiver.compliance.replacing import Carried, Replacing, Report
from archiver.compliance.worklist import Kind, Task, Worklist
from archiver.conversations.rules import Rules
from archiver.decisions.withholding import Person, pseudonym
from archiver.events import Captured, named
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.rendering import Limits, is_base_name, is_ours
from archiver.spool import Spool
from archiver.spool.records import Entry, Rostered
from archiver.store import LARGEST, PURGES, ArchiveStore, MaildirStore
from archiver.store.protocol import Where
from archiver.types import Destination, Roster

__all__ = ["Erasure", "Report"]

_SELF = "archiver purge --erase"
_BEGUN, _ENDED = "erasure begun", "erasure ended"
_EVERY = 2**62
"""Above every number of an event."""
_AT_ONCE = 500

Whose = Callable[[str, str], str | None]


class Erasure:
    """One person, in all conversations or in those with one other (`peer`).

    `indexes` are called once the items are as they will be: each takes out of what is made from items what is no more.
    """

    def __init__(
        self,
        spool: Spool,
        history: MaildirStore,
        archive: ArchiveStore,
        rules: Rules,
        limits: Limits,
        whose: Whose,
        mailbox: str,
        peer: str | None = None,
        indexes: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._spool = spool
        self._history = history
        self._archive = archive
        self._rules = rules
        self._limits = limits
        self._whose = whose
        self._mailbox = mailbox
        self._peer = None if peer is None else Person(whose, peer, _Nothing())
        self._indexes = indexes
        self._report = Report()
        self._concerned: set[str] = set()

    def run(self, now: int, by: str, reason: str) -> Report:
        """Refused, with nothing changed, while a hold stands on any mailbox that it concerns."""
        with self._spool.hold("daemon", _SELF), self._spool.hold("backfill", _SELF), Worklist() as work:
            self._prepare(work, now)
            self._look()
            self._report.mailboxes = sorted(self._concerned)
            self._refuse()
            number = self._tell(_BEGUN, by, reason, now)
            if self._unfinished is None:
                self._person.pseudonym = pseudonym(number)
            self._erase(by, reason, now)
            self._tell(_ENDED, by, reason, now)
            self._spool.checkpoint()
        return self._report

    def _prepare(self, work: Worklist, now: int) -> None:
        self._report, self._concerned, self._work = Report(), {self._mailbox}, work
        self._person = Person(self._whose, self._mailbox, work.facts)
        self._unfinished = self._begun_before()
        if self._unfinished is not None:
            self._person.pseudonym = pseudonym(self._unfinished)
        self._replacing = Replacing(
            self._spool, self._history, self._archive, self._rules, self._limits, self._person, work, self._report
        )
        # What a killed process left half written is nobody's, and would be found by nobody.
        self._spool.reap(now)
        self._spool.drop_forgotten()
        self._history.sweep()
        self._archive.sweep()

    def _begun_before(self) -> int | None:
        """The entry of an erasure of the same person that never came to its end: this one goes on with it."""
        begun = None
        for told in self._spool.audits():
            if told.subject != self._mailbox or told.details.get("peer") != self._peer_name:
                continue
            if told.action == _BEGUN:
                begun = told.number if begun is None else begun
            elif told.action == _ENDED and not told.details.get("failed"):
                begun = None
        return begun

    @property
    def _peer_name(self) -> str | None:
        return None if self._peer is None else self._peer.mailbox

    # Looking

    def _look(self) -> None:
        """What is theirs can be told only when everything was seen once: others' items may repeat it."""
        for lot in self._spool.journalled():
            self._work.journal(lot)
        for place in self._places():
            self._person.notice(self._events(place))
            self._meet(place.source, place.roster)
        for kind, where, number, content in self._items():
            self._sort(kind, where, number, content)
        for kind in Kind:
            for task in self._work.tasks(kind):
                self._settle(kind, task)
        for place in self._places():
            self._look_at(place)

    def _meet(self, source: str, roster: Roster | None) -> None:
        if roster is not None:
            self._person.meet(source, [address for each in roster.present for address in each.addresses])

    def _items(self) -> Iterator[tuple[Kind, Where, int, bytes]]:
        for mailbox in self._history.mailboxes():
            for folder in self._history.folders(mailbox):
                yield from self._messages(mailbox, folder)
        for mailbox in self._archive.mailboxes():
            for found in self._archive.items(mailbox, PURGES):
                where = Where(mailbox, PURGES, found.name)
                content = self._archive.read(mailbox, PURGES, found.name)
                yield Kind.ARCHIVED, where, self._work.number(where, Destination.ARCHIVE), content
        for item in self._spool.local_items():
            yield Kind.LOCAL, Where("", "", item.name), item.number, self._spool.local_content(item.number) or b""

    def _messages(self, mailbox: str, folder: str) -> Iterator[tuple[Kind, Where, int, bytes]]:
        """Under a name of ours, in a folder that was ever filed in, it is ours to replace; else its owner's."""
        is_filed_in = self._work.is_filed_in(mailbox, folder)
        for found, content in self._history.messages(mailbox, folder, is_ours, LARGEST):
            if content is None:
                raise EnvironmentFault(
                    f"{mailbox}: {folder}/{found.name} can't be read, or has more than {LARGEST:,} bytes",
                    hint="take it out of the mailbox: nothing is erased before everything can be looked at",
                )
            where = Where(mailbox, folder, found.name)
            kind = Kind.VISIBLE if is_filed_in and is_base_name(found.name) else Kind.MOVED
            yield kind, where, self._work.number(where, Destination.HISTORY), content

    def _sort(self, kind: Kind, where: Where, number: int, content: bytes) -> None:
        carried = Carried.of(content)
        if carried is None or not self._with_peer(carried.source, carried.roster, carried.events):
            if carried is None:
                self._work.add(kind, where, number, is_sure=False)
            return
        # What its owner can have put there, or changed, tells nothing of what others said.
        if kind in (Kind.ARCHIVED, Kind.LOCAL) or number:
            self._person.notice(carried.events)
            self._meet(carried.source, carried.roster)
        is_sure = where.mailbox == self._mailbox or self._names(carried)
        if is_sure or carried.may_repeat:
            self._work.add(kind, where, number, is_sure=is_sure)

    def _names(self, carried: Carried) -> bool:
        person = self._person
        return person.is_present(carried.source, carried.roster) or any(map(person.is_named, carried.events))

    def _settle(self, kind: Kind, task: Task) -> None:
        if not task.is_sure:
            content = self._replacing.content(kind, task)
            carried = Carried.of(content)
            if carried is None:  # damaged: what it carries nobody can read any more
                if self._is_written_in(content):
                    self._report.failed.append(f"{task.where.mailbox}: {task.where.folder}/{task.where.name}: damaged")
                return self._work.settle(task, is_theirs=False)
            is_theirs = self._replacing.concerns(carried, self._replacing.aliases(carried, kind, task.number))
            self._work.settle(task, is_theirs=is_theirs)
            if not is_theirs:
                return None
        if kind is Kind.LOCAL:
            self._concerned.update(mailbox for _, mailbox in self._work.local_deliveries(task.where.name))
        else:
            self._concerned.add(task.where.mailbox)
        if kind is Kind.MOVED:
            self._report.add_moved(task.where)
        return None

    def _is_written_in(self, content: bytes) -> bool:
        return self._peer is None and self._person.is_written_in("", content)

    def _places(self) -> Iterator[Rostered]:
        for place in self._spool.rostered():
            if self._with_peer(place.source, place.roster or Roster(), self._events(place)):
                yield place

    def _events(self, place: Rostered) -> Iterator[Captured]:
        return self._spool.events(place.place, _EVERY)

    def _with_peer(self, source: str, roster: Roster, events: Iterable[Captured]) -> bool:
        peer = self._peer
        return peer is None or peer.is_present(source, roster) or any(map(peer.is_named, events))

    def _look_at(self, place: Rostered) -> None:
        if self._peer is not None:
            self._work.facts.add(("with", place.source, place.conversation))
        if self._replacing.roster(place) != place.roster or any(map(self._person.is_in, self._events(place))):
            for captured in self._events(place):
                self._concern(place.source, named(captured.event))

    def _concern(self, source: str, addresses: Iterable[str]) -> None:
        self._concerned.update(mailbox for each in addresses if (mailbox := self._whose(source, each)))

    def _refuse(self) -> None:
        standing = self._spool.standing_holds(self._report.mailboxes)
        if standing:
            held = ", ".join(
                f"hold {hold.number} on {mailbox}" for mailbox, holds in sorted(standing.items()) for hold in holds
            )
            raise UsageError(f"nothing was erased: {held}", hint="nothing of a mailbox under a hold may go")

    # Erasing

    def _erase(self, by: str, reason: str, now: int) -> None:
        self._erase_spool(by, reason, now)
        self._replacing.visible(now)
        self._replacing.archived(reason, now)
        self._replacing.local(now)
        for clear in self._indexes:
            clear()
        if self._peer is None:
            person = self._person
            self._spool.forget_person(
                self._mailbox, person.pseudonym, lambda text: person.text("", text), person.is_them
            )
        self._report.blobs = self._spool.sweep_blobs()
        self._spool.scrub()

    def _erase_spool(self, by: str, reason: str, now: int) -> None:
        for place in self._places():
            if self._peer is not None:
                self._drop_withheld(by, reason, now, place.conversation)
            self._erase_place(place)
        if self._peer is None:
            self._drop_withheld(by, reason, now)
        self._report.conflicts = self._spool.rewrite_conflicts(self._sides)
        self._report.quarantined = self._spool.drop_quarantined(self._was_theirs)

    def _drop_withheld(self, by: str, reason: str, now: int, conversation: str = "") -> None:
        self._report.withheld += self._spool.drop_withheld(
            self._mailbox, person=by, reason=reason, now=now, conversation=conversation
        )

    def _erase_place(self, place: Rostered) -> None:
        person, events = self._person, self._events(place)
        while lot := list(islice(events, _AT_ONCE)):
            bare = [new for old in lot if (new := person.without(old)) is not old]
            if bare:
                self._spool.rewrite_events(bare)
                self._report.events += len(bare)
        name, roster = person.place(place.source, place.conversation, place.kind), self._replacing.roster(place)
        if (name, roster) != (place.conversation, place.roster):
            self._spool.rewrite_place(place.place, name, roster)
        self._spool.rewrite_whispers(place.place, lambda parties: person.addresses(place.source, parties))

    def _sides(self, sides: Sequence[Captured]) -> Sequence[Captured]:
        """A conflict's, both or none: one of them may name the peer for both."""
        first = sides[0].event
        was_with = ("with", first.source, first.data.conversation.id) in self._work.facts
        if not was_with and not self._with_peer(first.source, Roster(), sides):
            return sides
        return list(map(self._person.without, sides))

    def _was_theirs(self, source: str, position: str, content: bytes) -> bool:
        """Of the peer's conversations: what became an event there, or names both."""
        if self._person.did(source, position):
            return True
        is_named = self._person.is_written_in(source, content)
        return is_named and (self._peer is None or self._peer.is_written_in(source, content))

    def _tell(self, action: str, by: str, reason: str, now: int) -> int:
        report = self._report
        details: dict[str, object] = {"mailboxes": report.mailboxes, "moved": len(report.moved)}
        if self._peer is not None:
            details["peer"] = self._peer.mailbox
        if action == _ENDED:
            details |= report.counts() | {"failed": len(report.failed)}
        return self._spool.audit(Entry(action, self._mailbox, by, reason, details), now).number


class _Nothing:
    """Of the peer nothing has to be known."""

    def add(self, fact: tuple[str, ...], /) -> None: ...

    def __contains__(self, fact: tuple[str, ...], /) -> bool:
        return False
