"""What an event says of a shared file -> its content by SHA-256, taken out of the event.

Content comes in the event (base64) or lies beside the event file; a URL is recorded, never fetched. What can't be
had is noted, and the event stands without it. What lies beside is found by whom the event comes from.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

CHUNK = 1024 * 1024
_DIGEST = re.compile("[0-9a-fA-F]{64}")

Beside = Callable[[str], "bytes | Path | None"]
"""A relative path -> what lies there beside an event file, None where nothing may be had."""


class Content(NamedTuple):
    sha256: str
    data: bytes | Path


def take_content(attachment: dict[str, Any], beside: Beside | None, notes: list[str]) -> Content | None:
    """Replace `content` or `path` by `sha256` and `size`; None where there is nothing to store."""
    content = None
    if attachment.get("content") is not None:
        content = _inline(attachment, notes)
    elif attachment.get("path") is not None:
        content = _beside(attachment, beside, notes)
    if content is None:
        _check_claims(attachment, notes)
    return content


def _check_claims(attachment: dict[str, Any], notes: list[str]) -> None:
    """What is only said of a file: no size below nothing, and no digest that is none."""
    if (attachment.get("size") or 0) < 0:
        del attachment["size"]
        notes.append("attachment size below zero")
    digest = attachment.get("sha256")
    if digest is None:
        return
    if _DIGEST.fullmatch(digest):
        attachment["sha256"] = digest.lower()
    else:
        del attachment["sha256"]
        notes.append("attachment digest isn't SHA-256")


def _inline(attachment: dict[str, Any], notes: list[str]) -> Content | None:
    text = attachment.pop("content")
    try:
        data = binascii.a2b_base64("".join(text.split()).encode(), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        notes.append("attachment content isn't base64")
        return None
    digest = hashlib.sha256(data).hexdigest()
    _describe(attachment, digest, len(data), notes)
    return Content(digest, data)


def _beside(attachment: dict[str, Any], beside: Beside | None, notes: list[str]) -> Content | None:
    relative = attachment["path"]
    data = None if beside is None else beside(relative)
    if data is None:
        notes.append("attachment file unavailable")
        return None
    try:
        digest, size = digest_of(data)
    except OSError:
        notes.append("attachment file unreadable")
        return None
    attachment.setdefault("name", relative.rsplit("/", 1)[-1])
    del attachment["path"]
    _describe(attachment, digest, size, notes)
    return Content(digest, data)


def digest_of(data: bytes | Path) -> tuple[str, int]:
    """SHA-256 as hex, and bytes. Raises `OSError`."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest(), len(data)
    digest, size = hashlib.sha256(), 0
    with data.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _describe(attachment: dict[str, Any], digest: str, size: int, notes: list[str]) -> None:
    stated = attachment.get("sha256")
    if stated is not None and stated.lower() != digest:
        notes.append("attachment digest differed")
    attachment["sha256"] = digest
    attachment["size"] = size
