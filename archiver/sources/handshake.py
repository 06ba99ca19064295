"""TLS as its server sees it begin: whoever fails is sent the alert that says why, and is told of.

asyncio does neither: the alert stays in a buffer, and of a handshake that failed nobody hears. Holds no certificates.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from archiver.sources.listening import ACCEPTED

SECONDS = 20.0
"""For a handshake."""
PENDING = 200
"""Handshakes of one context at a time: nobody counts these connections yet, and each takes 256 KiB."""

Refuse = Callable[[str, str], None]
"""Is told of a handshake that failed: the reason, in OpenSSL's words, and the client's address, "" at a socket file."""


class Handshake(ssl.SSLObject):
    """One client's TLS. `begin` before all else, in the context of who accepted it."""

    def begin(self, outgoing: ssl.MemoryBIO, refuse: Refuse, ended: Callable[[Handshake], None]) -> None:
        """`ended` is called once it is over, however."""
        self._outgoing = outgoing
        self._refuse = refuse
        self._ended = ended
        self._accepted = ACCEPTED.get()
        self._turns = 0
        self._patience = asyncio.get_running_loop().call_later(SECONDS, self._lose_patience)

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._turns += 1  # the first is before anything has come
            raise
        except ssl.SSLError as fault:
            self._end()
            self._tell(_reason_of(fault))
            self._alert()
            raise
        self._end()

    def give_way(self) -> None:
        """To another, as the one that took longest."""
        self._cut_off("too many at once")

    def _end(self) -> None:
        self._patience.cancel()
        self._ended(self)

    def _alert(self) -> None:
        """RFC 8446, 6.2: whoever ends a handshake says why. What asyncio does next is to close the connection."""
        if self._accepted is not None:
            with suppress(OSError):
                self._accepted.connection.send(self._outgoing.read())

    def _lose_patience(self) -> None:
        """Who said nothing at all did nothing wrong."""
        self._cut_off("too slow" if self._turns > 1 else "")

    def _cut_off(self, reason: str) -> None:
        self._end()
        if self._accepted is None or self._accepted.connection.fileno() < 0:  # it left by itself
            return
        if reason:
            self._tell(reason)
        with suppress(OSError):
            self._accepted.connection.shutdown(socket.SHUT_RDWR)

    def _tell(self, reason: str) -> None:
        self._refuse(f"TLS: {reason}", self._accepted.client if self._accepted is not None else "")


class Context(ssl.SSLContext):
    """A server's, whose failed handshakes `refuse` is told of."""

    sslobject_class = Handshake

    def __new__(cls, refuse: Refuse) -> Context:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self._pending: dict[Handshake, None] = {}

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *given: Any, **named: Any) -> Handshake:
        made = super().wrap_bio(incoming, outgoing, *given, **named)
        assert isinstance(made, Handshake)
        made.begin(outgoing, self._refuse, self._ended)
        self._pending[made] = None
        if len(self._pending) > PENDING:
            next(iter(self._pending)).give_way()
        return made

    def _ended(self, handshake: Handshake) -> None:
        self._pending.pop(handshake, None)


def _reason_of(fault: ssl.SSLError) -> str:
    """One of the fixed set that OpenSSL has: nothing that a client could make up."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return fault.verify_message
    return (fault.reason or "handshake failed").replace("_", " ").lower()
