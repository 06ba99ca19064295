"""Secrets of those who may write, compared in constant time: of tokens only digests are kept. Not what each may do."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from archiver.exceptions import EnvironmentFault

LEAST = 20
"""Characters of a secret: what is shorter can be guessed."""


class Secret(Struct, frozen=True):
    """A sender's, by the sender's name; known by one of: its SHA-256 (hex), a file, an environment variable."""

    name: str
    sha256: str = ""
    file: str = ""
    env: str = ""

    def digest(self) -> bytes:
        """Raises `EnvironmentFault` where it can't be had."""
        return bytes.fromhex(self.sha256) if self.sha256 else digest_of(self.plain())

    def plain(self) -> str:
        """As it is, for who signs with it: not where only its digest is known. Raises like `digest`."""
        secret = _content(self.name, self.file) if self.file else os.environ.get(self.env, "").strip()
        if len(secret) < LEAST:
            where = self.file or f"the variable {self.env}"
            raise EnvironmentFault(
                f"the secret of {self.name} in {where} is shorter than {LEAST} characters",
                hint="make one with: openssl rand -hex 32",
            )
        return secret


class LogIns:
    """Who logs in by name and password. Raises `EnvironmentFault` where a secret can't be had."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._digests = [(each.name.encode(), each.digest()) for each in secrets]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def are(self, name: bytes, password: bytes) -> bool:
        """Looks at every one, whoever comes."""
        digest = digest_of(password.decode("utf-8", "surrogateescape"))
        found = False
        for known, its in self._digests:
            found |= hmac.compare_digest(known, name) & hmac.compare_digest(its, digest)
        return found


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _content(name: str, file: str) -> str:
    try:
        return Path(file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "not plain ASCII"
        raise EnvironmentFault(
            f"the secret of {name} can't be read from {file}: {why}",
            hint="let the archiver's user read it, or name another file",
        ) from fault
