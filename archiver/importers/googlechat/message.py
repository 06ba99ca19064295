"""One message of Google Chat as Takeout writes it: its versions, and all its words.

Of an edited one the first version alone has a `created_date`, each later one an `updated_date`. What it links to stands
in annotations, and not always in its text. Made from published readers of such exports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct

from archiver.exceptions import EventError

_DATE = re.compile(r"(?:\w+, )?(\w+) (\d{1,2}), (\d{4}) at (\d{1,2}):(\d\d)(?::(\d\d))?\s?([AP]M)? UTC")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Person(Struct, frozen=True):
    name: str | None = None
    email: str | None = None
    user_type: str | None = None


class File(Struct):
    original_name: str | None = None
    export_name: str | None = None


class Emoji(Struct, frozen=True):
    unicode: str = ""


class Reaction(Struct):
    emoji: Emoji = Emoji()
    reactor_emails: list[str] = []


class Drive(Struct):
    id: str = ""
    title: str = ""


class Meeting(Struct, frozen=True):
    meeting_url: str = ""


class Video(Struct):
    meeting_space: Meeting = Meeting()


class Youtube(Struct):
    id: str = ""


class Annotation(Struct):
    drive_metadata: Drive | None = None
    video_call_metadata: Video | None = None
    youtube_metadata: Youtube | None = None


class Quote(Struct):
    creator: Person = Person()
    text: str = ""
    message_id: str | None = None


class Written(Struct):
    """What a message and each of its earlier versions have."""

    created_date: str | None = None
    updated_date: str | None = None
    text: str = ""
    annotations: list[Annotation] = []
    attached_files: list[File] = []

    @property
    def stated(self) -> str | None:
        return self.updated_date or self.created_date

    @property
    def words(self) -> str:
        links = (link for each in self.annotations for link in _links(each, self.text))
        return "\n".join(filter(None, (self.text, *dict.fromkeys(links))))


class Line(Written, kw_only=True):
    message_id: str
    creator: Person | None = None
    topic_id: str | None = None
    message_state: str | None = None
    deleted_date: str | None = None
    previous_message_versions: list[Written] = []
    quoted_message_metadata: Quote | None = None
    reactions: list[Reaction] = []


class Version(NamedTuple):
    at: datetime
    text: str


def versions_of(line: Line) -> list[Version]:
    """Oldest first, the last is what the message says now. Raises `EventError` for one without a date."""
    quote = line.quoted_message_metadata
    quoted = "".join(f"> {each}\n" for each in _quoted(quote)) if quote is not None else ""
    whole = [*line.previous_message_versions, line]
    if line.created_date and line.updated_date and not line.previous_message_versions:
        whole.insert(0, Written(created_date=line.created_date, text=line.text, annotations=line.annotations))
    times = [time_of(each.stated or line.deleted_date or "") for each in whole]
    found = [Version(at, quoted + each.words) for at, each in zip(times, whole, strict=True)]
    return [*sorted(found[:-1], key=lambda each: each.at), found[-1]]


def files_of(line: Line) -> list[File]:
    """Of all versions, each once."""
    given = [each for written in (*line.previous_message_versions, line) for each in written.attached_files]
    return list({(each.export_name, each.original_name): each for each in given}.values())


def _quoted(quote: Quote) -> Iterator[str]:
    if quote.text:
        who = quote.creator.name or quote.creator.email
        yield from (f"{who}: {quote.text}" if who else quote.text).split("\n")


def _links(annotation: Annotation, text: str) -> Iterator[str]:
    drive, video, youtube = annotation.drive_metadata, annotation.video_call_metadata, annotation.youtube_metadata
    if drive is not None and drive.id and drive.id not in text:
        yield f"{drive.title} (https://drive.google.com/open?id={drive.id})".lstrip()
    if video is not None and video.meeting_space.meeting_url not in text:
        yield f"[video call: {video.meeting_space.meeting_url}]"
    if youtube is not None and youtube.id and youtube.id not in text:
        yield f"https://www.youtube.com/watch?v={youtube.id}"


def time_of(text: str) -> datetime:
    """`Thursday, November 3, 2016 at 11:59:50 AM UTC`; newer ones have U+202F before AM. Raises `EventError`."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise EventError(f"no date: {text!a}")
    month, day, year, hour, minute, second, half = match.groups()
    hours = int(hour) if half is None else int(hour) % 12 + (12 if half == "PM" else 0)
    try:
        return datetime(
            int(year), _MONTHS.index(month[:3]) + 1, int(day), hours, int(minute), int(second or 0), tzinfo=UTC
        )
    except ValueError as fault:
        raise EventError(f"no date: {text!a}") from fault
