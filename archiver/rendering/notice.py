"""The item that tells people once that they are archived (pure). Not a conversation: it bears no name of theirs."""

from __future__ import annotations

from hashlib import blake2b

from archiver.events import SECOND
from archiver.rendering.files import DOMAIN
from archiver.rendering.headers import unstructured
from archiver.rendering.mime import lines, text_part
from archiver.rendering.wording import Clock, header_date
from archiver.types import Item


def notice(subject: str, text: str, at: int) -> Item:
    """The same for everybody who is told at one time, so that they share one file.

    Its name is by that time alone: what was begun under another text is not done again.
    """
    key = blake2b(str(at).encode("ascii"), digest_size=16).hexdigest()
    identity = f"<notice.{key}@{DOMAIN}>"
    part = text_part("plain", lines(text + "\n"))
    fields = (
        f"Date: {header_date(Clock('UTC'), at)}\n"
        f"From: Conversation archiver <notice@{DOMAIN}>\n"
        "To: undisclosed-recipients:;\n"
        f"{unstructured('Subject', subject)}"
        f"Message-ID: {identity}\n"
        "Auto-Submitted: auto-generated\nMIME-Version: 1.0\n"
    )
    return Item(
        key=key,
        name=f"{at // SECOND}.N{key}.conversation-archiver",
        message_id=identity,
        subject=subject,
        date=at,
        changed=at,
        seen=False,
        content=part.message(fields),
    )
