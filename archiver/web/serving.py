"""From an address to listen on to a server that listens there: its names, its TLS; until a signal.

Off this machine's own loopback nothing is served without TLS and a password: what people said would cross a network.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn
from msgspec import Struct
from starlette.types import ASGIApp

from archiver.exceptions import ConfigError, EnvironmentFault, UsageError
from archiver.web.access import Account

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_MOST = 64
"""Requests at a time."""
_GRACE = 10
"""Seconds that requests have to end once it is told to stop."""


class Listening(Struct, frozen=True):
    """Where and how. `hosts` are further names it may be called by, `certificate` and `key` paths of PEM files."""

    host: str
    port: int
    hosts: tuple[str, ...] = ()
    account: Account | None = None
    certificate: str = ""
    key: str = ""
    asks_nothing: bool = False

    @property
    def secure(self) -> bool:
        return bool(self.certificate)

    @property
    def has_token(self) -> bool:
        """Off loopback a token printed on a terminal helps nobody: there the password is asked."""
        return not self.asks_nothing and is_loopback(self.host)

    @property
    def url(self) -> str:
        """For who sits before this machine; one that listens everywhere is called by its first name."""
        host = self.hosts[0] if _is_any(self.host) and self.hosts else self.host
        return f"http{'s' if self.secure else ''}://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def names(self) -> frozenset[str]:
        """What a Host header may say, in lower case and without a port."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.casefold() for name in (own, *_LOCAL, *self.hosts) if name)


def checked(listening: Listening) -> Listening:
    """As it was given; raises `UsageError` where that would show people's conversations to a network."""
    if not listening.host:
        raise UsageError("--listen names no host", hint="write it as 127.0.0.1:8031")
    if is_loopback(listening.host):
        return listening
    where = f"{listening.host} can be reached from other machines"
    if listening.asks_nothing:
        raise UsageError(f"{where}: --no-token is for loopback only", hint="listen on 127.0.0.1, or leave it out")
    lacking = [
        key
        for key, value in (
            ("user and password", listening.account),
            ("certificate and key", listening.certificate),
            ("hosts", listening.hosts or not _is_any(listening.host)),
        )
        if not value
    ]
    if lacking:
        raise UsageError(
            f"{where}: that needs a password and TLS, and [web] lacks {', '.join(lacking)}",
            hint="set them in the configuration, or listen on 127.0.0.1 and reach it through `ssh -L`",
        )
    return listening


def is_loopback(host: str) -> bool:
    """Whether all that a name stands for is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ip_address(str(each[4][0]).partition("%")[0]).is_loopback for each in found)


def _is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


@contextmanager
def bound(listening: Listening) -> Iterator[tuple[socket.socket, int]]:
    """A socket that listens there, and its port: port 0 takes a free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listening.host, listening.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen()  # from now on whoever is told the address gets an answer, if later
            yield made, made.getsockname()[1]
    except OSError as error:
        raise EnvironmentFault(
            f"can't listen on {listening.host}:{listening.port}: {error.strerror or error}",
            hint="name another address with --listen, or stop what uses this one",
        ) from error


def serve(app: ASGIApp, listening: Listening, at: socket.socket) -> None:
    """Until SIGTERM or SIGINT. What is being answered then is answered still."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it tells of its own comings and goings at INFO
    context = _tls(listening) if listening.secure else None
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=listening.certificate or None,
        ssl_context_factory=(lambda *_: context) if context else None,
    )
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        asyncio.run(uvicorn.Server(config).serve([at]))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tls(listening: Listening) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listening.certificate, listening.key)
    except (OSError, ssl.SSLError) as error:
        key = "web.certificate, web.key"
        why = f"{key} = {listening.certificate!a}, {listening.key!a}: {error.strerror or error}"
        raise ConfigError(
            [why], hint="name a certificate and its key as PEM files that the archiver may read"
        ) from error
    return context
