"""Google Chat's archive mails: what they say of the space. From the published format, not tried against the product.

Google Workspace sends what happens in a space as mails (developers.google.com/workspace/chat/chat-archiving). Headers
name the space and its people; what was said, edited, removed or reacted, and by whom, stands in the text, in
words: it is kept as it is, as said by the system.
"""

from __future__ import annotations

import re

SENDER = "chat-archiving+noreply@google.com"
_SUBJECT = re.compile(
    r"Google Chat activity from (?:DM|(?:Chat )?(?:space|room)) (\S{1,200}) with .*", re.IGNORECASE | re.DOTALL
)


def space_of(author: str, subject: str) -> str | None:
    """The space's id, where this is such a mail."""
    match = _SUBJECT.fullmatch(subject) if author == SENDER else None
    return match[1] if match else None
