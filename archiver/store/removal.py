"""Taking items out of folders, many with few syncs. Decides nothing about which."""

from __future__ import annotations

import os

from archiver.store.search import Search
from archiver.store.syncing import make_durable
from archiver.store.tree import Parts, Place, Tree


class Removal:
    """Items taken out within one `Tree`; durable once `sync` returns."""

    def __init__(self, tree: Tree, search: Search) -> None:
        self._tree = tree
        self._search = search
        self._changed: dict[Parts, None] = {}

    def take_out(self, place: Place, name: str) -> bool:
        """The item of this base name under whatever flags; False if there is none."""
        while at := self._search.find(place, name):
            parts = (*place.parts, at[0].subdirectory)
            try:
                os.unlink(at[0].file, dir_fd=self._tree.directory(parts))
            except FileNotFoundError:  # renamed since: it gained a flag
                continue
            except IsADirectoryError:  # planted under the item's name: no item of ours
                return False
            self._changed[parts] = None
            return True
        return False

    def sync(self) -> None:
        folders = (self._tree.directory(parts) for parts in self._changed)
        make_durable(folders, len(self._changed), self._tree.file_systems, all_of_it=False)
