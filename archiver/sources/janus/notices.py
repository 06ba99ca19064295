"""What Janus tells, read: events of its handlers (sampleevh) and what TextRoom posts. Nothing is remembered here.

Seen from Janus 1.1.2. A TextRoom doesn't post whispers, and tells that somebody was kicked in words of its own. Who
leaves a TextRoom by ending the session is only told by the handle that is detached.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from archiver.events import SECOND, microseconds
from archiver.exceptions import EventError

T = TypeVar("T")

VIDEO, TEXT = "videoroom", "textroom"
_PLUGINS = {"janus.plugin.videoroom": VIDEO, "janus.plugin.textroom": TEXT}
_END = 253_402_300_800 * SECOND
"""No calendar goes on after the year 9999."""
_HANDLE, _PLUGIN, _CORE = 2, 64, 256
_OF_ROOM = ("created", "edited", "destroyed")
_MEANT = {
    "join": "joined",
    "joined": "joined",
    "leave": "left",
    "leaving": "left",
    "kicked": "kicked",
    "published": "published",
    "unpublished": "unpublished",
    "created": "created",
    "edited": "edited",
    "destroyed": "destroyed",
}


class Notice(Struct, frozen=True, kw_only=True):
    """Something that happened. `what` is one of the words above, or "detached", "started", "shutdown".

    `who` is what the room knows somebody by: a TextRoom's username, a VideoRoom's id. `time` in microseconds.
    """

    what: str
    time: int
    plugin: str = ""
    room: str = ""
    who: str = ""
    display: str | None = None
    opaque: str | None = None
    handle: int = 0
    streams: tuple[str, ...] = ()
    """What its publisher calls each stream; "" for those without a name."""


class Said(Struct, frozen=True):
    """Something said in a TextRoom; `who` is None for an announcement, `to` those who alone were told, by username."""

    room: str
    who: str | None
    text: str
    date: int
    """When it was said, to the second, in microseconds."""
    to: tuple[str, ...] | None = None


class Room(Struct, frozen=True):
    """One of a plugin's; `place` is the conversation that it belongs to."""

    place: str
    plugin: str
    room: str


class Roster(Struct, frozen=True):
    """Who is in a room, as Janus says where it is asked: what each is called, by what the room knows them by."""

    room: Room
    people: Mapping[str, str | None]


class _Stream(Struct):
    description: str | None = None


class _Data(Struct):
    event: str | None = None
    textroom: str | None = None
    room: int | str | None = None
    username: str | None = None
    id: int | str | None = None
    display: str | None = None
    streams: list[_Stream] = []


class _Event(Struct):
    plugin: str | None = None
    data: Raw = Raw(b"{}")
    name: str | None = None
    status: str | None = None


class _Told(Struct):
    type: int
    timestamp: Annotated[int, Meta(ge=0, lt=_END)]
    event: Raw = Raw(b"{}")
    handle_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    opaque_id: str | None = None


class _Posted(Struct):
    textroom: str
    room: int | str
    text: str
    date: str
    username: str | None = msgspec.field(default=None, name="from")
    whisper: bool = False
    to: str | None = None
    tos: list[str] | None = None


def read_notice(piece: bytes) -> Notice | None:
    """None for what is no business of a conversation: sessions, media, other plugins. Raises `EventError`."""
    told = _decoded(piece, _Told)
    if told.type not in (_HANDLE, _PLUGIN, _CORE):
        return None
    event = _decoded(bytes(told.event), _Event)
    if told.type == _HANDLE:
        named = event.name == "detached"
        return Notice(what="detached", time=told.timestamp, handle=told.handle_id) if named else None
    if told.type == _CORE:
        known = event.status in ("started", "shutdown")
        return Notice(what=str(event.status), time=told.timestamp) if known else None
    plugin = _PLUGINS.get(event.plugin or "")
    return _of_room(plugin, _decoded(bytes(event.data), _Data), told) if plugin else None


def _of_room(plugin: str, data: _Data, told: _Told) -> Notice | None:
    what = _MEANT.get(data.event or data.textroom or "")
    who = data.username if plugin == TEXT else data.id
    if what is None or data.room is None:
        return None
    if who is None and what not in _OF_ROOM:
        raise EventError(f"{what} without who")
    return Notice(
        what=what,
        time=told.timestamp,
        plugin=plugin,
        room=str(data.room),
        who=str(who) if who is not None else "",
        display=data.display or None,
        # A kick is told by the handle of who kicked.
        opaque=told.opaque_id or None if what == "joined" else None,
        handle=told.handle_id if what == "joined" else 0,
        streams=tuple(each.description or "" for each in data.streams),
    )


Read = Notice | EventError | None


def read_notices(body: bytes) -> list[tuple[bytes, Read]]:
    """A delivery's events (a JSON array, or one object where they aren't grouped), each with what it tells, or why it
    can't be read. Raises `EventError`."""
    pieces = _decoded(body, list[Raw]) if body.lstrip().startswith(b"[") else [body]
    return [(bytes(each), _notice_or_fault(bytes(each))) for each in pieces]


def _notice_or_fault(piece: bytes) -> Read:
    try:
        return read_notice(piece)
    except EventError as fault:
        return fault


def read_said(body: bytes) -> Said:
    """Raises `EventError`."""
    posted = _decoded(body, _Posted)
    if posted.textroom not in ("message", "announcement"):
        raise EventError(f"neither a message nor an announcement: {posted.textroom[:40]}")
    if posted.textroom == "message" and not posted.username:
        raise EventError("a message without who wrote it")
    who = posted.username if posted.textroom == "message" else None
    to = posted.tos if posted.tos is not None else [posted.to] if posted.to is not None else []
    return Said(str(posted.room), who, posted.text, _time(posted.date), tuple(to) if posted.whisper or to else None)


def _time(date: str) -> int:
    try:
        return microseconds(datetime.fromisoformat(date))
    except (ValueError, TypeError, OverflowError) as fault:
        raise EventError(f"no time with its offset: {date[:40]}") from fault


def heard_at(said: Said, received: int) -> int:
    """When it was said: as it came, within its own clock's second. A room waits until its post is answered."""
    return min(max(received, said.date), said.date + SECOND - 1)


def _decoded(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise EventError(str(fault)) from fault
