"""A spool and a store in a directory, taken through the pipeline step by step at times that the test gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from builders import BASE, DAY
from conversation_builder import text_of

from archiver.assembly import archive_of, open_spool, rules_of, store_of, terms_of
from archiver.config import Config, load
from archiver.conversations.conversation import fold_roster
from archiver.daemon.job import cache_of
from archiver.events import SECOND, Captured
from archiver.filing.gathering import Tally
from archiver.filing.pipeline import Filer
from archiver.spool import Spool
from archiver.store import PURGES, ArchiveStore, MaildirStore
from archiver.types import Roster

FOLDER = "Conversation History"
CONFIG: Config = load(None)


class Archive:
    """A spool and both stores in a directory, filed on demand under one configuration, or another from then on."""

    def __init__(self, data: Path, config: Config = CONFIG) -> None:
        self.spool: Spool = open_spool(config, data)
        self._imports = 0
        self.use(config)

    def use(self, config: Config) -> None:
        data = self.spool.data
        self.config = config
        self.store: MaildirStore = store_of(config, data)
        self.archive: ArchiveStore = archive_of(config, data)
        self._filer = Filer(self.spool, self.spool, self.store, self.archive, terms_of(config))

    def take(self, events: Sequence[Captured], at: int) -> Tally:
        """Import events and file what they bring, at a time in seconds after BASE."""
        now = (BASE + at) * SECOND
        self._imports += 1
        feed = self.spool.open_feed(f"import:{self._imports}", "import", now=now)
        self.spool.append(events, feed.number, now=now)
        self.spool.close_feed(feed.number, now)
        return self.file(at)

    def file(self, at: int) -> Tally:
        """File what is due."""
        now = (BASE + at) * SECOND
        return self._filer.run(self.spool.claim(now, 1_000), now)

    def forget(self, at: int, window: int = 7 * DAY) -> int:
        def fold(events: Iterable[Captured], roster: Roster, partial: bool) -> Roster:
            return fold_roster(events, roster, rules_of(self.config), partial=partial)

        cache = cache_of(terms_of(self.config).policy)
        return self.spool.forget((BASE + at) * SECOND, window * SECOND, fold, cache=cache).events

    def items(self, mailbox: str) -> dict[str, bytes]:
        """What lies in a mailbox's folder, by its flags."""
        return {
            found.flags: self.store.read(mailbox, FOLDER, found.name) for found in self.store.items(mailbox, FOLDER)
        }

    def archived(self, mailbox: str) -> dict[str, bytes]:
        """What lies in a mailbox's compliance archive, by name."""
        found = self.archive.items(mailbox, PURGES)
        return {each.name: self.archive.read(mailbox, PURGES, each.name) for each in found}

    def texts(self, mailbox: str) -> list[str]:
        """The text parts of a mailbox's items, oldest first."""
        found = self.store.items(mailbox, FOLDER)
        return [text_of(self.store.read(mailbox, FOLDER, each.name)) for each in found]
