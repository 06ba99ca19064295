"""What had to be guessed of an event, as its `archiverguessed` has it, and what each reason says to a reader. Pure.

    importer ─► "zone=UTC; next-day" ─► event ─► spool ─► an item's note, its header field, the report of a backfill

A mark is reasons parted by `; `, a value behind `=` where one belongs to it. No reason holds a name or an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

GUESSES = {
    "zone": "Times were read as {value}: the source names no zone",
    "zone-fold": "Times in an hour that the clocks showed twice were read as of the first",
    "second-hour": "Where the clock went back in an hour that it showed twice, the second was taken to have begun",
    "day-first": "Dates were read with the day first: the source leaves their order open",
    "year-first": "Dates were read with the year first: the source leaves their order open",
    "day-of-name": "The day was taken from the name of the file or its folder: the source names none",
    "day-of-file": "The day was taken from when the file was last changed: the source names none",
    "year-of-name": "The year was taken from the name of the file or its folder: the source names none",
    "next-day": "Where the clock went back, the next day was taken to have begun",
    "half-day": "Whether times were before or after noon was told by their order",
    "start-of-name": "When the meeting began was taken from the name of the file or its folder",
    "start-day": "Of when the meeting began only the day is known: times may be off by hours",
    "epoch": "Times were counted from 1970: they are too large for the source's own count",
    "sent": "When it was sent is not known: it stands at the time of its delivery",
    "edited": "When messages were edited is not known: it stands at the time of the message",
    "retracted": "When messages were deleted is not known: it stands at the time of the message",
    "reacted": "When reactions were given is not known: they stand at the time of the message",
    "closed": "When polls were closed is not known: it stands at the time of the message",
    "author": "Who wrote a message was told by the names alone",
    "person": "Who is meant by a name is not certain",
    "owner": "Whose the export is was not said: its owner stands as “{value}”",
    "recipients": "Whom a message was for is not certain: it was taken to be for everybody",
    "speaker": "Not all that was said names its speaker",
    "charset": "Text that isn't UTF-8 was read as {value}",
}
"""By reason, in the order they are told in; with the value in `{value}`."""
OTHER_GUESS = "Something else was guessed as well: {value}"
"""What is said of reasons that only others know."""

_PARTING = "; "
_MOST = 10
"""Values told of one reason."""


def guess_mark(*marks: str | None) -> str | None:
    """One mark of several, None where none of them says anything."""
    return _PARTING.join(dict.fromkeys(filter(None, marks))) or None


def guesses_of(marks: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The reasons of several marks in the order of `GUESSES`, each with its values; those nobody knows below ""."""
    found: dict[str, dict[str, None]] = {}
    for reason, value in sorted(set(_parts(marks))):
        known = reason in GUESSES
        values = found.setdefault(reason if known else "", {})
        if (told := value if known else reason) and len(values) < _MOST:
            values[told] = None
    return {reason: tuple(found[reason]) for reason in (*GUESSES, "") if reason in found}


def _parts(marks: Iterable[str]) -> Iterator[tuple[str, str]]:
    for each in marks:
        for part in each.split(";"):
            reason, _, value = part.strip().partition("=")
            if reason:
                yield reason.strip(), value.strip()
