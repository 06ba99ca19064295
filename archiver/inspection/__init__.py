"""What lies in people's folders, read back: mailboxes, folders, items, one item. Changes nothing.

`listing` reads through the store's own protocol and with the writer's types, so that it can't disagree with the
archiver; `messages` reads one message, whoever made it.
"""

from archiver.inspection.listing import FolderSummary, ItemSummary, Shown, content, find, folders, items, show

__all__ = ["FolderSummary", "ItemSummary", "Shown", "content", "find", "folders", "items", "show"]
