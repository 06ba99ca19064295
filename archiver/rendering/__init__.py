"""Views and looks -> items (pure): text, HTML, the exact events, headers; always the same bytes.

`Rendering` is the door, after `Hidden` has veiled who is hidden. Modules: `reading` finds what all looks share,
`evidence` writes the events, `entries` and `transcript` the words, `envelope` the headers, `mime` the parts;
`wording` knows languages, days and zones. Holds nothing of folders, policy or where events come from, and doesn't
choose what a view shows: all that comes here is shown.
"""

from archiver.rendering.evidence import ROSTER, events_of, lines_of
from archiver.rendering.files import Limits
from archiver.rendering.headers import spelling
from archiver.rendering.notice import notice
from archiver.rendering.rendering import (
    RENDERER,
    Rendering,
    Shared,
    base_name,
    is_base_name,
    is_message_id,
    is_ours,
    message_id,
)
from archiver.rendering.veil import PSEUDONYM, Hidden
from archiver.rendering.wording import folder_name, known_zone, locales

__all__ = [
    "PSEUDONYM",
    "RENDERER",
    "ROSTER",
    "Hidden",
    "Limits",
    "Rendering",
    "Shared",
    "base_name",
    "events_of",
    "folder_name",
    "is_base_name",
    "is_message_id",
    "is_ours",
    "known_zone",
    "lines_of",
    "locales",
    "message_id",
    "notice",
    "spelling",
]
