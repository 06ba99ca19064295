"""When a meeting began, for files that count from its start or state only times of day; and what it is called.

Said by the user, noted in the file, stated beside it, or found in its name or a folder's: Zoom's cloud writes
`GMT20240131-150012_…`, its client folders `2024-01-31 15.00.12 TOPIC ID`, Teams `TITLE-20240131_150012-…`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from msgspec import Struct

from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.protocol import Options, moment_option

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
    """`relative`: times in the file count from here. `guess` says what wasn't certain, for the report."""

    at: datetime
    guess: str = ""
    cloud: bool = False
    """It is the name of a cloud recording, whose files count from its start."""


class _Transcript(Struct):
    """What Microsoft Graph says of a call's transcript."""

    createdDateTime: datetime


def start_of(document: Document, options: Options, zone: tzinfo, noted: str = "") -> Start | None:
    """None where nothing tells. `noted` is a text of the file that may state it. Raises `UsageError` for options."""
    said = moment_option(options)
    if said is not None:
        day = "" if len(options.date or "") > 10 else "when the meeting began: only its day is known"
        return Start(_aware(said, zone), day)
    return _stated(noted, zone) or _named(_STAMP, document, zone) or _beside(document) or _named(_DATE, document, zone)


def _stated(text: str, zone: tzinfo) -> Start | None:
    found = _NOTED.search(text)
    try:
        return Start(_aware(datetime.fromisoformat(found[0]), zone)) if found else None
    except ValueError:
        return None


def _beside(document: Document) -> Start | None:
    for name in ("callTranscript.json", f"{document.name.rpartition('.')[0]}.json"):
        other = document.beside(name)
        if other is None:
            continue
        try:
            return Start(_aware(jsonfile.whole(other, _Transcript).createdDateTime, UTC))
        except jsonfile.Broken:
            continue
    return None


def _named(pattern: re.Pattern[str], document: Document, zone: tzinfo) -> Start | None:
    names = (document.name, *reversed(document.folders[-_FOLDERS:]))
    starts = (_read(found.groupdict(), zone) for name in names for found in pattern.finditer(name))
    return next((start for start in starts if start is not None), None)


def _read(found: dict[str, str | None], zone: tzinfo) -> Start | None:
    year, month, day = (int(found[key] or 0) for key in ("year", "month", "day"))
    hour, minute, second = (int(found.get(key) or 0) for key in ("hour", "minute", "second"))
    certain = found.get("gmt") or found.get("utc")
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC if certain else zone)
    except ValueError:
        return None
    guess = "" if certain else f"when the meeting began: what a name says, taken as {zone}"
    if found.get("hour") is None:
        guess = "when the meeting began: only its day is known"
    return Start(at.astimezone(UTC), guess, bool(found.get("gmt")))


def _aware(moment: datetime, zone: tzinfo) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


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
