"""The items of archives: as what is on record has them, and each against its own events.

Where the record (a manifest, or the local archive's rows) already says that something is wrong with an item, its events
are not asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Protocol

from archiver.inspection.case import Doing, Prove, Told
from archiver.inspection.verifying import Problem, Verifiable, problem, verify
from archiver.store.damage import Code, Damage
from archiver.store.protocol import Folders, Where
from archiver.types import Head


class Archive(Verifiable, Folders, Protocol):
    """What lies in it can be read, and checked against what it recorded."""


def examine_archives(
    archive: Archive, mailboxes: Iterable[str], heads: Mapping[str, Iterable[Head]], prove: Prove
) -> Iterator[Problem | Told]:
    for mailbox in mailboxes:
        damaged = set()
        for each in verify(archive, [mailbox], heads):
            damaged.add(each.place)
            yield each
        for where in _items(archive, mailbox):
            place = os.fsencode(f"{where.folder}/{where.name}").decode("utf-8", "backslashreplace")
            if place not in damaged:
                yield from _item(archive, where, place, prove)


def _items(archive: Folders, mailbox: str) -> Iterator[Where]:
    for folder in archive.folders(mailbox):
        for name in archive.names(mailbox, folder):
            yield Where(mailbox, folder, name)


def _item(archive: Folders, where: Where, place: str, prove: Prove) -> Iterator[Problem | Told]:
    (read,) = archive.read_all([where])
    if read is None:  # purged meanwhile
        return
    yield from _proved(read[1], where, place, prove)


def _proved(content: bytes, where: Where, place: str, prove: Prove) -> Iterator[Problem | Told]:
    proof = prove(content)
    if proof.renderer:
        yield Told(Doing.RENDERER, where.mailbox, place, f"made by {proof.renderer}: its words can't be compared")
    if proof.code is not None:
        yield problem(Damage(proof.code, where.mailbox, place, proof.found))
    elif proof.name != where.name and not proof.renderer:
        yield problem(Damage(Code.SWAPPED, where.mailbox, place, f"it is the item {proof.name}"))


class Local(Protocol):
    """The local archive: its items, and the content of one, None where it has gone."""

    def local_items(self, *, mailbox: str | None) -> Iterable[LocalRow]: ...
    def local_content(self, number: int) -> bytes | None: ...


class LocalRow(Protocol):
    """An item as its row has it; `mailboxes` are those that it was archived for."""

    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def mailboxes(self) -> tuple[str, ...]: ...


def examine_local(local: Local, mailbox: str | None, prove: Prove) -> Iterator[Problem | Told]:
    """One item for all whom it was archived for; it is told as of the first of them."""
    for row in local.local_items(mailbox=mailbox):
        content = local.local_content(row.number)
        if content is None:  # purged meanwhile
            continue
        where, place = Where(min(row.mailboxes, default=""), LOCAL, row.name), f"{LOCAL}/{row.name}"
        if (digest := sha256(content).hexdigest()) == row.sha256:
            yield from _proved(content, where, place, prove)
        else:
            yield problem(Damage(Code.CHANGED, where.mailbox, place, f"its SHA-256 is {digest}, not {row.sha256}"))


LOCAL = "local archive"
