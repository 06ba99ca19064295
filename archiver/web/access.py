"""Who may read: one-time tokens, a password, and the sessions that they open. Holds no HTTP.

A token stands in a URL, which browsers keep and shells show: so it opens one session, and is worth nothing after.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from threading import Lock

from msgspec import Struct

from archiver.events import SECOND
from archiver.exceptions import TryLater
from archiver.web import password as passwords

LASTS = 12 * 3_600 * SECOND
"""How long a session lasts, in microseconds."""
_PAUSE, _PATIENCE = 0.5, 3.0
"""Seconds: after a wrong password, and at most until it is one's turn to try."""
_MOST = 1_000
"""Sessions; the oldest gives way."""


class Account(Struct, frozen=True):
    """Who may enter with a password: `hashed` is as `password.made` gives it."""

    user: str
    hashed: str


class Access:
    """`account` is None where nobody may enter with a password; `asks_nothing` where all who reach us may."""

    def __init__(self, clock: Callable[[], int], *, account: Account | None = None, asks_nothing: bool = False) -> None:
        self._clock = clock
        self.account = account
        self.asks_nothing = asks_nothing
        self._token = b""
        self._sessions: dict[bytes, int] = {}
        self._lock = Lock()
        self._trying = Lock()

    def token(self) -> str:
        """A new one; the one before it is worth nothing any more."""
        made = secrets.token_urlsafe(32)
        with self._lock:
            self._token = _digest(made)
        return made

    def enter_by_token(self, token: str) -> str | None:
        """The session that it opens, once."""
        with self._lock:
            good = bool(self._token) and compare_digest(self._token, _digest(token))
            if good:
                self._token = b""
        return self._session() if good else None

    def enter_by_password(self, user: str, password: str) -> str | None:
        """One at a time: guessing is slow, and takes no more memory than one guess. `TryLater` where others guess."""
        if self.account is None:
            return None
        if not self._trying.acquire(timeout=_PATIENCE):
            raise TryLater("others are entering at this moment", hint="try once more")
        try:
            good = passwords.matches(self.account.hashed, password)
            good &= compare_digest(user.encode("utf-8", "replace"), self.account.user.encode())
            if not good:
                time.sleep(_PAUSE)
        finally:
            self._trying.release()
        return self._session() if good else None

    def _session(self) -> str:
        made = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[_digest(made)] = self._clock() + LASTS
            while len(self._sessions) > _MOST:
                del self._sessions[next(iter(self._sessions))]
        return made

    def admits(self, session: str) -> bool:
        if self.asks_nothing:
            return True
        digest = _digest(session)
        with self._lock:
            ends = self._sessions.get(digest, 0)
            if ends <= self._clock():
                self._sessions.pop(digest, None)
                return False
        return True

    def leave(self, session: str) -> None:
        with self._lock:
            self._sessions.pop(_digest(session), None)


def _digest(secret: str) -> bytes:
    """What is compared and kept: by how long it takes to look it up nobody learns a secret."""
    return sha256(secret.encode("utf-8", "replace")).digest()
