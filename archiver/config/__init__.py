"""One TOML file -> one frozen `Config`; without a file, the defaults.

Holds every key with its default, its bounds and the sentence that explains it, once. Durations come out as
microseconds, sizes as bytes. It looks at nothing but the text: whether a directory can be written or a user
exists is doctor's business. Joiners hand its parts to the layers; no layer imports it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from archiver.config import quantities, settings, templates, values
from archiver.config.archiving import (
    Archiving,
    Notice,
    Policies,
    Retention,
    RetentionLabel,
    contradictions,
    labelled_once,
    moving_faults,
    unreachable,
)
from archiver.config.settings import REQUIRED, Setting, Table, Tables, Variants
from archiver.config.sources import SOURCES, SourceTable, coherent
from archiver.config.sources.listening import apart
from archiver.config.sources.mail import Smtp
from archiver.config.values import Endpoint, Fault, Wrong
from archiver.exceptions import ConfigError, EnvironmentFault
from archiver.store.template import check_template
from archiver.types import Mailbox

_FS = "LAYOUT=fs is not offered: items are filed as Maildir++, where a folder is .Name beside cur, new and tmp"


_MOST = 16 * 1024 * 1024
"""Bytes of a configuration: with a table for each of 100,000 mailboxes it is smaller."""


class Store(Struct, frozen=True):
    """Where items go, how they lie there, and what the store says it is."""

    version: Annotated[
        str, Setting("15.2.2562.17", values.text, "What the mail store says it is; any form a server gives it in.")
    ]
    pairing: Annotated[
        str,
        Setting(
            "",
            values.choice("", "online", "cross-premises"),
            'How chat and Exchange Online are paired, which opens what holds only then: "online" (both online) or '
            '"cross-premises"; empty: not at all.',
        ),
    ]
    mail: Annotated[str, Setting("{data}/mail/{domain}/{local}", values.text, "Path of a mailbox: its Maildir++ root.")]
    archive: Annotated[
        str, Setting("{data}/archive/{domain}/{local}", values.text, "Path of a mailbox's compliance archive.")
    ]
    layout: Annotated[
        str,
        Setting("maildir++", values.choice("maildir++", because={"fs": _FS}), "How folders lie below a mailbox."),
    ]
    folder_encoding: Annotated[
        str,
        Setting("utf-7", values.choice("utf-7", "utf-8"), "How the mail server spells folder names on disk."),
    ]
    owner: Annotated[
        str,
        Setting(
            "",
            values.matching(r"[A-Za-z0-9_.-]{0,64}", "must be a user's name or number"),
            "User that owns what is filed; empty: the archiver's own.",
        ),
    ]
    group: Annotated[
        str,
        Setting(
            "",
            values.matching(r"[A-Za-z0-9_.-]{0,64}", "must be a group's name or number"),
            "Group of what is filed; empty: the archiver's own.",
        ),
    ]
    mode: Annotated[int, Setting("0600", quantities.mode, "File mode of items, in octal; folders get the x bits.")]


class MailboxTable(Struct, frozen=True):
    """What one mailbox has of its own; what it doesn't say is as for all."""

    address: Annotated[str, Setting(REQUIRED, values.address, "The mailbox.")]
    version: Annotated[str | None, Setting("", values.optional(values.text), "Version of its store.")]
    locale: Annotated[str | None, Setting("", values.optional(values.locale), "Language of its items.")]
    zone: Annotated[str | None, Setting("", values.optional(values.zone), "Time zone of its items.")]
    folder: Annotated[
        str | None,
        Setting("", values.optional(values.folder), "Name of its Conversation History; empty: as its locale says."),
    ]
    exchange_archiving: Annotated[
        str | None,
        Setting(
            "",
            values.optional(values.exchange_archiving),
            "Where it is archived (ExchangeArchivingPolicy): uninitialized (as its holds say), local, mailbox or none.",
        ),
    ]
    migration: Annotated[
        str | None,
        Setting(
            "",
            values.optional(values.choice("legacy", "migrating", "mailbox")),
            "Its move to another store: legacy (archived locally), migrating (in both) or mailbox (moved).",
        ),
    ]
    migration_ends: Annotated[
        int | None,
        Setting("", values.optional(quantities.last_day), "Last day of its migration, UTC; required while migrating."),
    ]
    quota: Annotated[
        int | None,
        Setting("", values.optional(quantities.size("1MiB", "100TiB")), "What it may hold; over it, items wait."),
    ]

    @property
    def mailbox(self) -> str:
        return self.address


class Rewrite(Struct, frozen=True):
    """A system's domain, and the one of its people's mailboxes."""

    source: Annotated[str, Setting(REQUIRED, values.domain, "Domain that a source uses.", "from")]
    target: Annotated[str, Setting(REQUIRED, values.domain, "Domain of its people's mailboxes.", "to")]


def _distinct(rules: Sequence[Rewrite]) -> Iterator[Fault]:
    sources = [rule.source for rule in rules]
    for number, rule in enumerate(rules, 1):
        if rule.source in sources[: number - 1]:
            yield f"[{number}].from", rule.source, "is rewritten by an earlier rule already"
        if rule.target in sources:
            yield f"[{number}].to", rule.target, "is rewritten by a rule itself, and rules apply once"


class People(Struct, frozen=True):
    """Whose mailbox an address is. As soon as domains or people are named, only those are ours."""

    domains: Annotated[tuple[str, ...], Setting([], values.domains, "Domains whose addresses have mailboxes here.")]
    people: Annotated[
        tuple[tuple[str, str], ...],
        Setting({}, values.people, 'Exact map: "address as the source has it" = "mailbox".'),
    ]
    rewrite: Annotated[
        tuple[Rewrite, ...], Setting([], Tables(Rewrite, _distinct), "Domains of a source that stand for another.")
    ]
    file: Annotated[
        str, Setting("", values.text, "CSV of address,mailbox and any other key of [[mailbox]], beside this file.")
    ]

    @property
    def every_domain(self) -> tuple[str, ...]:
        """Every domain that can have mailboxes here; none where that isn't known before the events come."""
        named = (address.rpartition("@")[2] for _, address in self.people)
        return () if self.file else tuple(sorted({*self.domains, *named}))


class Conversations(Struct, frozen=True):
    """What bounds a conversation, and when it is ready. Times in microseconds."""

    idle: Annotated[int, Setting("10m", quantities.duration("1s", "7d"), "A pause this long ends a conversation.")]
    span: Annotated[int, Setting("12h", quantities.duration("1m", "31d"), "So does this time from its first event on.")]
    silence: Annotated[
        int, Setting("4h", quantities.duration("1m", "31d"), "An open session counts as ended after this silence.")
    ]
    tail: Annotated[
        int, Setting("5m", quantities.duration("0s", "1h"), "What comes this long after a session's end belongs to it.")
    ]
    lateness: Annotated[
        int, Setting("2m", quantities.duration("0s", "1h"), "How late an event of a live source may come.")
    ]
    part_events: Annotated[int, Setting(1000, quantities.whole(1, 100_000), "Events in one part of a conversation.")]
    part_bytes: Annotated[int, Setting("5MiB", quantities.size("1KiB", "256MiB"), "Bytes of events in one part.")]
    continuation: Annotated[
        int, Setting("7d", quantities.duration("0s", "366d"), "How long a filed conversation can still be continued.")
    ]
    partial_leave: Annotated[
        int,
        Setting(
            "30m",
            quantities.duration("1m", "7d"),
            "Who was silent this long has left, where a source records no leaves.",
        ),
    ]
    missed_quiet: Annotated[
        int,
        Setting("60m", quantities.duration("0s", "7d"), "Who acted this long before a conversation didn't miss it."),
    ]


def _ordered(record: Conversations) -> Iterator[Fault]:
    if record.idle > record.span:
        yield "idle", f"{record.idle // 1_000_000}s", "must not be longer than conversations.span"
    if record.tail > record.silence:
        yield "tail", f"{record.tail // 1_000_000}s", "must not be longer than conversations.silence"


class Transcript(Struct, frozen=True):
    """How items read where a mailbox doesn't say."""

    locale: Annotated[str, Setting("en", values.locale, "Language of items.")]
    zone: Annotated[str, Setting("UTC", values.zone, "Time zone of items; never the machine's.")]
    show_retracted: Annotated[bool, Setting(False, values.boolean, "Whether retracted text stays readable.")]
    max_attachment: Annotated[
        int, Setting("25MiB", quantities.size("0B", "1GiB"), "Larger files are named in the item, and kept beside it.")
    ]


class History(Struct, frozen=True):
    """The user's own Conversation History."""

    enabled: Annotated[bool, Setting(True, values.boolean, "Whether Conversation History is filed at all.")]


class Web(Struct, frozen=True):
    """The page of `archiver inspect --web`."""

    listen: Annotated[Endpoint, Setting("127.0.0.1:8026", values.endpoint, "Where the page listens.")]
    hosts: Annotated[
        tuple[str, ...], Setting([], values.several(values.domain, "names"), "Names the page may be called by.")
    ]
    user: Annotated[str, Setting("", values.text, "Who may enter with the password.")]
    password: Annotated[
        str,
        Setting(
            "",
            values.password,
            "Its hash, as `archiver inspect --web --make-password` prints it; needed off loopback.",
        ),
    ]
    certificate: Annotated[str, Setting("", values.text, "PEM file of the certificate; needed off loopback.")]
    key: Annotated[str, Setting("", values.text, "PEM file of its key.")]


def _paired(record: Web) -> Iterator[Fault]:
    for one, other in (("user", "password"), ("password", "user"), ("certificate", "key"), ("key", "certificate")):
        if getattr(record, one) and not getattr(record, other):
            yield other, "", f"is missing: web.{one} alone is of no use"
    if record.listen.path:
        yield "listen", record.listen.path, "must be a host and a port"


class Monitor(Struct, frozen=True):
    """Where a monitoring system may ask."""

    listen: Annotated[
        Endpoint | None,
        Setting("", values.optional(values.endpoint), "Where /health, /ready and /metrics answer; empty: nowhere."),
    ]


class Schedule(Struct, frozen=True):
    """The scheduled job."""

    every: Annotated[int, Setting("60s", quantities.duration("1s", "1d"), "How often ripe conversations are filed.")]


class Log(Struct, frozen=True):
    """What the archiver says of its work, on standard error."""

    format: Annotated[
        str, Setting("auto", values.choice("auto", "json", "console"), "auto: console where a terminal looks on.")
    ]
    level: Annotated[
        str, Setting("info", values.choice("debug", "info", "warning", "error"), "The least level that is written.")
    ]


def _named_once(mailboxes: Sequence[MailboxTable]) -> Iterator[Fault]:
    addresses = [each.address for each in mailboxes]
    for number, address in enumerate(addresses, 1):
        if address in addresses[: number - 1]:
            yield f"[{number}].address", address, "has a table already"


class Config(Struct, frozen=True):
    """All that can be configured, read and checked."""

    store: Annotated[Store, Setting({}, Table(Store), "")]
    mailbox: Annotated[tuple[MailboxTable, ...], Setting([], Tables(MailboxTable, _named_once), "")]
    directory: Annotated[People, Setting({}, Table(People), "")]
    conversations: Annotated[Conversations, Setting({}, Table(Conversations, _ordered), "")]
    transcript: Annotated[Transcript, Setting({}, Table(Transcript), "")]
    history: Annotated[History, Setting({}, Table(History), "")]
    archiving: Annotated[Archiving, Setting({}, Table(Archiving), "")]
    policy: Annotated[Policies, Setting({}, Table(Policies), "")]
    notice: Annotated[Notice, Setting({}, Table(Notice), "")]
    retention: Annotated[tuple[Retention, ...], Setting([], Tables(Retention, unreachable), "")]
    retention_label: Annotated[tuple[RetentionLabel, ...], Setting([], Tables(RetentionLabel, labelled_once), "")]
    smtp: Annotated[Smtp, Setting({}, Table(Smtp, Smtp.faults), "")]
    web: Annotated[Web, Setting({}, Table(Web, _paired), "")]
    source: Annotated[tuple[SourceTable, ...], Setting([], Variants(SOURCES, coherent), "")]
    monitor: Annotated[Monitor, Setting({}, Table(Monitor), "")]
    schedule: Annotated[Schedule, Setting({}, Table(Schedule), "")]
    log: Annotated[Log, Setting({}, Table(Log), "")]

    @property
    def digest(self) -> str:
        """Equal for equal configurations, for the log."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        """Every place that is listened on, by its dotted key."""
        found: list[tuple[str, Endpoint | None]] = [("monitor.listen", self.monitor.listen)]
        if self.smtp.enabled:
            found += [(f"smtp.{key}", place) for key, place in self.smtp.endpoints]
        found += [(f"source[{n}].{key}", e) for n, each in enumerate(self.source, 1) for key, e in each.endpoints]
        return tuple((key, place) for key, place in found if place is not None)

    @property
    def blocking(self) -> bool:
        """Whether critical mode can tell any source to try later."""
        return (self.smtp.enabled and self.smtp.blocking) or any(each.blocking for each in self.source)

    @property
    def default_mailbox(self) -> Mailbox:
        """What is known of a mailbox that nothing is said of."""
        return Mailbox("", self.store.version, self.transcript.locale, self.transcript.zone)


def _consistent(config: Config) -> Iterator[Fault]:
    """What the tables say of each other. A mailbox that the people file may say more of is whole only with it."""
    yield from contradictions(config.archiving, config.policy)
    yield from apart(config.endpoints)
    if not config.directory.file:
        for number, table in enumerate(config.mailbox, 1):
            for key, value, why in moving_faults(table):
                yield f"mailbox[{number}].{key}", value, why


# --- reading -----------------------------------------------------------------------------------------------------


def load(path: Path | str | None = None) -> Config:
    """Read a configuration file, or the defaults; every problem is raised at once."""
    if path is None:
        return parse({})
    path = Path(path)
    try:
        raw = tomllib.loads(content_of(path, _MOST).decode("utf-8-sig"))
    except PermissionError as error:
        raise EnvironmentFault(f"{path} can't be read: permission denied", hint="let the archiver read it") from error
    except OSError as error:
        hint = "name another file with --config, or none for the defaults"
        raise ConfigError([f"{path}: {error.strerror}"], hint=hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}"], hint="see the example in the README") from error
    return parse(raw, path)


def content_of(path: Path, most: int) -> bytes:
    """A file's bytes; `ConfigError` for what is none, as a device that never ends, or has more bytes than `most`."""
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # a pipe may have no writer
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError([f"{path}: is not a regular file"], hint="save what it gives as a file, and name that")
        content = file.read(most + 1)
    if len(content) > most:
        raise ConfigError([f"{path}: is larger than {most:,} bytes"], hint="name the file that was meant")
    return content


def parse(raw: dict[str, Any], path: Path | None = None) -> Config:
    """Check what a file says; relative file names start from its `path`."""
    faults: list[Fault] = []
    config = None
    try:
        config = Table(Config, _consistent)(raw)
    except Wrong as wrong:
        faults += wrong.faults
    faults += _template_faults(raw)
    if faults or not isinstance(config, Config):
        problems = [_sentence(*fault) for fault in faults]
        raise ConfigError(problems, hint="mend these keys in the configuration file", file=str(path or ""))
    if not config.directory.file:
        return config
    file = (path.parent if path else Path()) / config.directory.file
    return replace(config, directory=replace(config.directory, file=str(file)))


def _template_faults(raw: dict[str, Any]) -> Iterator[Fault]:
    """Asked even where other keys are wrong, so that one edit mends all."""
    written = store if isinstance(store := raw.get("store"), dict) else {}
    paths = {key: written.get(key, default) for key, _, (default, *_) in settings.settings_of(Store)}
    mail, archive = paths["mail"], paths["archive"]
    if not isinstance(mail, str) or not isinstance(archive, str):
        return
    try:
        domains = Table(People)(raw.get("directory", {})).every_domain
    except Wrong:
        domains = ()
    for key, template in (("mail", mail), ("archive", archive)):
        if why := check_template(template, domains):
            yield f"store.{key}", template, why
    if templates.collide(mail, archive):
        yield "store.archive", archive, "can lie where store.mail puts a mailbox; give it a tree of its own"


def _sentence(key: str, value: object, why: str) -> str:
    shown = f"{key} = {_shown(value)}" if value != "" or not why.startswith("is missing") else key
    return f"{shown}: {why}{_nearest(key) if why == settings.UNKNOWN else ''}"


def _shown(value: object) -> str:
    """As it was written, near enough, short, and harmless to a terminal."""
    if isinstance(value, bool):
        return str(value).lower()
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _nearest(key: str) -> str:
    known = [each.key for each in keys()] + [name for name, _, _ in settings.settings_of(Config)]
    plain = re.sub(r"\[[0-9]+\]", "[]", key)
    last = plain.rpartition(".")[2]
    near = get_close_matches(plain, known, 1, 0.75) or [name for name in known if name.rpartition(".")[2] == last][:1]
    near = near or get_close_matches(last, [name.rpartition(".")[2] for name in known], 1)
    return values.did_you_mean(near)


class Documented(NamedTuple):
    """One line of the table of keys: `[]` stands for each table of an array, `[http]` for each whose type is that.

    A default of None is required.
    """

    key: str
    default: object
    sentence: str


def keys() -> list[Documented]:
    """Every key there is, in order, with its default as it would be written."""
    return list(_keys(Config, ""))


def _keys(record: type, above: str) -> Iterator[Documented]:
    for key, _, setting in settings.settings_of(record):
        match setting.read:
            case Table(record=inner):
                yield from _keys(inner, f"{above}{key}.")
            case Tables(record=inner):
                yield from _keys(inner, f"{above}{key}[].")
            case Variants(records=records):
                for name, inner in records.items():
                    yield from _keys(inner, f"{above}{key}[{name}].")
            case _:
                default = None if setting.default is REQUIRED else setting.default
                yield Documented(above + key, default, setting.sentence)


CSV_READERS = {key: setting.read for key, _, setting in settings.settings_of(MailboxTable) if key != "address"}
"""How the columns of the people file are checked, for `people.read_people`."""
