"""What lies in people's folders, read back: mailboxes, folders, items, one item; and whether it is what was filed.

`listing` reads through the store's own protocol and with the writer's types, so that it can't disagree with the
archiver; `messages` reads one message, whoever made it; `verifying` checks archives against their manifests,
`examining` Conversation History against the journal and each item against its own events.
"""

from archiver.inspection.examining import Doing, Examination, Prove, Told
from archiver.inspection.ledger import Ledger
from archiver.inspection.listing import FolderSummary, ItemSummary, Shown, content, find, folders, items, show
from archiver.inspection.verifying import Problem, archives, verify

__all__ = [
    "Doing",
    "Examination",
    "FolderSummary",
    "ItemSummary",
    "Ledger",
    "Problem",
    "Prove",
    "Shown",
    "Told",
    "archives",
    "content",
    "find",
    "folders",
    "items",
    "show",
    "verify",
]
