"""One group of puts: drafts, one sync, links, one sync. Each put has its own outcome; one that fails stops no other.

place ─► (careful: look) ─► draft ─► SYNC ─► link to new or cur ─► SYNC
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from archiver.store.draft import Draft
from archiver.store.faults import fault
from archiver.store.names import file_name
from archiver.store.protocol import Outcome, Put
from archiver.store.search import Search, Spot
from archiver.store.syncing import make_durable
from archiver.store.tree import Ownership, Parts, Place, Tree

_UNLINKABLE = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, errno.ENOENT, errno.EOPNOTSUPP}
"""Another file system, a rule against links, too many of them; or the folder went away under our hands."""


class Pending(NamedTuple):
    """A put under way: its number among the outcomes, where it goes, and the draft that will be linked there."""

    number: int
    put: Put
    place: Place
    draft: Draft

    @property
    def spot(self) -> Spot:
        return Spot(*file_name(self.put.item.name, self.put.flags))


class Batch:
    """Works on one group within one `Tree`. Drafts are closed by `close`; nothing unlinked remains of them.

    `links`: equal items of several mailboxes are one file.
    """

    def __init__(self, tree: Tree, ownership: Ownership, search: Search | None, *, links: bool) -> None:
        self._tree = tree
        self._ownership = ownership
        self._search = search
        self._links = links
        self._drafts: list[Draft] = []
        self._shared: dict[tuple[str, int, Parts], tuple[bytes, Draft]] = {}
        self._touched: dict[Parts, list[int]] = {}
        self.lying: set[int] = set()
        """Numbers of the puts whose item lay there before."""

    def file(self, placed: Iterable[tuple[int, Put, Place]], outcomes: list[Outcome]) -> None:
        pending = [ready for each in placed if (ready := self._prepared(*each, outcomes))]
        if pending and self._sync_contents(pending, outcomes):
            for each in pending:
                self._link(each, outcomes)
        self._sync_directories(outcomes)

    def close(self) -> None:
        for draft in self._drafts:
            draft.close()

    def _prepared(self, index: int, put: Put, place: Place, outcomes: list[Outcome]) -> Pending | None:
        try:
            there = self._there(put, place)
            if there:
                self.lying.add(index)
                self._touch(index, place, there)
                return None
            return Pending(index, put, place, self._draft(put, place))
        except OSError as error:
            outcomes[index] = fault(error, place.path)
            return None

    def _there(self, put: Put, place: Place) -> str | None:
        """The subdirectory to sync where an earlier attempt left the item: killed before its sync, it isn't durable."""
        if self._search is None:
            return None
        spot = self._search.find(place, put.item.name)
        if spot:
            return spot[0].subdirectory
        return "cur" if self._search.has_message(place, put.item.message_id) else None

    def _draft(self, put: Put, place: Place) -> Draft:
        """Equal items share one, where they may: a hard link for each mailbox."""
        item = put.item
        # Found by its name and not by its content, which would be digested for that.
        key = (item.name, item.changed, () if self._links else place.mailbox)
        directory = self._tree.maildir(place, "cur" if put.flags else "new")
        content, draft = self._shared.get(key, (None, None))
        if draft is None or content != item.content:
            try:
                draft = Draft(directory, item, self._ownership)
            except FileNotFoundError:  # the folder was removed since it was opened
                draft = Draft(self._anew(place, put), item, self._ownership)
            self._drafts.append(draft)
            self._shared[key] = item.content, draft
        return draft

    def _anew(self, place: Place, put: Put) -> int:
        self._tree.forget(place)
        return self._tree.maildir(place, "cur" if put.flags else "new")

    def _link(self, each: Pending, outcomes: list[Outcome]) -> None:
        subdirectory, file = each.spot
        try:
            try:
                each.draft.link(self._tree.maildir(each.place, subdirectory), file)
            except OSError as error:
                if error.errno not in _UNLINKABLE:
                    raise
                self._copy(each)
        except FileExistsError:
            self.lying.add(each.number)
        except OSError as error:
            outcomes[each.number] = fault(error, each.place.path)
            return
        self._touch(each.number, each.place, subdirectory)

    def _copy(self, each: Pending) -> None:
        """A file of its own where a link isn't possible, in a folder opened, and if need be made, once more."""
        directory = self._anew(each.place, each.put)
        draft = Draft(directory, each.put.item, self._ownership)
        try:
            os.fsync(draft.descriptor)
            draft.link(directory, each.spot.file)
        finally:
            draft.close()

    def _touch(self, index: int, place: Place, subdirectory: str) -> None:
        self._touched.setdefault((*place.parts, subdirectory), []).append(index)

    def _sync_contents(self, pending: Sequence[Pending], outcomes: list[Outcome]) -> bool:
        drafts = {each.draft.descriptor for each in pending}
        try:
            make_durable(drafts, len(drafts), self._tree.file_systems, all_of_it=False)
        except OSError as error:
            for each in pending:
                outcomes[each.number] = fault(error, each.place.path)
            return False
        return True

    def _sync_directories(self, outcomes: list[Outcome]) -> None:
        """Also those above where any was made; by an earlier attempt, perhaps, that was killed before its sync."""
        folders = (self._tree.directory(parts) for parts in self._touched)
        all_of_it = self._tree.has_made or self._search is not None
        try:
            make_durable(folders, len(self._touched), self._tree.file_systems, all_of_it=all_of_it)
        except OSError as error:
            for parts, indices in self._touched.items():
                for index in indices:
                    outcomes[index] = fault(error, "/".join(parts))
