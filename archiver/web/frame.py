"""The HTML that lies in a message, made harmless, as a document for a sandboxed frame of its own. Pure.

    any HTML ─► sanitised (nh3) ─► pictures of the same message put in ─► our document, our style

The document needs nothing from anywhere and may ask for nothing: its policy is here too.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from html import escape
from importlib import resources
from urllib.parse import unquote

import nh3

from archiver.inspection.messages import header
from archiver.rendering.markup import plain
from archiver.web.parts import Parts

LARGEST_HTML = 4 * 1024 * 1024
"""Characters; of a longer one the text is shown."""
DEEPEST = 256
"""Elements within each other; of a deeper one too: sanitising takes as long as it is long times deep."""
LARGEST_PICTURES = 48 * 1024 * 1024
"""Bytes of all pictures of one message that its frame holds."""

_TAGS = """a abbr address article aside b bdi blockquote br caption center cite code col colgroup dd del details
dfn div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q rp rt ruby s samp section small
span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr"""
_GONE = {"script", "style", "title", "textarea", "noscript", "iframe", "object", "svg", "math", "template"}
_OURS = {"div": {"m", "e", "n", "facts"}, "td": {"c"}, "th": {"c"}}
"""Classes of our own items, which our style knows."""
_SCHEMES = {"http", "https", "mailto", "cid"}
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_LEVEL = set("area base br col dd dt embed hr img input li link meta p source td th tr wbr".split())  # noqa: SIM905
"""Elements that hold none, or end where the next such begins."""
_CID = re.compile("cid:", re.IGNORECASE)
_ABSOLUTE = re.compile(r"\s*(?:https?|mailto):", re.IGNORECASE)

STYLE = resources.files("archiver.web").joinpath("static/frame.css").read_text("utf-8")
STYLE_DIGEST = b64encode(sha256(STYLE.encode()).digest()).decode()

SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
"""Neither script nor our origin; a link opens a tab of its own, which is told nothing of where it was."""
POLICY = (
    f"default-src 'none'; img-src data:; style-src 'sha256-{STYLE_DIGEST}'; base-uri 'none'; form-action 'none';"
    f" frame-ancestors 'self'; sandbox {SANDBOX}"
)


class _Pictures:
    """The message's own, by what its HTML calls them; each as often as it is named, up to a size."""

    def __init__(self, parts: Parts) -> None:
        self._files = {file.cid: file for file in parts.files if file.cid and file.picture}
        self._room = LARGEST_PICTURES

    def source(self, url: str) -> str | None:
        """Another's URL has none: whoever reads an old conversation tells nobody so."""
        file = self._files.get(unquote(url[4:])) if _CID.match(url) else None
        if file is None or len(file.content) > self._room:
            return None
        self._room -= len(file.content)
        return f"data:{file.picture};base64,{b64encode(file.content).decode()}"


Source = Callable[[str], str | None]
"""Where a picture of the message lies that its HTML calls so; None for what isn't one of its own."""


def _cleaned(html: str, source: Source) -> str:
    def attribute(tag: str, name: str, value: str) -> str | None:
        if (tag, name) == ("img", "src"):
            return source(value)
        if (tag, name) == ("a", "href") and not _ABSOLUTE.match(value):
            return None
        return value

    return nh3.clean(
        html,
        tags=set(_TAGS.split()),
        clean_content_tags=_GONE,
        attributes={
            "*": {"dir"},
            "a": {"href"},
            "img": {"src", "alt"},
            "td": {"colspan", "rowspan"},
            "th": {"colspan", "rowspan"},
            "ol": {"start"},
        },
        attribute_filter=attribute,
        allowed_classes=_OURS,
        url_schemes=_SCHEMES,
        url_relative="pass_through",  # else a picture could lie in no file beside: links are seen to above
        link_rel="noopener noreferrer nofollow",
    )


def is_deep(html: str) -> bool:
    """Whether its elements stand in each other deeper than anybody writes. An end alone counts for nothing."""
    open_: Counter[str] = Counter()
    depth = 0
    for closing, name in _TAG.findall(html):
        tag = name.lower()
        if tag in _LEVEL:
            continue
        if not closing:
            open_[tag] += 1
            depth += 1
            if depth > DEEPEST:
                return True
        elif open_[tag]:
            open_[tag] -= 1
            depth -= 1
    return False


def main(parts: Parts, title: str, source: Source) -> str:
    """What stands in the document; where the message has no HTML that can be shown, its text as it stands."""
    html = parts.html
    if html and len(html) <= LARGEST_HTML and not is_deep(html):
        body = plain(_cleaned(html, source))
    else:
        body = f'<pre dir="auto" tabindex="0">{escape(parts.text[:LARGEST_HTML])}</pre>'
    named = "" if "<h1" in body else f'<h1 class="unseen">{escape(plain(title))}</h1>\n'
    return f"<main>\n{named}{body}\n</main>"


def beginning(title: str, language: str, policy: str = "") -> str:
    """A document up to its body. `policy` is for one that comes without headers; links open a tab of their own."""
    says = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n' if policy else ""
    return (
        f'<!DOCTYPE html>\n<html lang="{escape(language)}">\n<head><meta charset="utf-8">\n{says}'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<title>{escape(plain(title))}</title>\n<base target="_blank">\n<style>{STYLE}</style>\n</head>\n<body>\n'
    )


END = "\n</body>\n</html>\n"


def document(parts: Parts, title: str, language: str) -> str:
    """A whole document, its pictures in it."""
    return beginning(title, language) + main(parts, title, _Pictures(parts).source) + END


def language_of(parts: Parts) -> str:
    """What an item of ours was written in."""
    language = header(parts.message, "X-Archiver-Locale").replace("_", "-")
    return language if language.replace("-", "").isalnum() and language.isascii() else "en"
