"""One mailbox while its archive is changed: its manifest, locked, and the lines it is to get. Writes no items."""

from __future__ import annotations

from archiver.store.chain import Contents, Entry, Tail
from archiver.store.manifest import Manifest
from archiver.store.tree import Parts


class Remembered:
    """What the manifests of a few mailboxes add up to, so that a long purge reads each once.

    Valid for one tail only."""

    _MOST = 4

    def __init__(self) -> None:
        self._known: dict[Parts, tuple[Tail, Contents]] = {}

    def take(self, mailbox: Parts, tail: Tail) -> Contents | None:
        known = self._known.pop(mailbox, None)
        return known[1] if known and known[0] == tail else None

    def keep(self, mailbox: Parts, tail: Tail, contents: Contents) -> None:
        self._known[mailbox] = tail, contents
        for oldest in list(self._known)[: -self._MOST]:
            self._known.pop(oldest, None)


class Ledger:
    """One mailbox within one group: its manifest, locked, and the lines it is to get."""

    def __init__(self, mailbox: Parts, opened: Manifest, remembered: Remembered) -> None:
        self.mailbox = mailbox
        self.manifest = opened
        self.spellings: dict[str, None] = {}
        self.entries: list[Entry] = []
        self.held = opened.tail.held
        self._remembered = remembered
        self._contents = remembered.take(mailbox, opened.tail)

    @property
    def contents(self) -> Contents:
        """With what is to be recorded. The whole manifest is read for it, so that only repeated changes ask."""
        if self._contents is None:
            self._contents = self.manifest.contents()
            for entry in self.entries:
                self._contents.follow(entry)
        return self._contents

    def enter(self, entry: Entry) -> None:
        self.entries.append(entry)
        if self._contents is not None:
            self._contents.follow(entry)

    def forget(self) -> None:
        """What was to be recorded isn't."""
        self._contents = None
        self.entries.clear()

    def close(self, *, sound: bool) -> None:
        if self._contents is not None and sound:
            self._remembered.keep(self.mailbox, self.manifest.tail, self._contents)
        self.manifest.close()
