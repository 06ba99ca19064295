"""Names on disk: folders, base names, flags, and the parts of addresses that become path components. Pure.

Nothing that passes here can leave the directory it is used in: no component is empty, `.` or `..`, holds a slash or a
control character, or is longer than a file system takes. Where addresses become whole paths is `template`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from functools import lru_cache
from hashlib import sha256
from typing import Literal
from urllib.parse import unquote_to_bytes

import idna

from archiver.exceptions import ItemError
from archiver.store import mutf7

Encoding = Literal["utf-7", "utf-8"]
"""How the mail server writes folder names on disk: modified UTF-7, or UTF-8 where it is told so."""

INBOX = "INBOX"
LONGEST = 255
"""Bytes in one path component (NAME_MAX of every Linux file system that matters)."""

_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._+-")
_NAME = re.compile(r"[A-Za-z0-9_+=@-][A-Za-z0-9._+=@-]{0,199}")
_FLAGS = re.compile(r"[A-Za-z]*")
_NARROWEST = 64


def normal_address(address: str) -> tuple[str, str]:
    """Local part and domain as the mail server knows them: NFC, case-folded, the domain as A-label (RFC 5890)."""
    local, at, domain = address.rpartition("@")
    if not (at and local and domain):
        raise ItemError(f"{address!r} is not a mailbox address", mailbox=address)
    return _folded(local), _a_label(_folded(domain))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _a_label(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:  # an address literal, an underscore: still a name of its own on disk
        return domain


def escape(text: str, limit: int = 200) -> str:
    """A path component that no other text has. `=` stands only before a digest: escaping never yields it."""
    code = text.encode("utf-8", "surrogatepass")
    escaped = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in code)
    if escaped.startswith("."):
        escaped = "%2E" + escaped[1:]
    if len(escaped) <= limit:
        return escaped
    return escaped[:limit] + "=" + sha256(code).hexdigest()[:32]


def unescape(component: str) -> str:
    return unquote_to_bytes(component).decode("utf-8", "surrogatepass")


def check_folder(folder: str) -> str | None:
    """What is wrong with a folder name, None if nothing. `/` stands between levels."""
    for level in folder.split("/"):
        if not level.strip():
            return "a level of it is empty"
        if "." in level:
            return "it holds a '.', which separates levels on disk (Maildir++)"
        if any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in level):
            return "it holds a control character"
    if (LONGEST - 1) // (folder.count("/") + 1) <= _NARROWEST and len(folder) > _NARROWEST:
        return "it has too many levels"
    return None


@lru_cache(maxsize=1024)
def folder_on_disk(folder: str, encoding: Encoding = "utf-7") -> str:
    """The Maildir++ directory of a folder, "" for INBOX; as `os.fsdecode` gives it."""
    if folder.upper() == INBOX:
        return ""
    problem = check_folder(folder)
    if problem:
        raise ItemError(f"folder name {folder!r} can't be used: {problem}", folder=folder)
    levels = unicodedata.normalize("NFC", folder).split("/")
    codes = [_encoded(level, encoding) for level in levels]
    if sum(map(len, codes)) + len(codes) > LONGEST:
        room = (LONGEST - len(codes)) // len(codes)
        codes = [_fitting(level, room, encoding) for level in levels]
    return os.fsdecode(b"".join(b"." + code for code in codes))


def _encoded(level: str, encoding: Encoding) -> bytes:
    return mutf7.encode(level).encode("ascii") if encoding == "utf-7" else level.encode("utf-8")


def _fitting(level: str, room: int, encoding: Encoding) -> bytes:
    """The level, or as much of its start as fits before a digest. The cut name is a name that fits as it is."""
    code = _encoded(level, encoding)
    tail = "~" + sha256(level.encode()).hexdigest()[:16]
    kept = min(len(level), room)
    while len(code) > room:
        kept -= 1
        code = _encoded(unicodedata.normalize("NFC", level[:kept] + tail), encoding)
    return code


@lru_cache(maxsize=1024)
def folder_from_disk(directory: str, encoding: Encoding = "utf-7") -> str | None:
    """The folder a Maildir++ directory is, None if it isn't one that `folder_on_disk` would lead back to."""
    code = os.fsencode(directory)
    if not code.startswith(b".") or code == b".":
        return None
    try:
        levels = [_decoded(level, encoding) for level in code[1:].split(b".")]
    except UnicodeDecodeError:
        return None
    folder = "/".join(level or "" for level in levels)
    return folder if check_folder(folder) is None and folder.upper() != INBOX else None


def _decoded(level: bytes, encoding: Encoding) -> str | None:
    return mutf7.decode(level.decode("ascii")) if encoding == "utf-7" else level.decode("utf-8")


def checked_name(name: str) -> str:
    """A base name of ours as it is. Any other is a bug of whoever computed it: hence no `ArchiverError`."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"not an item's base name: {name!r}")
    return name


def can_lie(name: str) -> bool:
    """Whether a file can be called so at all: servers and owners name their messages as they like."""
    return bool(name) and "/" not in name and "\0" not in name


def file_name(name: str, flags: str) -> tuple[str, str]:
    """Subdirectory and file name of an item with these flags; without any it is new."""
    if not _FLAGS.fullmatch(flags):
        raise ValueError(f"not Maildir flags: {flags!r}")
    return ("cur", f"{name}:2,{''.join(sorted(set(flags)))}") if flags else ("new", name)


def split_file_name(file: str) -> tuple[str, str]:
    """Base name and flags of what lies in new or cur; a server's own additions (`,S=123`) belong to the base name."""
    name, _, info = file.partition(":")
    return name, "".join(sorted(set(info[2:]))) if info.startswith("2,") else ""
