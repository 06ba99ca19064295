"""What the archives get of a conversation: the complete transcript, and which events are in it (pure).

Decides nothing of who is archived, or where to; that is policy's.
"""

from __future__ import annotations

from collections.abc import Callable

from archiver.events import Kind
from archiver.types import Conversation, Look, Role

IsArchived = Callable[[str, Kind], bool]
"""Whether events of a type are archived in conversations of a kind."""


def complete_look(conversation: Conversation, is_archived: IsArchived, locale: str, zone: str) -> Look | None:
    """The one look at all that is archived of a conversation, whoever saw it; None where nothing is."""
    mask = 0
    for index, captured in enumerate(conversation.events):
        if is_archived(captured.event.type, conversation.kind):
            mask |= 1 << index
    return Look(mask, Role.TOOK_PART, None, locale, zone, show_retracted=True, complete=True) if mask else None
