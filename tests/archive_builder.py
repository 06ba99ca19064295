"""A spool and a store in a directory, taken through the pipeline step by step at times that the test gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from builders import BASE, DAY
from conversation_builder import text_of

from archiver.assembly import open_spool, rules_of, store_of, terms_of
from archiver.config import Config, load
from archiver.conversation import fold_roster
from archiver.events import SECOND, Captured
from archiver.gathering import Tally
from archiver.pipeline import Filer
from archiver.spool import Spool
from archiver.store import MaildirStore
from archiver.types import Roster

FOLDER = "Conversation History"
CONFIG: Config = load(None)


class Archive:
    """A spool and a store in a directory, filed on demand."""

    def __init__(self, data: Path) -> None:
        self.spool: Spool = open_spool(CONFIG, data)
        self.store: MaildirStore = store_of(CONFIG, data)
        self._filer = Filer(self.spool, self.spool, self.store, terms_of(CONFIG))
        self._imports = 0

    def take(self, events: Sequence[Captured], at: int) -> Tally:
        """Import events and file what they bring, at a time in seconds after BASE."""
        now = (BASE + at) * SECOND
        self._imports += 1
        feed = self.spool.open_feed(f"import:{self._imports}", "import", now=now)
        self.spool.append(events, feed.number, now=now)
        self.spool.close_feed(feed.number, now)
        return self._filer.run(self.spool.claim(now, 100), now)

    def forget(self, at: int) -> int:
        def fold(events: Iterable[Captured], roster: Roster, partial: bool) -> Roster:
            return fold_roster(events, roster, rules_of(CONFIG), partial=partial)

        return self.spool.forget((BASE + at) * SECOND, 7 * DAY * SECOND, fold).events

    def items(self, mailbox: str) -> dict[str, bytes]:
        """What lies in a mailbox's folder, by its flags."""
        return {
            found.flags: self.store.read(mailbox, FOLDER, found.name) for found in self.store.items(mailbox, FOLDER)
        }

    def texts(self, mailbox: str) -> list[str]:
        """The text parts of a mailbox's items, oldest first."""
        found = self.store.items(mailbox, FOLDER)
        return [text_of(self.store.read(mailbox, FOLDER, each.name)) for each in found]
