"""The items of an archive: as its manifest has them, and each against its own events.

Where the manifest already says that something is wrong with an item, its events are not asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
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
    proof = prove(read[1])
    if proof.renderer:
        yield Told(Doing.RENDERER, where.mailbox, place, f"made by {proof.renderer}: its words can't be compared")
    if proof.code is not None:
        yield problem(Damage(proof.code, where.mailbox, place, proof.found))
    elif proof.name != where.name and not proof.renderer:
        yield problem(Damage(Code.SWAPPED, where.mailbox, place, f"it is the item {proof.name}"))
