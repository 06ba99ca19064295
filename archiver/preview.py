"""What a backfill would bring, before anything is taken: who, where, when, how much, and what can't be used.

    documents ─► importer ─► events, weighed against the spool and the directory ─► Preview

Reads everything once and keeps nothing but counts: memory grows with people and rooms, not with messages.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from msgspec import Struct, field

from archiver.addresses import folded, normal, place_of, placed
from archiver.directory import Directory
from archiver.events import DAMAGED, SENT, Captured, Outcome, Rejected
from archiver.exceptions import Unreadable, UsageError
from archiver.exporting.durable import DurableFolder
from archiver.importers import Document, Importer, Options, Reading
from archiver.importers.leaving import Leave, Left, reason_of, unheeded
from archiver.people import NOBODY, Wanted, completed
from archiver.selection import Picking
from archiver.spool import Sealed, Spool, seal

_BATCH = 1_000

Seen = dict[int, int]
"""Events that were read, by what is the same of them, each with the digest of its content."""
Show = Callable[[str, int], None]
"""Where the reading stands, and how many bytes of input are done."""


class Person(Struct):
    """Somebody of the input: `messages` they wrote, and their mailbox; None where the directory gives none.

    `settled`: that they have none is known (a bot, a row of `-` in the people file), and nothing to ask about.
    `derived`: nobody said whose mailbox it is, and the address is none: it was made of a nick and the source's name.
    `bare`: the mailbox is said of the nick alone, for whatever place it comes from.
    """

    source: str
    address: str
    name: str = ""
    messages: int = 0
    mailbox: str | None = None
    settled: bool = False
    derived: bool = False
    bare: bool = False

    @property
    def nick(self) -> tuple[str, str]:
        """Who it is of which place, as the directory compares nicks."""
        return folded(self.address), place_of(self.source)


class Room(Struct):
    """A place of the input; times in microseconds."""

    source: str
    conversation: str
    kind: str
    topic: str
    events: int
    first: int
    last: int


REMEMBERED = 200_000
"""Events that are compared with those after them: 30 MiB."""


class Preview(Struct):
    """`known` are in the spool already or were, or came twice in what was read; `conflicts` too, but with other
    content. `at_most` says that there was too much to tell all of what came twice."""

    documents: int = 0
    bytes: int = 0
    events: int = 0
    new: int = 0
    known: int = 0
    conflicts: int = 0
    at_most: bool = False
    types: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    guessed: Counter[str] = field(default_factory=Counter)
    people: list[Person] = field(default_factory=list)
    rooms: list[Room] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    """What lies in the paths and is left alone; where several formats are read, told with the first."""

    @property
    def clean(self) -> bool:
        """False where a person should look, as of the run's report."""
        return not (self.conflicts or self.rejected or any(each.is_fault for each in self.left))

    def unmapped(self, *, strict: bool = False) -> list[Person]:
        """Who wrote, and whom the directory doesn't know, the most talkative first; if `strict`, derived ones too."""
        unknown = [each for each in self.people if each.mailbox is None or (strict and each.derived)]
        asked = [each for each in unknown if each.messages and not each.settled]
        return sorted(asked, key=lambda each: (-each.messages, each.source, each.address))


def preview(
    importer: Importer,
    documents: Sequence[Document],
    options: Options,
    picking: Picking,
    directory: Directory,
    spool: Spool | None,
    show: Show = lambda place, done: None,
    leave: Leave = unheeded,
    seen: Seen | None = None,
) -> Preview:
    """Read everything and take nothing. `spool` is None where there is none yet: then everything is new. `seen` is what
    was read of other formats before, and grows."""
    reading = Reading(time.time_ns() // 1_000)
    counting = _Counting(directory, {} if seen is None else seen)
    for document in documents:
        show(document.place, counting.found.bytes)
        try:
            for batch in _batches(_selected(importer.read(document, options, reading), picking, reading)):
                counting.add(batch)
                counting.weigh([seal(each) for each in batch if isinstance(each, Captured)], spool)
        except (*DAMAGED, Unreadable, OSError) as fault:
            leave(document.place, reason_of(fault), is_fault=True)
        counting.found.documents += 1
        counting.found.bytes += document.size
    return counting.done(reading)


def _selected(
    pieces: Iterable[Captured | Rejected], picking: Picking, reading: Reading
) -> Iterator[Captured | Rejected]:
    for piece in pieces:
        taken, why = picking.of(piece)
        if why:
            reading.ignored[why] += 1
        else:
            yield taken


def _batches(pieces: Iterator[Captured | Rejected]) -> Iterator[list[Captured | Rejected]]:
    while batch := list(islice(pieces, _BATCH)):
        yield batch


class _Counting:
    def __init__(self, directory: Directory, seen: Seen) -> None:
        self.found = Preview()
        self._directory = directory
        self._seen = seen
        self._is_first = not seen
        self._people: dict[tuple[str, str], Person] = {}
        self._rooms: dict[tuple[str, str], Room] = {}

    def add(self, batch: Iterable[Captured | Rejected]) -> None:
        for piece in batch:
            if isinstance(piece, Rejected):
                self.found.rejected[piece.reason] += 1
            else:
                self._count(piece)

    def weigh(self, sealed: Sequence[Sealed], spool: Spool | None) -> None:
        """Compare with what was ever accepted, and what was read before."""
        would = spool.would_be(sealed) if spool is not None else [Outcome.ACCEPTED] * len(sealed)
        outcomes = Counter(map(self._weighed, sealed, would))
        self.found.new += outcomes.get(Outcome.ACCEPTED, 0)
        self.found.known += outcomes.get(Outcome.DUPLICATE, 0)
        self.found.conflicts += outcomes.get(Outcome.CONFLICT, 0)

    def _weighed(self, sealed: Sealed, outcome: Outcome) -> Outcome:
        if outcome is not Outcome.ACCEPTED:
            return outcome
        if sealed.key in self._seen:
            return Outcome.DUPLICATE if self._seen[sealed.key] == sealed.digest else Outcome.CONFLICT
        if len(self._seen) < REMEMBERED:
            self._seen[sealed.key] = sealed.digest
        else:
            # What a single document tells twice is seldom.
            self.found.at_most = self.found.documents > 0 or not self._is_first
        return outcome

    def _count(self, captured: Captured) -> None:
        event = captured.event
        data = event.data
        self.found.events += 1
        self.found.types[event.type] += 1
        for who in (data.actor, data.subject, *(data.conversation.participants or ())):
            if who is not None:
                self._person(event.source, who.address, who.name or "")
        if event.type == SENT and data.actor is not None:
            self._people[event.source, data.actor.address].messages += 1
        self._room(captured)

    def _person(self, source: str, address: str, name: str) -> None:
        person = self._people.get((source, address))
        if person is None:
            mailbox = self._directory.mailbox_of(source, address)
            settled = self._directory.is_nobodys(source, address)
            derived = not self._directory.is_stated(source, address) and normal("", address) is None
            bare = mailbox is not None and self._directory.is_bare(source, address)
            self._people[source, address] = Person(source, address, name, 0, mailbox, settled, derived, bare)
        elif name:
            person.name = name

    def _room(self, captured: Captured) -> None:
        place, source = captured.event.data.conversation, captured.event.source
        room = self._rooms.get((source, place.id))
        if room is None:
            at = captured.time
            self._rooms[source, place.id] = Room(source, place.id, place.kind, place.topic or "", 1, at, at)
            return
        room.events += 1
        room.first, room.last = min(room.first, captured.time), max(room.last, captured.time)
        room.topic = place.topic or room.topic

    def done(self, reading: Reading) -> Preview:
        found = self.found
        found.ignored, found.guessed = reading.ignored, reading.guessed
        for person in self._people.values():
            person.settled = person.settled or person.address in reading.nobody
        found.people = list(self._people.values())
        found.rooms = sorted(self._rooms.values(), key=lambda each: (-each.events, each.source, each.conversation))
        return found


def in_several_places(people: Sequence[Person], known: Iterable[tuple[str, str]]) -> list[Person]:
    """Those whom the directory knows by a nick alone that is used in more than one place: they may be several.
    `known` are the nicks that earlier backfills used so, each with its place."""
    places: dict[str, set[str]] = {}
    for nick, place in (*known, *(each.nick for each in people if each.bare)):
        places.setdefault(nick, set()).add(place)
    return [each for each in people if each.bare and len(places[each.nick[0]]) > 1]


def ask_for(people: Iterable[Person], path: Path) -> None:
    """Add a row for each, its mailbox to be filled in, to a people file or a new one; what is there stays.

    Whole or not there. Raises `UsageError` where something else is there, and `OSError`.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat() if path.exists() else None
    content = completed(_text_of(path) if before else "", _wanted(people), str(path)).encode()
    folder = DurableFolder(path.parent)
    folder.replace(path.name, [content])
    if before is not None:
        path.chmod(before.st_mode & 0o777)
        with suppress(PermissionError):
            os.chown(path, before.st_uid, before.st_gid)
    folder.sync()


def _wanted(people: Iterable[Person]) -> Iterable[Wanted]:
    """One for all the rooms of a place."""
    found: dict[str, Wanted] = {}
    for each in people:
        address = placed(each.source, each.address)
        before = found.get(address, Wanted(address, "", 0))
        found[address] = Wanted(address, each.name or before.name, before.messages + each.messages)
    return found.values()


def _text_of(path: Path) -> str:
    """With its own ends of lines."""
    try:
        if path.is_file():
            return path.read_bytes().decode()
        problem = "no file"
    except UnicodeDecodeError as error:
        problem = str(error)
    raise UsageError(f"{path} is there, and is no people file: {problem}", hint="name another one with --map")


def explain_filling(path: Path) -> str:
    filled = f"fill in the mailboxes in {path} ({NOBODY} for nobody's)"
    return f"{filled} and name it as [directory] file, or add its rows to that"
