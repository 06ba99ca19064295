"""Slack's markup -> plain text: mentions, channels and links by their names, entities as characters.

What people type for bold or code stays as they typed it. Source: Slack, "Formatting text for app surfaces".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

Name = Callable[[str], str]
_TAG = re.compile(r"<([^<>\n]*)>")


def plain(text: str, name_of: Name) -> str:
    """`name_of` gives the name of a user or channel id."""
    return unescape(_TAG.sub(lambda match: _tag(match[1], name_of), text)) if "<" in text or "&" in text else text


def _tag(inside: str, name_of: Name) -> str:
    target, bar, label = inside.partition("|")
    match target[:1]:
        case "@":
            return f"@{label or name_of(target[1:])}"
        case "#":
            return f"#{label or name_of(target[1:])}"
        case "!":
            return _special(target[1:], label)
    address = target.removeprefix("mailto:")
    if not bar or label in (target, address):
        return address
    return f"{label} ({target})" if label else target


def _special(command: str, label: str) -> str:
    if command in ("here", "channel", "everyone"):
        return f"@{command}"
    return label or command.partition("^")[0]
