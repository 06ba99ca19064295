"""The text in a message's `attributedBody`, where its `text` is empty: the string of an archived attributed string.

Written by NSArchiver ("typedstream"): behind the class NSString comes the mark `+`, a length, and UTF-8. Only that
string is looked for; nothing is unpacked or run.
"""

from __future__ import annotations

MAGIC = b"streamtyped"
LIMIT = 1024 * 1024
_CLASS = (b"NSString", b"NSMutableString")
_MARK = b"\x01+"
NEAR = 32
"""Bytes behind the class's name in which its value begins."""
OBJECT = "\ufffc"
"""Stands in the text where an attachment is."""


def text_of(body: bytes) -> str | None:
    """None where no text can be found. A body that is no archive is taken as text itself, if it is text."""
    if MAGIC not in body[:32]:
        return _bare(body)
    for name in _CLASS:
        at = body.find(name)
        mark = body.find(_MARK, at, at + len(name) + NEAR) if at >= 0 else -1
        if mark >= 0:
            return _string(body, mark + len(_MARK))
    return None


def plain(text: str) -> str:
    """The words of a text, without the marks that stand for attachments: what is on both sides of one is two lines."""
    lines = (piece.replace("\r\n", "\n").replace("\r", "\n").strip("\n") for piece in text.split(OBJECT))
    return "\n".join(filter(None, lines))


def _string(body: bytes, at: int) -> str | None:
    """A length of one byte, of two behind 0x81, of four behind 0x82, and as many bytes of UTF-8."""
    width = {0x81: 2, 0x82: 4}.get(body[at] if at < len(body) else -1, 0)
    start = at + 1 + width
    length = int.from_bytes(body[at + 1 : start], "little") if width else int.from_bytes(body[at:start], "little")
    if length > LIMIT or start + length > len(body):
        return None
    return body[start : start + length].decode("utf-8", "replace")


def _bare(body: bytes) -> str | None:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= LIMIT and all(each.isprintable() or each in "\n\t" for each in text) else None
