"""Checking one archive against its manifest: every line, every file, every byte. Changes nothing.

Manifest and directories are read under the mailbox's lock, so that they fit; the items themselves after it, so that
nobody waits for hours. What vanished meanwhile is asked for once more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from archiver.exceptions import ItemError
from archiver.store import manifest
from archiver.store.chain import Check, Content, Contents, Tail, digest
from archiver.store.damage import Code, Damage
from archiver.store.manifest import Manifest
from archiver.store.names import INBOX, Encoding, folder_from_disk, folder_on_disk, split_file_name
from archiver.store.search import SUBDIRECTORIES, Search, Spot
from archiver.store.tree import Parts, Place, Tree
from archiver.types import Head

Key = tuple[str, str]
"""A folder as it stands on disk, and a base name."""


class Listed(NamedTuple):
    """One name in a folder; `is_file` is False for what is no regular file."""

    spot: Spot
    is_file: bool


class Verification:
    """One mailbox, looked at within one `Tree`. Flags that somebody set are no damage: a base name is what counts."""

    def __init__(self, tree: Tree, mailbox: str, parts: Parts, encoding: Encoding) -> None:
        self._tree = tree
        self._mailbox = mailbox
        self._parts = parts
        self._encoding = encoding
        self._search = Search(tree, lambda _: True)

    def run(self, first: Tail | None, heads: Iterable[Head]) -> Iterator[Damage]:
        check = Check(self._mailbox, manifest.NAME, first, heads)
        damages, listed = self._read(check)
        yield from damages
        there = self._by_place(check.contents.there)
        gone = self._by_place(check.contents.gone)
        owners = {content.sha256: key for key, content in there.items()}
        vanished: list[Key] = []
        for key, spots in sorted(listed.items()):
            if key in there:
                yield from self._compare(key, spots, there[key], owners, vanished)
            else:
                yield from self._unlisted(key, spots, gone.get(key))
        for key in sorted(there.keys() - listed.keys() | self._still(vanished)):
            yield self._damage(Code.MISSING, key, "the manifest has it, and there is no such file")

    def _read(self, check: Check) -> tuple[list[Damage], dict[Key, list[Listed]]]:
        try:
            opened = Manifest(self._tree.directory(self._parts), Tail(0, "", 0), writes=False)
        except FileNotFoundError:
            return self._without_manifest(check)
        try:
            damages = list(check.read(opened.lines()))
            if opened.is_torn:
                damages.append(Damage(Code.TORN, self._mailbox, f"{manifest.NAME}: end", "the last line has no end"))
            return damages, self._list()
        finally:
            opened.close()

    def _without_manifest(self, check: Check) -> tuple[list[Damage], dict[Key, list[Listed]]]:
        listed, damages = self._list(), list(check.read(()))
        if listed or damages:
            damages.append(Damage(Code.NO_MANIFEST, self._mailbox, manifest.NAME, "there is none"))
        return damages, listed

    def _list(self) -> dict[Key, list[Listed]]:
        """All names in all folders, also those that Maildir has ignored."""
        listed: dict[Key, list[Listed]] = {}
        for folder in self._folders():
            for subdirectory in SUBDIRECTORIES:
                for name, is_file in self._names((*Place(self._parts, folder).parts, subdirectory)):
                    key = folder, split_file_name(name)[0]
                    listed.setdefault(key, []).append(Listed(Spot(subdirectory, name), is_file))
        return listed

    def _folders(self) -> list[str]:
        found = (name for name, _ in self._names(self._parts))
        return ["", *sorted(name for name in found if name.startswith("."))]

    def _names(self, parts: Parts) -> list[tuple[str, bool]]:
        try:
            with os.scandir(self._tree.directory(parts)) as entries:
                return sorted((entry.name, entry.is_file(follow_symlinks=False)) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _by_place(self, contents: dict[tuple[str, str], Content]) -> dict[Key, Content]:
        return {(self._directory(folder), name): content for (folder, name), content in contents.items()}

    def _directory(self, folder: str) -> str:
        try:
            return folder_on_disk(folder, self._encoding)
        except ItemError:  # no line of ours: then its items are missing
            return folder

    def _compare(
        self, key: Key, spots: list[Listed], wanted: Content, owners: dict[str, Key], vanished: list[Key]
    ) -> Iterator[Damage]:
        found = [self._digest(key, each) for each in spots]
        if len(spots) > 1:
            yield self._damage(Code.DOUBLED, key, f"{len(spots)} files bear its name")
        if wanted.sha256 in found:
            return
        said = found[0]
        if said is None:
            vanished.append(key)
        elif said in owners:
            other = owners[said]
            yield self._damage(Code.SWAPPED, key, f"it has the bytes of {self._place(other)}")
        else:
            yield self._damage(
                Code.CHANGED, key, said if " " in said else f"its SHA-256 is {said}, not {wanted.sha256}"
            )

    def _digest(self, key: Key, listed: Listed) -> str | None:
        """The SHA-256 of what lies there now, a sentence where it can't be read, None where it has gone."""
        if not listed.is_file:
            return "it is no regular file"
        place = Place(self._parts, key[0])
        try:
            content = self._search.content(place, listed.spot)
            if content is None and (at := self._search.find(place, key[1])):  # it gained a flag
                content = self._search.content(place, at[0])
        except OSError as error:
            return f"it can't be read: {os.strerror(error.errno or 0)}"
        return None if content is None else digest(content)

    def _unlisted(self, key: Key, spots: list[Listed], gone: Content | None) -> Iterator[Damage]:
        for each in spots:
            found = self._digest(key, each)
            if gone and found == gone.sha256:
                yield self._damage(Code.NOT_REMOVED, key, "by the manifest it was taken out")
            elif found is not None:
                yield self._damage(Code.UNLISTED, key, "no line of the manifest has it")

    def _still(self, vanished: list[Key]) -> set[Key]:
        """Those that the manifest still has: the others were taken out by its own hand meanwhile."""
        if not vanished:
            return set()
        contents = self._contents_now()
        there = self._by_place(contents.there) if contents else {}
        return there.keys() & set(vanished)

    def _contents_now(self) -> Contents | None:
        try:
            opened = Manifest(self._tree.directory(self._parts), Tail(0, "", 0), writes=False)
        except FileNotFoundError:
            return None
        try:
            return opened.contents()
        finally:
            opened.close()

    def _damage(self, code: Code, key: Key, found: str) -> Damage:
        return Damage(code, self._mailbox, self._place(key), found)

    def _place(self, key: Key) -> str:
        """As text: a planted name may be none."""
        path = f"{folder_from_disk(key[0], self._encoding) or key[0] or INBOX}/{key[1]}"
        return os.fsencode(path).decode("utf-8", "backslashreplace")
