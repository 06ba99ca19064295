"""What a message of Slack's shows beside its text: what apps attach, messages that were forwarded, blocks. Pure.

All in Slack's markup, as its text is. Previews of links, which Slack adds later by itself, are nobody's words: people
attach nothing but what they forward. Source: Slack, "Block Kit".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archiver.importers.cards import listed, text_in, words_of

DEPTH = 20
_MARKED = {
    "user": ("<@{}>", "user_id"),
    "usergroup": ("<!subteam^{}>", "usergroup_id"),
    "broadcast": ("<!{}>", "range"),
    "channel": ("<#{}>", "channel_id"),
    "emoji": (":{}:", "name"),
    "date": ("{}", "fallback"),
}
_LINES = frozenset(("rich_text", "rich_text_list", "actions"))
"""Elements of these stand on lines of their own."""


def shown(text: str, attachments: Any, blocks: Any, *, is_app: bool) -> str:
    """The text, else that of the blocks, and what is attached, by an app or a person."""
    attached = (_attached(each, is_app) for each in listed(attachments))
    return "\n".join(filter(None, (text or _of_blocks(blocks), *attached)))


def _attached(each: Any, is_app: bool) -> str:
    if not isinstance(each, dict) or not (each.get("is_share") or (is_app and not _is_preview(each))):
        return ""
    told = words_of(each, _linked) or _of_blocks(each.get("blocks")) or text_in(each, "fallback")
    return f"[forwarded] {told}" if each.get("is_share") and told else told


def _is_preview(each: dict[Any, Any]) -> bool:
    return any(each.get(name) for name in ("from_url", "app_unfurl_url", "is_app_unfurl"))


def _linked(title: str, link: str) -> str:
    return f"<{link}|{title}>"


def _of_blocks(blocks: Any) -> str:
    return "\n".join(filter(None, ("".join(_words(each, DEPTH)) for each in listed(blocks))))


def _words(block: Any, depth: int) -> Iterator[str]:
    """Of a block or an element of one, in order."""
    if not isinstance(block, dict) or depth == 0:
        return
    form, name = _MARKED.get(text_in(block, "type"), ("", ""))
    text = block.get("text")
    if form:
        yield form.format(text_in(block, name))
    elif isinstance(text, dict):
        yield text_in(text, "text")
    elif text_in(block, "type") == "link":
        yield f"<{text_in(block, 'url')}|{_escaped(text_in(block, 'text') or text_in(block, 'url'))}>"
    elif isinstance(text, str):
        # Only what is marked `mrkdwn` is markup: in others these signs mean themselves.
        yield text if text_in(block, "type") == "mrkdwn" else _escaped(text)
    elif text_in(block, "type") == "image":
        yield text_in(block, "alt_text")
    parts = ["".join(_words(each, depth - 1)) for each in listed(block.get("elements"))]
    fields = ["".join(_words(each, depth - 1)) for each in listed(block.get("fields"))]
    yield ("\n" if text_in(block, "type") in _LINES else "").join(parts)
    yield "".join(f"\n{each}" for each in fields)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
