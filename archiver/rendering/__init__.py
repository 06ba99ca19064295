"""Conversations and looks -> items (pure): text, HTML, the exact events, headers; always the same bytes.

`Rendering` is the door. Modules: `reading` finds what all views share, `evidence` writes the events, `entries` and
`transcript` the words, `envelope` the headers, `mime` the parts; `wording` knows languages, days and zones. Holds
nothing of folders, policy or where events come from.
"""

from archiver.rendering.evidence import ACTED, ROSTER, events_of, lines_of
from archiver.rendering.files import Limits
from archiver.rendering.rendering import RENDERER, Rendering, base_name, is_base_name, key, message_id, render
from archiver.rendering.wording import folder_name, known_zone, locales

__all__ = [
    "ACTED",
    "RENDERER",
    "ROSTER",
    "Limits",
    "Rendering",
    "base_name",
    "events_of",
    "folder_name",
    "is_base_name",
    "key",
    "known_zone",
    "lines_of",
    "locales",
    "message_id",
    "render",
]
