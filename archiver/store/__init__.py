"""Where items are put: one protocol, a Maildir tree and its twin in memory. Decides nothing about what is filed."""

from archiver.store.maildir import MaildirStore
from archiver.store.memory import MemoryStore
from archiver.store.protocol import Folders, Found, Outcome, Put, Store, Where
from archiver.store.template import check_template
from archiver.store.tree import Ownership

__all__ = [
    "Folders",
    "Found",
    "MaildirStore",
    "MemoryStore",
    "Outcome",
    "Ownership",
    "Put",
    "Store",
    "Where",
    "check_template",
]
