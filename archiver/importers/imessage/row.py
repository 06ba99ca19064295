"""A row of the table `message`, and its words."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from archiver.importers.imessage.body import plain, text_of

OPTIONAL = (
    *("attributedBody", "date_edited", "date_retracted", "associated_message_guid", "associated_message_type"),
    *("associated_message_emoji", "thread_originator_guid", "item_type", "group_action_type", "group_title"),
    *("other_handle", "subject", "message_summary_info"),
)
"""Columns that not every version of the system has."""
KEPT = re.compile(r"Attachments/.+")
"""Where what was sent lies, beside the database."""


class Row(Struct, frozen=True):
    """A row of `message`; columns that a version of the system doesn't have are None."""

    number: Any
    guid: Any
    text: Any
    handle_id: Any
    is_from_me: Any
    date: Any
    attributedBody: Any = None
    date_edited: Any = None
    date_retracted: Any = None
    associated_message_guid: Any = None
    associated_message_type: Any = None
    associated_message_emoji: Any = None
    thread_originator_guid: Any = None
    item_type: Any = None
    group_action_type: Any = None
    group_title: Any = None
    other_handle: Any = None
    subject: Any = None
    message_summary_info: Any = None

    @property
    def whole(self) -> str:
        """All its parts, one behind the other, with a mark for each attachment."""
        said = self.text if isinstance(self.text, str) and self.text else None
        if said is None and isinstance(self.attributedBody, bytes):
            said = text_of(self.attributedBody)
        return said or ""

    @property
    def words(self) -> str:
        return plain(self.whole)

    @property
    def is_unreadable(self) -> bool:
        packed = isinstance(self.attributedBody, bytes) and bool(self.attributedBody)
        return not self.text and packed and text_of(self.attributedBody) is None
