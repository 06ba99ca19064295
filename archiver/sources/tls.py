"""The certificate that a source shows, and whose it wants to see. Certificates are renewed while it runs."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog
from msgspec import Struct

from archiver.exceptions import EnvironmentFault
from archiver.sources.handshake import Context, Refuse

log = structlog.get_logger("archiver.sources")

AGAIN = 60.0
"""Seconds between looks whether the certificate was renewed."""


class Tls(Struct, frozen=True):
    """`certificate` (with its chain) and `key` are PEM files. With `clients`, only who has a certificate of one of the
    authorities in that file is let in."""

    certificate: Path
    key: Path
    clients: Path | None = None


def context_of(tls: Tls, refuse: Refuse = lambda reason, client: None) -> ssl.SSLContext:
    """Raises `EnvironmentFault` where the files can't be used."""
    context = Context(refuse)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    if tls.clients is not None:
        try:
            context.load_verify_locations(tls.clients)
        except (OSError, ssl.SSLError) as fault:
            raise _unusable(tls.clients, fault) from fault
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def keep_fresh(context: ssl.SSLContext, tls: Tls) -> None:
    """Take up a renewed certificate for the connections to come; until cancelled."""
    known = _stamp(tls)
    while True:
        await asyncio.sleep(AGAIN)
        found = _stamp(tls)
        if found == known:
            continue
        try:
            context_of(tls)  # key and certificate may be half renewed: tried on another first
            _load(context, tls)
        except EnvironmentFault as fault:
            log.error("certificate not taken up; trying again", why=str(fault), hint=fault.hint)
            continue
        known = found
        log.info("certificate taken up", certificate=str(tls.certificate))


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as fault:
        raise _unusable(tls.certificate, fault) from fault


def _no_password() -> str:
    """A key that asks for one would make the library ask on the terminal."""
    raise ValueError("the key is encrypted")


def _unusable(path: Path, fault: Exception) -> EnvironmentFault:
    why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
    return EnvironmentFault(
        f"{path} or its key can't be used: {why}",
        hint="both must be PEM files that the archiver's user may read, and belong together",
        path=str(path),
    )


def _stamp(tls: Tls) -> tuple[int, ...]:
    try:
        return tuple(path.stat().st_mtime_ns for path in (tls.certificate, tls.key))
    except OSError:
        return ()
