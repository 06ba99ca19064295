"""Whether Conversation History is what was filed: folders against the journal, items against their own events.

    journal ─► ledger ◄─ survey (every file) ─► proof (item against its events)
                  └────► what is missing, in excess, twice, elsewhere; and what their owners did

What an owner does with a mail client is told, and is no damage. Finds all there is; what can be mended without loss
is, where that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from enum import StrEnum
from hashlib import blake2b
from typing import Protocol

from msgspec import Struct

from archiver.inspection.ledger import Expected, Kept, Ledger
from archiver.inspection.messages import header, headers_of
from archiver.inspection.verifying import Problem, problem
from archiver.store.damage import Code, Damage
from archiver.store.mending import Mender
from archiver.store.survey import Fault, Lying, Survey
from archiver.store.tree import Place
from archiver.types import DeliveryState

_OURS = re.compile(r"[0-9]+\.K([0-9a-f]{32})\.conversation-archiver")
_MESSAGE_ID = re.compile(r"<([0-9a-f]{32})@conversation-archiver\.invalid>")
_INFO = re.compile(r"(:2,[A-Za-z]*)?\Z")
_FLAGS = re.compile(r"2,([A-Za-z]*)")
_TELL_EVERY = 500
"""Files between two signs of progress."""
_EXPECTED = frozenset({DeliveryState.FILED, DeliveryState.ATTEMPTED})


class Doing(StrEnum):
    """What is told of an item without anything being wrong: all but RENDERER are its owner's doing."""

    ALTERED = "altered-copy"
    COPIED = "copied"
    DELETED = "deleted"
    FLAGGED = "flagged"
    MOVED = "moved"
    RENAMED = "put-back"
    RENDERER = "other-renderer"


class Told(Struct, frozen=True, tag_field="kind", tag="information"):
    code: Doing
    mailbox: str
    place: str
    found: str


class Journal(Protocol):
    """What is asked of the journal once a mailbox was walked: others may have filed meanwhile."""

    def catch_up(self) -> None:
        """Put into the ledger what was begun since."""
        ...

    def know_all(self) -> None:
        """Put into the ledger what was filed for others, if it isn't in it: asked where an item is nobody's here."""
        ...

    def is_still_filed(self, number: int) -> bool: ...

    def file_anew(self, number: int) -> bool:
        """Let the next run file it once more; False where it can't be made any more."""
        ...


class Proved(Protocol):
    """What became of making an item again from its own events."""

    @property
    def code(self) -> Code | None: ...
    @property
    def found(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def changed(self) -> int: ...
    @property
    def renderer(self) -> str: ...


Prove = Callable[[bytes], Proved]


def _silent(mailbox: str, files: int) -> None:
    """Nobody waits."""


class Examination:
    """One mailbox. `journal` is None for a copy without a spool, `mender` where nothing is to be changed."""

    def __init__(
        self,
        survey: Survey,
        ledger: Ledger,
        prove: Prove,
        now: int,
        *,
        journal: Journal | None = None,
        mender: Mender | None = None,
        progress: Callable[[str, int], None] = _silent,
    ) -> None:
        self._survey = survey
        self._mailbox = survey.mailbox
        self._ledger = ledger
        self._prove = prove
        self._now = now
        self._journal = journal
        self._mender = mender
        self._progress = progress
        self._files = 0

    def run(self) -> Iterator[Problem | Told]:
        """The journal's part comes last: by then everything has been seen."""
        folders = self._ledger.folders(self._mailbox)
        if not self._survey.exists:
            damage = self._survey.damage(Code.MAILBOX, "", "", "the journal has items in it, and it isn't there")
            yield from self._fault(Fault(damage, self._survey.parts))
        else:
            for folder in self._survey.folders():
                for found in self._survey.walk(folder, ours=folder in folders):
                    yield from self._fault(found) if isinstance(found, Fault) else self._file(found)
        if self._journal is not None:
            self._journal.catch_up()
            yield from self._missing(self._journal)
        yield from self._excess()
        self._ledger.done(self._mailbox)

    # What lies there

    def _fault(self, fault: Fault) -> Iterator[Problem]:
        yield problem(fault.damage, self._mended(fault))

    def _mended(self, fault: Fault) -> str:
        if self._mender is None:
            return ""
        with suppress(OSError):
            match fault.damage.code:
                case Code.MODE:
                    self._mender.give_mode(fault.parts, fault.file)
                    return "the modes are set"
                case Code.HALF_MADE | Code.MAILBOX:
                    self._mender.complete(self._place(fault.parts))
                    return "what was missing is made"
                case Code.LEFTOVER if self._mender.sweep(fault.parts, fault.file):
                    return "it is taken away"
        return ""

    def _place(self, parts: tuple[str, ...]) -> Place:
        mailbox = self._survey.parts
        return Place(mailbox, "".join(parts[len(mailbox) :]))

    def _file(self, lying: Lying) -> Iterator[Problem | Told]:
        ours = _OURS.match(lying.file)
        self._files += 1
        if self._files % _TELL_EVERY == 0:
            self._progress(self._mailbox, self._files)
        if ours is None:
            if lying.subdirectory in ("new", "cur") and lying.is_file:
                yield from self._others(lying)
            yield from map(problem, self._survey.stuck(lying, self._now))
            return
        if not lying.is_file:
            yield self._trouble(Code.NOT_A_FILE, lying, "a message is a regular file, and this is none")
            self._ledger.see(self._mailbox, self._named(lying, ours[0]), b"")
            return
        yield from map(self._mode_trouble, self._survey.mode_of(lying))
        try:
            content = self._survey.content(lying)
        except OSError as error:
            yield self._trouble(Code.CLOSED, lying, f"it can't be read: {error.strerror}")
            self._ledger.see(self._mailbox, self._named(lying, ours[0]), b"")
            return
        if content is None:  # taken away, or flagged, this moment
            return
        if lying.subdirectory not in ("new", "cur"):
            placed = yield from self._misplaced(lying, ours[0])
        else:
            placed = yield from self._misnamed(lying, ours[0])
        self._ledger.see(self._mailbox, placed, blake2b(content, digest_size=16).digest())
        yield from self._item(placed, content)

    def _mode_trouble(self, fault: Fault) -> Problem:
        return problem(fault.damage, self._mended(fault))

    def _misplaced(self, lying: Lying, name: str) -> Generator[Problem, None, Lying]:
        """In `tmp`, or beside `cur`: the item it is now."""
        target = self._named(lying, name, "cur", "S")
        mended = self._renamed(lying, target)
        yield self._trouble(Code.MISPLACED, lying, f"it lies in {lying.subdirectory or 'the folder itself'}", mended)
        return target if mended else self._named(lying, name)

    def _misnamed(self, lying: Lying, name: str) -> Generator[Problem, None, Lying]:
        """As `_misplaced`, of a file in `new` or `cur`."""
        rest = lying.file[len(name) :]
        if _INFO.match(rest) and (rest or lying.subdirectory == "new"):
            return lying
        flags = _FLAGS.search(rest)
        target = self._named(lying, name, "cur", flags[1] if flags else "")
        mended = self._renamed(lying, target)
        yield self._trouble(Code.MISNAMED, lying, f"after its name stands {rest!a}", mended)
        return target if mended else self._named(lying, name)

    def _named(self, lying: Lying, name: str, subdirectory: str = "", flags: str = "") -> Lying:
        """The same file under a proper name; where none is given, only its base name is made so."""
        subdirectory = subdirectory or lying.subdirectory
        file = f"{name}:2,{''.join(sorted(set(flags)))}" if subdirectory == "cur" else name
        return Lying(lying.folder, subdirectory, file, lying.size, lying.mode, lying.modified)

    def _renamed(self, lying: Lying, target: Lying) -> str:
        if self._mender is None:
            return ""
        old, new = self._parts(lying), self._parts(target)
        with suppress(OSError):
            if self._mender.rename(old, lying.file, new, target.file):
                return f"it is {target.subdirectory}/{target.file} now"
        return ""

    def _parts(self, lying: Lying | Kept) -> tuple[str, ...]:
        return self._survey.parts_of(lying.folder, lying.subdirectory)

    # An item against itself

    def _item(self, lying: Lying, content: bytes) -> Iterator[Problem | Told]:
        if len(set(lying.flags) - {"S"}):
            yield self._told(Doing.FLAGGED, lying, f"flags {lying.flags}")
        wanted = max((each.size for each in self._ledger.known(self._mailbox, lying.name)), default=0)
        if wanted and lying.size < wanted:
            yield self._trouble(Code.SHORTENED, lying, f"it has {lying.size} bytes of {wanted}")
            return
        proof = self._prove(content)
        if proof.renderer:
            yield self._told(Doing.RENDERER, lying, f"made by {proof.renderer}: its words can't be compared")
        if proof.code is not None:
            yield self._trouble(proof.code, lying, proof.found)
        elif proof.name != lying.name and not proof.renderer:
            yield self._trouble(Code.SWAPPED, lying, f"it is the item {proof.name}")
        elif self._journal is not None and proof.changed and abs(lying.modified // 1000 - proof.changed) >= 1_000_000:
            yield self._trouble(
                Code.MISDATED, lying, "its date is not that of its last event", self._dated(lying, proof)
            )

    def _dated(self, lying: Lying, proof: Proved) -> str:
        if self._mender is not None:
            with suppress(OSError):
                self._mender.give_date(self._parts(lying), lying.file, proof.changed)
                return "the date is set"
        return ""

    def _others(self, lying: Lying) -> Iterator[Problem | Told]:
        """Under another's name: somebody's own mail, or one of our items that a client copied or moved."""
        found = _MESSAGE_ID.fullmatch(header(headers_of(self._survey.beginning(lying)), "Message-ID").strip())
        if found is None:
            return
        self._ledger.see_copy(self._mailbox, found[1], lying)
        try:
            content = self._survey.content(lying)
        except OSError:
            return
        proof = self._prove(content) if content is not None else None
        if proof is None:
            return
        if proof.renderer:
            yield self._told(Doing.RENDERER, lying, f"made by {proof.renderer}: its words can't be compared")
        is_changed = proof.code is not None or (not proof.renderer and f".K{found[1]}." not in proof.name)
        if is_changed and self._journal is not None:
            yield self._told(Doing.ALTERED, lying, proof.found or f"it is the item {proof.name}")
        elif is_changed:
            yield self._trouble(proof.code or Code.SWAPPED, lying, proof.found or f"it is the item {proof.name}")

    # The journal against what lies there

    def _missing(self, journal: Journal) -> Iterator[Problem | Told]:
        for wanted in self._ledger.expected(self._mailbox):
            lying = self._ledger.lying(self._mailbox, wanted.name)
            here = [each for each in lying if each.folder == wanted.folder]
            if any("T" in each.flags for each in here):
                yield self._of(Doing.DELETED, wanted, "marked as deleted, and not expunged yet")
            elif not here and not self._survey.moved_on(wanted.folder, wanted.name):
                yield from self._elsewhere(journal, wanted, lying)

    def _elsewhere(self, journal: Journal, wanted: Expected, lying: list[Kept]) -> Iterator[Problem | Told]:
        copies = self._ledger.copies(self._mailbox, wanted.name.split(".")[1][1:])
        if lying:
            where = self._survey.place(lying[0].folder, "")
            if lying[0].folder in self._survey.served:
                yield self._of(Doing.MOVED, wanted, f"to {where}")
            else:
                damage = self._survey.damage(
                    Code.WRONG_FOLDER,
                    wanted.folder,
                    wanted.name,
                    f"it lies in {where}, where no mail server has looked",
                )
                yield problem(damage)
        elif wanted.folder in copies:
            yield self._of(Doing.RENAMED, wanted, "its owner put it back under another file name")
        elif copies:
            yield self._of(Doing.MOVED, wanted, f"to {self._survey.place(copies[0], '')}")
        elif wanted.state is DeliveryState.GONE or self._is_served(wanted.folder):
            yield self._of(Doing.DELETED, wanted, "its owner deleted it")
        elif journal.is_still_filed(wanted.number):
            found = "the journal has it, and no mail server was here whose user could have deleted it"
            mended = "it is to be filed anew" if self._mender is not None and journal.file_anew(wanted.number) else ""
            yield problem(self._survey.damage(Code.MISSING, wanted.folder, wanted.name, found), mended)

    def _is_served(self, folder: str) -> bool:
        """Whether a mail server has looked into the folder, or the folder itself was removed by one."""
        return bool(self._survey.served & {folder, ""})

    def _excess(self) -> Iterator[Problem | Told]:
        for name in self._ledger.names(self._mailbox):
            lying = self._ledger.lying(self._mailbox, name)
            known = self._ledger.known(self._mailbox, name)
            if self._journal is None:
                for folder in sorted({each.folder for each in lying}):
                    yield from self._doubles([each for each in lying if each.folder == folder], {folder})
            elif any(each.state in _EXPECTED for each in known):
                yield from self._doubles(lying, {each.folder for each in known if each.state in _EXPECTED})
            else:
                yield from self._unknown(name, lying, known)

    def _doubles(self, lying: list[Kept], folders: set[str]) -> Iterator[Problem | Told]:
        """The first in its own folder stays; of the others, those with the same bytes and flags can go.

        Mail servers keep a file's name when a user copies it to another folder.
        """
        if len(lying) > 1:  # one file, renamed by its owner while the folder was read, is not two
            lying = [each for each in lying if self._survey.is_there(self._parts(each), each.file)]
        here = [each for each in lying if each.folder in folders]
        for each in [*here[1:], *(each for each in lying if each.folder not in folders)] if here else ():
            if each.folder not in folders and each.folder in self._survey.served:
                place = self._survey.place(each.folder, each.file.partition(":")[0])
                yield Told(Doing.COPIED, self._mailbox, place, "a copy that its owner made")
                continue
            is_copy = each.digest and each.digest == here[0].digest and set(each.flags) <= set(here[0].flags)
            mended = self._taken_out(each) if is_copy else ""
            found = f"{each.subdirectory}/{each.file} is there besides {here[0].subdirectory}/{here[0].file}"
            yield problem(self._damage(Code.DOUBLED, each, found), mended)

    def _unknown(self, name: str, lying: list[Kept], known: list[Expected]) -> Iterator[Problem | Told]:
        if not known and self._journal is not None:
            self._journal.know_all()
        other = self._ledger.others(self._mailbox, name)
        for each in lying:
            if not self._survey.is_there(self._parts(each), each.file):
                continue  # taken out, or flagged, since it was seen
            if known:
                yield from self._former(each, known)
            elif other is not None:
                yield problem(self._damage(Code.OF_ANOTHER, each, f"it was filed for {other}"))
            else:
                yield problem(self._damage(Code.UNLISTED, each, "the journal has no such item"))

    def _former(self, kept: Kept, known: list[Expected]) -> Iterator[Problem | Told]:
        """What was replaced or purged, and lies there: its owner may have copied it before, and copied it back."""
        if all(each.state is DeliveryState.GONE for each in known):
            return
        if kept.folder in self._survey.served or kept.folder not in {each.folder for each in known}:
            place = self._survey.place(kept.folder, kept.file.partition(":")[0])
            yield Told(Doing.COPIED, self._mailbox, place, "an earlier version that its owner kept")
        else:
            yield problem(self._damage(Code.OUTDATED, kept, "by the journal it was taken out"), self._taken_out(kept))

    def _taken_out(self, kept: Kept) -> str:
        if self._mender is not None:
            with suppress(OSError):
                self._mender.take_out(self._parts(kept), kept.file)
                return "it is taken out"
        return ""

    def _damage(self, code: Code, kept: Kept, found: str) -> Damage:
        return self._survey.damage(code, kept.folder, kept.file.partition(":")[0], found)

    def _trouble(self, code: Code, lying: Lying, found: str, mended: str = "") -> Problem:
        return problem(self._survey.damage(code, lying.folder, lying.name, found), mended)

    def _told(self, code: Doing, lying: Lying, found: str) -> Told:
        return Told(code, self._mailbox, self._survey.place(lying.folder, lying.name), found)

    def _of(self, code: Doing, wanted: Expected, found: str) -> Told:
        return Told(code, self._mailbox, self._survey.place(wanted.folder, wanted.name), found)
