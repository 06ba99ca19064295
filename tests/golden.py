"""Which items are kept as golden files: event file, owner, locale, zone. Shared by their test and their script."""

from __future__ import annotations

import re
import zlib
from functools import partial
from pathlib import Path

from conversation_builder import FIXTURES, everything, from_file, look_of, render

from archiver.rendering import Limits
from archiver.rendering.evidence import lines_of
from archiver.types import Item

EXPECTED = FIXTURES / "expected"

BROWSED = (
    ("edit_and_retract", "bob@example.org", "en", "Europe/London"),
    ("reactions_and_replies", "alice@example.org", "en", "UTC"),
    ("whisper", "bob@example.org", "en", "UTC"),
    ("whisper", "carol@example.org", "en", "UTC"),
    ("dst_night", "alice@example.org", "en", "Europe/Berlin"),
    ("cjk_names", "kobayashi@example.org", "zh_Hant", "Asia/Taipei"),
    ("missed", "bob@example.org", "en", "America/New_York"),
    ("file_and_inline_image", "alice@example.org", "en", "UTC"),
    ("poll", "alice@example.org", "zh_Hant", "Asia/Taipei"),
    ("meeting", "w_1", "en", "Europe/Berlin"),
    ("whisper", "archive", "en", "UTC"),
    ("edit_and_retract", "archive", "zh_Hant", "Asia/Taipei"),
    ("file_and_inline_image", "archive", "en", "UTC"),
    ("meeting", "archive", "en", "Europe/Berlin"),
)
"""Those that tests of panes and exports are filled with. The archive's items are nobody's own."""
GOLDEN = (
    *BROWSED,
    ("guessed", "alice@example.org", "en", "Europe/Berlin"),
    ("guessed", "bob@example.org", "zh_Hant", "Asia/Taipei"),
)


def stored(digest: str) -> bytes | None:
    path = FIXTURES / "events" / "files" / digest
    return path.read_bytes() if path.is_file() else None


def golden_path(name: str, owner: str) -> Path:
    return EXPECTED / f"{name}.{owner.partition('@')[0]}.eml"


def golden_item(name: str, owner: str, locale: str, zone: str) -> Item:
    conversation = from_file(name)
    look = everything if owner == "archive" else partial(look_of, owner=owner)
    (item,) = render(conversation, [look(conversation, locale=locale, zone=zone)], stored, Limits(file=1_000_000))
    return item


def comparable(content: bytes) -> bytes:
    """An item with its events unpacked: another zlib may pack them otherwise, and names itself in the header."""
    named = re.sub(rb"zlib/[0-9.]+(?:\.zlib-ng)?", b"zlib/*", content)
    opaque = named[named.index(b'filename="conversation.ndjson.gz"\n\n') :].partition(b"\n--=_")[0]
    return named.replace(opaque, b"\n".join(lines_of(content)))


SAME_ZLIB = f"zlib/{zlib.ZLIB_RUNTIME_VERSION}".encode()
