"""Finding and reading what lies in a folder, whatever a client or the mail server has renamed it to. Changes nothing.

The server moves a file from `new` to `cur` and renames it with every flag, at any moment; a name once computed by us
stays the base name through all that. COPY and APPEND give other base names: there only the Message-ID tells.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.parser import BytesHeaderParser
from stat import S_ISREG
from typing import NamedTuple

from archiver.store.names import split_file_name
from archiver.store.protocol import Found
from archiver.store.tree import Parts, Place, Tree

_HEADER = 64 * 1024
"""Bytes read in search of a Message-ID: ours stands far before, and a planted giant costs no more than this."""

LARGEST = 512 * 1024 * 1024
"""Bytes of an item that are read where its owner can have planted it: more must not fill the memory."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: a FIFO planted under a message's name must not stop the daemon."""

_ATTEMPTS = 16
"""Times that one folder is listed in one call at most."""

_TICK = 20_000_000
"""Nanoseconds in which two changes of a directory may bear the same time: a tick of the kernel, with room."""

SUBDIRECTORIES = ("new", "cur")

Stamp = tuple[int, ...]


class Spot(NamedTuple):
    """Where a file lies in its folder."""

    subdirectory: str
    file: str


class Listing(NamedTuple):
    """Base name to spot, and when `new` and `cur` last changed before they were read."""

    spots: dict[str, Spot]
    stamp: Stamp


class Search:
    """Looks into folders during one call and lists each once, as long as nobody changes it meanwhile.

    With `passes` a `new` or `cur` that is no directory, as a link in its place, has nothing in it; else that is an
    error.
    """

    def __init__(self, tree: Tree, ours: Callable[[str], bool], *, passes: bool = False) -> None:
        self._absent = (FileNotFoundError, NotADirectoryError) if passes else (FileNotFoundError,)
        self._tree = tree
        self._ours = ours
        self._listings: dict[Place, Listing] = {}
        self._counts: Counter[Place] = Counter()
        self._identified: dict[Place, frozenset[str]] = {}

    def find(self, place: Place, name: str) -> tuple[Spot, Found] | None:
        """By its base name, under any flags: tried directly under the usual names, then by a listing."""
        for spot in (Spot("new", name), Spot("cur", f"{name}:2,S"), Spot("cur", f"{name}:2,")):
            found = self._look(place, spot)
            if found:
                return spot, found
        return self._find_listed(place, name)

    def _find_listed(self, place: Place, name: str) -> tuple[Spot, Found] | None:
        while True:
            listing = self._listings.get(place) or self._list(place)
            spot = listing.spots.get(name)
            found = self._look(place, spot) if spot else None
            if spot and found:
                return spot, found
            if self._is_current(place, listing):
                return None
            del self._listings[place]  # renamed since, or while we read the directory

    def _is_current(self, place: Place, listing: Listing) -> bool:
        """Unchanged since, and the last change so long ago that a later one would bear another time.

        An owner who never stops changing a large folder is not followed for ever.
        """
        is_settled = not listing.stamp or bool(settled(listing.stamp))
        return (is_settled and self.stamp(place) == listing.stamp) or self._counts[place] >= _ATTEMPTS

    def has_message(self, place: Place, message_id: str) -> bool:
        """Whether a file under another's name is this message: a client copied it within its folder, or put it back."""
        if place not in self._identified:
            files = (Spot(sub, file) for sub in SUBDIRECTORIES for file in self.files(place, sub))
            foreign = (spot for spot in files if not self._ours(split_file_name(spot.file)[0]))
            self._identified[place] = frozenset(self._message_id(place, spot) for spot in foreign)
        return message_id in self._identified[place]

    def files(self, place: Place, subdirectory: str) -> list[str]:
        """File names as they stand in the directory; Maildir has those that begin with a dot ignored."""
        try:
            files = os.listdir(self._tree.directory((*place.parts, subdirectory)))  # noqa: PTH208 - an open directory
            return [file for file in files if not file.startswith(".")]
        except self._absent:
            return []

    def entries(self, place: Place) -> Iterator[Found]:
        """Everything in the folder by base name; what vanishes meanwhile is left out."""
        spots = [Spot(sub, file) for sub in SUBDIRECTORIES for file in self.files(place, sub)]
        spots.sort(key=lambda spot: (split_file_name(spot.file)[0], spot))
        for spot in spots:
            found = self._look(place, spot)
            if found:
                yield found

    def unsorted(self, place: Place) -> Iterator[Found]:
        for sub in SUBDIRECTORIES:
            with suppress(*self._absent), os.scandir(self._tree.directory((*place.parts, sub))) as entries:
                for entry in entries:
                    found = None if entry.name.startswith(".") else self._look(place, Spot(sub, entry.name))
                    if found:
                        yield found

    def names(self, place: Place) -> list[str]:
        """The base names alone, sorted: a large folder is listed without asking for each of its files."""
        return sorted({_base(file) for sub in SUBDIRECTORIES for file in self.files(place, sub)})

    def messages(
        self, place: Place, wanted: Callable[[str, str], bool], most: int
    ) -> Iterator[tuple[Found, bytes | None]]:
        """With their bytes, those of which `wanted` says so by base name and Message-ID; renamed ones are followed.

        Of all others no more than the header is read, and of those with names of ours nothing. None stands for the
        bytes of what can't be read, or has more than `most`: an owner can have planted it.
        """
        for sub in SUBDIRECTORIES:
            for file in self.files(place, sub):
                spot, name = Spot(sub, file), split_file_name(file)[0]
                if wanted(name, "" if self._ours(name) else self._message_id(place, spot)):
                    yield from self._message(place, name, most)

    def _message(self, place: Place, name: str, most: int) -> Iterator[tuple[Found, bytes | None]]:
        at = self.find(place, name)
        if at is None:
            return
        if at[1].size > most:
            yield at[1], None
            return
        try:
            content = self.content(place, at[0], most + 1)
        except OSError:  # a link since, or closed to us
            yield at[1], None
            return
        if content is not None:
            yield at[1], content if len(content) <= most else None

    def content(self, place: Place, spot: Spot, limit: int = -1) -> bytes | None:
        return read_file(self._tree, (*place.parts, spot.subdirectory), spot.file, limit)

    def _message_id(self, place: Place, spot: Spot) -> str:
        try:
            content = self.content(place, spot, _HEADER)
        except OSError:  # a link, or not ours to read: not our item either
            return ""
        return str(BytesHeaderParser().parsebytes(content or b"").get("Message-ID", "")).strip()

    def _list(self, place: Place) -> Listing:
        stamp = self.stamp(place)
        self._counts[place] += 1
        spots = {_base(file): Spot(sub, file) for sub in SUBDIRECTORIES for file in self.files(place, sub)}
        listing = Listing(spots, stamp)
        self._listings[place] = listing
        return listing

    def stamp(self, place: Place) -> Stamp:
        """When `new` and `cur` last changed; empty where one of them isn't there."""
        try:
            folders = [self._tree.directory((*place.parts, sub)) for sub in SUBDIRECTORIES]
        except self._absent:
            return ()
        return tuple(os.fstat(folder).st_mtime_ns for folder in folders)

    def _look(self, place: Place, spot: Spot) -> Found | None:
        try:
            directory = self._tree.directory((*place.parts, spot.subdirectory))
            status = os.stat(spot.file, dir_fd=directory, follow_symlinks=False)
        except self._absent:
            return None
        if not S_ISREG(status.st_mode):
            return None
        name, flags = split_file_name(spot.file)
        is_new = spot.subdirectory == "new"
        return Found(name, "" if is_new else flags, is_new, status.st_size, status.st_mtime_ns // 1000)


def _base(file: str) -> str:
    """As `split_file_name` gives it, without looking at flags: a listing of 100,000 files waits for this."""
    return file.partition(":")[0]


def settled(stamp: Stamp) -> str:
    """The stamp as text, if a later change would bear another one; else empty."""
    return "/".join(map(str, stamp)) if stamp and time.time_ns() - max(stamp) > _TICK else ""


def read_file(tree: Tree, parts: Parts, file: str, limit: int = -1) -> bytes | None:
    """The bytes of a regular file, None if it isn't there any more."""
    try:
        descriptor = os.open(file, _OPEN, dir_fd=tree.directory(parts))
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        # Python makes room for all that is asked for before it reads.
        most = limit if limit < 0 else min(limit, status.st_size)
        return opened.read(most) if S_ISREG(status.st_mode) else None
