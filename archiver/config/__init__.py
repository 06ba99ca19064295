"""One TOML file -> one frozen `Config`; without a file, the defaults.

Every key stands once in the records below, with its default, its bounds and its sentence. Durations come out as
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
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from archiver.config import settings, templates, values
from archiver.config.archiving import Archiving, Notice, Policies, contradictions, moving_faults
from archiver.config.items import Conversations, History, Transcript, ordered
from archiver.config.mailboxes import MailboxTable, People, Store, named_once
from archiver.config.retention import Retention, RetentionLabel, labelled_once, unreachable
from archiver.config.service import Log, Monitor, Schedule, Web, paired
from archiver.config.settings import REQUIRED, Setting, Table, Tables, Variants
from archiver.config.sources import SOURCES, SourceTable, coherent
from archiver.config.sources.listening import apart
from archiver.config.sources.mail import Smtp
from archiver.config.values import Endpoint, Fault, Wrong
from archiver.exceptions import ConfigError, EnvironmentFault
from archiver.store.template import check_template
from archiver.types import Mailbox

_MOST = 16 * 1024 * 1024
"""Bytes of a configuration: with a table for each of 100,000 mailboxes it is smaller."""


class Config(Struct, frozen=True):
    """All that can be configured, read and checked."""

    store: Annotated[Store, Setting({}, Table(Store), "")]
    mailbox: Annotated[tuple[MailboxTable, ...], Setting([], Tables(MailboxTable, named_once), "")]
    directory: Annotated[People, Setting({}, Table(People), "")]
    conversations: Annotated[Conversations, Setting({}, Table(Conversations, ordered), "")]
    transcript: Annotated[Transcript, Setting({}, Table(Transcript), "")]
    history: Annotated[History, Setting({}, Table(History), "")]
    archiving: Annotated[Archiving, Setting({}, Table(Archiving), "")]
    policy: Annotated[Policies, Setting({}, Table(Policies), "")]
    notice: Annotated[Notice, Setting({}, Table(Notice), "")]
    retention: Annotated[tuple[Retention, ...], Setting([], Tables(Retention, unreachable), "")]
    retention_label: Annotated[tuple[RetentionLabel, ...], Setting([], Tables(RetentionLabel, labelled_once), "")]
    smtp: Annotated[Smtp, Setting({}, Table(Smtp, Smtp.faults), "")]
    web: Annotated[Web, Setting({}, Table(Web, paired), "")]
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
