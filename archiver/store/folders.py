"""A tree of Maildir++ mailboxes, read: what lies where, under whatever flags. Files nothing and takes nothing out.

What `MaildirStore` and `ArchiveStore` have in common: a mail root as a template, the owner of what is made there, and
how folder names stand on disk. Keeps no descriptor between calls: the tree also belongs to others.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from archiver.exceptions import ItemError, UsageError
from archiver.store import keywords
from archiver.store.draft import sweep
from archiver.store.faults import fault
from archiver.store.mending import Mender
from archiver.store.names import INBOX, Encoding, can_lie, checked_name, file_name, folder_from_disk, folder_on_disk
from archiver.store.protocol import Found, Outcome, Put, Where
from archiver.store.search import Search, settled
from archiver.store.survey import Survey
from archiver.store.template import Template
from archiver.store.tree import Mended, Ownership, Parts, Place, Tree

NO_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})
_CLOSED = NO_FOLDER | {errno.EACCES, errno.EPERM}
"""One mailbox can't be looked into; a put there says why, and the others go on."""


def _nobody(_: str) -> bool:
    return False


class MaildirFolders:
    """A mail root as a template, the owner of what is made there, and how the server writes folder names.

    `domains` are all that have mailboxes, needed only where the template has no {domain}. `ours` tells base names that
    the archiver computes: such files never need to be read in search of a Message-ID.
    """

    passes = False
    """Whether what its owner put in the way of one folder leaves the others to be read."""

    def __init__(
        self,
        template: str,
        *,
        data: Path,
        ownership: Ownership | None = None,
        encoding: Encoding = "utf-7",
        domains: Sequence[str] = (),
        ours: Callable[[str], bool] = _nobody,
    ) -> None:
        self._template = Template(template, data=data, domains=domains)
        self._ownership = ownership or Ownership()
        self.encoding: Encoding = encoding
        self._ours = ours
        self._mended = Mended()

    def _search(self, tree: Tree) -> Search:
        return Search(tree, self._ours, passes=self.passes)

    @property
    def root(self) -> Path:
        """Nothing is ever written above or beside it."""
        return self._template.root

    def locate(self, mailbox: str, folder: str, name: str) -> Found | None:
        return self.locate_all([Where(mailbox, folder, name)])[0]

    def locate_all(self, wanted: Sequence[Where]) -> list[Found | None]:
        with self._using() as tree:
            search = Search(tree, self._ours)
            return [self._located(search, where) for where in wanted]

    def _located(self, search: Search, where: Where) -> Found | None:
        """Also others' messages: servers and owners name them as they like."""
        if not can_lie(where.name):
            return None
        try:
            at = search.find(self._place(where.mailbox, where.folder), where.name)
        except ItemError:
            return None
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            return None
        return at[1] if at and not at[1].trashed else None

    def mailboxes(self) -> list[str]:
        with self._using() as tree:
            found = (self._template.address(parts) for parts in self._mailbox_parts(tree, ()))
            return sorted(address for address in found if address)

    def _mailbox_parts(self, tree: Tree, above: Parts) -> Iterator[Parts]:
        depth = len(above)
        if depth == self._template.depth:
            if "cur" in _directories(tree, above):
                yield above
            return
        for name in _directories(tree, above):
            if self._template.leads_on(name, depth):
                yield from self._mailbox_parts(tree, (*above, name))

    def folders(self, mailbox: str) -> list[str]:
        """A directory that no folder name leads to (raw bytes where modified UTF-7 is expected) is left out."""
        with self._using() as tree:
            names = _directories(tree, self._existing(tree, mailbox))
            found = {folder_from_disk(name, self.encoding) for name in names}
            return sorted({folder for folder in found if folder} | ({INBOX} if "cur" in names else set()))

    def directories(self, mailbox: str) -> list[str]:
        """Every folder by its directory, also those that no folder name leads to; "" is the mailbox's own root."""
        with self._using() as tree:
            names = _directories(tree, self._existing(tree, mailbox))
            return ([""] if "cur" in names else []) + [name for name in names if name.startswith(".")]

    def items(self, mailbox: str, folder: str) -> Iterator[Found]:
        with self._using() as tree:
            place = Place(self._existing(tree, mailbox), folder_on_disk(folder, self.encoding))
            yield from self._search(tree).entries(place)

    def unsorted(self, mailbox: str, folder: str) -> Iterator[Found]:
        """As `items`, in no order and one by one, so that a large folder costs no memory. What goes meanwhile may be
        left out."""
        with self._using() as tree:
            place = Place(self._existing(tree, mailbox), folder_on_disk(folder, self.encoding))
            yield from self._search(tree).unsorted(place)

    def names(self, mailbox: str, folder: str) -> list[str]:
        with self._using() as tree:
            place = Place(self._existing(tree, mailbox), folder_on_disk(folder, self.encoding))
            return self._search(tree).names(place)

    def stamp(self, mailbox: str, folder: str) -> str:
        with self._using() as tree:
            place = Place(self._existing(tree, mailbox), folder_on_disk(folder, self.encoding))
            return settled(self._search(tree).stamp(place))

    def read(self, mailbox: str, folder: str, name: str) -> bytes:
        """Also reads others' messages, by the names that `items` gives."""
        (read,) = self.read_all([Where(mailbox, folder, name)])
        if read is None:
            raise UsageError(f"no item {name!r} in folder {folder!r} of {mailbox}", mailbox=mailbox, item=name)
        return read[1]

    def read_all(self, wanted: Iterable[Where], limit: int = -1) -> Iterator[tuple[Found, bytes] | None]:
        with self._using() as tree:
            search = self._search(tree)
            known: dict[str, Parts] = {}
            for where in wanted:
                if where.mailbox not in known:
                    known[where.mailbox] = self._existing(tree, where.mailbox)
                place = Place(known[where.mailbox], folder_on_disk(where.folder, self.encoding))
                yield _content(search, place, where.name, limit)

    def keywords(self, mailbox: str, folder: str) -> dict[str, str]:
        """The folder's keywords by the letter that stands for each in flags, as the mail server keeps them there.

        None where it keeps none, or not as Dovecot does.
        """
        with self._using() as tree:
            place = Place(self._existing(tree, mailbox), folder_on_disk(folder, self.encoding))
            try:
                return keywords.read(tree.directory(place.parts))
            except OSError as error:
                if error.errno not in _CLOSED:
                    raise
                return {}

    def messages(
        self, mailbox: str, folder: str, wanted: Callable[[str, str], bool], most: int
    ) -> Iterator[tuple[Found, bytes | None]]:
        """Those of which `wanted` says so by base name and Message-ID (empty where the name is ours), with their bytes.

        Each is read once, in no order; of all others in the folder no more than the header. None stands for the bytes
        of what can't be read or has more than `most`.
        """
        yield from self.messages_in(mailbox, folder_on_disk(folder, self.encoding), wanted, most)

    def messages_in(
        self, mailbox: str, directory: str, wanted: Callable[[str, str], bool], most: int
    ) -> Iterator[tuple[Found, bytes | None]]:
        """As `messages`, of a folder by its directory."""
        with self._using() as tree:
            place = Place(self._existing(tree, mailbox), directory)
            yield from Search(tree, self._ours).messages(place, wanted, most)

    @contextmanager
    def surveying(self, mailbox: str, *, mends: bool = False) -> Iterator[tuple[Survey, Mender]]:
        """To walk a mailbox, and to mend it; the mender changes nothing where it isn't asked to."""
        with self._using() as tree, self._using(make=mends) as making:
            parts = self._existing(tree, mailbox)
            yield Survey(tree, mailbox, parts, self.encoding, self._ownership), Mender(making, self._ownership)

    def blocked(self, mailbox: str) -> list[tuple[str, str]]:
        with self.surveying(mailbox) as (survey, _):
            return list(survey.blocked())

    def directory_of(self, folder: str) -> str:
        """As it stands on disk."""
        return folder_on_disk(folder, self.encoding)

    def sweep(self) -> int:
        """Take away what a killed writer left in `tmp`, only under names of ours; how many. For the start."""
        with self._using() as tree:
            return sum(self._swept(tree, parts) for parts in list(self._mailbox_parts(tree, ())))

    def _swept(self, tree: Tree, mailbox: Parts) -> int:
        folders = ["", *(name for name in _directories(tree, mailbox) if name.startswith("."))]
        return sum(_sweep_folder(tree, Place(mailbox, folder)) for folder in folders)

    def _placed(self, puts: Iterable[tuple[int, Put]], outcomes: list[Outcome]) -> Iterator[tuple[int, Put, Place]]:
        """Where each goes; a mailbox or folder that can be none is the outcome of its put."""
        for index, put in puts:
            file_name(checked_name(put.item.name), put.flags)
            try:
                place = self._place(put.mailbox, put.folder)
            except ItemError as error:
                outcomes[index] = error
                continue
            yield index, put, place

    def _place(self, mailbox: str, folder: str) -> Place:
        return Place(self._template.parts(mailbox), folder_on_disk(folder, self.encoding))

    def _existing(self, tree: Tree, mailbox: str) -> Parts:
        """For reading: also takes the name on disk by which `mailboxes` lists an address too long for its path."""
        raw = self._template.raw_parts(mailbox)
        return raw if raw and _directories(tree, raw) else self._template.parts(mailbox)

    @contextmanager
    def _using(self, *, make: bool = False) -> Iterator[Tree]:
        try:
            with Tree(self.root, self._ownership, make=make) as tree:
                yield tree
        except OSError as error:
            raise fault(error, str(error.filename or self.root)) from error


def _content(search: Search, place: Place, name: str, limit: int) -> tuple[Found, bytes] | None:
    while can_lie(name) and (at := search.find(place, name)):
        content = search.content(place, at[0], limit)
        if content is not None:  # else renamed in between
            return at[1], content
    return None


def _directories(tree: Tree, parts: Parts) -> list[str]:
    """Sorted names of the directories there, links not followed; none where there is no such directory."""
    try:
        with os.scandir(tree.directory(parts)) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sweep_folder(tree: Tree, place: Place) -> int:
    try:
        return sweep(tree.directory((*place.parts, "tmp")))
    except (FileNotFoundError, NotADirectoryError):
        return 0
