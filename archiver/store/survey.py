"""One mailbox as it lies on disk, walked entry by entry: every file, and whatever is wrong with its Maildirs.

Keeps no listing: a folder of a million items costs as much memory as one of ten. Knows modes, names and directories,
and nothing of what was filed. Changes nothing; `mending` does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from archiver.store.damage import Code, Damage
from archiver.store.draft import is_draft, is_left
from archiver.store.mending import Mender
from archiver.store.names import INBOX, Encoding, folder_from_disk, split_file_name
from archiver.store.search import Search, Stamp, read_file
from archiver.store.tree import MAILDIR, MARK, Ownership, Parts, Place, Tree

STALE = 36 * 3600
"""Seconds after which what lies in `tmp` is nobody's any more (maildir(5))."""

_SERVERS = ("dovecot", "courier")
"""What the names of the mail servers' own files begin with."""
_HEADER = 64 * 1024


class Lying(Struct, frozen=True):
    """A file as it lies: `folder` as it stands on disk, `subdirectory` "" where it is in the folder's own directory."""

    folder: str
    subdirectory: str
    file: str
    size: int
    mode: int
    modified: int
    uid: int = -1
    gid: int = -1

    @property
    def name(self) -> str:
        return split_file_name(self.file)[0]

    @property
    def flags(self) -> str:
        return split_file_name(self.file)[1] if self.subdirectory == "cur" else ""

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


class Fault(Struct, frozen=True):
    """A damage, and the folder and file to mend where that can be done ("" for the directory itself)."""

    damage: Damage
    parts: Parts = ()
    file: str = ""


class Survey:
    """One mailbox within one `Tree`. `ownership` gives the modes to expect; None: a copy, whose owner chose them."""

    def __init__(self, tree: Tree, mailbox: str, parts: Parts, encoding: Encoding, ownership: Ownership | None) -> None:
        self.tree = tree
        self.mailbox = mailbox
        self.parts = parts
        self._encoding = encoding
        self._ownership = ownership
        self._search = Search(tree, lambda _: True)
        self.served: set[str] = set()
        """Folders that a mail server has looked into."""
        self._stamps: dict[str, Stamp] = {}

    @property
    def exists(self) -> bool:
        try:
            self.tree.directory(self.parts)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    @property
    def is_maildir(self) -> bool:
        """Whether a mailbox is here at all: whoever names the wrong directory must not have it mended."""
        return any(self._kind((*Place(self.parts, folder).parts, "cur")) is not None for folder in self.folders())

    def folders(self) -> list[str]:
        """On disk, INBOX first. A folder's own directory that is no Maildir is none."""
        with os.scandir(self.tree.directory(self.parts)) as entries:
            names = [e.name for e in entries if e.name.startswith(".") and e.is_dir(follow_symlinks=False)]
        return ["", *(name for name in sorted(names) if self._is_maildir(name))]

    def blocked(self) -> Iterator[tuple[str, str]]:
        """Where something else stands in the place of a folder, or of its `new` or `cur`, and what it is."""
        if not self.exists:
            return
        with os.scandir(self.tree.directory(self.parts)) as entries:
            links = sorted(e.name for e in entries if e.name.startswith(".") and e.is_symlink())
        yield from ((self.place(name, ""), "a link") for name in links)
        for folder in self.folders():
            for name in ("new", "cur"):
                if what := self._in_the_way((*Place(self.parts, folder).parts, name)):
                    yield self.place(folder, name), what

    def _in_the_way(self, parts: Parts) -> str:
        """What stands there and is no directory."""
        kind = self._kind(parts)
        if kind is None or stat.S_ISDIR(kind):
            return ""
        return "a link" if stat.S_ISLNK(kind) else "no directory"

    def walk(self, folder: str, *, ours: bool) -> Iterator[Lying | Fault]:
        """A folder's faults and files. `ours`: the archiver files in it, so that it is to be whole."""
        place = Place(self.parts, folder)
        if folder and folder_from_disk(folder, self._encoding) is None:
            yield Fault(self.damage(Code.NO_NAME, folder, "", "no folder name is spelt so on disk"))
        with suppress(NotADirectoryError):
            self._stamps[folder] = self._search.stamp(place)
        yield from self._directory(place.parts, folder)
        yield from self._wholeness(place, ours=ours)
        for lying in self._entries(place, ""):
            if lying.file.startswith(_SERVERS):
                self.served.add(folder)
            elif lying.is_file:
                yield lying
        for subdirectory in MAILDIR:
            yield from self._within(place, subdirectory)

    def _within(self, place: Place, subdirectory: str) -> Iterator[Lying | Fault]:
        parts = (*place.parts, subdirectory)
        try:
            self.tree.directory(parts)
        except OSError:  # told as the folder's fault
            return
        yield from self._directory(parts, place.folder)
        for lying in self._entries(place, subdirectory):
            if subdirectory == "tmp":
                yield from self._unfinished(parts, lying)
            elif not lying.file.startswith("."):
                yield lying

    def _wholeness(self, place: Place, *, ours: bool) -> Iterator[Fault]:
        missing = [name for name in MAILDIR if self._kind((*place.parts, name)) is None]
        for name in MAILDIR:
            if what := self._in_the_way((*place.parts, name)):
                yield Fault(self.damage(Code.BLOCKED, place.folder, name, f"it is {what}"))
        if ours and place.folder and self._kind((*place.parts, MARK)) is None:
            missing.append(MARK)
        if missing:
            found = f"it has no {', '.join(missing)}"
            yield Fault(self.damage(Code.HALF_MADE, place.folder, "", found), place.parts)

    def _unfinished(self, parts: Parts, lying: Lying) -> Iterator[Lying | Fault]:
        if not lying.is_file:
            return
        if is_draft(lying.file):
            if is_left(self.tree.directory(parts), lying.file):
                yield Fault(self._of(Code.LEFTOVER, lying, "its writer is dead"), parts, lying.file)
        else:
            yield lying

    def stuck(self, lying: Lying, now: int) -> Iterator[Damage]:
        """What lies in `tmp` for longer than any delivery takes."""
        hours = (now - lying.modified // 1000) // 3_600_000_000
        if lying.subdirectory == "tmp" and hours * 3600 >= STALE:
            yield self._of(Code.STUCK, lying, f"it lies there for {hours} hours")

    def _directory(self, parts: Parts, folder: str) -> Iterator[Fault]:
        status = os.fstat(self.tree.directory(parts))
        mode = stat.S_IMODE(status.st_mode)
        wanted = self._ownership.directory_mode if self._ownership else None
        inner = parts[-1] if len(parts) > len(Place(self.parts, folder).parts) else ""
        if wrong := self._wrong_owner(status.st_uid, status.st_gid):
            yield Fault(self.damage(Code.OWNER, folder, inner, wrong), parts)
        if wrong := wrong_mode(mode, 0o700, wanted):
            yield Fault(self.damage(Code.MODE, folder, inner, f"its mode is {mode:04o}: {wrong}"), parts)

    def access_of(self, lying: Lying) -> Iterator[Fault]:
        """What is wrong with owner and mode of a file of ours."""
        mode = stat.S_IMODE(lying.mode)
        parts = self.parts_of(lying.folder, lying.subdirectory)
        if wrong := self._wrong_owner(lying.uid, lying.gid):
            yield Fault(self._of(Code.OWNER, lying, wrong), parts, lying.file)
        if wrong := wrong_mode(mode, 0o600, self._ownership.mode if self._ownership else None):
            yield Fault(self._of(Code.MODE, lying, f"its mode is {mode:04o}: {wrong}"), parts, lying.file)

    def _wrong_owner(self, uid: int, gid: int) -> str:
        """Only where the configuration says whose it is to be: else whoever verifies may be another than who files."""
        if self._ownership is None:
            return ""
        wrong = [
            f"{what} {is_} instead of {wanted}"
            for what, is_, wanted in (("user", uid, self._ownership.uid), ("group", gid, self._ownership.gid))
            if wanted not in (-1, is_)
        ]
        return f"it belongs to {' and '.join(wrong)}" if wrong else ""

    def moved_on(self, folder: str, name: str) -> bool:
        """Whether an item not seen in the walk is there: renamed by its owner while the folder was read."""
        place = Place(self.parts, folder)
        if folder not in self._stamps or self._search.stamp(place) == self._stamps[folder]:
            return False
        return self._search.find(place, name) is not None

    def is_there(self, parts: Parts, file: str) -> bool:
        return self._kind((*parts, file)) is not None

    def content(self, lying: Lying, limit: int = -1) -> bytes | None:
        """None where it has gone, or got another flag, meanwhile."""
        return read_file(self.tree, self.parts_of(lying.folder, lying.subdirectory), lying.file, limit)

    def parts_of(self, folder: str, subdirectory: str) -> Parts:
        parts = Place(self.parts, folder).parts
        return (*parts, subdirectory) if subdirectory else parts

    def beginning(self, lying: Lying) -> bytes:
        with suppress(OSError):
            return self.content(lying, _HEADER) or b""
        return b""

    def _entries(self, place: Place, subdirectory: str) -> Iterator[Lying]:
        with os.scandir(self.tree.directory(self.parts_of(place.folder, subdirectory))) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Lying(
                        place.folder,
                        subdirectory,
                        entry.name,
                        status.st_size,
                        status.st_mode,
                        status.st_mtime_ns,
                        status.st_uid,
                        status.st_gid,
                    )

    def _is_maildir(self, folder: str) -> bool:
        return any(self._kind((*self.parts, folder, name)) is not None for name in (*MAILDIR, MARK))

    def _kind(self, parts: Parts) -> int | None:
        try:
            above = self.tree.directory(parts[:-1])
            return os.stat(parts[-1], dir_fd=above, follow_symlinks=False).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _of(self, code: Code, lying: Lying, found: str) -> Damage:
        where = f"{lying.subdirectory}/{lying.file}" if lying.subdirectory not in ("new", "cur") else lying.name
        return self.damage(code, lying.folder, where, found)

    def damage(self, code: Code, folder: str, name: str, found: str) -> Damage:
        return Damage(code, self.mailbox, self.place(folder, name), found)

    def place(self, folder: str, name: str) -> str:
        """As text: a planted name may be none."""
        shown = folder_from_disk(folder, self._encoding) or folder or INBOX
        path = f"{shown}/{name}" if name else shown
        return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def surveying(maildir: Path, encoding: Encoding) -> Iterator[tuple[Survey, Mender]]:
    """A Maildir copied from elsewhere: no mail root and no modes to expect. The mender gives it the usual ones."""
    with Tree(maildir, Ownership(), make=False) as tree, Tree(maildir, Ownership(), make=False) as making:
        yield Survey(tree, str(maildir), (), encoding, None), Mender(making, Ownership())


def wrong_mode(mode: int, least: int, wanted: int | None) -> str:
    """What is wrong with permissions, empty where nothing is: who owns it must get in, nobody else more than set."""
    if mode & least != least:
        return "its owner can't use it"
    if wanted is None:
        return "anybody may change it" if mode & 0o002 else ""
    return f"more than {wanted:04o} lets others in" if mode & 0o777 & ~wanted else ""
