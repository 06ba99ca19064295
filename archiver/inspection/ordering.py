"""Orders of a list of items, each by its name: newest, most, largest first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from archiver.inspection.item import ItemSummary

ORDERS: Mapping[str, Callable[[ItemSummary], Any]] = {
    "date": lambda item: -item.number,
    "kind": lambda item: item.kind,
    "subject": lambda item: item.subject.casefold(),
    "people": lambda item: -item.people,
    "messages": lambda item: -(item.messages or 0),
    "minutes": lambda item: -item.minutes,
    "size": lambda item: -item.size,
}
"""Keys to sort by."""
