"""The text of an HTML mail for people who read text. Not a sanitiser: what it returns is text, never markup.

Linear in the length of its input whatever that holds, which `html.parser` is not for unclosed comments and tags.
"""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]{0,20})")
_HIDDEN = {"head", "script", "style", "title", "template", "noscript", "object", "svg", "textarea"}
_LINES = {"br", "div", "dd", "dl", "dt", "hr", "li", "ol", "section", "table", "tr", "ul"}
_PARAGRAPHS = {"article", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "p", "pre"}
_CELLS = {"td", "th"}
_SPACES = re.compile(r"[ \t\r\n\f\xa0]+")


def text_of(markup: str) -> str:
    """Words and line breaks of `markup`: what scripts, styles, comments and attributes hold is left out."""
    text = html.unescape("".join(_pieces(markup)))
    lines = [line.strip(" \xa0") for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _pieces(markup: str) -> list[str]:
    pieces: list[str] = []
    lowered = markup.lower() if markup.isascii() else re.sub("[A-Z]+", lambda found: found[0].lower(), markup)
    at = 0
    while (start := markup.find("<", at)) >= 0:
        pieces.append(_SPACES.sub(" ", markup[at:start]))
        at, piece = _tag(markup, lowered, start)
        pieces.append(piece)
    pieces.append(_SPACES.sub(" ", markup[at:]))
    return pieces


def _tag(markup: str, lowered: str, start: int) -> tuple[int, str]:
    """Where the text goes on after the `<` at `start`, and what stands for the tag."""
    if markup.startswith("<!--", start):
        return _after(markup, "-->", start + 4), ""
    if markup.startswith(("<!", "<?"), start):
        return _after(markup, ">", start), ""
    found = _TAG.match(lowered, start)
    if found is None:
        return start + 1, "<"
    name, closing = found[1], lowered[start + 1] == "/"
    end = _after(markup, ">", found.end())
    if name in _HIDDEN and not closing:
        end = _after(markup, ">", _before(lowered, "</" + name, end))
    return end, _stand_in(name)


def _stand_in(name: str) -> str:
    if name in _LINES:
        return "\n"
    if name in _PARAGRAPHS:
        return "\n\n"
    return " " if name in _CELLS else ""


def _after(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found + len(mark)


def _before(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found
