"""The live sources: whether each could be started as it is configured. Leaves no trace with anybody."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from archiver.config import Config
from archiver.config.sources import MatrixTable, Posted, WebhookTable
from archiver.daemon.sources import sources_of
from archiver.doctor.finding import Check, Finding, Verdict
from archiver.exceptions import ArchiverError


def sources(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """Each alone, so that one that fails hides nothing of the others."""
    for name, make in sources_of(config, data).items():
        try:
            source = make()
            source.probe()
        except ArchiverError as fault:
            yield Finding(name, Verdict.BAD, str(fault), fault.hint)
        else:
            yield Finding(name, Verdict.OK, source.describe())


def privacy(config: Config, data: Path, now: int) -> Iterator[Finding]:
    for table in config.source:
        if not isinstance(table, MatrixTable | Posted | WebhookTable) or table.certificate:
            continue
        if _is_open(table.listen.host, table.listen.path):
            found = f"{table.listen.host}:{table.listen.port} takes tokens and what people say without TLS"
            advice = "give it a certificate and key, or let it listen on loopback behind a proxy that has one"
            yield Finding(f"{table.type}:{table.name}'s privacy", Verdict.WARN, found, advice)


def _is_open(host: str, path: str) -> bool:
    """Whether others than this machine's own can talk there."""
    if path or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


CHECKS: tuple[Check, ...] = (sources, privacy)
