"""The store a mail server reads: Maildir++ trees (https://www.courier-mta.org/imap/README.maildirquota.html).

    Put ─► names ─► Batch (draft, sync, link, sync) ─► mail root / mailbox / .Folder / new or cur

Holds filing and removing, and nothing of how a file is written (`draft`), found (`folders`, `search`) or a directory
opened (`tree`). The server's own files (`dovecot-*`, `subscriptions`) are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence

from archiver.exceptions import ItemError
from archiver.store.batch import Batch
from archiver.store.faults import fault
from archiver.store.folders import NO_FOLDER, MaildirFolders
from archiver.store.grouping import groups, room
from archiver.store.names import checked_name
from archiver.store.protocol import Outcome, Put, Where
from archiver.store.removal import Removal
from archiver.store.search import Search
from archiver.store.tree import Tree


class MaildirStore(MaildirFolders):
    """Conversation History: its folders are their owners', who may move, flag and delete what lies there."""

    passes = True

    def put(self, puts: Sequence[Put], *, careful: bool = False) -> list[Outcome]:
        outcomes: list[Outcome] = [None] * len(puts)
        try:
            for group in groups(puts):
                self._put_group(puts, group, outcomes, careful=careful)
        except OSError as error:  # the mail root itself
            return [outcome or fault(error, str(self.root)) for outcome in outcomes]
        return outcomes

    def _put_group(self, puts: Sequence[Put], group: range, outcomes: list[Outcome], *, careful: bool) -> None:
        with Tree(self.root, self._ownership, make=True, room=room(), mended=self._mended) as tree:
            batch = Batch(tree, self._ownership, Search(tree, self._ours) if careful else None, links=True)
            try:
                batch.file(self._placed(((index, puts[index]) for index in group), outcomes), outcomes)
            finally:
                batch.close()

    def remove(self, mailbox: str, folder: str, name: str) -> bool:
        return self.remove_all([Where(mailbox, folder, name)])[0]

    def remove_all(self, unwanted: Sequence[Where]) -> list[bool]:
        with self._using() as tree:
            removal = Removal(tree, Search(tree, self._ours))
            errors: list[OSError] = []
            removed = [self._removed(removal, where, errors) for where in unwanted]
            removal.sync()
            if errors:
                raise errors[0]
            return removed

    def _removed(self, removal: Removal, where: Where, errors: list[OSError]) -> bool:
        name = checked_name(where.name)
        try:
            return removal.take_out(self._place(where.mailbox, where.folder), name)
        except ItemError:
            return False
        except OSError as error:
            if error.errno not in NO_FOLDER:
                errors.append(error)
            return False
