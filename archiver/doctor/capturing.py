"""The live sources: whether each could be started as it is configured. Leaves no trace with anybody."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from archiver.config import Config
from archiver.config.sources import SourceTable
from archiver.config.sources.connecting import ComponentTable
from archiver.config.sources.mail import Mail
from archiver.config.sources.posted import Posted, WebhookTable, XmppTable
from archiver.config.sources.servers import JanusTable, MatrixTable
from archiver.daemon.sources import memory_of, sources_of
from archiver.doctor.finding import Check, Finding, Verdict
from archiver.events import SECOND
from archiver.exceptions import ArchiverError
from archiver.servers import MODULES
from archiver.sources.janus.asking import PACKAGES, SAMPLE_HANDLER, Api
from archiver.sources.xmpp.remembering import Module, modules_heard
from archiver.sources.xmpp.source import SILENCE


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


def modules(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """What XMPP servers' modules were heard of, as the daemon has it."""
    for table in config.source:
        if isinstance(table, XmppTable):
            name, heard = f"{table.type}:{table.name}'s modules", modules_heard(memory_of(table, data))
            if not heard:
                advice = "`archiver xmpp install` copies one into its server; the server's log says why it isn't heard"
                yield Finding(name, Verdict.WARN, "none was heard yet", advice)
            yield from (_module(name, each, now) for each in heard)


def _module(name: str, heard: Module, now: int) -> Finding:
    silent = max(0, now - heard.heard) // SECOND
    found = f"{heard.sender}: {heard.agent}, {heard.waiting} records waiting, heard {silent} s ago"
    if silent * SECOND > SILENCE:
        advice = "is its server running, with the module, and can it reach the daemon? its log says"
        return Finding(name, Verdict.BAD, found, advice)
    for each in MODULES.values():
        if each.server in heard.agent.lower() and f"/{each.version} " not in heard.agent:
            advice = (
                f"version {each.version} is shipped: `archiver xmpp install {each.server}`, then restart the server"
            )
            return Finding(name, Verdict.WARN, found, advice)
    return Finding(name, Verdict.OK, found)


def conferences(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """What Janus says of itself, where it may be asked."""
    for table in config.source:
        if not isinstance(table, JanusTable) or not table.api:
            continue
        name = f"{table.type}:{table.name}'s server"
        try:
            info = Api(table.api).info()
        except ArchiverError as fault:
            yield Finding(name, Verdict.BAD, str(fault), fault.hint)
            continue
        missing = [each for each in (SAMPLE_HANDLER, *PACKAGES.values()) if each not in info.events | info.plugins]
        found = f"Janus {info.version_string}" + (f", without {', '.join(missing)}" if missing else "")
        if SAMPLE_HANDLER in missing or not info.event_handlers:
            advice = "switch on `broadcast` in janus.jcfg and `enabled` in janus.eventhandler.sampleevh.jcfg"
            yield Finding(name, Verdict.BAD, f"{found}: it tells nobody what happens", advice)
        else:
            yield Finding(name, Verdict.OK, found)


def privacy(config: Config, data: Path, now: int) -> Iterator[Finding]:
    for table in config.source:
        if isinstance(table, ComponentTable) and _is_open(table.server.host, ""):
            found = f"what people say comes from {table.server.host}:{table.server.port} without TLS"
            advice = "let ejabberd listen on loopback, or reach it by a tunnel"
            yield Finding(f"{table.type}:{table.name}'s privacy", Verdict.WARN, found, advice)
        if not isinstance(table, JanusTable | MatrixTable | Posted | WebhookTable) or table.certificate:
            continue
        if _is_open(table.listen.host, table.listen.path):
            found = f"{table.listen.host}:{table.listen.port} takes tokens and what people say without TLS"
            advice = "give it a certificate and key, or let it listen on loopback behind a proxy that has one"
            yield Finding(f"{table.type}:{table.name}'s privacy", Verdict.WARN, found, advice)


def strangers(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """Mail that anybody can hand in is anybody's history: events in it say who said what."""
    for name, table in _tables(config):
        reached = [place for _, place in table.endpoints if _is_open(place.host, place.path)]
        if isinstance(table, Mail) and reached and not table.clients and not table.login:
            found = f"{reached[0].host}:{reached[0].port} takes mail, and what it tells, from anybody who reaches it"
            advice = "name the networks of its clients, or a login; or let it listen on loopback only"
            yield Finding(f"{name}'s strangers", Verdict.WARN, found, advice)


def secrets(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """Whoever reads one can write as its owner."""
    for name, table in _tables(config):
        for file in dict.fromkeys(_secret_files(table)):
            with suppress(OSError):  # `sources` tells of one that can't be read
                mode = Path(file).stat().st_mode & 0o777
                if mode & 0o007:
                    advice = f"others can read it: chmod o= {file}"
                    yield Finding(f"{name}'s secrets", Verdict.WARN, f"{file} has mode {mode:04o}", advice)


def _tables(config: Config) -> Iterator[tuple[str, Mail | SourceTable]]:
    if config.smtp.enabled:
        yield "smtp:mail", config.smtp
    yield from ((f"{each.type}:{each.name}", each) for each in config.source)


def _secret_files(table: Mail | SourceTable) -> Iterator[str]:
    """Of senders' secrets, and our own keys. A SIP source's `key` are secrets, all others' the file of one."""
    for field in ("token", "secret", "login", "key", "decryption_key", "registration"):
        given = getattr(table, field, None) or ()
        yield from [given] if isinstance(given, str) else [each.file for each in given if each.file]


def _is_open(host: str, path: str) -> bool:
    """Whether others than this machine's own can talk there."""
    if path or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


CHECKS: tuple[Check, ...] = (sources, modules, conferences, privacy, strangers, secrets)
