"""Passwords as scrypt hashes (RFC 7914), in one line that a configuration can hold (`config.settings.password`)."""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from hashlib import scrypt
from hmac import compare_digest

_COST, _BLOCK, _PARALLEL = 1 << 15, 8, 1
_MEMORY = 64 * 1024 * 1024
"""Bytes that one hash may take; it takes half."""
LONGEST = 1_024
"""Characters of a password."""


def made(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"scrypt${b64encode(salt).decode()}${b64encode(_hash(password, salt)).decode()}"


def matches(hashed: str, password: str) -> bool:
    _, salt, digest = hashed.split("$")
    return compare_digest(_hash(password, b64decode(salt)), b64decode(digest))


def _hash(password: str, salt: bytes) -> bytes:
    octets = password[:LONGEST].encode("utf-8", "surrogatepass")
    return scrypt(octets, salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY, dklen=32)
