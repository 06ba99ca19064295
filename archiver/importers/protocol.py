"""What every importer is: the protocol, its options, and the little they share. No format of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from archiver.events import GUESSES, OTHER_GUESS, SECOND, Captured, Rejected, guess_mark, guesses_of, microseconds
from archiver.exceptions import UsageError
from archiver.importers.document import Document

ZONE = "UTC"
LATE = 5 * 60 * SECOND
"""How far behind the last line one may be that was only written late."""
UNNUMBERED = "Which messages are the same was told by time, author and text: the source gives them no ids"
"""No mark says so: it is about the source as a whole, and nothing in an item hangs on it."""


class Options(Struct, frozen=True):
    """What the user says about the files where the files don't: each wins over what is found in them.

    `network` is the system's name (an IRC network, a host, a workspace), `zone` the IANA zone of times without one
    (else `ZONE`), `charset` what a text is read in that isn't UTF-8, `date` (YYYY-MM-DD) the day of a log whose name
    doesn't tell, or when a meeting began (YYYY-MM-DDTHH:MM), `source` the whole source of every event, `owner` the
    address of the person whose export it is.
    """

    channel: str | None = None
    network: str | None = None
    zone: str | None = None
    date: str | None = None
    charset: str | None = None
    source: str | None = None
    owner: str | None = None


class Reading(Struct):
    """One reading of files: when it was, and what an importer says beside the events it gives.

    `received` is in microseconds. `ignored` counts what is no conversation, by kind; `marks` what had to be guessed (a
    zone, the order of day and month, who is meant by a name), as the events bear it in `archiverguessed`, by how often;
    `unnumbered` the messages that nothing but time, author and text tells from others. `nobody` are addresses with no
    person behind them: bots, deleted accounts.
    """

    received: int
    ignored: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    unnumbered: int = 0
    nobody: set[str] = field(default_factory=set)

    @property
    def guessed(self) -> Counter[str]:
        """What had to be guessed, as sentences for the report, by how many events."""
        found: Counter[str] = Counter()
        for mark, count in self.marks.items():
            for reason, values in guesses_of([mark]).items():
                found[GUESSES.get(reason, OTHER_GUESS).format(value=", ".join(values))] += count
        if self.unnumbered:
            found[UNNUMBERED] = self.unnumbered
        return found


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
        return ZoneInfo(options.zone or ZONE)
    except (KeyError, ValueError, OSError) as fault:
        raise UsageError(f"no such time zone: {options.zone}", hint="use an IANA name such as Asia/Taipei") from fault


def zone_guess(options: Options) -> str | None:
    """The mark of times that are read in a zone nobody named."""
    return None if options.zone else f"zone={ZONE}"


def zoned(stated: datetime, options: Options) -> tuple[datetime, str | None]:
    """A time as a source has it, with the mark of what was guessed: without a zone it is read in the options'."""
    if stated.tzinfo is not None:
        return stated, None
    zone = zone_of(options)
    return stated.replace(tzinfo=zone), guess_mark(zone_guess(options), fold_guess(stated, zone))


def fold_guess(local: datetime, zone: tzinfo) -> str | None:
    """The mark of a local time that came twice, as summer time ended: its first is meant, or with `fold` its second."""
    offset, other = zone.utcoffset(local), zone.utcoffset(local.replace(fold=1 - local.fold))
    if offset == other or offset is None or other is None:
        return None
    if local.fold:
        return "second-hour" if offset < other else None
    # Where it began there is a gap: nobody's clock showed those times.
    return "zone-fold" if offset > other else None


def in_turn(local: datetime, zone: tzinfo, now: int) -> datetime:
    """A local time after `now` (microseconds): of one that came twice the second, where the first is minutes ago.

    What is only seconds back was written late, not an hour later.
    """
    if fold_guess(local, zone) is None:
        return local
    first, second = (microseconds(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    return local.replace(fold=1) if first < now - LATE <= second else local


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
