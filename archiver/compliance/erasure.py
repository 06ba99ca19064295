"""Erasing what one person said: from everybody's items, from both archives, and from the spool and its file.

    look      items, spool, local archive: where it is, whose mailboxes that concerns, which messages are theirs
    refuse    while a hold stands on any of those mailboxes
    erase     spool; items replaced by versions without it, the person's own taken out; local archive; blobs; the file

Alone: no daemon and no backfill may run. Again, it finds what was left, whatever ended it. Joins everything that holds
people's words; what of an event is theirs is `withholding`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from msgspec import Struct

from archiver.conversations.projection import bounds, gather
from archiver.conversations.rules import Rules
from archiver.decisions.withholding import Person
from archiver.events import Captured, named
from archiver.exceptions import ArchiverError, EnvironmentFault, UsageError
from archiver.filing import rebuilding
from archiver.filing.archives import note
from archiver.filing.showing import Showing
from archiver.rendering import Limits, is_base_name, is_message_id
from archiver.spool import Spool
from archiver.spool.records import Entry, LocalItem
from archiver.store import LARGEST, PURGES, ArchiveStore, MaildirStore
from archiver.store.protocol import Found, Put, Where
from archiver.types import Destination, Item

_SELF = "archiver purge --erase"
_EVERY = 2**62
"""Above every number of an event, and after every time."""


class Moved(Struct, frozen=True):
    """An item that its owner has put elsewhere: theirs, and not touched."""

    mailbox: str
    folder: str
    name: str


class Report(Struct):
    """What went. `mailboxes` are all that something was found in; `failed` items can be tried again."""

    mailboxes: list[str] = []
    removed: int = 0
    replaced: int = 0
    archived: int = 0
    local: int = 0
    events: int = 0
    conflicts: int = 0
    quarantined: int = 0
    blobs: int = 0
    moved: list[Moved] = []
    failed: list[str] = []


class _Found(Struct):
    where: Where
    flags: str
    number: int
    """Of the delivery; 0 where the journal has none."""


class Erasure:
    """One person, in all conversations or in those with one other (`peer`)."""

    def __init__(
        self,
        spool: Spool,
        history: MaildirStore,
        archive: ArchiveStore,
        rules: Rules,
        limits: Limits,
        whose: Callable[[str, str], str | None],
        mailbox: str,
        peer: str | None = None,
    ) -> None:
        self._spool = spool
        self._history = history
        self._archive = archive
        self._rules = rules
        self._limits = limits
        self._whose = whose
        self._mailbox = mailbox
        self._person = Person(whose, mailbox)
        self._peer = None if peer is None else Person(whose, peer)
        self._report = Report()

    def run(self, now: int, by: str, reason: str) -> Report:
        """Refused, with nothing changed, while a hold stands on any mailbox that it concerns."""
        self._report = report = Report()
        with (
            self._spool.hold("daemon", "archiver purge --erase"),
            self._spool.hold("backfill", "archiver purge --erase"),
        ):
            self._learn()
            visible, archived, local = self._visible(), self._archived(), self._local()
            report.mailboxes = sorted(self._concerned(visible, archived, local))
            self._refuse()
            self._tell("erasure begun", by, reason, now)
            self._erase_spool()
            self._erase_visible(visible, now)
            self._erase_archived(archived, reason, now)
            self._erase_local(local)
            report.blobs = self._spool.sweep_blobs()
            self._spool.scrub()
            self._tell("erasure ended", by, reason, now)
            self._spool.checkpoint()
        return report

    # Looking

    def _learn(self) -> None:
        """Which messages are theirs, wherever that can be told: others' items may only repeat them."""
        for _, content in self._contents():
            self._person.notice(_events(content))
        for room in self._spool.rooms():
            self._person.notice(self._spool.events(room.place, _EVERY))

    def _contents(self) -> Iterator[tuple[Where, bytes]]:
        for mailbox in self._history.mailboxes():
            for folder in self._history.folders(mailbox):
                for found, content in self._messages(mailbox, folder):
                    yield Where(mailbox, folder, found.name), content
        for mailbox in self._archive.mailboxes():
            for found in self._archive.items(mailbox, PURGES):
                yield Where(mailbox, PURGES, found.name), self._archive.read(mailbox, PURGES, found.name)
        for item in self._spool.local_items():
            yield Where("", "", item.name), self._spool.local_content(item.number) or b""

    def _messages(self, mailbox: str, folder: str) -> Iterator[tuple[Found, bytes]]:
        for found, content in self._history.messages(mailbox, folder, _is_ours, LARGEST):
            if content is None:
                raise EnvironmentFault(
                    f"{mailbox}: {folder}/{found.name} can't be read, or has more than {LARGEST:,} bytes",
                    hint="take it out of the mailbox: nothing is erased before everything can be looked at",
                )
            yield found, content

    def _is_concerned(self, content: bytes) -> bool:
        events = _events(content)
        return self._with_peer(events) and any(self._person.is_in(each) for each in events)

    def _with_peer(self, events: Sequence[Captured]) -> bool:
        return self._peer is None or any(self._peer.is_named(each) for each in events)

    def _visible(self) -> list[_Found]:
        """Where the journal says; elsewhere their owners have put them."""
        numbers = {
            Where(each.mailbox, each.folder, each.name): each.number
            for page in self._spool.aged(_EVERY)
            for each in page
            if each.destination is Destination.HISTORY
        }
        found: list[_Found] = []
        for mailbox in self._history.mailboxes():
            for folder in self._history.folders(mailbox):
                for lying, content in self._messages(mailbox, folder):
                    where = Where(mailbox, folder, lying.name)
                    if not self._is_concerned(content):
                        continue
                    if where in numbers:
                        found.append(_Found(where, lying.flags, numbers[where]))
                    else:
                        self._report.moved.append(Moved(mailbox, folder, lying.name))
        return found

    def _archived(self) -> list[_Found]:
        numbers = {
            (each.mailbox, each.name): each.number
            for page in self._spool.aged(_EVERY)
            for each in page
            if each.destination is Destination.ARCHIVE
        }
        return [
            _Found(Where(mailbox, PURGES, found.name), found.flags, numbers.get((mailbox, found.name), 0))
            for mailbox in self._archive.mailboxes()
            for found in self._archive.items(mailbox, PURGES)
            if self._is_concerned(self._archive.read(mailbox, PURGES, found.name))
        ]

    def _local(self) -> list[LocalItem]:
        return [
            item
            for item in self._spool.local_items()
            if self._is_concerned(self._spool.local_content(item.number) or b"")
        ]

    def _concerned(self, visible: Sequence[_Found], archived: Sequence[_Found], local: Sequence[LocalItem]) -> set[str]:
        found = {self._mailbox, *(each.where.mailbox for each in (*visible, *archived))}
        found |= {mailbox for item in local for mailbox in item.mailboxes}
        found |= {each.mailbox for each in self._report.moved}
        for room in self._spool.rooms():
            events = list(self._spool.events(room.place, _EVERY))
            if self._with_peer(events) and any(self._person.is_in(each) for each in events):
                people = {(e.event.source, address) for e in events for address in named(e.event)}
                found |= {mailbox for source, address in people if (mailbox := self._whose(source, address))}
        return found

    def _refuse(self) -> None:
        standing = self._spool.standing_holds(self._report.mailboxes)
        if standing:
            held = ", ".join(
                f"hold {hold.number} on {mailbox}" for mailbox, holds in sorted(standing.items()) for hold in holds
            )
            raise UsageError(f"nothing was erased: {held}", hint="nothing of a mailbox under a hold may go")

    # Erasing

    def _tell(self, action: str, by: str, reason: str, now: int) -> None:
        report = self._report
        details: dict[str, object] = {"mailboxes": report.mailboxes, "moved": len(report.moved)}
        if self._peer is not None:
            details["peer"] = self._peer.mailbox
        if action == "erasure ended":
            counts = ("removed", "replaced", "archived", "local", "events", "conflicts", "quarantined")
            details |= {name: getattr(report, name) for name in counts} | {"failed": len(report.failed)}
        self._spool.audit(Entry(action, self._mailbox, by, reason, details), now)

    def _erase_spool(self) -> None:
        for room in self._spool.rooms():
            events = list(self._spool.events(room.place, _EVERY))
            if self._with_peer(events):
                theirs = [self._person.without(each) for each in events if self._person.is_in(each)]
                self._spool.rewrite_events(theirs)
                self._report.events += len(theirs)
        if self._peer is None:
            self._report.conflicts = self._spool.rewrite_conflicts(self._person.without)
            self._report.quarantined = self._spool.drop_quarantined(self._person.may_be_in)

    def _erase_visible(self, found: Sequence[_Found], now: int) -> None:
        for each in found:
            where = each.where
            try:
                put = self._instead(where, self._history.read(where.mailbox, where.folder, where.name), each)
                if put is not None:
                    (error,) = self._history.put([put])
                    if error is not None:
                        raise error
                self._history.remove(where.mailbox, where.folder, where.name)
            except ArchiverError as error:
                self._report.failed.append(f"{where.mailbox}: {where.folder}/{where.name}: {error}")
                continue
            self._note(each, put, now)
            self._report.replaced += put is not None
            self._report.removed += put is None

    def _erase_archived(self, found: Sequence[_Found], reason: str, now: int) -> None:
        for each in found:
            where = each.where
            try:
                put = self._instead(where, self._archive.read(where.mailbox, where.folder, where.name), each)
                known = self._spool.heads([where.mailbox])
                receipt = self._archive.erase([(where, put)], now, reason, known=known)
                note(self._spool, receipt)
                if receipt.outcomes[0] is not None:
                    raise receipt.outcomes[0]
            except ArchiverError as error:
                self._report.failed.append(f"{where.mailbox}: {where.folder}/{where.name}: {error}")
                continue
            self._note(each, put, now)
            self._report.archived += 1

    def _instead(self, where: Where, content: bytes, each: _Found) -> Put | None:
        """What others get in its place; the person's own goes."""
        holder = f"delivery:{each.number}"
        if each.number:
            self._spool.drop_blobs(holder)
        if where.mailbox == self._mailbox:
            return None
        item, kept = self._version(content)
        if each.number:
            self._spool.hold_blobs(holder, kept)
        return Put(where.mailbox, where.folder, item, each.flags)

    def _version(self, content: bytes) -> tuple[Item, frozenset[str]]:
        conversation, look = rebuilding.rebuild(content, self._rules)
        events = [self._person.without(each) for each in conversation.events]
        bare = gather(events, conversation.roster, self._rules, bounds(conversation))
        showing = Showing(bare, self._spool.blob, self._rules, self._limits)
        return showing.item(look), showing.kept(look)

    def _note(self, each: _Found, put: Put | None, now: int) -> None:
        if each.number:
            change = (each.number, "", 0) if put is None else (each.number, put.item.name, len(put.item.content))
            self._spool.rename_deliveries([change], now)

    def _erase_local(self, found: Sequence[LocalItem]) -> None:
        for item in found:
            if set(item.mailboxes) <= {self._mailbox}:
                self._spool.drop_local([item.number])
            else:
                made, _ = self._version(self._spool.local_content(item.number) or b"")
                digest = sha256(made.content).hexdigest()
                self._spool.replace_local(item, made.name, digest, made.content, self._mailbox)
            self._report.local += 1


def _is_ours(name: str, message_id: str) -> bool:
    return is_base_name(name) or is_message_id(message_id)


def _events(content: bytes) -> list[Captured]:
    """What an item carries; one that is damaged carries nothing."""
    try:
        return rebuilding.carried(content)[2]
    except UsageError:
        return []
