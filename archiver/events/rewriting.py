"""Events with other names in them: what of an event's JSON names people, what is said, and what has a form of its own.

One walk for all who rewrite events; whose names give way to what, they say. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_STRUCTURE = frozenset(
    {
        *("specversion", "type", "time", "sequence", "datacontenttype"),
        *("kind", "history", "until", "language", "media_type", "sha256"),
        *("archivertime", "archivercleaned", "archivercharset", "archiverguessed", "archiverredacted"),
    }
)
"""Members whose values have a form of their own, which no name may break."""
_SAID = frozenset({"text", "html", "topic", "question", "options", "reason", "reaction", "title", "choice", "tally"})
_CONTRACT = frozenset(
    {"data", "conversation", "participants", "actor", "subject", "message", "to", "attachments", "poll"}
)
"""Members below which the contract says what a member means; of anything else nothing is known."""

Text = Callable[[str], str]
People = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""A participant as they were, and with other identifiers -> the participant to be."""


def rewritten(event: dict[str, Any], text: Text, people: People) -> dict[str, Any]:
    """A decoded event with identifiers through `text` and participants through `people`; what people said stays."""
    made: dict[str, Any] = _walk(event, text, people, ours=True)
    return made


def _walk(value: Any, text: Text, people: People, *, ours: bool) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [_walk(one, text, people, ours=ours) for one in value]
    if not isinstance(value, dict):
        return value
    if not ours:
        return {text(key): _walk(one, text, people, ours=False) for key, one in value.items()}
    made = {
        key: one if key in _STRUCTURE or key in _SAID else _walk(one, text, people, ours=key in _CONTRACT)
        for key, one in value.items()
    }
    return people(value, made) if isinstance(value.get("address"), str) else made
