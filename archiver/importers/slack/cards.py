"""What a message of Slack's shows beside its text: what apps attach, messages that were forwarded, blocks. Pure.

All in Slack's markup, as its text is. Previews of links, which Slack adds later by itself, are nobody's words: people
attach nothing but what they forward. Source: Slack, "Secondary message attachments" and "Block Kit".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DEPTH = 20
_MARKED = {"user": ("<@{}>", "user_id"), "channel": ("<#{}>", "channel_id"), "emoji": (":{}:", "name")}
_LINES = frozenset(("rich_text", "rich_text_list", "actions"))
"""Elements of these stand on lines of their own."""


def shown(text: str, attachments: Any, blocks: Any, *, is_app: bool) -> str:
    """The text, else that of the blocks, and what is attached, by an app or a person."""
    attached = (_attached(each, is_app) for each in _listed(attachments))
    return "\n".join(filter(None, (text or _of_blocks(blocks), *attached)))


def _attached(each: Any, is_app: bool) -> str:
    if not isinstance(each, dict) or not (each.get("is_share") or (is_app and not _is_preview(each))):
        return ""
    title, link = _text(each, "title"), _text(each, "title_link")
    fields = (_field(field) for field in _listed(each.get("fields")))
    said = (_text(each, "pretext"), f"<{link}|{title}>" if title and link else title, _text(each, "text"), *fields)
    told = "\n".join(filter(None, said)) or _of_blocks(each.get("blocks")) or _text(each, "fallback")
    return f"[forwarded] {told}" if each.get("is_share") and told else told


def _is_preview(each: dict[Any, Any]) -> bool:
    return any(each.get(name) for name in ("from_url", "app_unfurl_url", "is_app_unfurl"))


def _field(field: Any) -> str:
    if not isinstance(field, dict):
        return ""
    return ": ".join(filter(None, (_text(field, "title"), _text(field, "value"))))


def _of_blocks(blocks: Any) -> str:
    return "\n".join(filter(None, ("".join(_words(each, DEPTH)) for each in _listed(blocks))))


def _words(block: Any, depth: int) -> Iterator[str]:
    """Of a block or an element of one, in order."""
    if not isinstance(block, dict) or depth == 0:
        return
    form, name = _MARKED.get(_text(block, "type"), ("", ""))
    text = block.get("text")
    if form:
        yield form.format(_text(block, name))
    elif isinstance(text, dict):
        yield _text(text, "text")
    elif _text(block, "type") == "link":
        yield f"<{_text(block, 'url')}|{_escaped(_text(block, 'text') or _text(block, 'url'))}>"
    elif isinstance(text, str):
        # Only what is marked `mrkdwn` is markup: in others these signs mean themselves.
        yield text if _text(block, "type") == "mrkdwn" else _escaped(text)
    elif _text(block, "type") == "image":
        yield _text(block, "alt_text")
    parts = ["".join(_words(each, depth - 1)) for each in _listed(block.get("elements"))]
    fields = ["".join(_words(each, depth - 1)) for each in _listed(block.get("fields"))]
    yield ("\n" if _text(block, "type") in _LINES else "").join(parts)
    yield "".join(f"\n{each}" for each in fields)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(holder: dict[Any, Any], name: str) -> str:
    found = holder.get(name)
    return found if isinstance(found, str) else ""


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
