"""What is asked of Janus' own HTTP API: which version it is, and what its rooms are called. Nothing is changed there.

Source: Janus, "RESTful interface" (/info, sessions, handles) and the `list` request of VideoRoom and TextRoom.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import groupby
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec import Struct, field

from archiver.exceptions import EnvironmentFault
from archiver.sources.janus.notices import TEXT, VIDEO, Notice, Room, Roster

log = structlog.get_logger("archiver.sources")

T = TypeVar("T")
PATIENCE = 3.0
"""Seconds for an answer. Events wait meanwhile, what is said in a TextRoom doesn't."""
AGAIN = 60.0
"""Seconds in which it isn't asked again, once it didn't answer."""
LARGEST = 8 * 1024 * 1024
SAMPLE_HANDLER = "janus.eventhandler.sampleevh"
PACKAGES = {VIDEO: "janus.plugin.videoroom", TEXT: "janus.plugin.textroom"}


class Info(Struct):
    """`events` and `plugins` are the packages that run in it, by name."""

    version_string: str
    event_handlers: bool = False
    events: dict[str, Any] = {}
    plugins: dict[str, Any] = {}


class _Named(Struct):
    id: int


class _Created(Struct):
    data: _Named


class _Room(Struct):
    room: int | str
    description: str = ""


class _Rooms(Struct):
    rooms: list[_Room] = field(default=[], name="list")


class _Participant(Struct):
    id: int | str | None = None
    username: str | None = None
    display: str | None = None


class _Participants(Struct):
    participants: list[_Participant] = []
    error: str = ""


class _Content(Struct, Generic[T]):
    data: T


class _Answered(Struct, Generic[T]):
    plugindata: _Content[T]


class Api:
    """`url` is with its path, as http://127.0.0.1:8088/janus. Every method raises `EnvironmentFault`."""

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        self._url = url.rstrip("/")
        self._patience = patience

    def info(self) -> Info:
        return self._ask("GET", "/info", None, Info)

    def descriptions(self, plugin: str) -> Mapping[str, str]:
        """What the plugin's public rooms are called, by room."""
        with self._handle(plugin) as path:
            listed = self._plugin(path, _Rooms, request="list")
        return {str(each.room): each.description for each in listed.rooms}

    def rosters(self, rooms: Iterable[Room]) -> list[Roster]:
        asked = sorted(rooms, key=lambda each: each.plugin)
        return [
            each for plugin, some in groupby(asked, lambda each: each.plugin) for each in self._rosters(plugin, some)
        ]

    def _rosters(self, plugin: str, rooms: Iterable[Room]) -> Iterator[Roster]:
        with self._handle(plugin) as path:
            for room in rooms:
                found = self._participants(path, room.room)
                named = ((each.username if plugin == TEXT else each.id, each.display or None) for each in found)
                yield Roster(room, {str(who): display for who, display in named if who is not None})

    def _participants(self, path: str, room: str) -> list[_Participant]:
        """Rooms have numbers or names, as Janus is configured; one of digits may be either."""
        told = ""
        for name in (int(room), room) if room.isascii() and room.isdecimal() else (room,):
            found = self._plugin(path, _Participants, request="listparticipants", room=name)
            if not found.error or "No such room" in found.error:
                return found.participants
            told = found.error
        raise EnvironmentFault(f"Janus doesn't say who is in room {room}: {told}")

    @contextmanager
    def _handle(self, plugin: str) -> Iterator[str]:
        """The path of one that lives as long as that."""
        session = self._post("", _Created, janus="create").data.id
        try:
            yield f"/{session}/{self._post(f'/{session}', _Created, janus='attach', plugin=PACKAGES[plugin]).data.id}"
        finally:
            self._post(f"/{session}", dict, janus="destroy")

    def _plugin(self, path: str, kind: type[T], **body: Any) -> T:
        answered: _Answered[T] = self._post(path, _Answered[kind], janus="message", body=body)  # type: ignore[valid-type]
        return answered.plugindata.data

    def _post(self, path: str, kind: type[T], **asked: Any) -> T:
        return self._ask("POST", path, json.dumps({"transaction": secrets.token_hex(8), **asked}), kind)

    def _ask(self, method: str, path: str, body: str | None, kind: type[T]) -> T:
        try:
            place = urlsplit(self._url)
            made = HTTPSConnection if place.scheme == "https" else HTTPConnection
            with closing(made(place.netloc, timeout=self._patience)) as client:
                client.request(method, place.path + path, body, {"Content-Type": "application/json"} if body else {})
                return msgspec.json.decode(client.getresponse().read(LARGEST), type=kind)
        except (OSError, HTTPException, ValueError, RecursionError) as fault:
            raise EnvironmentFault(
                f"Janus' API at {self._url} doesn't answer as it should: {fault}",
                hint="is it running, with its HTTP transport on at this address, and without an api_secret?",
            ) from fault


def _plugin_of(room: Room) -> str:
    return room.plugin


class Topics:
    """What rooms are called, asked again once any was made or changed. `learn` blocks; nothing is raised."""

    def __init__(self, api: Api | None) -> None:
        self._api = api
        self._known: dict[tuple[str, str], str] = {}
        self._stale = {VIDEO, TEXT}
        self._not_before = 0.0

    def learn(self, notices: Iterable[Notice]) -> None:
        """Before what they tell is taken. Never for a join: a room that just tells us something can't answer."""
        for each in notices:
            if each.what == "started":
                self._stale = {VIDEO, TEXT}
            elif each.what in ("created", "edited"):
                self._stale.add(each.plugin)
        if self._api is not None and time.monotonic() >= self._not_before:
            for plugin in sorted(self._stale):
                self._ask(self._api, plugin)

    def of(self, plugin: str, room: str) -> str | None:
        return self._known.get((plugin, room)) or None

    def _ask(self, api: Api, plugin: str) -> None:
        try:
            called = api.descriptions(plugin)
        except EnvironmentFault as fault:
            self._not_before = time.monotonic() + AGAIN
            log.warning("janus_not_asked", reason=str(fault))
            return
        self._stale.discard(plugin)
        self._known = {room: topic for room, topic in self._known.items() if room[0] != plugin}
        self._known |= {(plugin, room): topic for room, topic in called.items()}
