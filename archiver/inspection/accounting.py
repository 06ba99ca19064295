"""The journal against what lies there: what is missing, in excess, twice, elsewhere; and what its owner did with it.

Asked once everything has been seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from archiver.inspection.case import Case, Doing, Journal, Told
from archiver.inspection.ledger import Expected, Kept
from archiver.inspection.proving import key_of
from archiver.inspection.verifying import Problem, problem
from archiver.store.damage import Code
from archiver.types import DeliveryState

_EXPECTED = frozenset({DeliveryState.FILED, DeliveryState.ATTEMPTED})


class Accounting:
    def __init__(self, case: Case) -> None:
        self._case = case

    def run(self) -> Iterator[Problem | Told]:
        if self._case.journal is not None:
            self._case.journal.catch_up()
            yield from self._missing(self._case.journal)
        else:
            yield from self._altered()
        yield from self._excess()

    def _altered(self) -> Iterator[Problem | Told]:
        """Copies that are not what was filed: their owner's doing where a sound one lies in the mailbox too."""
        for damage, is_sound in self._case.ledger.altered(self._case.mailbox):
            if is_sound:
                yield Told(Doing.ALTERED, damage.mailbox, damage.place, damage.found)
            else:
                yield problem(damage)

    def _missing(self, journal: Journal) -> Iterator[Problem | Told]:
        for wanted in self._case.ledger.expected(self._case.mailbox):
            lying = self._case.ledger.lying(self._case.mailbox, wanted.name)
            here = [each for each in lying if each.folder == wanted.folder]
            if any("T" in each.flags for each in here):
                yield self._case.of(Doing.DELETED, wanted, "marked as deleted, and not expunged yet")
            elif not here and not self._case.survey.moved_on(wanted.folder, wanted.name):
                yield from self._elsewhere(journal, wanted, lying)

    def _elsewhere(self, journal: Journal, wanted: Expected, lying: list[Kept]) -> Iterator[Problem | Told]:
        copies = self._case.ledger.copies(self._case.mailbox, key_of(wanted.name))
        if lying:
            where = self._case.survey.place(lying[0].folder, "")
            if lying[0].folder in self._case.survey.served:
                yield self._case.of(Doing.MOVED, wanted, f"to {where}")
            else:
                damage = self._case.survey.damage(
                    Code.WRONG_FOLDER,
                    wanted.folder,
                    wanted.name,
                    f"it lies in {where}, where no mail server has looked",
                )
                yield problem(damage)
        elif wanted.folder in copies:
            yield self._case.of(Doing.RENAMED, wanted, "its owner put it back under another file name")
        elif copies:
            yield self._case.of(Doing.MOVED, wanted, f"to {self._case.survey.place(copies[0], '')}")
        elif wanted.state is DeliveryState.GONE or self._is_served(wanted.folder):
            yield self._case.of(Doing.DELETED, wanted, "its owner deleted it")
        elif journal.is_still_filed(wanted.number):
            found = "the journal has it, and no mail server was here whose user could have deleted it"
            mended = (
                "it is to be filed anew" if self._case.mender is not None and journal.file_anew(wanted.number) else ""
            )
            yield problem(self._case.survey.damage(Code.MISSING, wanted.folder, wanted.name, found), mended)

    def _is_served(self, folder: str) -> bool:
        """Whether a mail server has looked into the folder, or the folder itself was removed by one."""
        return bool(self._case.survey.served & {folder, ""})

    def _excess(self) -> Iterator[Problem | Told]:
        for name in self._case.ledger.names(self._case.mailbox):
            lying = self._case.ledger.lying(self._case.mailbox, name)
            known = self._case.ledger.known(self._case.mailbox, name)
            if self._case.journal is None:
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
            lying = [each for each in lying if self._case.survey.is_there(self._case.parts(each), each.file)]
        here = [each for each in lying if each.folder in folders]
        for each in [*here[1:], *(each for each in lying if each.folder not in folders)] if here else ():
            if each.folder not in folders and each.folder in self._case.survey.served:
                place = self._case.survey.place(each.folder, each.file.partition(":")[0])
                yield Told(Doing.COPIED, self._case.mailbox, place, "a copy that its owner made")
                continue
            is_copy = each.digest and each.digest == here[0].digest and set(each.flags) <= set(here[0].flags)
            mended = self._taken_out(each) if is_copy else ""
            found = f"{each.subdirectory}/{each.file} is there besides {here[0].subdirectory}/{here[0].file}"
            yield problem(self._case.damage(Code.DOUBLED, each, found), mended)

    def _unknown(self, name: str, lying: list[Kept], known: list[Expected]) -> Iterator[Problem | Told]:
        if not known and self._case.journal is not None:
            self._case.journal.know_all()
        other = self._case.ledger.others(self._case.mailbox, name)
        for each in lying:
            if not self._case.survey.is_there(self._case.parts(each), each.file):
                continue  # taken out, or flagged, since it was seen
            if known:
                yield from self._former(each, known)
            elif other is not None:
                yield problem(self._case.damage(Code.OF_ANOTHER, each, f"it was filed for {other}"))
            else:
                yield problem(self._case.damage(Code.UNLISTED, each, "the journal has no such item"))

    def _former(self, kept: Kept, known: list[Expected]) -> Iterator[Problem | Told]:
        """What was replaced or purged, and lies there: its owner may have copied it before, and copied it back."""
        if all(each.state is DeliveryState.GONE for each in known):
            return
        if kept.folder in self._case.survey.served or kept.folder not in {each.folder for each in known}:
            place = self._case.survey.place(kept.folder, kept.file.partition(":")[0])
            yield Told(Doing.COPIED, self._case.mailbox, place, "an earlier version that its owner kept")
        else:
            yield problem(
                self._case.damage(Code.OUTDATED, kept, "by the journal it was taken out"), self._taken_out(kept)
            )

    def _taken_out(self, kept: Kept) -> str:
        if self._case.mender is not None:
            with suppress(OSError):
                self._case.mender.take_out(self._case.parts(kept), kept.file)
                return "it is taken out"
        return ""
