"""What lies in a mailbox's directories, file by file: half-made folders, modes, names, what is stuck.

Each goes into the ledger. A file that is one of our items, or a copy of one, is handed on to be proved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from hashlib import blake2b

from archiver.inspection.case import Case, Told
from archiver.inspection.proving import Proving
from archiver.inspection.verifying import Problem, problem
from archiver.store.damage import Code
from archiver.store.survey import Fault, Lying
from archiver.store.tree import Place

_OURS = re.compile(r"[0-9]+\.K([0-9a-f]{32})\.conversation-archiver")
_INFO = re.compile(r"(:2,[A-Za-z]*)?\Z")
_FLAGS = re.compile(r"2,([A-Za-z]*)")
_TELL_EVERY = 500
"""Files between two signs of progress."""


def silent(mailbox: str, files: int) -> None:
    """Nobody waits."""


class Walk:
    def __init__(self, case: Case, proving: Proving, progress: Callable[[str, int], None] = silent) -> None:
        self._case = case
        self._proving = proving
        self._progress = progress
        self._files = 0

    def run(self) -> Iterator[Problem | Told]:
        survey = self._case.survey
        folders = self._case.ledger.folders(self._case.mailbox)
        if not survey.exists:
            damage = survey.damage(Code.MAILBOX, "", "", "the journal has items in it, and it isn't there")
            yield from self._fault(Fault(damage, survey.parts))
            return
        for folder in survey.folders():
            for found in survey.walk(folder, ours=folder in folders):
                yield from self._fault(found) if isinstance(found, Fault) else self._file(found)

    def _fault(self, fault: Fault) -> Iterator[Problem]:
        yield problem(fault.damage, self._mended(fault))

    def _mended(self, fault: Fault) -> str:
        if self._case.mender is None:
            return ""
        with suppress(OSError):
            match fault.damage.code:
                case Code.MODE:
                    self._case.mender.give_mode(fault.parts, fault.file)
                    return "the modes are set"
                case Code.OWNER:
                    self._case.mender.give_owner(fault.parts, fault.file)
                    return "it is given to its owner"
                case Code.HALF_MADE | Code.MAILBOX:
                    self._case.mender.complete(self._place(fault.parts))
                    return "what was missing is made"
                case Code.LEFTOVER if self._case.mender.sweep(fault.parts, fault.file):
                    return "it is taken away"
        return ""

    def _place(self, parts: tuple[str, ...]) -> Place:
        mailbox = self._case.survey.parts
        return Place(mailbox, "".join(parts[len(mailbox) :]))

    def _file(self, lying: Lying) -> Iterator[Problem | Told]:
        ours = _OURS.match(lying.file)
        self._files += 1
        if self._files % _TELL_EVERY == 0:
            self._progress(self._case.mailbox, self._files)
        if ours is None:
            if lying.subdirectory in ("new", "cur") and lying.is_file:
                yield from self._proving.other(lying)
            yield from map(problem, self._case.survey.stuck(lying, self._case.now))
            return
        if not lying.is_file:
            yield self._case.trouble(Code.NOT_A_FILE, lying, "a message is a regular file, and this is none")
            self._case.ledger.see(self._case.mailbox, self._named(lying, ours[0]), b"")
            return
        yield from map(self._access_trouble, self._case.survey.access_of(lying))
        try:
            content = self._case.survey.content(lying)
        except OSError as error:
            yield self._case.trouble(Code.CLOSED, lying, f"it can't be read: {error.strerror}")
            self._case.ledger.see(self._case.mailbox, self._named(lying, ours[0]), b"")
            return
        if content is None:  # taken away, or flagged, this moment
            return
        if lying.subdirectory not in ("new", "cur"):
            placed = yield from self._misplaced(lying, ours[0])
        else:
            placed = yield from self._misnamed(lying, ours[0])
        self._case.ledger.see(self._case.mailbox, placed, blake2b(content, digest_size=16).digest())
        yield from self._proving.item(placed, content)

    def _access_trouble(self, fault: Fault) -> Problem:
        return problem(fault.damage, self._mended(fault))

    def _misplaced(self, lying: Lying, name: str) -> Generator[Problem, None, Lying]:
        """In `tmp`, or beside `cur`: the item it is now."""
        target = self._named(lying, name, "cur", "S")
        mended = self._renamed(lying, target)
        yield self._case.trouble(
            Code.MISPLACED, lying, f"it lies in {lying.subdirectory or 'the folder itself'}", mended
        )
        return target if mended else self._named(lying, name)

    def _misnamed(self, lying: Lying, name: str) -> Generator[Problem, None, Lying]:
        """As `_misplaced`, of a file in `new` or `cur`."""
        rest = lying.file[len(name) :]
        if _INFO.match(rest) and (rest or lying.subdirectory == "new"):
            return lying
        flags = _FLAGS.search(rest)
        target = self._named(lying, name, "cur", flags[1] if flags else "")
        mended = self._renamed(lying, target)
        yield self._case.trouble(Code.MISNAMED, lying, f"after its name stands {rest!a}", mended)
        return target if mended else self._named(lying, name)

    def _named(self, lying: Lying, name: str, subdirectory: str = "", flags: str = "") -> Lying:
        """The same file under a proper name; where none is given, only its base name is made so."""
        subdirectory = subdirectory or lying.subdirectory
        file = f"{name}:2,{''.join(sorted(set(flags)))}" if subdirectory == "cur" else name
        return Lying(lying.folder, subdirectory, file, lying.size, lying.mode, lying.modified)

    def _renamed(self, lying: Lying, target: Lying) -> str:
        if self._case.mender is None:
            return ""
        old, new = self._case.parts(lying), self._case.parts(target)
        with suppress(OSError):
            if self._case.mender.rename(old, lying.file, new, target.file):
                return f"it is {target.subdirectory}/{target.file} now"
        return ""
