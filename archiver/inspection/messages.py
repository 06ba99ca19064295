"""One message as a reader sees it: headers and text. Also takes what others put in the folders, however broken.

The standard library's parser, not the writer's own: what it reads is what mail clients read.
"""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage, Message, MIMEPart

from archiver.events import microseconds

_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_MOST = 1024 * 1024
"""Of headers; nobody writes more."""


def headers_of(content: bytes) -> EmailMessage:
    """The message without its body: a listing must not unpack every attachment."""
    end = _HEADERS_END.search(content, 0, _MOST)
    return message_from_bytes(content[: end.end() if end else _MOST], EmailMessage, policy=policy.default)


def parsed(content: bytes) -> EmailMessage:
    """With its parts; without them where the parser fails on them, as on parts within parts without end."""
    try:
        return message_from_bytes(content, EmailMessage, policy=policy.default)
    except Exception:
        return headers_of(content)


def header(message: Message, name: str) -> str:
    """Its value, decoded; as it stands there if that can't be done; empty if there is none."""
    try:
        return str(message.get(name, ""))
    except Exception:  # the parser fails in many ways on what it was never meant for
        return next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")


def people_of(message: EmailMessage) -> frozenset[str]:
    return frozenset(address for name in ("From", "To", "Cc") for address in _addresses(message, name))


def _addresses(message: EmailMessage, name: str) -> list[str]:
    try:
        return [each.addr_spec for each in getattr(message.get(name), "addresses", ()) if each.addr_spec]
    except Exception:
        return []


def date_of(message: EmailMessage) -> int | None:
    try:
        stated = getattr(message.get("Date"), "datetime", None)
        return None if stated is None or stated.tzinfo is None else microseconds(stated)
    except Exception:
        return None


def text_of(message: EmailMessage) -> str:
    """The plain text, or else the HTML as it is; empty where there is neither, or its parts can't be told."""
    try:
        body = message.get_body(("plain", "html"))
    except Exception:
        return ""
    return "" if body is None else _text(body)


def _text(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a charset that nobody knows
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def parts_of(content: bytes) -> Message:
    """The message with its parts; empty where the parser fails on it."""
    try:
        return message_from_bytes(content)
    except Exception:
        return Message()


def attached(message: Message) -> list[str]:
    """File names of its parts."""
    try:
        return [name for part in message.walk() if (name := part.get_filename())]
    except Exception:  # the parser fails in many ways on what it was never meant for
        return []
