"""Where items are put: a Maildir tree, its twin in memory, and the compliance archive. Decides nothing."""

from archiver.store.archive import PURGES, ArchiveStore, Usage
from archiver.store.change import Receipt
from archiver.store.damage import Code, Damage
from archiver.store.maildir import MaildirStore
from archiver.store.memory import MemoryStore
from archiver.store.protocol import Folders, Found, Outcome, Put, Store, Where
from archiver.store.search import LARGEST
from archiver.store.template import check_template
from archiver.store.tree import Ownership

__all__ = [
    "LARGEST",
    "PURGES",
    "ArchiveStore",
    "Code",
    "Damage",
    "Folders",
    "Found",
    "MaildirStore",
    "MemoryStore",
    "Outcome",
    "Ownership",
    "Put",
    "Receipt",
    "Store",
    "Usage",
    "Where",
    "check_template",
]
