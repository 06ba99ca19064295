"""Who may write: senders, known by a bearer token (RFC 6750) of which only the digest is kept."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from archiver.events import any_of
from archiver.sources.credentials import digest_of

_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)


class Sender(Struct, frozen=True):
    """`digest` is the SHA-256 of its token; `sources` are patterns; `rate` is events a second, 0 for any number."""

    name: str
    digest: bytes
    sources: tuple[str, ...]
    rate: int = 0


class Known:
    """A sender at work: what it may write, and how much just now. `clock` gives seconds that never go back."""

    def __init__(self, sender: Sender, clock: Callable[[], float]) -> None:
        self.name = sender.name
        self.digest = sender.digest
        self._sources = any_of(sender.sources)
        self._rate = sender.rate
        self._clock = clock
        self._left = float(sender.rate)
        self._since = clock()

    def may_write(self, source: str) -> bool:
        return self._sources.fullmatch(source) is not None

    def wait(self) -> float:
        """Seconds until it may send again; 0 for now. One request may go over what is left, and is waited for then."""
        self._refill()
        return 0.0 if not self._rate or self._left > 0 else (1 - self._left) / self._rate

    def spend(self, events: int) -> None:
        self._refill()
        self._left -= events

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(float(self._rate), self._left + (now - self._since) * self._rate)
        self._since = now


class Senders:
    def __init__(self, senders: Iterable[Sender], clock: Callable[[], float]) -> None:
        self._known: Sequence[Known] = [Known(each, clock) for each in senders]

    def __contains__(self, name: str) -> bool:
        return any(known.name == name for known in self._known)

    def by_authorization(self, header: str) -> Known | None:
        """Whose token an Authorization header bears. Takes the same time whoever it is, and whether anybody."""
        match = _BEARER.fullmatch(header)
        given = digest_of(match[1] if match else "")
        found = None
        for known in self._known:
            if hmac.compare_digest(known.digest, given):
                found = known
        return found
