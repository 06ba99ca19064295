"""What every importer is: the protocol, its options, and the little they share. No format of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, tzinfo
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from archiver.events import Captured, Rejected
from archiver.exceptions import UsageError


class Options(Struct, frozen=True):
    """What the user says about the files where the files don't: each wins over what is found in them.

    `network` is the system's name (an IRC network, a host), `zone` the IANA zone of times without one, `charset` what
    a text is read in that isn't UTF-8, `date` (YYYY-MM-DD) the day of a log whose name doesn't tell, `source` the
    whole source of every event.
    """

    channel: str | None = None
    network: str | None = None
    zone: str = "UTC"
    date: str | None = None
    charset: str = "windows-1252"
    source: str | None = None


class Importer(Protocol):
    """Files of one format -> events. Reading the same file again, or a longer version of it, gives the same ids.

    `partial_presence`: the source doesn't record every leave. `ordered`: events come in order of time, so that the
    ones read are complete up to the last one. `read` never raises for what a file holds: what can't be used comes
    out as `Rejected`, and what isn't conversation is counted in `ignored` by kind. It raises `UsageError` for options
    that can't be meant and for a path that isn't there.
    """

    name: str
    title: str
    partial_presence: bool
    ordered: bool

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether a file looks like this format, from its name and first (unpacked) bytes."""
        ...

    def read(
        self, path: Path, options: Options, *, received: int, ignored: Counter[str] | None = None
    ) -> Iterator[Captured | Rejected]: ...


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
    if options.date is None:
        return None
    try:
        return date.fromisoformat(options.date)
    except ValueError as fault:
        raise UsageError(f"not a date: {options.date}", hint="write it as YYYY-MM-DD") from fault
