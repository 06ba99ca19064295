"""What an edited message said before, out of its `message_summary_info`: a binary property list. Pure.

`ec` has by the number of a part of the message its texts, the first one first: `d` when each was written, in seconds
since 2001, `t` the archived text. `otr` has the parts there are. Source: imessage-exporter, edited.rs.
"""

from __future__ import annotations

import math
import plistlib
from typing import Any, NamedTuple

from archiver.importers.imessage.body import OBJECT, text_of

LIMIT = 1024 * 1024


class Version(NamedTuple):
    """`at` is in seconds since 2001."""

    at: float
    text: str


def versions_of(summary: object) -> list[Version]:
    """Oldest first; none where it can't be told, or the message has several parts of which only some were edited."""
    found = _read(summary)
    edited, parts = found.get("ec"), found.get("otr")
    if not isinstance(edited, dict) or len(edited) != 1 or (isinstance(parts, dict) and len(parts) > 1):
        return []
    (texts,) = edited.values()
    versions = [_version(each) for each in texts] if isinstance(texts, list) else []
    whole = [each for each in versions if each is not None]
    return whole if len(whole) == len(versions) else []


def _read(summary: object) -> dict[Any, Any]:
    if not isinstance(summary, bytes) or len(summary) > LIMIT:
        return {}
    try:
        found = plistlib.loads(summary, fmt=plistlib.FMT_BINARY)
    except Exception:  # the standard library raises whatever comes of damaged bytes
        return {}
    return found if isinstance(found, dict) else {}


def _version(entry: object) -> Version | None:
    if not isinstance(entry, dict):
        return None
    at, body = entry.get("d"), entry.get("t")
    text = text_of(body) if isinstance(body, bytes) else None
    if not isinstance(at, int | float) or not math.isfinite(at) or text is None:
        return None
    return Version(at, text.replace(OBJECT, "").strip("\n"))
