"""Cards that apps attach to messages, as Slack made them and Mattermost and Rocket.Chat took them over -> words. Pure.

Sources: Slack, "Secondary message attachments"; Mattermost, "Message attachments"; Rocket.Chat, "Attachment objects".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Linked = Callable[[str, str], str]
"""A title and the address it leads to, as one text."""


def plainly(title: str, link: str) -> str:
    return f"{title} ({link})"


def words_of(card: Any, linked: Linked = plainly) -> str:
    """What stands above it, its title, its text and its fields, a line each; "" where it says nothing."""
    if not isinstance(card, dict):
        return ""
    title, link = text_in(card, "title"), text_in(card, "title_link")
    said = (text_in(card, "pretext"), linked(title, link) if title and link else title, text_in(card, "text"))
    return "\n".join(filter(None, (*said, *map(_field, listed(card.get("fields"))))))


def _field(field: Any) -> str:
    if not isinstance(field, dict):
        return ""
    value = field.get("value")  # Mattermost's may be numbers
    told = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return ": ".join(filter(None, (text_in(field, "title"), told)))


def text_in(holder: dict[Any, Any], name: str) -> str:
    found = holder.get(name)
    return found if isinstance(found, str) else ""


def listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
