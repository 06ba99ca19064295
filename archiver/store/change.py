"""Changes to archives, and what became of them. Holds no I/O."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from archiver.store.chain import Act
from archiver.store.damage import Damage
from archiver.store.protocol import Outcome, Put, Where
from archiver.store.tree import Place
from archiver.types import Head, Item


class Change(Struct, frozen=True):
    """One thing to do to an archive: file the item at `where`, or take it out.

    `put` is the item to file: the one at `where`, or what stands in the place of an erased one. FILED without it: what
    lies there already, if anything does.
    """

    act: Act
    where: Where
    put: Put | None = None

    @property
    def item(self) -> Item | None:
        return self.put.item if self.put else None

    @property
    def mailbox(self) -> str:
        return self.where.mailbox


class Placed(NamedTuple):
    """A change, its number among the outcomes, where it is, and its folder as lines spell it."""

    number: int
    change: Change
    place: Place
    folder: str

    @property
    def key(self) -> tuple[str, str]:
        return self.folder, self.change.where.name


class Receipt(Struct):
    """What became of changes: an outcome each, and the new head of each mailbox's manifest, to be noted elsewhere.

    A mailbox whose manifest doesn't go as far as its noted head says has a damage, and no head here: what is on record
    for it stays there as evidence. `nearly_full` are mailboxes over the size at which to warn.
    """

    outcomes: list[Outcome]
    heads: dict[str, Head] = {}
    damages: dict[str, Damage] = {}
    nearly_full: dict[str, int] = {}
