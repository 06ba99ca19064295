"""Makes the parts from one configuration and hands each what it needs. Holds no rule and keeps nothing."""

from __future__ import annotations

import grp
import io
import pwd
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.config import Config, content_of, templates
from archiver.config.archiving import Configuration, Policy, Scoped, moving_faults
from archiver.config.mailboxes import CSV_READERS
from archiver.conversations.rules import Rules
from archiver.decisions import gate, policy, retention
from archiver.directory import Directory
from archiver.exceptions import ArchiverError, ConfigError
from archiver.people import Person, read_people
from archiver.rendering import Limits, folder_name, is_base_name
from archiver.store import ArchiveStore, MaildirStore, Ownership
from archiver.store.names import Encoding
from archiver.store.template import Template
from archiver.types import Destination

if TYPE_CHECKING:  # loaded where they are made: who only reads folders doesn't wait for them
    from archiver.filing.pipeline import Terms
    from archiver.search import Queue, Searcher
    from archiver.spool import Others, Spool

_MOST_PEOPLE = 256 * 1024 * 1024
"""Bytes of the people file: a million people have less."""


def rules_of(config: Config) -> Rules:
    bounds = config.conversations
    return Rules(
        idle=bounds.idle,
        span=bounds.span,
        silence=bounds.silence,
        tail=bounds.tail,
        part_events=bounds.part_events,
        part_bytes=bounds.part_bytes,
        partial_leave=bounds.partial_leave,
        missed_quiet=bounds.missed_quiet,
    )


def directory_of(config: Config) -> Directory:
    """Reads the people file, if one is named; every problem in it is raised at once."""
    people = config.directory
    rows = _rows(people.file) if people.file else None
    directory = Directory(
        config.default_mailbox,
        config.mailbox,
        domains=people.domains,
        people=dict(people.people),
        rewrites=people.rewrite,
        rows=rows,
    )
    if problems := list(_moving_problems(directory, config)):
        raise ConfigError(problems, hint="mend the mailbox's table, or its row in the people file")
    return directory


def _moving_problems(directory: Directory, config: Config) -> Iterator[str]:
    """What contradicts in a mailbox once its table and its rows are taken together."""
    for address in directory.named():
        for key, value, why in moving_faults(directory.mailbox(address)):
            yield f"{said_in(config, address)}.{key}" + (f" = {value!a}: {why}" if value else f": {why}")


def said_in(config: Config, address: str) -> str:
    """Where something is said of a mailbox: its table, else the people file."""
    for number, table in enumerate(config.mailbox, 1):
        if table.address == address:
            return f"mailbox[{number}]"
    return f"directory.file: {address}"


def _rows(file: str) -> tuple[Person, ...]:
    try:
        content = content_of(Path(file), _MOST_PEOPLE)
        with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="") as lines:
            return read_people(lines, file, CSV_READERS)
    except OSError as error:
        raise ConfigError([f"directory.file = {file!a}: {error.strerror}"]) from error


def archiving_of(config: Config) -> policy.Rules:
    """The rules of the archives, each with the scope it was set for."""
    how, who = config.archiving, config.policy
    of_sites = {each.name: _policy_of(each, f"site {each.name}") for each in who.site}
    return policy.Rules(
        _configuration_of(how, gate.GLOBAL),
        _policy_of(who, gate.GLOBAL),
        pools=[policy.Pool(each.name, each.sources, _own(each, f"pool {each.name}")) for each in how.pool],
        sites=[
            policy.Site(each.name, each.pools, _own(each, f"site {each.name}"), of_sites.get(each.name))
            for each in how.site
        ],
        users={each.address: _policy_of(each, f"user {each.address}") for each in who.user},
        pairing=config.store.pairing,
    )


def _own(table: Scoped, scope: str) -> policy.Configuration | None:
    return _configuration_of(table, scope) if table.is_own else None


def _configuration_of(table: Configuration, scope: str) -> policy.Configuration:
    keys = [name for name in policy.Configuration.__struct_fields__ if name != "scope"]
    return policy.Configuration(scope, **{key: getattr(table, key) for key in keys})


def _policy_of(table: Policy, scope: str) -> policy.Policy:
    return policy.Policy(scope, table.internal, table.external)


def retention_of(config: Config) -> retention.Rules:
    return retention.Rules(
        tuple(
            retention.Rule(r.mailbox, Destination(r.folder), r.days, r.hour, r.exported_only) for r in config.retention
        ),
        tuple(retention.Label(label.keyword, label.days or None) for label in config.retention_label),
    )


def terms_of(config: Config) -> Terms:
    from archiver.filing.pipeline import Terms

    return Terms(
        rules=rules_of(config),
        gate=gate.Rules(history=config.history.enabled, pairing=config.store.pairing),
        policy=archiving_of(config),
        directory=directory_of(config),
        folder_of=folder_name,
        lateness=config.conversations.lateness,
        show_retracted=config.transcript.show_retracted,
        limits=Limits(file=config.transcript.max_attachment),
        locale=config.default_mailbox.locale,
        zone=config.default_mailbox.zone,
    )


def store_of(config: Config, data: Path) -> MaildirStore:
    store = config.store
    return MaildirStore(
        store.mail,
        data=data,
        ownership=_ownership_of(config),
        encoding=_encoding_of(config),
        domains=config.directory.domains,
        ours=is_base_name,
    )


def archive_of(config: Config, data: Path) -> ArchiveStore:
    """Always the archiver's own, whoever owns the mail."""
    _refuse_shared_tree(config, data)
    return ArchiveStore(
        config.store.archive,
        data=data,
        encoding=_encoding_of(config),
        domains=config.directory.domains,
        warning=config.archiving.quota_warning,
        limit=config.archiving.quota_limit,
    )


def _refuse_shared_tree(config: Config, data: Path) -> None:
    """What the configuration can't know: that links, or a mount, lead the archive into the mail tree."""
    domains = config.directory.domains
    mail, archive = (Template(each, data=data, domains=domains) for each in (config.store.mail, config.store.archive))
    led = archive.root.resolve()
    if templates.collide(f"{mail.root.resolve()}/{mail.below}", f"{led}/{archive.below}") or _is_same(mail, archive):
        raise ConfigError(
            [f"store.archive = {config.store.archive!a}: leads to {led}, where store.mail can put a mailbox"],
            hint="give the compliance archive a tree of its own, which no link leads out of",
        )


def _is_same(mail: Template, archive: Template) -> bool:
    try:
        return mail.root.samefile(archive.root)
    except OSError:  # not there yet, or nobody may look: whoever has to write there says so
        return False


def _encoding_of(config: Config) -> Encoding:
    return "utf-8" if config.store.folder_encoding == "utf-8" else "utf-7"


def _ownership_of(config: Config) -> Ownership:
    store = config.store
    problems = []
    uid = gid = -1
    try:
        uid = _number(store.owner, lambda name: pwd.getpwnam(name).pw_uid)
    except KeyError:
        problems.append(f"store.owner = {store.owner!a}: no such user on this machine")
    try:
        gid = _number(store.group, lambda name: grp.getgrnam(name).gr_gid)
    except KeyError:
        problems.append(f"store.group = {store.group!a}: no such group on this machine")
    if problems:
        raise ConfigError(problems, hint="name the user that the mail server reads mail as")
    search_bits = (store.mode & 0o444) >> 2
    return Ownership(uid, gid, store.mode, store.mode | search_bits)


def _number(name: str, look_up: Callable[[str], int]) -> int:
    if not name:
        return -1
    return int(name) if name.isdecimal() else look_up(name)


def open_spool(config: Config, data: Path, *, readonly: bool = False) -> Spool:
    from archiver.spool import Spool

    bounds = config.conversations
    return Spool.open(data, readonly=readonly, idle=bounds.idle, lateness=bounds.lateness, others=_others_of(config))


def _others_of(config: Config) -> Others:
    """The directory is read once something is in conflict; while it can't be, nothing is taken for the same."""
    directory = cache(lambda: directory_of(config))

    def others(source: str, address: str) -> tuple[str, ...]:
        try:
            return directory().others(source, address)
        except ArchiverError:
            return ()

    return others


def searchers_of(config: Config, data: Path, queue: Queue) -> list[Searcher]:
    """Of every kind of folders."""
    return [searcher_of(config, data, queue, each) for each in (Destination.HISTORY, Destination.ARCHIVE)]


def searcher_of(
    config: Config, data: Path, queue: Queue | None = None, destination: Destination = Destination.HISTORY
) -> Searcher:
    """Search in people's own folders, or in the compliance archives; `queue` is a spool that may be written."""
    from archiver.search import Searcher

    store = archive_of(config, data) if destination is Destination.ARCHIVE else store_of(config, data)
    return Searcher(data, store, destination, queue)
