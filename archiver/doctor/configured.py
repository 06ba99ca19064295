"""What the configuration comes to on this machine: its problems, the gate's answers, languages and zones."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from archiver.assembly import archive_of, archiving_of, directory_of, store_of, terms_of
from archiver.config import Config
from archiver.decisions import critical, gate
from archiver.doctor.finding import Check, Finding, Verdict, judged
from archiver.exceptions import ConfigError
from archiver.rendering import locales

_FEATURES = (gate.Feature.IM, gate.Feature.GROUP, gate.Feature.CONFERENCE)
_NAMED = 20
"""Mailboxes with something kept back that are told one by one."""


def refuse_problems(config: Config, data: Path) -> None:
    """Raise one `ConfigError` with every problem that the file alone doesn't show: users, groups, the people file."""
    problems: list[str] = []
    hints: list[str] = []
    makers = (lambda: store_of(config, data), lambda: archive_of(config, data), lambda: directory_of(config))
    for make in makers:
        try:
            make()
        except ConfigError as error:
            problems += error.problems
            hints += [error.hint] if error.hint else []
    if problems:
        raise ConfigError(problems, hint="; ".join(hints))


def the_gate(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """What mailboxes may have where nothing else is said of them."""
    rules, box = terms_of(config).gate, config.default_mailbox
    for feature in _FEATURES:
        decision = gate.decide(box, feature, rules)
        verdict = Verdict.OK if decision.allowed else Verdict.WARN
        yield Finding(f"gate: {feature}", verdict, decision.reason, "" if decision.allowed else _KEPT)


_KEPT = "what is kept back waits in the spool and is filed once the answer is yes"


def mailboxes(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """Those that the configuration names, and which of them get less than everything."""
    terms = terms_of(config)
    named = terms.directory.named()
    if not named:
        return
    refused = {}
    for address in named:
        decisions = [gate.decide(terms.directory.mailbox(address), feature, terms.gate) for feature in _FEATURES]
        reasons = [decision.reason for decision in decisions if not decision.allowed]
        if reasons:
            refused[address] = " ".join(dict.fromkeys(reasons))
    yield Finding("mailboxes", Verdict.OK, f"{len(named):,} named, {len(refused):,} of them not open for everything")
    for address, reason in list(refused.items())[:_NAMED]:
        yield Finding(f"gate: {address}", Verdict.WARN, reason, _KEPT)


def owner(config: Config, data: Path, now: int) -> Iterator[Finding]:
    store = config.store
    if store.owner or store.group:
        yield judged(
            "owner",
            os.geteuid() == 0 or _is_us(store.owner, store.group),
            f"items belong to {store.owner or 'us'}:{store.group or 'us'}",
            "only root, or a process with CAP_CHOWN, can give files away",
            otherwise=Verdict.WARN,
        )
    if _is_us(store.owner, ""):
        yield Finding("archive's user", Verdict.WARN, _HIDDEN, _PROTECTING)
    else:
        yield Finding("archive's user", Verdict.OK, "what mail is read as can't enter the compliance archive")


_HIDDEN = "the compliance archive is hidden, not protected: the archiver's user owns the mail too"
_PROTECTING = "run the archiver as another user than the mail server, and name the mail server's in [store] owner"


def _is_us(owner: str, group: str) -> bool:
    """Whether both are this process's own, by name or number."""
    users, groups = {"", str(os.geteuid())}, {"", str(os.getegid()), *map(str, os.getgroups())}
    with suppress(KeyError):
        users.add(pwd.getpwuid(os.geteuid()).pw_name)
    for number in (os.getegid(), *os.getgroups()):
        with suppress(KeyError):
            groups.add(grp.getgrgid(number).gr_name)
    return owner in users and group in groups


def words(config: Config, data: Path, now: int) -> Iterator[Finding]:
    look = config.transcript
    known = ", ".join(sorted(locales()))
    yield Finding("language", Verdict.OK, f"{look.locale} where a mailbox has none of its own (there are: {known})")
    yield Finding("time zone", Verdict.OK, f"{look.zone}, by tzdata {version('tzdata')}; never the machine's")


def critical_mode(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """Whether it would refuse anything, where it is on."""
    if critical.can_block(archiving_of(config)):
        found = "put off while archiving fails" if config.blocking else "on, but no source is blocking: all is taken"
        advice = "set blocking = true in [smtp] or a [[source]], or block_on_failure = false"
        yield judged("critical mode", config.blocking, found, advice, otherwise=Verdict.WARN)


CHECKS: tuple[Check, ...] = (the_gate, mailboxes, owner, critical_mode, words)
