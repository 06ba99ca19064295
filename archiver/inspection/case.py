"""One mailbox under examination: what it is looked at with, and how anything about it is told.

Finds nothing by itself; `walking`, `proving` and `accounting` do.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from archiver.inspection.ledger import Expected, Kept, Ledger
from archiver.inspection.verifying import Problem, problem
from archiver.store.damage import Code, Damage
from archiver.store.mending import Mender
from archiver.store.survey import Lying, Survey


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


class Case:
    """`journal` is None for a copy without a spool, `mender` where nothing is to be changed."""

    def __init__(
        self,
        survey: Survey,
        ledger: Ledger,
        prove: Prove,
        now: int,
        *,
        journal: Journal | None = None,
        mender: Mender | None = None,
    ) -> None:
        self.survey = survey
        self.mailbox = survey.mailbox
        self.ledger = ledger
        self.prove = prove
        self.now = now
        self.journal = journal
        self.mender = mender

    def parts(self, lying: Lying | Kept) -> tuple[str, ...]:
        return self.survey.parts_of(lying.folder, lying.subdirectory)

    def damage(self, code: Code, kept: Kept, found: str) -> Damage:
        return self.survey.damage(code, kept.folder, kept.file.partition(":")[0], found)

    def trouble(self, code: Code, lying: Lying, found: str, mended: str = "") -> Problem:
        return problem(self.survey.damage(code, lying.folder, lying.name, found), mended)

    def told(self, code: Doing, lying: Lying, found: str) -> Told:
        return Told(code, self.mailbox, self.survey.place(lying.folder, lying.name), found)

    def of(self, code: Doing, wanted: Expected, found: str) -> Told:
        return Told(code, self.mailbox, self.survey.place(wanted.folder, wanted.name), found)
