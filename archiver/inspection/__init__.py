"""What lies in people's folders, read back: mailboxes, folders, items, one item. Changes nothing.

`listing` reads through the store's own protocol and with the writer's types, so that it can't disagree with the
archiver; `messages` reads one message, whoever made it; `verifying` checks archives against their manifests.
"""

from archiver.inspection.listing import FolderSummary, ItemSummary, Shown, content, find, folders, items, show
from archiver.inspection.verifying import Problem, archives, verify

__all__ = [
    "FolderSummary",
    "ItemSummary",
    "Problem",
    "Shown",
    "archives",
    "content",
    "find",
    "folders",
    "items",
    "show",
    "verify",
]
