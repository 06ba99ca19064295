"""One piece of input -> one `Captured` event with its canonical JSON, or an `EventError` that says why not.

The quick path takes a sound event in one decode and one encode. Whatever is unusual (a NUL, a lone surrogate, bytes
that aren't UTF-8, a time nobody can mean, an attachment with its content) takes the thorough one, which mends what
docs/event-format.md allows to be mended and notes it. Reads the attachments it is given; no other I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import structs

from archiver.events.attachment import Beside, Content, take_content
from archiver.events.record import (
    EDITED,
    POLL_CLOSED,
    POLL_OPENED,
    POLL_VOTED,
    REACTED,
    RENAMED,
    RETRACTED,
    SECOND,
    SENT,
    Captured,
    Event,
    microseconds,
    moment,
)
from archiver.exceptions import EventError

EVENT_LIMIT = 1024 * 1024
"""Bytes of one event's canonical JSON, without the content of attachments."""

DAY = 86_400 * SECOND
BOM = b"\xef\xbb\xbf"

_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_read_event = msgspec.json.Decoder(Event).decode
_read_members = msgspec.json.Decoder(dict[str, Any]).decode
_write = msgspec.json.Encoder(order="sorted").encode

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# Every escape of a JSON string in turn, so that the `u0000` after an escaped backslash isn't taken for a NUL.
_ESCAPE = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|(?P<nul>\\u0000)"
    r"|\\."
)
# RFC 3339 in shape, whatever the year, the day or the second.
_SHAPE_OF_TIME = re.compile(r"[+-]?\d{1,12}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_LEAP_SECOND = re.compile(r"(?<=:\d\d):60(?=[.Zz+-])")


def capture(
    event: Event | bytes | str,
    *,
    received: int,
    previous: int | None = None,
    file_date: int | None = None,
    beside: Beside | None = None,
    original: bytes | None = None,
    notes: tuple[str, ...] = (),
    position: str = "",
) -> Captured:
    """Take in one event: a JSON line as it came, or a record an importer built.

    A time outside 1970 to `received` plus a day becomes `previous`, else `file_date`, else `received`. `beside` gives
    what `attachments[].path` names. An importer passes the `original` bytes it read,
    `notes` of what it mended and the `position` where.
    Raises `EventError` with a reason where nothing can be made of it.
    """
    decoded: Event | None = None
    if isinstance(event, bytes):
        line = event
    elif isinstance(event, str):
        line = event.encode("utf-8", "surrogatepass")
    else:
        line, decoded = _written(event)
    if len(line) <= EVENT_LIMIT and not notes:
        quick = _quick(line, decoded, received)
        if quick is not None:
            return quick
    given = line if original is None else original
    made = _thorough(line, given, received, previous, file_date, beside, list(notes))
    return structs.replace(made, position=position) if made.cleaned and position else made


def ndjson(events: Iterable[Captured]) -> bytes:
    """The canonical JSON of events, one a line."""
    return b"".join([event.body + b"\n" for event in events])


def _written(event: Event) -> tuple[bytes, Event | None]:
    try:
        return _write(event), event
    except UnicodeEncodeError:  # a lone surrogate: written as an escape, mended like any other
        return json.dumps(msgspec.to_builtins(event)).encode(), None


def _quick(line: bytes, event: Event | None, received: int) -> Captured | None:
    """A sound event, or None: then the thorough path finds out what is the matter, or that nothing is."""
    try:
        if event is None:
            event = _read_event(line)
            body = _write(event)
            if body != line:  # not canonical, or with members we don't know: those are kept
                members = _read_members(line)
                members.setdefault("specversion", "1.0")
                body = _write(members)
        else:
            body = line
    except _UNREADABLE:
        return None
    time = microseconds(event.time)
    if b"\\u0000" in body or event.data.attachments is not None or not 0 <= time <= received + DAY:
        return None
    _require(event)
    if len(body) > EVENT_LIMIT:
        return None
    return Captured(event=event, time=time, received=received, body=body)


def _thorough(
    line: bytes,
    original: bytes,
    received: int,
    previous: int | None,
    file_date: int | None,
    beside: Beside | None,
    notes: list[str],
) -> Captured:
    members = _members(line, notes)
    _mend_time(members, received, previous, file_date, notes)
    event = _checked(members)
    _require(event)
    contents = _take_contents(members, beside, notes)
    if notes:
        members["archivercleaned"] = "; ".join(notes)
    body = _write(members)
    if len(body) > EVENT_LIMIT:
        raise EventError(f"the event is {len(body):,} bytes without attachment content; the limit is {EVENT_LIMIT:,}")
    return Captured(
        event=_read_event(body),
        time=microseconds(event.time),
        received=received,
        body=body,
        cleaned=tuple(notes),
        original=original if notes else None,
        attached=tuple((content.sha256, content.data) for content in contents),
    )


def _members(line: bytes, notes: list[str]) -> dict[str, Any]:
    try:
        members = _read_members(_mend_text(line, notes))
    except RecursionError:
        raise EventError("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise EventError(str(fault)) from fault
    members.setdefault("specversion", "1.0")
    return members


def _mend_text(line: bytes, notes: list[str]) -> bytes:
    """Replace by U+FFFD what isn't Unicode text: bytes that aren't UTF-8, NULs, lone surrogates."""
    if line.startswith(BOM):
        line = line[len(BOM) :]
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode("utf-8", "replace")
        notes.append("not UTF-8")
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
        notes.append("NUL")
    if "\\u" in text:
        text = _mend_escapes(text, notes)
    return text.encode()


def _mend_escapes(text: str, notes: list[str]) -> str:
    found: set[str] = set()

    def mended(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind in ("lone", "nul"):
            found.add(kind)
            return "\ufffd"
        return match[0]

    text = _ESCAPE.sub(mended, text)
    if "lone" in found:
        notes.append("lone surrogate")
    if "nul" in found and "NUL" not in notes:
        notes.append("NUL")
    return text


def _mend_time(
    members: dict[str, Any], received: int, previous: int | None, file_date: int | None, notes: list[str]
) -> None:
    """RFC 3339 in shape but not a time between 1970 and tomorrow: replaced, the source's own kept."""
    text = members.get("time")
    if not isinstance(text, str) or not _SHAPE_OF_TIME.fullmatch(text):
        return
    try:
        # RFC 3339, 5.7: 23:59:60 is a time, only not one that Python knows.
        time = microseconds(_read_time(_LEAP_SECOND.sub(":59", text)))
    except msgspec.ValidationError:
        time = -1
    if 0 <= time <= received + DAY:
        if _LEAP_SECOND.search(text):
            members["time"] = _LEAP_SECOND.sub(":59", text)
            members.setdefault("archivertime", text)
            notes.append("leap second")
        return
    instead = next(t for t in (previous, file_date, received) if t is not None)
    members["time"] = moment(instead).isoformat().replace("+00:00", "Z")
    members.setdefault("archivertime", text)
    notes.append("time out of range")


def _read_time(text: str) -> datetime:
    return msgspec.convert(text, _Time)


def _checked(members: dict[str, Any]) -> Event:
    try:
        return msgspec.convert(members, Event)
    except msgspec.ValidationError as fault:
        reason = str(fault)
        if "timezone component" in reason:
            reason = reason.replace(
                "Expected `datetime` with a timezone component", "A time without its offset from UTC"
            )
        raise EventError(reason) from fault


def _take_contents(members: dict[str, Any], beside: Beside | None, notes: list[str]) -> list[Content]:
    contents: list[Content] = []
    for attachment in members["data"].get("attachments") or ():
        content = take_content(attachment, beside, notes)
        if content is not None:
            contents.append(content)
    return contents


def _require(event: Event) -> None:
    """What the contract asks of each type beyond what the records do."""
    missing = _REQUIRED.get(event.type, _nothing)(event)
    if missing:
        raise EventError(f"{event.type} without data.{missing}")


def _nothing(event: Event) -> str:
    return ""


def _message(event: Event) -> str:
    return "" if event.data.message is not None else "message.id"


def _text(event: Event) -> str:
    if event.data.message is None:
        return "message.id"
    return "" if event.data.message.text is not None else "message.text"


def _poll(event: Event) -> str:
    return "" if event.data.poll is not None else "poll.id"


def _both_names(event: Event) -> str:
    if event.data.actor is None:
        return "actor"
    return "" if event.data.subject is not None else "subject"


_REQUIRED = {
    SENT: _text,
    EDITED: _text,
    RETRACTED: _message,
    REACTED: _message,
    POLL_OPENED: _poll,
    POLL_VOTED: _poll,
    POLL_CLOSED: _poll,
    RENAMED: _both_names,
}
