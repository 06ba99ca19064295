"""What every importer is: the protocol, its options, and the little they share. No format of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from archiver.events import Captured, Rejected
from archiver.exceptions import UsageError
from archiver.importers.document import Document


class Options(Struct, frozen=True):
    """What the user says about the files where the files don't: each wins over what is found in them.

    `network` is the system's name (an IRC network, a host, a workspace), `zone` the IANA zone of times without one,
    `charset` what a text is read in that isn't UTF-8, `date` (YYYY-MM-DD) the day of a log whose name doesn't tell, or
    when a meeting began (YYYY-MM-DDTHH:MM), `source` the whole source of every event, `owner` the address of the
    person whose export it is.
    """

    channel: str | None = None
    network: str | None = None
    zone: str = "UTC"
    date: str | None = None
    charset: str = "windows-1252"
    source: str | None = None
    owner: str | None = None


class Reading(Struct):
    """One reading of files: when it was, and what an importer says beside the events it gives.

    `received` is in microseconds. `ignored` counts what is no conversation, by kind; `guessed` what had to be guessed
    (a zone, the order of day and month, who is meant by a name), as a sentence for the report, by how often. `nobody`
    are addresses with no person behind them: bots, deleted accounts.
    """

    received: int
    ignored: Counter[str] = field(default_factory=Counter)
    guessed: Counter[str] = field(default_factory=Counter)
    nobody: set[str] = field(default_factory=set)


class Importer(Protocol):
    """Documents of one format -> events. Reading the same again, or a longer version of it, gives the same ids.

    `partial_presence`: the source doesn't record every leave. `ordered`: events come in order of time, so that the
    ones read are complete up to the last one. `marks`: names of the file by which a folder is known as one
    export, with everything below it (Slack: `users.json`); that file is the document to read. Empty where each document
    stands alone.
    `read` never raises for what a file holds: what can't be used comes out as `Rejected`, and what isn't conversation
    is counted in `reading`. It raises `UsageError` for options that can't be meant and for a path that isn't there.
    """

    name: str
    title: str
    partial_presence: bool
    ordered: bool
    marks: frozenset[str]

    def sniff(self, document: Document, head: bytes) -> bool:
        """Whether a document looks like this format, from its name, its first (unpacked) bytes, what lies beside it."""
        ...

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]: ...


def zone_of(options: Options) -> tzinfo:
    try:
        return ZoneInfo(options.zone)
    except (KeyError, ValueError, OSError) as fault:
        raise UsageError(f"no such time zone: {options.zone}", hint="use an IANA name such as Asia/Taipei") from fault


def charset_of(options: Options) -> str:
    try:
        b"a".decode(options.charset)
        return options.charset.lower()
    except (LookupError, ValueError) as fault:
        raise UsageError(f"no such charset: {options.charset}", hint="for example windows-1257") from fault


def date_option(options: Options) -> date | None:
    stated = moment_option(options)
    return stated.date() if stated is not None else None


def moment_option(options: Options) -> datetime | None:
    """The date with the time of day that may stand behind it; without a zone unless it states one."""
    if options.date is None:
        return None
    try:
        return datetime.fromisoformat(options.date)
    except ValueError as fault:
        raise UsageError(f"not a date: {options.date}", hint="write it as YYYY-MM-DD or YYYY-MM-DDTHH:MM") from fault
