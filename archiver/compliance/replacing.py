"""What an erasure does to items: other people's are replaced by versions without the person, their own are taken out.

Each lot is a new item durable, the journal told, the old item gone, in this order: killed anywhere in between, the old
one is still there to be found, or nothing is left to do. In an archive the line and the old file go in one step of the
store's, so there the journal is told before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice

from msgspec import Struct, structs

from archiver.compliance.worklist import Kind, Task, Worklist
from archiver.conversations.projection import bounds, gather
from archiver.conversations.rules import Rules
from archiver.decisions.withholding import Person
from archiver.events import EDITED, REFERENCES, Captured, named
from archiver.exceptions import ArchiverError, UsageError
from archiver.filing import rebuilding
from archiver.filing.archives import note
from archiver.filing.showing import Showing
from archiver.rendering import PSEUDONYM, Limits
from archiver.spool import Spool
from archiver.spool.records import LocalItem, Rostered
from archiver.store import LARGEST, ArchiveStore, MaildirStore
from archiver.store.protocol import Found, Put, Where
from archiver.types import Item, Roster

_AT_ONCE = 50
_BYTES = 8 * 1024 * 1024


class Moved(Struct, frozen=True):
    """An item that its owner has put elsewhere: theirs, and not touched."""

    mailbox: str
    folder: str
    name: str


class Report(Struct):
    """What went. `mailboxes` are all that something was found in; `failed` items can be tried again.

    `guessed` are items in which several people are hidden and none could be told to be somebody else: what all of them
    said went.
    """

    mailboxes: list[str] = []
    removed: int = 0
    replaced: int = 0
    archived: int = 0
    local: int = 0
    events: int = 0
    withheld: int = 0
    conflicts: int = 0
    quarantined: int = 0
    blobs: int = 0
    guessed: int = 0
    moved: list[Moved] = []
    failed: list[str] = []

    def counts(self) -> dict[str, int]:
        return {name: value for name, value in structs.asdict(self).items() if isinstance(value, int)}

    def add_moved(self, where: Where) -> None:
        self.moved.append(Moved(where.mailbox, where.folder, where.name))


class Carried(Struct, frozen=True):
    """What an item tells of its conversation."""

    roster: Roster
    events: Sequence[Captured]

    @classmethod
    def of(cls, content: bytes) -> Carried | None:
        """None where it is damaged."""
        try:
            roster, _, events = rebuilding.carried(content)
        except UsageError:
            return None
        return cls(roster, events) if events else None

    @property
    def source(self) -> str:
        return self.events[0].event.source

    @property
    def hidden(self) -> frozenset[str]:
        """The pseudonyms of hidden people."""
        met = [address for each in self.roster.present for address in each.addresses]
        met += [address for each in self.events for address in named(each.event)]
        return frozenset(address for address in met if PSEUDONYM.fullmatch(address))

    @property
    def may_repeat(self) -> bool:
        """Whether something in it can be of somebody whom it doesn't name: hidden, or repeated by others."""
        if self.roster.topic or self.hidden:
            return True
        return any(
            (each.event.type in REFERENCES and each.event.type != EDITED)
            or each.event.data.conversation.topic
            or each.event.data.topic
            for each in self.events
        )


class _Made(Struct, frozen=True):
    task: Task
    put: Put | None
    """None for the person's own item: nothing stands in its place."""
    kept: frozenset[str] = frozenset()


class Replacing:
    def __init__(
        self,
        spool: Spool,
        history: MaildirStore,
        archive: ArchiveStore,
        rules: Rules,
        limits: Limits,
        person: Person,
        work: Worklist,
        report: Report,
    ) -> None:
        self._spool = spool
        self._history = history
        self._archive = archive
        self._rules = rules
        self._limits = limits
        self._person = person
        self._work = work
        self._report = report

    # Asking

    def content(self, kind: Kind, task: Task) -> bytes:
        where = task.where
        if kind is Kind.LOCAL:
            return self._spool.local_content(task.number) or b""
        store = self._archive if kind is Kind.ARCHIVED else self._history
        found = next(store.read_all([where], LARGEST))
        return b"" if found is None else found[1]

    def aliases(self, carried: Carried, kind: Kind, number: int) -> frozenset[str]:
        """Under which pseudonyms the person is hidden in an item of somebody else's."""
        hidden = carried.hidden
        if not hidden:
            return hidden
        is_visible = any(map(self._person.is_named, carried.events))
        number = 0 if kind is Kind.LOCAL or is_visible else number
        mailboxes = (self._person.mailbox, self._person.pseudonym)
        suspected = any(self._work.took_part(number, each) for each in mailboxes) if number else False
        return self._person.aliases(carried.events, hidden, suspected=suspected)

    def concerns(self, carried: Carried, aliases: frozenset[str]) -> bool:
        if any(self._person.is_in(each, aliases) for each in carried.events):
            return True
        place = carried.events[0].event.data.conversation
        return self._person.roster(carried.source, place.id, place.kind, carried.roster, aliases) != carried.roster

    def roster(self, place: Rostered) -> Roster | None:
        if place.roster is None:
            return None
        return self._person.roster(place.source, place.conversation, place.kind, place.roster)

    # Conversation History

    def visible(self, now: int) -> None:
        for lot in self._lots(Kind.VISIBLE):
            self._swap(lot, now)

    def _swap(self, lot: Sequence[_Made], now: int) -> None:
        for made in lot:
            self._hold(made)
        outcomes = self._history.put([made.put for made in lot if made.put is not None])
        ready = self._without_failed(lot, outcomes)
        self._note(ready, now)
        for made in self._taken_out(ready):
            self._report.replaced += made.put is not None
            self._report.removed += made.put is None

    def _without_failed(self, lot: Sequence[_Made], outcomes: Iterable[ArchiverError | None]) -> list[_Made]:
        left, ready = iter(outcomes), []
        for made in lot:
            error = None if made.put is None else next(left)
            if error is None:
                ready.append(made)
            else:
                self._failed(made.task.where, error)
        return ready

    def _taken_out(self, ready: Sequence[_Made]) -> list[_Made]:
        wheres = [made.task.where for made in ready]
        try:
            self._history.remove_all(wheres)
        except ArchiverError:  # one of them; then one by one
            return [made for made in ready if self._remove(made.task.where)]
        return list(ready)

    def _remove(self, where: Where) -> bool:
        try:
            self._history.remove_all([where])
        except ArchiverError as error:
            self._failed(where, error)
            return False
        return True

    # The compliance archive

    def archived(self, reason: str, now: int) -> None:
        for lot in self._lots(Kind.ARCHIVED):
            for made in lot:
                self._hold(made)
            self._note(lot, now)
            known = self._spool.heads({made.task.where.mailbox for made in lot})
            receipt = self._archive.erase([(made.task.where, made.put) for made in lot], now, reason, known=known)
            note(self._spool, receipt)
            for made, error in zip(lot, receipt.outcomes, strict=True):
                if error is None:
                    self._report.archived += 1
                else:
                    self._failed(made.task.where, error)
                    self._note_again(made, now)

    def _note_again(self, made: _Made, now: int) -> None:
        """It lies there still, under its old name."""
        if made.task.number:
            size = len(self.content(Kind.ARCHIVED, made.task))
            self._spool.rename_deliveries([(made.task.number, made.task.where.name, size)], now)

    # The local archive

    def local(self, now: int) -> None:
        for item in self._spool.local_items():
            if self._work.has(Kind.LOCAL, item.number):
                try:
                    self._replace_local(item, now)
                except ArchiverError as error:
                    self._failed(Where(item.source, Kind.LOCAL, item.name), error)

    def _replace_local(self, item: LocalItem, now: int) -> None:
        if self._spool.standing_holds(item.mailboxes):
            raise UsageError("a hold was placed on one of its mailboxes meanwhile")
        shared = self._work.local_deliveries(item.name)
        theirs = {self._person.mailbox, self._person.pseudonym}
        if set(item.mailboxes) <= theirs:
            for number, _ in shared:
                self._spool.drop_blobs(_holder(number))
            self._spool.drop_local([item.number])
            self._spool.rename_deliveries([(number, "", 0) for number, _ in shared], now)
        else:
            content = self._spool.local_content(item.number) or b""
            made, kept, _ = self._version(content, Kind.LOCAL, 0)
            for number, mailbox in shared:
                self._spool.hold_only(_holder(number), () if mailbox in theirs else kept)
            digest, size = sha256(made.content).hexdigest(), len(made.content)
            self._spool.replace_local(item, made.name, digest, made.content, self._person.mailbox)
            names = ((number, "" if mailbox in theirs else made.name) for number, mailbox in shared)
            self._spool.rename_deliveries([(number, name, size) for number, name in names], now)
        self._report.local += 1

    # Both

    def _lots(self, kind: Kind) -> Iterator[list[_Made]]:
        lot: list[_Made] = []
        size = 0
        for task, found in self._found(kind):
            made = self._make(kind, task, found)
            if made is None:
                continue
            lot.append(made)
            size += len(made.put.item.content) if made.put else 0
            if len(lot) == _AT_ONCE or size >= _BYTES:
                yield self._without_held(lot)
                lot, size = [], 0
        yield self._without_held(lot)

    def _without_held(self, lot: Sequence[_Made]) -> list[_Made]:
        """A hold may be placed while an erasure goes on: from then on it keeps what is still there."""
        standing = self._spool.standing_holds({made.task.where.mailbox for made in lot})
        for made in lot:
            if made.task.where.mailbox in standing:
                self._failed(made.task.where, UsageError("a hold was placed on the mailbox meanwhile"))
        return [made for made in lot if made.task.where.mailbox not in standing]

    def _found(self, kind: Kind) -> Iterator[tuple[Task, tuple[Found, bytes] | None]]:
        """A folder is listed once for many items; each is read when it is its turn."""
        store = self._archive if kind is Kind.ARCHIVED else self._history
        tasks = self._work.tasks(kind)
        while some := list(islice(tasks, _AT_ONCE)):
            yield from zip(some, store.read_all([task.where for task in some], LARGEST), strict=True)

    def _make(self, kind: Kind, task: Task, found: tuple[Found, bytes] | None) -> _Made | None:
        where = task.where
        if where.mailbox == self._person.mailbox:
            return _Made(task, None)
        try:
            if found is None:
                raise UsageError("it isn't there any more: its owner moved or removed it meanwhile")
            lying, content = found
            item, kept, guessed = self._version(content, kind, task.number)
        except ArchiverError as error:
            self._failed(where, error)
            return None
        if item.name == where.name:  # nothing of theirs is in it any more
            return None
        self._report.guessed += guessed
        return _Made(task, Put(where.mailbox, where.folder, item, lying.flags), kept)

    def _version(self, content: bytes, kind: Kind, number: int) -> tuple[Item, frozenset[str], bool]:
        """What stands instead, the files that it only names, and whether it had to be guessed who they were in it."""
        person = self._person
        conversation, look = rebuilding.rebuild(content, self._rules)
        source, place = conversation.source, conversation.place
        aliases = self.aliases(Carried(conversation.roster, conversation.events), kind, number)
        events = [person.without(each, aliases) for each in conversation.events]
        roster = person.roster(source, place, conversation.kind, conversation.roster, aliases)
        which = bounds(conversation)
        if which.session is not None:
            which = structs.replace(which, session=person.text(source, which.session))
        bare = gather(events, roster, self._rules, which)
        showing = Showing(bare, self._spool.blob, self._rules, self._limits)
        return showing.item(look), showing.kept(look), len(aliases) > 1

    def _hold(self, made: _Made) -> None:
        if made.task.number:
            self._spool.hold_only(_holder(made.task.number), made.kept)

    def _note(self, lot: Sequence[_Made], now: int) -> None:
        changes = []
        for number, put in [(made.task.number, made.put) for made in lot if made.task.number]:
            changes.append((number, "", 0) if put is None else (number, put.item.name, len(put.item.content)))
        if changes:
            self._spool.rename_deliveries(changes, now)

    def _failed(self, where: Where, error: ArchiverError) -> None:
        self._report.failed.append(f"{where.mailbox}: {where.folder}/{where.name}: {error}")


def _holder(number: int) -> str:
    return f"delivery:{number}"
