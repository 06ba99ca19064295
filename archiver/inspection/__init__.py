"""What lies in people's folders, read back: mailboxes, folders, items, one item; and whether it is what was filed.

`overview` counts all of it, archives and what is kept back too; `listing` reads through the store's own protocol and
with the writer's types, so that it can't disagree with the archiver; `filtering` picks, `ordering` sorts, `finding`
knows one by what somebody calls it; `item` and `messages` read one message, whoever made it; `verifying` checks
archives against their manifests, `examining` Conversation History against the journal and each item against its own
events.
"""

from archiver.inspection.archived import examine_archives, examine_local
from archiver.inspection.case import Case, Doing, Prove, Told
from archiver.inspection.examining import examine
from archiver.inspection.filtering import Wanted
from archiver.inspection.finding import beginning_so, find, find_all, mailbox_of
from archiver.inspection.item import ItemSummary
from archiver.inspection.ledger import Ledger
from archiver.inspection.listing import FolderSummary, Shown, content, folders, items, numbered, show
from archiver.inspection.ordering import ORDERS
from archiver.inspection.overview import Share, State
from archiver.inspection.verifying import Problem, archives

__all__ = [
    "ORDERS",
    "Case",
    "Doing",
    "FolderSummary",
    "ItemSummary",
    "Ledger",
    "Problem",
    "Prove",
    "Share",
    "Shown",
    "State",
    "Told",
    "Wanted",
    "archives",
    "beginning_so",
    "content",
    "examine",
    "examine_archives",
    "examine_local",
    "find",
    "find_all",
    "folders",
    "items",
    "mailbox_of",
    "numbered",
    "show",
]
