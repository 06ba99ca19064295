"""Chat text as BigBlueButton records it (HTML of links and entities, blanks round it) -> plain text."""

from __future__ import annotations

import re
from html import unescape

_ATTRIBUTE = r"""\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_TAG = re.compile(rf"<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:{_ATTRIBUTE})*)\s*/?>")
_HREF = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
# The tags that clients put round links and faces; any other `<…>` was typed by a person and stays.
_KNOWN = frozenset({"a", "u", "b", "i", "em", "strong", "br", "p", "span", "font"})


def plain(text: str) -> str:
    """Linear in the text's length, however many tags it opens and never closes."""
    parts: list[str] = []
    links: list[tuple[str, int]] = []
    position = 0
    for match in _TAG.finditer(text):
        tag = match[2].lower()
        if tag not in _KNOWN:
            continue
        parts.append(unescape(text[position : match.start()]))
        position = match.end()
        if tag == "br":
            parts.append("\n")
        elif tag == "a" and not match[1]:
            links.append((_target(match[3]), len(parts)))
        elif tag == "a" and links:
            url, first = links.pop()
            shown = "".join(parts[first:])
            if url and url != shown.strip():
                parts.append(f" ({url})" if shown.strip() else url)
    parts.append(unescape(text[position:]))
    return "".join(parts).strip()


def _target(attributes: str) -> str:
    match = _HREF.search(attributes)
    url = unescape(next(filter(None, match.groups()), "")) if match else ""
    # The Flash client wrote links as events of its own.
    return url.removeprefix("event:")
