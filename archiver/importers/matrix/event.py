"""One Matrix event as it stands in a file, and safe looks into its content, which anybody may have written.

Source: Matrix specification, client-server API, "Room events", "Relationship types", "Rich replies".
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

MESSAGES = frozenset(("m.room.message", "m.room.encrypted", "m.sticker"))
STATES = frozenset(
    f"m.room.{each}" for each in ("create", "encryption", "history_visibility", "name", "tombstone", "topic")
)
"""What is a room's state under the empty key, and nothing else under any other."""
_FALLBACK = re.compile(r"> (?:\* )?<@[^\n]*\n(?:>[^\n]*\n)*\n?")
_QUOTE_END = "</mx-reply>"
_FILE = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,255})/([A-Za-z0-9_-]{1,255})")


class Line(Struct):
    """`origin_server_ts` is in milliseconds; a `state_key` says that it is a room's state."""

    event_id: str
    type: str
    origin_server_ts: int | float
    sender: str = ""
    room_id: str | None = None
    content: dict[str, Any] | None = None
    state_key: str | None = None
    unsigned: dict[str, Any] | None = None
    redacts: str | None = None

    def text(self, name: str) -> str:
        return text(self.content, name)

    @property
    def is_forged(self) -> bool:
        """Named like a room's state and none: anybody may send that, as any other message."""
        if self.type == "m.room.member":
            return self.state_key is None
        return self.type in STATES and self.state_key != ""

    @property
    def relation(self) -> dict[str, Any]:
        return inner(self.content, "m.relates_to")

    @property
    def replaced(self) -> str:
        """The message that this one is an edit of, "" where it is none."""
        return text(self.relation, "event_id") if text(self.relation, "rel_type") == "m.replace" else ""

    @property
    def redacted(self) -> str:
        """What a redaction takes away; rooms of version 11 and later say so in the content."""
        return (self.text("redacts") or self.redacts or "") if self.type == "m.room.redaction" else ""

    @property
    def referred(self) -> str:
        """What it refers to and nothing more: of an answer, its poll."""
        return text(self.relation, "event_id") if text(self.relation, "rel_type") == "m.reference" else ""

    @property
    def thread(self) -> str | None:
        return (text(self.relation, "event_id") or None) if text(self.relation, "rel_type") == "m.thread" else None

    @property
    def answered(self) -> str | None:
        """What it answers. In a thread a reply may be there only for clients that know no threads."""
        if self.relation.get("is_falling_back") is True:
            return None
        return text(inner(self.relation, "m.in_reply_to"), "event_id") or None

    @property
    def is_emptied(self) -> bool:
        """Whether it was redacted: its content is gone."""
        unsigned = self.unsigned or {}
        emptied = self.type in MESSAGES and not self.content
        return emptied or bool(unsigned.get("redacted_because") or unsigned.get("redacted_by"))


def text(content: Any, name: str) -> str:
    """A member that is a text, else ""."""
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, str) else ""


def inner(content: Any, name: str) -> dict[str, Any]:
    """A member that is an object, else an empty one."""
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, dict) else {}


def unquoted(body: str) -> str:
    """A reply without the lines that quote what it answers."""
    found = _FALLBACK.match(body)
    return body[found.end() :] if found else body


def unquoted_html(markup: str) -> str:
    head, end, rest = markup.partition(_QUOTE_END)
    return rest if end and head.lstrip().startswith("<mx-reply>") else markup


def file_of(url: str) -> tuple[str, str] | None:
    """Server and id of a file, by its mxc address; None where it is none."""
    match = _FILE.fullmatch(url)
    return (match[1], match[2]) if match is not None and match[1].strip(".") else None


def server(identity: str) -> str:
    """What stands behind the first colon of an id, "" where there is none."""
    return identity.partition(":")[2]
