"""Mailboxes that may hold only so much: what is too much for one waits, and everything else is put.

Where no quota is set nothing is counted; elsewhere a mailbox is counted once a run, by the sizes of its files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from archiver.decisions.planning import FULL
from archiver.exceptions import ArchiverError
from archiver.filing.gathering import Chosen, withheld
from archiver.store.protocol import Folders
from archiver.types import Mailbox

_MIB = 1024 * 1024


class Quotas:
    """`known` tells what is known of a mailbox."""

    def __init__(self, folders: Folders, known: Callable[[str], Mailbox]) -> None:
        self._folders = folders
        self._known = known
        self._held: dict[str, int] = {}

    def count_anew(self) -> None:
        """Owners delete what they like: for the beginning of a run."""
        self._held = {}

    def admitted(self, chosen: Iterable[Chosen]) -> list[Chosen]:
        """Those that there is room for; the others are withheld."""
        return [each for each in chosen if self._has_room(each)]

    def _has_room(self, each: Chosen) -> bool:
        mailbox, size = each.put.mailbox, len(each.put.item.content)
        quota = self._known(mailbox).quota
        if quota is None:
            return True
        if mailbox not in self._held:
            self._held[mailbox] = self._usage(mailbox)
        # What it replaces goes as soon as it is there.
        held = self._held[mailbox] + size - sum(old.size for old in each.work.planned[each.index].outdated)
        if held > quota:
            withheld(each.work, each.index, size, f"{FULL}{mailbox} is over its quota of {quota // _MIB:,} MiB")
            return False
        self._held[mailbox] = held
        return True

    def _usage(self, mailbox: str) -> int:
        """All that lies in its folders, whoever put it there."""
        try:
            folders = list(self._folders.folders(mailbox))
            return sum(found.size for folder in folders for found in self._folders.items(mailbox, folder))
        except ArchiverError:  # it can't be looked into: then the put fails, and says why
            return 0
