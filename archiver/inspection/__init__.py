"""What lies in people's folders, read back: mailboxes, folders, items, one item. Changes nothing.

`listing` reads through the store's own protocol and with the writer's types, so that it can't disagree with the
archiver.
"""

from archiver.inspection.listing import FolderSummary, ItemSummary, Shown, find, folders, items, show

__all__ = ["FolderSummary", "ItemSummary", "Shown", "find", "folders", "items", "show"]
