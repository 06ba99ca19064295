"""Text and HTML from outside, made safe for an item: neutralised controls, escaping, links, sanitised fragments.

Holds the only call of the sanitiser. What is said about a message stands in `archiver.rendering.entries`.
"""

from __future__ import annotations

import re

import nh3

MAXIMUM_HTML = 65_536
"""A longer HTML body is left out in favour of its text: sanitising costs more than its length."""

_SCHEMES = {"http", "https", "mailto", "xmpp", "sip"}

_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Embeddings, overrides and isolates reorder what others wrote on the same line; marks (LRM, RLM) don't.
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]+")
_HTML_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# No flag and no look-behind: then the search can skip to one of the first letters.
_URL = re.compile(r"(?:https?://|Https?://|HTTPS?://|mailto:|xmpp:|sips?:)[^\s<>\"'`\\^{|}\u201c\u201d\u2018\u2019]+")
_INSIDE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/:.@-")
"""A scheme after one of these is the end of something else."""
_TRAILING = ".,;:!?…。，、；：！？"

_TAGS = """a abbr b blockquote br cite code dd del dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i ins kbd li ol p pre q
s samp small span strike strong sub sup tt u ul var"""

_CLEANER = nh3.Cleaner(
    tags=set(_TAGS.split()),
    clean_content_tags={"script", "style", "title", "textarea", "noscript", "iframe", "object", "svg", "math"},
    attributes={"a": {"href"}},
    url_schemes=_SCHEMES,
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
)


def plain(text: str) -> str:
    """Text whose only controls are newline and tab, without what reorders lines."""
    if text.isprintable():
        return text
    text = _LINE_ENDS.sub("\n", text)
    text = _CONTROLS.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else "\ufffd", text)
    return _BIDI.sub("", text)


def escape(text: str) -> str:
    if not ("&" in text or "<" in text or ">" in text or '"' in text):
        return text
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def paragraph(text: str) -> str:
    """Safe HTML of plain text: escaped, URLs as links, line breaks and runs of spaces kept."""
    html = _linked(text) if ":" in text else escape(text)
    if "\n" in html:
        html = html.replace("\n", "<br>\n")
    if "\t" in html:
        html = html.replace("\t", "&nbsp; &nbsp; ")
    return html.replace("  ", "&nbsp; ") if "  " in html else html


def _linked(text: str) -> str:
    pieces, end = [], 0
    for found in _URL.finditer(text):
        url = _trimmed(found[0])
        if url.endswith((":", "//")) or text[found.start() - 1 : found.start()] in _INSIDE:
            continue
        pieces.append(escape(text[end : found.start()]))
        pieces.append(link(url))
        end = found.start() + len(url)
    if not pieces:
        return escape(text)
    pieces.append(escape(text[end:]))
    return "".join(pieces)


def _trimmed(url: str) -> str:
    """Without the punctuation of the sentence around it; a closing bracket stays if it was opened inside."""
    while url:
        if url[-1] in _TRAILING or (url[-1] == ")" and url.count("(") < url.count(")")) or url[-1] in "]*_~":
            url = url[:-1]
        else:
            break
    return url


def link(url: str, text: str | None = None) -> str:
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">{escape(text or url)}</a>'


def fragment(html: str) -> str | None:
    """A sanitised HTML body, or None where it is too long or nothing of it is left."""
    if len(html) > MAXIMUM_HTML:
        return None
    cleaned = _CLEANER.clean(_HTML_UNSAFE.sub("", html))
    # Entities may have named what was removed above; replaced, not removed, so that no two halves meet.
    cleaned = _HTML_UNSAFE.sub("\ufffd", cleaned).replace("\r", "\n")
    return cleaned if cleaned.strip() else None
