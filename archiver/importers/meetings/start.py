"""When a meeting began, for files that count from its start or state only times of day; and what it is called.

Said by the user, noted in the file, stated beside it, or found in its name or a folder's: Zoom's cloud writes
`GMT20240131-150012_…`, its client folders `2024-01-31 15.00.12 TOPIC ID`, Teams `TITLE-20240131_150012-…`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct, structs

from archiver.events import guess_mark
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.protocol import Options, moment_option, zoned

_DAY = r"(?P<year>(?:19|20)\d\d)[-_.]?(?P<month>[01]\d)[-_.]?(?P<day>[0-3]\d)"
_CLOCK = r"(?P<hour>[0-2]\d)[-_.:]?(?P<minute>[0-5]\d)(?:[-_.:]?(?P<second>[0-5]\d))?"
_STAMP = re.compile(rf"(?<!\d)(?P<gmt>GMT)?{_DAY}[-_ T]{_CLOCK}(?!\d)(?P<utc>UTC|Z)?")
_DATE = re.compile(rf"(?<!\d){_DAY}(?!\d)")
_NOTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?")
_FOLDERS = 2
"""How many folders above a file may tell of it."""

# Names that many meetings' files have: the folder's tells more.
_COMMON = re.compile(
    r"(?i)(?:GMT\d{8}-\d{6})?[_\W]*(?:recording|meeting|audio|saved|closed|caption|captions|transcript|content|chat|new|"
    r"video|\d|x|_|\W)*"
)
_TALE = re.compile(r"(?i)(?:\.(?:transcript|cc|vtt|txt|gz|zst))+$|-Meeting (?:Recording|Transcript)$")


class Start(NamedTuple):
    """`guessed` is the mark of what isn't certain about it, `named` says that a name told it."""

    at: datetime
    guessed: str | None = None
    named: bool = False
    cloud: bool = False
    """It is the name of a cloud recording, whose files count from its start."""


class _Transcript(Struct):
    """What Microsoft Graph says of a call's transcript."""

    createdDateTime: datetime


def start_of(document: Document, options: Options, noted: str = "") -> Start | None:
    """None where nothing tells. `noted` is a text of the file that may state it. Raises `UsageError` for options."""
    return (
        start_said(options)
        or _stated(noted, options)
        or _named(_STAMP, document, options)
        or _beside(document, options)
        or _named(_DATE, document, options)
    )


def start_said(options: Options) -> Start | None:
    """As the user says it: a day, or its time too. Raises `UsageError`."""
    said = moment_option(options)
    return _start(said, options, None if len(options.date or "") > 10 else "start-day") if said is not None else None


def _start(at: datetime, options: Options, guessed: str | None = None) -> Start:
    at, zone_guessed = zoned(at, options)
    return Start(at.astimezone(UTC), guess_mark(zone_guessed, guessed))


def _stated(text: str, options: Options) -> Start | None:
    found = _NOTED.search(text)
    try:
        return _start(datetime.fromisoformat(found[0]), options) if found else None
    except ValueError:
        return None


def told_beside(document: Document) -> tuple[str, ...]:
    """Files in its folder that may tell when it began."""
    return "callTranscript.json", f"{document.name.rpartition('.')[0]}.json"


def _beside(document: Document, options: Options) -> Start | None:
    for name in told_beside(document):
        other = document.beside(name)
        if other is None:
            continue
        try:
            return _start(jsonfile.whole(other, _Transcript).createdDateTime, structs.replace(options, zone="UTC"))
        except jsonfile.Broken:
            continue
    return None


def _named(pattern: re.Pattern[str], document: Document, options: Options) -> Start | None:
    names = (document.name, *reversed(document.folders[-_FOLDERS:]))
    starts = (_read(found.groupdict(), options) for name in names for found in pattern.finditer(name))
    return next((start for start in starts if start is not None), None)


def _read(found: dict[str, str | None], options: Options) -> Start | None:
    year, month, day = (int(found[key] or 0) for key in ("year", "month", "day"))
    hour, minute, second = (int(found.get(key) or 0) for key in ("hour", "minute", "second"))
    certain = found.get("gmt") or found.get("utc")
    timed = "start-of-name" if found.get("hour") else "start-day"
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC if certain else None)
    except ValueError:
        return None
    start = _start(at, options, None if certain else timed)
    return start._replace(named=True, cloud=bool(found.get("gmt")))


def title_of(document: Document, options: Options) -> str:
    """What the meeting is called: said by the user, else the file's name, or where that tells nothing its folder's.

    Only a folder that a meeting's client named: the same file must be the same meeting wherever it was put.
    """
    if options.channel:
        return options.channel
    stem = _TALE.sub("", _TALE.sub("", document.name))
    for name in (stem, document.folder if _STAMP.search(document.folder) else ""):
        if name and not _COMMON.fullmatch(name):
            return _STAMP.sub("", name).strip(" -_") or name
    return stem
